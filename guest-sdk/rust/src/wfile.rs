//! What the client receives.

use std::io::{self, Write};

use crate::sys::Output;

/// What the client receives, unbuffered as Python's `wfile` is (`wbufsize = 0`).
///
/// A write sends all of it and is done when the last byte is the system's. For a datagram it is
/// collected; [`flush`](Write::flush) sends what was written since the last flush as one datagram,
/// and the end of the request does the same with the rest. Each write is a call of the host: of many
/// small pieces, as `write!` makes them, make one by `format!` or [`BufWriter`](io::BufWriter).
///
/// # Errors
///
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe) and
/// [`ConnectionReset`](io::ErrorKind::ConnectionReset) when the client has gone,
/// [`TimedOut`](io::ErrorKind::TimedOut) when it did not read in time, and an error that says so when
/// a reply is longer than a datagram can be.
pub struct WFile {
    pub(crate) output: Output,
}

impl WFile {
    pub(crate) const fn new(output: Output) -> Self {
        Self { output }
    }
}

impl Write for WFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
