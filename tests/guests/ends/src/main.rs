//! A guest of the benchmark: answers, and ends as it is told: `return`, `exit 0`, `exit 1`, `panic`.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process;

fn main() -> io::Result<()> {
    let mut order = String::new();
    io::stdin().read_line(&mut order)?;
    let mut stdout = io::stdout();
    stdout.write_all(b"told\n")?;
    stdout.flush()?;
    match order.trim_end() {
        "exit 0" => process::exit(0),
        "exit 1" => process::exit(1),
        "panic" => panic!("as it was told"),
        _ => Ok(()),
    }
}
