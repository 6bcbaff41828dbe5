//! Each request in a forked child, for so many requests. A process that forks has one thread, so this one
//! starts none; a child that it has started itself stays its own to wait for.
//!
//! ```console
//! $ cargo run --release --example forking tcp://127.0.0.1:9999 3 target/handlers/echo.wasm
//! ```

use std::error::Error;
use std::io::Write;
use std::process::Command;

use sandsock::config::ConcurrencyKind;
use sandsock::{Loader, Server, ServerOptions, WasmHandler, handler_fn};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let (address, requests, file) = match &arguments[..] {
        [_, address, requests] => (address, requests.parse()?, None),
        [_, address, requests, file] => (address, requests.parse()?, Some(file)),
        _ => return Err("an address, a number of requests and, at will, a .wasm file".into()),
    };
    let options = ServerOptions {
        concurrency: ConcurrencyKind::Fork,
        ..ServerOptions::default()
    };
    let mut server = match file {
        Some(file) => {
            let handler = WasmHandler::load(&Loader::new(file).for_children())?;
            Server::with_options(address, handler, options)?
        }
        None => {
            let who = handler_fn(|request| {
                Ok(writeln!(request.wfile(), "process {}", std::process::id())?)
            });
            Server::with_options(address, who, options)?
        }
    };
    println!("listening {}", server.server_address());

    let mut own = Command::new("sh").args(["-c", "exit 7"]).spawn()?;
    for _ in 0..requests {
        server.handle_request()?;
    }
    server.server_close();
    println!("my own child: {}", own.wait()?);
    Ok(())
}
