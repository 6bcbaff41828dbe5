//! A native handler and a `.wasm` in one program: each has a server and a thread.
//!
//! ```console
//! $ cargo run --release --example mixed tcp://127.0.0.1:9999 udp://127.0.0.1:9999 target/handlers/upper.wasm
//! ```

use std::error::Error;
use std::io::{BufRead, Write};
use std::thread;

use sandsock::{BaseRequestHandler, HandlerError, Loader, Request, Server, WasmHandler, native};

/// Greets, and thanks in the end.
#[derive(Default)]
struct Polite {
    name: String,
}

impl BaseRequestHandler for Polite {
    fn setup(&mut self, request: &Request) -> Result<(), HandlerError> {
        request.rfile().read_line(&mut self.name)?;
        Ok(())
    }

    fn handle(&mut self, request: &Request) -> Result<(), HandlerError> {
        Ok(writeln!(request.wfile(), "hello, {}", self.name.trim())?)
    }

    fn finish(&mut self, request: &Request) -> Result<(), HandlerError> {
        Ok(writeln!(request.wfile(), "thank you")?)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, native_address, wasm_address, file] = &arguments[..] else {
        return Err("two addresses and a .wasm file are wanted".into());
    };
    let mut servers = [
        Server::new(native_address, native(Polite::default))?,
        Server::new(wasm_address, WasmHandler::load(&Loader::new(file))?)?,
    ];
    for server in &servers {
        println!("listening {}", server.server_address());
    }
    thread::scope(|scope| {
        for server in &mut servers {
            scope.spawn(|| server.serve_forever(None));
        }
    });
    Ok(())
}
