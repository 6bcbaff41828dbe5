//! Copies standard input to standard output, with each letter of ASCII moved thirteen places on. An
//! ordinary program: it knows nothing of sandsock, of sockets or of WebAssembly.

#![forbid(unsafe_code)]

use std::io::{self, BufRead, Write};

fn main() -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        line.iter_mut().for_each(|byte| *byte = rot13(*byte));
        output.write_all(&line)?;
        output.flush()?;
        line.clear();
    }
    Ok(())
}

fn rot13(byte: u8) -> u8 {
    match byte {
        b'a'..=b'm' | b'A'..=b'M' => byte + 13,
        b'n'..=b'z' | b'N'..=b'Z' => byte - 13,
        other => other,
    }
}
