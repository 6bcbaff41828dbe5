//! Answers a line with a greeting.

use std::io::{BufRead, Write};

use sandsock_guest::{Handler, Request, Result};

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
mod tests {
    use sandsock_guest::test;

    use super::*;

    #[test]
    fn greets() -> Result {
        let mut request = Request::in_memory("hello,server\n").client("127.0.0.1:4711");
        test::run::<Hello>(&mut request)?;
        assert_eq!(request.written(), "你好".as_bytes());
        Ok(())
    }
}
