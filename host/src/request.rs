//! One request: who asks, what bounds it, and its `rfile` and `wfile`.
//!
//! A [`Request`] is shared by the thread that serves it, the instance that handles it, and whoever
//! may have to end it. It knows nothing of Wasm. Every operation that can block ends at the nearest
//! of the idle timeout, the handler's own timeout, the deadline and the cut.

mod bounds;
mod connection;
mod datagram;
mod files;
mod guest_log;
mod in_memory;
mod io_error;
mod journaled;
mod lookahead;
mod offline;
mod offline_datagram;
#[cfg(test)]
mod properties;
mod replaying;
mod stream;

use std::io;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use crate::address::{Endpoint, Transport};
use crate::config::Limits;
use crate::outcome::Outcome;
use crate::poll;
use crate::recording::Journal;

use bounds::Bounds;
pub(crate) use connection::Connection;
pub use connection::PeerCredentials;
pub(crate) use datagram::{Datagram, Replies};
pub(crate) use guest_log::{GuestLog, LogStream};
pub use in_memory::InMemory;
pub use io_error::IoError;
use io_error::is_gone;
use lookahead::Lookahead;
pub(crate) use offline::Offline;
pub(crate) use offline_datagram::{OfflineDatagram, Sent};
pub(crate) use replaying::Replaying;
pub(crate) use stream::Stream;

/// After so many bytes of work in the host the clocks are looked at: some hundred microseconds of it.
const CHARGED_AT_ONCE: usize = 1 << 20;

/// To receive takes a system call, however little comes: as much work as copying so many bytes.
const RECEIVED_AT_LEAST: usize = 4 << 10;

/// So many bytes of the log are as much work, in bytes: each can be a line, and an event.
const PRINTED_AT_ONCE: usize = 256;

/// Whether shutdown ends a request or it ends by itself is decided once: the first of both.
const UNDECIDED: u8 = 0;
const CUT: u8 = 1;
const ENDED: u8 = 2;

/// One request. See the module's documentation.
pub struct Request {
    id: u64,
    transport: Transport,
    client_address: Endpoint,
    connection: Box<dyn Connection>,
    bounds: Bounds,
    memory_limit: u64,
    /// A poll has waited for input in vain: the read that follows has timed out already.
    input_is_overdue: AtomicBool,
    client_gone: AtomicBool,
    /// A reply was too long for its question.
    amplifies: AtomicBool,
    end: AtomicU8,
    /// Bytes of work since the clocks were looked at.
    charged: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    lookahead: Mutex<Lookahead>,
    log: Mutex<GuestLog>,
    /// What is taken down of it, where that is wanted.
    journal: Option<Journal>,
}

impl Request {
    /// A request that came just now: the deadline runs from here.
    pub(crate) fn new(
        id: u64,
        service: Arc<str>,
        transport: Transport,
        client_address: Endpoint,
        connection: Box<dyn Connection>,
        limits: &Limits,
    ) -> Self {
        Request {
            id,
            transport,
            client_address,
            connection,
            bounds: Bounds::new(limits),
            memory_limit: limits.memory.unwrap_or(u64::MAX),
            input_is_overdue: AtomicBool::new(false),
            client_gone: AtomicBool::new(false),
            amplifies: AtomicBool::new(false),
            end: AtomicU8::new(UNDECIDED),
            charged: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            lookahead: Mutex::default(),
            log: Mutex::new(GuestLog::new(service, id, limits.log)),
            journal: None,
        }
    }

    /// A request that did not come over a network. Its CPU time is counted from here, on this thread.
    pub fn in_memory(connection: InMemory, limits: &Limits) -> Self {
        let request = Request::new(
            0,
            "in memory".into(),
            Transport::Tcp,
            Endpoint::Unnamed,
            Box::new(connection),
            limits,
        );
        request.begin_cpu();
        request
    }

    /// The request's number, as in the log; the first of a program is 1.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What carried it.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Python's `client_address`.
    pub fn client_address(&self) -> &Endpoint {
        &self.client_address
    }

