//! The Character Generator Protocol (RFC 864).
//!
//! Over UDP the answer is longer than the question, and goes to whoever the question names as its
//! sender: not a service for the open Internet.

#![forbid(unsafe_code)]

use std::io::{ErrorKind, Write};

use sandsock_guest::{Handler, Request, Result};

/// Sends the RFC's popular pattern: to a stream line by line until the client goes away, to a
/// datagram client one datagram of at most 512 characters. What the client sends is thrown away.
#[derive(Default)]
struct Chargen;

impl Handler for Chargen {
    const PRINTS: bool = false;

    fn handle(&mut self, request: &mut Request) -> Result {
        if request.transport().is_datagram() {
            request
                .wfile
                .write_all(&PATTERN[..datagram_len(request.id())])?;
            return Ok(());
        }
        loop {
            match request.wfile.write_all(&PATTERN) {
                Ok(()) => {}
                Err(error) if has_gone(error.kind()) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The ring of the printing characters of ASCII, the space among them.
const RING: usize = 95;

/// 72 characters, a carriage return and a line feed.
const LINE: usize = 74;

/// The lines until the ring comes round. Each line begins one character further on.
static PATTERN: [u8; RING * LINE] = {
    let mut pattern = [0; RING * LINE];
    let mut i = 0;
    while i < pattern.len() {
        let (line, column) = (i / LINE, i % LINE);
        pattern[i] = match column {
            72 => b'\r',
            73 => b'\n',
            _ => b' ' + ((line + column) % RING) as u8,
        };
        i += 1;
    }
    pattern
};

/// 1 to 512, spread over the requests. The RFC has 0 as well, but nothing written is nothing sent.
fn datagram_len(id: u64) -> usize {
    const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
    1 + (id.wrapping_mul(GOLDEN_RATIO) >> 55) as usize
}

/// How a client ends this service.
fn has_gone(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

sandsock_guest::handler!(Chargen);

#[cfg(test)]
mod tests;
