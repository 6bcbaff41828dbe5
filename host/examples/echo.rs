//! Sends back what a client sends, line by line.
//!
//! ```console
//! $ cargo run --release --example echo tcp://127.0.0.1:9999
//! ```

use std::io::{BufRead, Write};

use sandsock::{Server, handler_fn};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("an address is missing")?;
    let echo = handler_fn(|request| {
        for line in request.rfile().lines() {
            writeln!(request.wfile(), "{}", line?)?;
        }
        Ok(())
    });
    let mut server = Server::new(&address, echo)?;
    println!("listening {}", server.server_address());
    server.serve_forever(None)?;
    Ok(())
}
