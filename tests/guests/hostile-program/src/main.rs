//! A guest of the tests: the attacks of `hostile`, by an ordinary WASI program.

#![forbid(unsafe_code)]

#[path = "../../hostile/src/attacks.rs"]
mod attacks;

use std::io::{self, BufRead};
use std::process;

fn main() {
    let mut stdin = io::stdin().lock();
    let mut stdout = io::stdout();
    let mut order = String::new();
    let result = stdin
        .read_line(&mut order)
        .and_then(|_| attacks::carry_out(order.trim_end(), &mut stdin, &mut stdout));
    if let Err(error) = result {
        eprintln!("{error}");
        process::exit(1);
    }
}
