//! Names the days of a week: a client sends `1`, and receives `Monday`; a line for each line. A day that there is not is said to be none.

#![forbid(unsafe_code)]

use std::io::{BufRead, Write};

use sandsock_guest::{Handler, Request, Result};

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

#[derive(Default)]
struct Weekday;

impl Handler for Weekday {
    fn handle(&mut self, request: &mut Request) -> Result {
        let mut line = String::new();
        while request.rfile.read_line(&mut line)? > 0 {
            let number: usize = line.trim().parse()?;
            println!("asked for day {number}");
            writeln!(request.wfile, "{}", name(number))?;
            line.clear();
        }
        Ok(())
    }
}

fn name(number: usize) -> &'static str {
    let index = number.checked_sub(1);
    index
        .and_then(|index| DAYS.get(index))
        .unwrap_or(&"no such day")
}

sandsock_guest::handler!(Weekday);
