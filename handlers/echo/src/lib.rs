//! The Echo Protocol (RFC 862).

#![forbid(unsafe_code)]

use std::io::{BufRead, Write};

use sandsock_guest::{Handler, Request, Result};

/// Sends back what it receives, until the client ends its side: straight from the buffer that it
/// was received into.
#[derive(Default)]
struct Echo;

impl Handler for Echo {
    const PRINTS: bool = false;

    fn handle(&mut self, request: &mut Request) -> Result {
        loop {
            let bytes = request.rfile.fill_buf()?;
            if bytes.is_empty() {
                return Ok(());
            }
            request.wfile.write_all(bytes)?;
            let count = bytes.len();
            request.rfile.consume(count);
        }
    }
}

sandsock_guest::handler!(Echo);

#[cfg(test)]
mod tests;
