//! Upper-cases each line: the example of the documentation of Python's `socketserver`.

#![forbid(unsafe_code)]

use std::io::{BufRead, Read, Write};

use sandsock_guest::{Handler, Request, Result};

/// Sends each line back with the letters of ASCII in upper case, as Python's `bytes.upper` does,
/// until the client ends its side.
#[derive(Default)]
struct Upper;

/// What is longer is sent back in parts, so that no client decides how much memory a line takes.
const PART: u64 = 8192;

impl Handler for Upper {
    fn handle(&mut self, request: &mut Request) -> Result {
        let mut line = Vec::new();
        while request
            .rfile
            .by_ref()
            .take(PART)
            .read_until(b'\n', &mut line)?
            > 0
        {
            line.make_ascii_uppercase();
            request.wfile.write_all(&line)?;
            line.clear();
        }
        Ok(())
    }
}

sandsock_guest::handler!(Upper);

#[cfg(test)]
mod tests;
