//! A server with hooks: it serves its own machine only, tells what fails, and stops after three failures.
//!
//! ```console
//! $ cargo run --release --example hooks tcp://127.0.0.1:9999
//! ```

use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use sandsock::{Ended, Endpoint, Request, Server, ServerHooks, ShutdownHandle, handler_fn};

#[derive(Default)]
struct Careful {
    failures: AtomicU32,
    shutdown: OnceLock<ShutdownHandle>,
}

impl ServerHooks for Careful {
    fn verify_request(&self, request: &Request) -> Result<bool, String> {
        Ok(match request.client_address() {
            Endpoint::Inet(client) => client.ip().is_loopback(),
            _ => true,
        })
    }

    fn handle_error(&self, request: &Request, ended: &Ended) {
        let detail = ended.detail.as_deref().unwrap_or_default();
        println!("request {}: {}: {detail}", request.id(), ended.outcome);
        if self.failures.fetch_add(1, Ordering::Relaxed) == 2
            && let Some(shutdown) = self.shutdown.get()
        {
            shutdown.shutdown();
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("an address is missing")?;
    let double = handler_fn(|request| {
        let mut line = String::new();
        request.rfile().read_line(&mut line)?;
        let number: i64 = line.trim().parse()?;
        Ok(writeln!(request.wfile(), "{}", number * 2)?)
    });
    let mut server = Server::new(&address, double)?;
    let hooks = Arc::new(Careful::default());
    let _ = hooks.shutdown.set(server.shutdown_handle());
    server.options.hooks = hooks;
    println!("listening {}", server.server_address());
    server.serve_forever(None)?;
    println!("three failures are enough");
    Ok(())
}
