//! What carries the bytes of a request: a stream, a datagram, or something without a network.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::address::Endpoint;

/// The bytes' way to the client and back; `request/` has one for streams, one for datagrams and one
/// for a request without a network. Every call returns within its time.
pub(crate) trait Connection: Send + Sync {
    /// Receives up to `buf.len()` bytes as soon as one is there; 0 is the end of input.
    ///
    /// # Errors
    ///
    /// `WouldBlock` after `timeout`; otherwise what the system says.
    fn recv(&self, buf: &mut [u8], timeout: Option<Duration>) -> io::Result<usize>;

    /// Sends some bytes of `buf`, at least one.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where not one byte moved for `timeout`; otherwise what the system says.
    fn send(&self, buf: &[u8], timeout: Option<Duration>) -> io::Result<usize>;

    /// Sends what is still held back.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    /// Sends what is still held back, now that the handler has had its turn: what `finish` of Python's
    /// request handlers does.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn finish(&self) -> io::Result<()> {
        self.flush()
    }

    /// What is readable when `recv` would return at once; `None` where it always does.
    fn input(&self) -> Option<BorrowedFd<'_>>;

    /// The address that the request came to.
    fn server_address(&self) -> Endpoint;

    /// Whom the system knows to be at the other end of a Unix stream: process, user and group.
    fn peer_credentials(&self) -> Option<PeerCredentials> {
        None
    }

    /// Python's `disable_nagle_algorithm`; nothing where the transport has none.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn set_nodelay(&self, _on: bool) -> io::Result<()> {
        Ok(())
    }

    /// What was collected and not sent is dropped: the instance trapped.
    fn discard(&self) {}

    /// Python's `shutdown_request`: tells the client that nothing more comes.
    fn shutdown_request(&self) {}

    /// Reads off what a client still sends, for at most `linger`, so that the reply is not cut off by
    /// a reset (tcp(7): data that was not read turns a close into one).
    fn drain(&self, _linger: Duration) {}

    /// Wakes whoever is blocked in `recv` or `send`, and ends both.
    fn abort(&self) {}
}

/// Process, user and group of a Unix peer (unix(7), `SO_PEERCRED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// The process that connected; 0 for one that our process namespace does not show.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}
