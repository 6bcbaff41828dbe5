//! What the client sends.

use std::io::{self, BufRead, Read};

use crate::sys::Input;

/// What the client sends, buffered in the guest as Python's `rfile` is.
///
/// A read returns as soon as a byte is there; 0 bytes are the end of input, which for a datagram is
/// the end of the packet. A read into a large slice goes past the buffer when the buffer is empty.
///
/// A line has no limit of its own: where a client is not trusted with the handler's memory, read
/// with [`by_ref`](Read::by_ref)`().`[`take`](Read::take)`(limit)`.
///
/// # Errors
///
/// [`TimedOut`](io::ErrorKind::TimedOut) when no byte came in time, and
/// [`ConnectionReset`](io::ErrorKind::ConnectionReset) when the client ended the connection by force.
pub struct RFile {
    pub(crate) input: Input,
    start: usize,
    end: usize,
}

/// From this size on a read goes straight to where the caller wants the bytes.
const DIRECT: usize = 4096;

impl RFile {
    pub(crate) const fn new(input: Input) -> Self {
        Self {
            input,
            start: 0,
            end: 0,
        }
    }
}

impl Read for RFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && into.len() >= DIRECT {
            return self.input.read(into);
        }
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for RFile {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.end = self.input.refill()?;
        }
        // Always within what is held; `get`, because the check must not be able to panic.
        Ok(self
            .input
            .held()
            .get(self.start..self.end)
            .unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }
}
