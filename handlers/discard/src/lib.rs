//! The Discard Protocol (RFC 863).

#![forbid(unsafe_code)]

use std::io::BufRead;

use sandsock_guest::{Handler, Request, Result};

/// Throws away what it receives, until the client ends its side. No response is sent.
#[derive(Default)]
struct Discard;

impl Handler for Discard {
    const PRINTS: bool = false;

    fn handle(&mut self, request: &mut Request) -> Result {
        loop {
            let count = request.rfile.fill_buf()?.len();
            if count == 0 {
                return Ok(());
            }
            request.rfile.consume(count);
        }
    }
}

sandsock_guest::handler!(Discard);

#[cfg(test)]
mod tests;
