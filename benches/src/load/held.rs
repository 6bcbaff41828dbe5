//! Connections that are held open and say nothing.

use super::PATIENCE;
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Opens so many. Each sends a byte and has it back, so that all of them are being served when this returns.
pub fn hold(to: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let one = |number| -> Result<TcpStream> {
        let mut stream = TcpStream::connect(to)
            .with_context(|| format!("cannot connect, with {number} connections held"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"x")?;
        let mut byte = [0];
        stream
            .read_exact(&mut byte)
            .with_context(|| format!("no answer, with {number} connections held"))?;
        if byte != *b"x" {
            bail!("a wrong answer: {byte:?}");
        }
        Ok(stream)
    };
    (0..count).map(one).collect()
}
