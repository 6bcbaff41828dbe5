//! What a loop and its children say to the supervisor, in one message each: lines of the log, events, that it accepts.

use std::io::{self, IoSlice, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, sendmsg};
use tracing_subscriber::fmt::MakeWriter;

use crate::concurrency::Table;
use crate::forked::is_child;

/// What the first byte of a message says. A line of the log, and that the loop accepts: from the loop alone.
pub(in crate::cli) const LINE: u8 = 1;
pub(in crate::cli) const ACCEPTING: u8 = 2;
/// An event of a child's, in JSON: the supervisor makes a line of it.
pub(in crate::cli) const EVENT: u8 = 3;
/// A piece of a child's recording.
pub(in crate::cli) const PIECE: u8 = 4;

/// Sends the supervisor a message. A socket whose sending has a time limit is not asked again by itself after
/// a signal, whatever its handler was installed with (signal(7)).
pub(super) fn tell(channel: &OwnedFd, message: &[&[u8]]) -> nix::Result<()> {
    let parts: Vec<_> = message.iter().map(|part| IoSlice::new(part)).collect();
    loop {
        let flags = MsgFlags::MSG_NOSIGNAL;
        match sendmsg::<()>(channel.as_raw_fd(), &parts, &[], flags, None) {
            Err(Errno::EINTR) => {}
            result => return result.map(drop),
        }
    }
}

/// What the log of a loop and of its children says, on its way to the supervisor, which writes it.
pub(super) struct Lines {
    channel: Arc<OwnedFd>,
    table: Arc<Table>,
}

impl Lines {
    pub(super) fn new(channel: Arc<OwnedFd>, table: Arc<Table>) -> Self {
        Lines { channel, table }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// Takes one line, or event, by one call.
pub(super) struct Line<'a>(&'a Lines);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let kind = match is_child() {
            true => EVENT,
            false => LINE,
        };
        if tell(&self.0.channel, &[&[kind], line]).is_err() {
            self.0.table.counters().lines_lost.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
