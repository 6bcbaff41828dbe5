//! A guest of the tests: a handler that attacks its host as its client's first line says.

#![forbid(unsafe_code)]

mod attacks;

use sandsock_guest::{Handler, Request, Result, handler};
use std::io::BufRead;

#[derive(Default)]
struct Hostile;

impl Handler for Hostile {
    fn handle(&mut self, request: &mut Request) -> Result {
        let mut order = String::new();
        request.rfile.read_line(&mut order)?;
        let Request { rfile, wfile, .. } = request;
        Ok(attacks::carry_out(order.trim_end(), rfile, wfile)?)
    }
}

handler!(Hostile);
