//! `rfile` and `wfile` without a network: `sandsock run` gives its own standard input and output.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::poll::PollFlags;

use super::Connection;
use crate::address::Endpoint;
use crate::poll;

/// Two descriptors in place of a socket: pipes, files or a terminal.
pub(crate) struct Offline {
    input: File,
    output: File,
}

impl Offline {
    pub(crate) fn new(input: OwnedFd, output: OwnedFd) -> Self {
        Offline {
            input: input.into(),
            output: output.into(),
        }
    }
}

impl Connection for Offline {
    fn recv(&self, buf: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        if !poll::wait(self.input.as_fd(), PollFlags::POLLIN, timeout)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        (&self.input).read(buf)
    }

    fn send(&self, buf: &[u8], timeout: Option<Duration>) -> io::Result<usize> {
        if !poll::wait(self.output.as_fd(), PollFlags::POLLOUT, timeout)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // pipe(7): a writable pipe takes a page at least, so a write of less does not block.
        (&self.output).write(&buf[..buf.len().min(4096)])
    }

    fn input(&self) -> Option<BorrowedFd<'_>> {
        Some(self.input.as_fd())
    }

    fn server_address(&self) -> Endpoint {
        Endpoint::Unnamed
    }
}
