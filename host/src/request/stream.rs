//! `rfile` and `wfile` of a connection, TCP or Unix: straight on the socket, nothing buffered.

#![expect(unsafe_code, reason = "one ioctl that no crate wraps")]

use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::PollFlags;
use nix::sys::socket::{getsockopt, sockopt};
use socket2::Socket;

use super::{Connection, PeerCredentials};
use crate::address::Endpoint;
use crate::poll;

/// How finely a writer that waits looks whether bytes have moved; a long wait is looked at in eighths.
const LOOK: Duration = Duration::from_millis(50);

/// A connected stream socket, in blocking mode.
///
/// Receiving relies on the socket's own timeout (`SO_RCVTIMEO`), so that a read is one system call.
pub(crate) struct Stream {
    socket: Socket,
    /// The receive timeout that the socket has, in microseconds; 0 for none.
    receive_timeout: AtomicU64,
    /// Its own address, where the listener knows it.
    local_address: Option<SocketAddr>,
    /// The client has shut its side down: nothing is left to drain.
    at_end: AtomicBool,
}

impl Stream {
    /// `receive_timeout` is what the socket has, from its listener for the most part.
    pub(crate) fn new(socket: Socket, receive_timeout: Option<Duration>) -> Self {
        Stream {
            socket,
            receive_timeout: AtomicU64::new(micros(receive_timeout)),
            local_address: None,
            at_end: AtomicBool::new(false),
        }
    }

    /// One whose own address the system need not be asked for.
    pub(crate) fn with_local_address(self, local_address: Option<SocketAddr>) -> Self {
        Stream {
            local_address,
            ..self
        }
    }

    fn set_receive_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let wanted = micros(timeout);
        if self.receive_timeout.load(Relaxed) != wanted {
            let timeout = (wanted != 0).then(|| Duration::from_micros(wanted));
            self.socket.set_read_timeout(timeout)?;
            self.receive_timeout.store(wanted, Relaxed);
        }
        Ok(())
    }

    /// Its buffer is on the stack, which a forked child would be given page by page where it has nothing to read.
    #[inline(never)]
    fn read_off(&self, linger: Duration) {
        let end = Instant::now() + linger;
        let mut buf = [MaybeUninit::uninit(); 16 * 1024];
        loop {
            match self.socket.recv_with_flags(&mut buf, libc::MSG_DONTWAIT) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = end.saturating_duration_since(Instant::now());
                    let socket = self.socket.as_fd();
                    if left.is_zero()
                        || !poll::wait(socket, PollFlags::POLLIN, Some(left)).unwrap_or(false)
                    {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
            if Instant::now() >= end {
                return;
            }
        }
    }

    /// Bytes that the peer has not taken yet (tcp(7), `SIOCOUTQ`; unix(7) has the same).
    fn unsent(&self) -> libc::c_int {
        let mut count = 0;
        // SAFETY: SIOCOUTQ (TIOCOUTQ) writes one int to the address, which is valid for the call.
        unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
        count
    }
}

fn micros(timeout: Option<Duration>) -> u64 {
    timeout.map_or(0, |timeout| {
        u64::try_from(timeout.as_micros())
            .unwrap_or(u64::MAX)
            .max(1)
    })
}

impl Connection for Stream {
    fn recv(&self, buf: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        self.set_receive_timeout(timeout)?;
        let count = io::Read::read(&mut &self.socket, buf)?;
        if count == 0 && !buf.is_empty() {
            self.at_end.store(true, Relaxed);
        }
        Ok(count)
    }

    fn send(&self, buf: &[u8], timeout: Option<Duration>) -> io::Result<usize> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        match self.socket.send_with_flags(buf, flags) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
        // The kernel reports room in large steps: bytes may move without it, and any of them starts
        // the idle timeout again. How often that is looked at is how exact the timeout is.
        let before = self.unsent();
        let started = Instant::now();
        loop {
            let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
            let slice = left.map(|left| left.min(LOOK).max(left / 8));
            if poll::wait(self.socket.as_fd(), PollFlags::POLLOUT, slice)?
                || self.unsent() != before
            {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
    }

    fn input(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn server_address(&self) -> Endpoint {
        if let Some(address) = self.local_address {
            return address.into();
        }
        self.socket
            .local_addr()
            .map_or(Endpoint::Unnamed, |address| Endpoint::from(&address))
    }

    fn peer_credentials(&self) -> Option<PeerCredentials> {
        let found = getsockopt(&self.socket, sockopt::PeerCredentials).ok()?;
        Some(PeerCredentials {
            pid: found.pid(),
            uid: found.uid(),
            gid: found.gid(),
        })
    }

    fn set_nodelay(&self, on: bool) -> io::Result<()> {
        match self.socket.set_tcp_nodelay(on) {
            // Python: OSError on a Unix socket; here nothing, since there is no Nagle to switch off.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
            result => result,
        }
    }

    fn shutdown_request(&self) {
        // Python ignores the error as well: a peer that has gone needs no farewell.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    fn drain(&self, linger: Duration) {
        if !self.at_end.load(Relaxed) {
            self.read_off(linger);
        }
    }

    fn abort(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
