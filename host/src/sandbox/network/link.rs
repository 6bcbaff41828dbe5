//! A connection that a component has made, and its two streams.

use std::io::{self, Read};
use std::mem;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::{Buf, Bytes};
use nix::libc::MSG_NOSIGNAL;
use nix::poll::{PollFd, PollFlags};
use socket2::Socket;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use crate::request::{Request, lock};
use crate::sandbox::wait::{self, trap};

/// The most that is read in one call, and that waits to be sent, in bytes.
const CHUNK: usize = 64 << 10;

/// A connected socket, which does not block.
pub(super) struct Link {
    socket: Arc<Socket>,
    request: Arc<Request>,
    sending: Mutex<Sending>,
}

/// What the system has not taken yet. No thread sends it: whatever the guest does with the connection does.
#[derive(Default)]
struct Sending {
    left: Bytes,
    /// Nothing comes after it.
    is_last: bool,
}

impl Link {
    pub(super) fn new(socket: Arc<Socket>, request: Arc<Request>) -> Arc<Self> {
        Arc::new(Link {
            socket,
            request,
            sending: Mutex::default(),
        })
    }

    /// Sends what it can without waiting; whether nothing is left.
    fn send(&self) -> io::Result<bool> {
        let mut sending = lock(&self.sending);
        while !sending.left.is_empty() {
            match self.socket.send_with_flags(&sending.left, MSG_NOSIGNAL) {
                Ok(count) => sending.left.advance(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => {
                    sending.left.clear();
                    return Err(error);
                }
            }
        }
        if mem::take(&mut sending.is_last) {
            self.socket.shutdown(Shutdown::Write)?;
        }
        Ok(true)
    }

    /// Shuts the write side down once all has been sent.
    pub(super) fn end_sending(&self) -> io::Result<()> {
        lock(&self.sending).is_last = true;
        self.send().map(|_| ())
    }

    /// What to poll for, where `wanted` is waited for and something may be left to be sent.
    fn events(&self, wanted: PollFlags) -> PollFlags {
        match self.send() {
            Ok(false) => wanted | PollFlags::POLLOUT,
            _ => wanted,
        }
    }

    /// Waits for `wanted`, or for room to send, within the request's time.
    fn wait(&self, wanted: PollFlags) -> StreamResult<()> {
        let mut fds = [PollFd::new(self.socket.as_fd(), self.events(wanted))];
        self.request
            .wait_for(&mut fds, None)
            .map_err(|error| StreamError::Trap(trap(error)))
    }
}

fn failed(error: io::Error) -> StreamError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}

/// What the peer sends.
pub(super) struct Input(pub(super) Arc<Link>);

impl Input {
    /// `None` where nothing is there yet.
    fn receive(&self, size: usize) -> StreamResult<Option<Bytes>> {
        let Input(link) = self;
        let mut buf = vec![0; size.min(CHUNK)];
        loop {
            match (&mut &*link.socket).read(&mut buf) {
                Ok(0) => return Err(StreamError::Closed),
                Ok(count) => {
                    buf.truncate(count);
                    return Ok(Some(buf.into()));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

#[async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        Ok(self.receive(size)?.unwrap_or_default())
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        loop {
            if let Some(bytes) = self.receive(size)? {
                return Ok(bytes);
            }
            self.0.wait(PollFlags::POLLIN)?;
        }
    }
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        let Input(link) = self;
        ready_for(link, PollFlags::POLLIN).await;
    }
}

/// What the guest sends.
pub(super) struct Output(pub(super) Arc<Link>);

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let Output(link) = self;
        if bytes.len() > CHUNK || !link.send().map_err(failed)? {
            return Err(StreamError::trap("a write of more than was permitted"));
        }
        lock(&link.sending).left = bytes;
        link.send().map(|_| ()).map_err(failed)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check_write().map(|_| ())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let Output(link) = self;
        Ok(if link.send().map_err(failed)? {
            CHUNK
        } else {
            0
        })
    }

    async fn write_ready(&mut self) -> StreamResult<usize> {
        loop {
            match self.check_write()? {
                0 => self.0.wait(PollFlags::POLLOUT)?,
                room => return Ok(room),
            }
        }
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        let Output(link) = self;
        std::future::poll_fn(|_| match link.send() {
            Ok(false) => {
                wait::for_socket(&link.socket, PollFlags::POLLOUT);
                Poll::Pending
            }
            // The next call says what the error is.
            Ok(true) | Err(_) => Poll::Ready(()),
        })
        .await;
    }
}

async fn ready_for(link: &Link, wanted: PollFlags) {
    std::future::poll_fn(|_| {
        let events = link.events(wanted);
        if is_ready(&link.socket, wanted) {
            return Poll::Ready(());
        }
        wait::for_socket(&link.socket, events);
        Poll::Pending
    })
    .await;
}

/// Whether `socket` is ready for `events` now, or has failed.
pub(super) fn is_ready(socket: &Socket, events: PollFlags) -> bool {
    let nothing = Some(std::time::Duration::ZERO);
    crate::poll::wait(socket.as_fd(), events, nothing).unwrap_or(true)
}
