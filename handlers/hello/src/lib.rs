//! The handler that Python's `socketserver` is usually explained with: it logs who connects and the
//! line that they send, and answers with a greeting.

use std::io::{BufRead, Write};

use sandsock_guest::{Handler, Request, Result};

/// Answers a line with `你好`, in UTF-8 and without a newline.
#[derive(Default)]
struct Hello;

impl Handler for Hello {
    fn handle(&mut self, request: &mut Request) -> Result {
        println!("connect from {}", request.client_address());
        let mut line = String::new();
        request.rfile.read_line(&mut line)?;
        println!("{}", line.trim_end());
        request.wfile.write_all("你好".as_bytes())?;
        Ok(())
    }
}

sandsock_guest::handler!(Hello);

#[cfg(test)]
mod tests;