    /// The address that the request came to.
    pub fn server_address(&self) -> Endpoint {
        self.connection.server_address()
    }

    /// Process, user and group of the peer of a Unix stream.
    pub fn peer_credentials(&self) -> Option<PeerCredentials> {
        match self.transport {
            Transport::UnixStream => self.connection.peer_credentials(),
            _ => None,
        }
    }

    /// Bytes of memories and tables that its instance may have.
    pub(crate) fn memory_limit(&self) -> u64 {
        self.memory_limit
    }

    /// When it was accepted or received.
    pub fn started(&self) -> Instant {
        self.bounds.started()
    }

    /// Bytes that the handler was given.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Relaxed)
    }

    /// Bytes that the handler wrote and that were taken over.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Relaxed)
    }

    /// Takes what the handler printed, up to its log limit.
    ///
    /// # Errors
    ///
    /// [`IoError::Ended`] where the request's time is over. Only its own thread may print.
    pub(crate) fn print(&self, stream: LogStream, bytes: &[u8]) -> Result<(), IoError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(PRINTED_AT_ONCE));
            let admitted = self.log().admit(piece);
            if admitted.is_empty() {
                // The limit is reached: this only counts.
                self.log().admit(behind);
                return Ok(());
            }
            self.charge(admitted.len() * (CHARGED_AT_ONCE / PRINTED_AT_ONCE))?;
            if let Some(journal) = &self.journal {
                journal.print(stream, admitted);
            }
            self.log().write(stream, admitted);
            rest = behind;
        }
        Ok(())
    }

    /// What the handler has printed.
    pub(crate) fn log(&self) -> MutexGuard<'_, GuestLog> {
        lock(&self.log)
    }

    /// Python's `timeout`: of each read and write; never beyond what the operator allows; 0 is the
    /// operator's.
    pub fn set_timeout(&self, millis: u64) {
        self.bounds.set_handler_timeout(millis);
    }

    /// Python's `disable_nagle_algorithm`; where the transport has none, nothing.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_nodelay(&self, on: bool) -> Result<(), IoError> {
        self.connection
            .set_nodelay(on)
            .map_err(|error| self.failed(&error))
    }

    /// Up to `buf.len()` bytes, as soon as one is there; 0 is the end of input.
    ///
    /// # Errors
    ///
    /// [`IoError`].
    pub fn read(&self, buf: &mut [u8]) -> Result<usize, IoError> {
        let buf = self.room_to_read(buf);
        let ahead = lock(&self.lookahead).take(buf);
        let count = match ahead {
            0 if buf.is_empty() => 0,
            0 => self.recv(buf)?,
            ahead => ahead,
        };
        self.was_read(count)
    }

    /// Through `\n`, or `buf.len()` bytes, or the end of input, whichever is first.
    ///
    /// # Errors
    ///
    /// [`IoError`]; of a line of up to 8 KiB nothing is lost, it is still there for the next read.
    pub fn read_line(&self, buf: &mut [u8]) -> Result<usize, IoError> {
        let buf = self.room_to_read(buf);
        let count = lock(&self.lookahead).take_line(buf, |room| {
            let count = self.recv(room)?;
            // A line can come byte by byte, all of it within one call.
            self.charge(count.max(RECEIVED_AT_LEAST))?;
            Ok(count)
        })?;
        self.was_read(count)
    }

    fn room_to_read<'a>(&self, buf: &'a mut [u8]) -> &'a mut [u8] {
        let room = self.bounds.room_to_read(buf.len(), self.bytes_in());
        &mut buf[..room]
    }

    fn was_read(&self, count: usize) -> Result<usize, IoError> {
        let before = self.bytes_in.fetch_add(count as u64, Relaxed);
        self.bounds.check_input(before + count as u64)?;
        self.charge(count)?;
        Ok(count)
    }

    /// Whether a read would return at once; waits until then, or for `timeout`. What ends a read, its
    /// idle timeout too, makes it ready.
    ///
    /// # Errors
    ///
    /// [`IoError::Ended`].
    pub fn wait_readable(&self, timeout: Option<Duration>) -> Result<bool, IoError> {
        self.wait_readable_or(&mut Vec::new(), timeout)
    }

    /// As [`Request::wait_readable`], but returns as well when one of `others` is ready.
    ///
    /// # Errors
    ///
    /// [`IoError::Ended`].
    pub(crate) fn wait_readable_or<'a>(
        &'a self,
        others: &mut Vec<PollFd<'a>>,
        timeout: Option<Duration>,
    ) -> Result<bool, IoError> {
        if !lock(&self.lookahead).is_empty() || self.input_is_overdue.load(Relaxed) {
            return Ok(true);
        }
        let bound = self.bounds.now()?;
        let is_bounded = bound
            .timeout
            .is_some_and(|bound| timeout.is_none_or(|timeout| bound <= timeout));
        let timeout = if is_bounded { bound.timeout } else { timeout };
        let Some(input) = self.connection.input() else {
            return Ok(true);
        };
        others.push(PollFd::new(input, PollFlags::POLLIN));
        let ready = poll::wait_any(others, timeout).unwrap_or(true);
        self.bounds.check_cut()?;
        if ready || !is_bounded {
            return Ok(ready);
        }
        match self.bounds.over(bound.over) {
            IoError::Ended => Err(IoError::Ended),
            _ => {
                self.input_is_overdue.store(true, Relaxed);
                Ok(true)
            }
        }
    }

    /// Sends all of `buf` (Python's `sendall`).
    ///
    /// # Errors
    ///
    /// [`IoError`].
    pub fn write(&self, mut buf: &[u8]) -> Result<(), IoError> {
        while !buf.is_empty() {
            let room = buf.len().min(CHARGED_AT_ONCE);
            self.charge(room)?;
            let room = self.bounds.room_to_write(room, self.bytes_out())?;
            let piece = &buf[..room];
            let sent = self.send(piece)?;
            self.bytes_out.fetch_add(sent as u64, Relaxed);
            buf = &buf[sent..];
        }
        Ok(())
    }

    /// Stream: nothing is left in the host. Datagram: sends what was written since the last flush.
    ///
    /// # Errors
    ///
    /// [`IoError`].
    pub fn flush(&self) -> Result<(), IoError> {
        self.flushed(|| self.connection.flush())
    }

    /// Sends what `wfile` still holds, once the handler's own `finish` has run.
    ///
    /// # Errors
    ///
    /// What the system says of it.
    pub(crate) fn finish(&self) -> Result<(), IoError> {
        self.flushed(|| self.connection.finish())
    }

    /// Sleeps, at most until the request's deadline; `None` for ever.
    ///
    /// # Errors
    ///
    /// [`IoError::Ended`] at the deadline and when the request is cut.
    pub fn sleep(&self, duration: Option<Duration>) -> Result<(), IoError> {
        self.bounds.sleep(duration)
    }

    /// Waits until one of `others` is ready, at most until the request's deadline.
    ///
    /// # Errors
    ///
    /// As [`Request::sleep`].
    pub(crate) fn wait_for(
        &self,
        others: &mut [PollFd<'_>],
        timeout: Option<Duration>,
    ) -> Result<(), IoError> {
        self.bounds.wait_for(others, timeout)
    }

    /// The request begins to spend CPU time, on this thread.
    pub(crate) fn begin_cpu(&self) {
        self.bounds.begin_cpu();
    }

    /// The CPU time that the request has spent. Only its own thread may ask.
    pub(crate) fn cpu_used(&self) -> Duration {
        self.bounds.cpu_used()
    }

    /// Whether guest code must end now: looked at on every tick while it runs. Only the request's own
    /// thread may ask.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over_again()
            .unwrap_or_else(|| self.bounds.is_over())
    }

    /// The host does work for the guest that grows with so many bytes. One call can ask for much of
    /// it, and no tick reaches a guest that is in one.
    ///
    /// # Errors
    ///
    /// [`IoError::Ended`] where the request's time is over. Only its own thread may ask.
    pub(crate) fn charge(&self, bytes: usize) -> Result<(), IoError> {
        let charged = self.charged.load(Relaxed) + bytes as u64;
        let looks = charged >= CHARGED_AT_ONCE as u64;
        self.charged.store(if looks { 0 } else { charged }, Relaxed);
        if looks && self.is_over() {
            return Err(IoError::Ended);
        }
        Ok(())
    }

    /// Shutdown ends the request: its blocked calls return, its guest code is stopped. `false` where
    /// it had ended by itself, and only its connection was left.
    pub(crate) fn cut(&self) -> bool {
        let is_cut = self.cut_by_signal();
        self.bounds.wake();
        is_cut
    }

    /// As [`Request::cut`], for a signal handler: atomics and shutdown(2), no lock.
    pub(crate) fn cut_by_signal(&self) -> bool {
        let decided = self.end.compare_exchange(UNDECIDED, CUT, AcqRel, Acquire);
        if decided.is_ok() {
            self.bounds.fire(Outcome::Cut);
        }
        self.connection.abort();
        decided.is_ok()
    }

    /// The request ends by itself, unless it was cut.
    pub(crate) fn end(&self) {
        // Where it was cut that has been noted, and names the outcome.
        let _ = self.end.compare_exchange(UNDECIDED, ENDED, AcqRel, Acquire);
    }

    /// The outcome, where the handler's own is `by_handler`.
    pub(crate) fn outcome(&self, by_handler: Outcome) -> Outcome {
        match by_handler {
            Outcome::HandlerError if self.client_gone.load(Relaxed) => {
                self.bounds.outcome(Outcome::ClientGone)
            }
            Outcome::HandlerError if self.amplifies() => self.bounds.outcome(Outcome::OutputLimit),
            other => self.bounds.outcome(other),
        }
    }

    /// Whether a reply was too long for its question.
    pub(crate) fn amplifies(&self) -> bool {
        self.amplifies.load(Relaxed)
    }

    /// What a datagram had collected is not sent.
    pub(crate) fn discard(&self) {
        self.connection.discard();
    }

    /// Python's `shutdown_request`: the write side is shut down; `false` where there is nothing to
    /// read off any more.
    pub(crate) fn shutdown_request(&self) -> bool {
        self.connection.shutdown_request();
        !self.bounds.has_fired(Outcome::Cut) && !self.client_gone.load(Relaxed)
    }

    /// Ends the connection, whoever keeps its descriptor open.
    pub(crate) fn abort(&self) {
        self.connection.abort();
    }

    /// Reads off what the client still sends, for at most `linger`.
    pub(crate) fn drain(&self, linger: Duration) {
        self.connection.drain(linger);
    }

    fn recv_now(&self, buf: &mut [u8]) -> Result<usize, IoError> {
        if self.input_is_overdue.swap(false, Relaxed) {
            return Err(IoError::TimedOut);
        }
        self.bounded(|timeout| self.connection.recv(buf, timeout))
    }

    fn send_now(&self, piece: &[u8]) -> Result<usize, IoError> {
        self.bounded(|timeout| self.connection.send(piece, timeout))
    }

    fn bounded(
        &self,
        mut operation: impl FnMut(Option<Duration>) -> io::Result<usize>,
    ) -> Result<usize, IoError> {
        loop {
            let bound = self.bounds.now()?;
            let result = operation(bound.timeout);
            self.bounds.check_cut()?;
            match result {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(self.bounds.over(bound.over));
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    fn failed(&self, error: &io::Error) -> IoError {
        if is_gone(error) {
            self.client_gone.store(true, Relaxed);
        }
        let error = IoError::from(error);
        if error == IoError::Amplifies {
            self.amplifies.store(true, Relaxed);
        }
        error
    }
}

/// A panic elsewhere leaves what these locks guard whole: each is changed in one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
