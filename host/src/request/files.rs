//! Python's `rfile` and `wfile`, for handlers in this program's own language.

use std::io::{self, BufReader, Read, Write};

use super::{IoError, Request};

impl Request {
    /// Python's `rfile`: buffered. What it has read ahead is lost with it, so a request has one.
    pub fn rfile(&self) -> BufReader<&Request> {
        BufReader::new(self)
    }

    /// Python's `wfile`: unbuffered.
    pub fn wfile(&self) -> &Request {
        self
    }
}

impl Read for &Request {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(Request::read(self, buf)?)
    }
}

impl Write for &Request {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Request::write(self, buf)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(Request::flush(self)?)
    }
}

impl From<IoError> for io::Error {
    fn from(error: IoError) -> Self {
        let kind = match error {
            IoError::TimedOut => io::ErrorKind::TimedOut,
            IoError::BrokenPipe => io::ErrorKind::BrokenPipe,
            IoError::ConnectionReset => io::ErrorKind::ConnectionReset,
            IoError::NotConnected => io::ErrorKind::NotConnected,
            IoError::MessageTooLong | IoError::Amplifies => {
                return io::Error::from_raw_os_error(nix::libc::EMSGSIZE);
            }
            IoError::Other(code) => return io::Error::from_raw_os_error(code),
            IoError::NotTheSenders | IoError::UnknownSender | IoError::NoProc | IoError::Ended => {
                return io::Error::other(error);
            }
        };
        io::Error::new(kind, error)
    }
}
