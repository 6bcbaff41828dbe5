//! A guest of the tests: a handler each of whose steps reads a line, `TEXT END`, writes the text, and
//! ends as the second word says.

#![forbid(unsafe_code)]

use sandsock_guest::{Handler, Request, Result, handler};
use std::io::{BufRead, Write};
use std::process;
use std::thread;
use std::time::Duration;

#[derive(Default)]
struct Steps {
    taken: u32,
}

impl Steps {
    fn step(&mut self, name: &str, request: &mut Request) -> Result {
        self.taken += 1;
        let mut line = String::new();
        request.rfile.read_line(&mut line)?;
        let (text, end) = line.trim_end().split_once(' ').unwrap_or(("", ""));
        request.wfile.write_all(text.as_bytes())?;
        match end {
            "fail" => Err(format!("asked to fail in {name}").into()),
            "panic" => panic!("asked to panic in {name}"),
            "exit-0" => process::exit(0),
            "exit-3" => process::exit(3),
            "print" => {
                println!("printed in {name}");
                eprintln!("complained in {name}");
                Ok(())
            }
            "sleep" => {
                thread::sleep(Duration::from_secs(3600));
                Ok(())
            }
            "spin" => loop {
                std::hint::spin_loop();
            },
            "timeout" => {
                request.set_timeout(Some(Duration::from_millis(100)));
                let timed_out = request.rfile.read_line(&mut line).err();
                writeln!(request.wfile, "{:?}", timed_out.map(|error| error.kind()))?;
                Ok(())
            }
            "about" => {
                let client = request.client_address();
                let server = request.server_address();
                let (transport, id) = (request.transport(), request.id());
                writeln!(request.wfile, "{client} {server} {transport} {id}")?;
                Ok(())
            }
            "count" => {
                let taken = self.taken;
                writeln!(request.wfile, "{taken}")?;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Handler for Steps {
    fn setup(&mut self, request: &mut Request) -> Result {
        self.step("setup", request)
    }

    fn handle(&mut self, request: &mut Request) -> Result {
        self.step("handle", request)
    }

    fn finish(&mut self, request: &mut Request) -> Result {
        self.step("finish", request)
    }
}

handler!(Steps);
