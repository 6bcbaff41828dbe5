//! One request: who asks, what bounds it, and its `rfile` and `wfile`.
//!
//! A [`Request`] is shared by the thread that serves it, the instance that handles it, and whoever
//! may have to end it. It knows nothing of Wasm. Every operation that can block ends at the nearest
//! of the idle timeout, the handler's own timeout, the deadline and the cut.

mod datagram;
mod guest_log;
mod in_memory;
mod lookahead;
mod offline;
mod stream;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::address::{Endpoint, Transport};
use crate::config::Limits;
use crate::outcome::Outcome;

pub(crate) use datagram::Datagram;
pub(crate) use guest_log::{GuestLog, LogStream};
pub use in_memory::InMemory;
use lookahead::Lookahead;
pub(crate) use offline::Offline;
pub(crate) use stream::Stream;

/// The bytes' way to the client and back; `request/` has one for streams, one for datagrams and one
/// for a request without a network. Every call returns within its time.
pub trait Connection: Send + Sync {
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
    fn flush(&self) -> io::Result<()>;

    /// Waits until `recv` would return at once; `false` after `timeout`.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn wait_readable(&self, timeout: Option<Duration>) -> io::Result<bool>;

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
    fn set_nodelay(&self, on: bool) -> io::Result<()>;

    /// What was collected and not sent is dropped: the instance trapped.
    fn discard(&self);

    /// Python's `shutdown_request`: tells the client that nothing more comes.
    fn shutdown_request(&self);

    /// Reads off what a client still sends, for at most `linger`, so that the reply is not cut off by
    /// a reset (tcp(7): data that was not read turns a close into one).
    fn drain(&self, linger: Duration);

    /// Wakes whoever is blocked in `recv` or `send`, and ends both.
    fn abort(&self);
}

/// Process, user and group of a Unix peer (unix(7), `SO_PEERCRED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// The process that connected.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

/// Why an operation on `rfile` or `wfile` failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IoError {
    /// Not one byte moved for the idle timeout, or for what the handler set.
    #[error("timed out")]
    TimedOut,
    /// The peer does not read any more.
    #[error("broken pipe")]
    BrokenPipe,
    /// The peer ended the connection by force.
    #[error("connection reset")]
    ConnectionReset,
    /// The reply is longer than a datagram can be.
    #[error("message too long for a datagram")]
    MessageTooLong,
    /// A datagram's sender has no address to reply to.
    #[error("the client has no address to reply to")]
    NotConnected,
    /// What the system said.
    #[error("{}", nix::errno::Errno::from_raw(*.0).desc())]
    Other(i32),
    /// A limit ended the request: no more code of the instance may run.
    #[error("the request was ended")]
    Ended,
}

/// One request. See the module's documentation.
pub struct Request {
    id: u64,
    transport: Transport,
    client_address: Endpoint,
    connection: Box<dyn Connection>,
    started: Instant,
    deadline: Option<Instant>,
    idle_timeout: Option<Duration>,
    cpu_limit: Option<Duration>,
    /// The reading of the thread's CPU clock at which the request began, in nanoseconds.
    cpu_started: AtomicU64,
    /// The handler's own timeout in milliseconds; 0 for none.
    handler_timeout: AtomicU64,
    /// One bit for each [`Outcome`] that a limit has named.
    fired: AtomicU16,
    client_gone: AtomicBool,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    lookahead: Mutex<Lookahead>,
    log: Mutex<GuestLog>,
    cut: Mutex<bool>,
    cut_changed: Condvar,
}

/// What a blocking operation may take, and what it means when the time is over.
#[derive(Clone, Copy)]
struct Bound {
    timeout: Option<Duration>,
    over: Over,
}

#[derive(Clone, Copy, PartialEq)]
enum Over {
    Deadline,
    IdleTimeout,
    HandlerTimeout,
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
        let started = Instant::now();
        Request {
            id,
            transport,
            client_address,
            connection,
            started,
            deadline: limits.deadline.map(|d| started + d),
            idle_timeout: limits.idle_timeout,
            cpu_limit: limits.cpu,
            cpu_started: AtomicU64::new(0),
            handler_timeout: AtomicU64::new(0),
            fired: AtomicU16::new(0),
            client_gone: AtomicBool::new(false),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            lookahead: Mutex::default(),
            log: Mutex::new(GuestLog::new(service, id, limits.log)),
            cut: Mutex::new(false),
            cut_changed: Condvar::new(),
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
        self.connection.peer_credentials()
    }

    /// When it was accepted or received.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Bytes that the handler was given.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Relaxed)
    }

    /// Bytes that the handler wrote and that were taken over.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Relaxed)
    }

    /// What the handler prints.
    pub(crate) fn log(&self) -> MutexGuard<'_, GuestLog> {
        lock(&self.log)
    }

    /// Python's `timeout`: of each read and write; never beyond what the operator allows; 0 is the
    /// operator's.
    pub fn set_timeout(&self, millis: u64) {
        self.handler_timeout.store(millis, Relaxed);
    }

    /// Python's `disable_nagle_algorithm`; where the transport has none, nothing.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_nodelay(&self, on: bool) -> Result<(), IoError> {
        self.connection
            .set_nodelay(on)
            .map_err(|error| self.refused(&error))
    }

    /// Up to `buf.len()` bytes, as soon as one is there; 0 is the end of input.
    ///
    /// # Errors
    ///
    /// [`IoError`].
    pub fn read(&self, buf: &mut [u8]) -> Result<usize, IoError> {
        let ahead = lock(&self.lookahead).take(buf);
        let count = match ahead {
            0 if buf.is_empty() => 0,
            0 => self.bounded(|timeout| self.connection.recv(buf, timeout))?,
            ahead => ahead,
        };
        self.bytes_in.fetch_add(count as u64, Relaxed);
        Ok(count)
    }

    /// Through `\n`, or `buf.len()` bytes, or the end of input, whichever is first.
    ///
    /// # Errors
    ///
    /// [`IoError`]; a short line that was not whole yet is still there for the next read.
    pub fn read_line(&self, buf: &mut [u8]) -> Result<usize, IoError> {
        let count = lock(&self.lookahead).take_line(buf, |room| {
            self.bounded(|timeout| self.connection.recv(room, timeout))
        })?;
        self.bytes_in.fetch_add(count as u64, Relaxed);
        Ok(count)
    }

    /// Whether a read would return at once; waits until then, or for `timeout`. What ends a read, its
    /// idle timeout too, makes it ready.
    ///
    /// # Errors
    ///
    /// [`IoError::Ended`].
    pub fn wait_readable(&self, timeout: Option<Duration>) -> Result<bool, IoError> {
        if !lock(&self.lookahead).is_empty() {
            return Ok(true);
        }
        let bound = self.bound()?;
        let (timeout, its_own) = match (timeout, bound.timeout) {
            (Some(asked), Some(bound)) if asked >= bound => (Some(bound), true),
            (None, bound) => (bound, true),
            (asked, _) => (asked, false),
        };
        let ready = self.connection.wait_readable(timeout).unwrap_or(true);
        self.check_cut()?;
        if ready || !its_own {
            return Ok(ready);
        }
        match self.over(bound.over) {
            IoError::Ended => Err(IoError::Ended),
            _ => Ok(true),
        }
    }

    /// Sends all of `buf` (Python's `sendall`).
    ///
    /// # Errors
    ///
    /// [`IoError`].
    pub fn write(&self, mut buf: &[u8]) -> Result<(), IoError> {
        while !buf.is_empty() {
            let sent = self.bounded(|timeout| self.connection.send(buf, timeout))?;
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
        self.connection
            .flush()
            .map_err(|error| self.refused(&error))
    }

    /// Sleeps, at most until the request's deadline.
    ///
    /// # Errors
    ///
    /// [`IoError::Ended`] at the deadline and when the request is cut.
    pub fn sleep(&self, duration: Option<Duration>) -> Result<(), IoError> {
        let wake = duration.and_then(|d| Instant::now().checked_add(d));
        let mut cut = lock(&self.cut);
        loop {
            if *cut {
                return Err(IoError::Ended);
            }
            let now = Instant::now();
            if wake.is_some_and(|wake| wake <= now) {
                return Ok(());
            }
            if self.deadline.is_some_and(|deadline| deadline <= now) {
                return Err(self.over(Over::Deadline));
            }
            cut = match (wake, self.deadline) {
                (None, None) => self
                    .cut_changed
                    .wait(cut)
                    .unwrap_or_else(PoisonError::into_inner),
                (wake, deadline) => {
                    let until = wake.into_iter().chain(deadline).min().unwrap_or(now);
                    self.cut_changed
                        .wait_timeout(cut, until - now)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// The request begins to spend CPU time, on this thread.
    pub(crate) fn begin_cpu(&self) {
        self.cpu_started.store(nanos(thread_cpu()), Relaxed);
    }

    /// The CPU time that the request has spent. Only its own thread may ask.
    pub(crate) fn cpu_used(&self) -> Duration {
        thread_cpu().saturating_sub(Duration::from_nanos(self.cpu_started.load(Relaxed)))
    }

    /// Whether guest code must end now: looked at on every tick while it runs. Only the request's own
    /// thread may ask.
    pub(crate) fn is_over(&self) -> bool {
        if self.cpu_limit.is_some_and(|limit| self.cpu_used() >= limit) {
            self.fire(Outcome::CpuLimit);
        }
        if self.deadline.is_some_and(|d| d <= Instant::now()) {
            self.fire(Outcome::Deadline);
        }
        self.has_fired(Outcome::CpuLimit)
            || self.has_fired(Outcome::Deadline)
            || self.has_fired(Outcome::Cut)
    }

    /// Shutdown ends the request: its blocked calls return, its guest code is stopped.
    pub(crate) fn cut(&self) {
        self.fire(Outcome::Cut);
        *lock(&self.cut) = true;
        self.cut_changed.notify_all();
        self.connection.abort();
    }

    /// A limit names the outcome, whatever the handler makes of it.
    pub(crate) fn fire(&self, outcome: Outcome) {
        self.fired.fetch_or(1 << outcome as u16, Relaxed);
    }

    fn has_fired(&self, outcome: Outcome) -> bool {
        self.fired.load(Relaxed) & (1 << outcome as u16) != 0
    }

    /// The outcome, where the handler's own is `by_handler`.
    pub(crate) fn outcome(&self, by_handler: Outcome) -> Outcome {
        let by_handler = match by_handler {
            Outcome::HandlerError if self.client_gone.load(Relaxed) => Outcome::ClientGone,
            other => other,
        };
        Outcome::ALL
            .into_iter()
            .find(|outcome| self.has_fired(*outcome))
            .map_or(by_handler, |fired| fired.min(by_handler))
    }

    /// What a datagram had collected is not sent.
    pub(crate) fn discard(&self) {
        self.connection.discard();
    }

    /// Python's `shutdown_request`: the write side is shut down; `false` where there is nothing to
    /// read off any more.
    pub(crate) fn shutdown_request(&self) -> bool {
        self.connection.shutdown_request();
        !self.has_fired(Outcome::Cut) && !self.client_gone.load(Relaxed)
    }

    /// Reads off what the client still sends, for at most `linger`.
    pub(crate) fn drain(&self, linger: Duration) {
        self.connection.drain(linger);
    }

    fn bound(&self) -> Result<Bound, IoError> {
        self.check_cut()?;
        let mut bound = Bound {
            timeout: self.idle_timeout,
            over: Over::IdleTimeout,
        };
        let mut nearest = |timeout: Duration, over| {
            if bound.timeout.is_none_or(|current| timeout < current) {
                bound = Bound {
                    timeout: Some(timeout),
                    over,
                };
            }
        };
        match self.handler_timeout.load(Relaxed) {
            0 => {}
            millis => nearest(Duration::from_millis(millis), Over::HandlerTimeout),
        }
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.over(Over::Deadline));
            }
            nearest(left, Over::Deadline);
        }
        Ok(bound)
    }

    fn bounded(
        &self,
        mut operation: impl FnMut(Option<Duration>) -> io::Result<usize>,
    ) -> Result<usize, IoError> {
        loop {
            let bound = self.bound()?;
            let result = operation(bound.timeout);
            self.check_cut()?;
            match result {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(self.over(bound.over));
                }
                Err(error) => return Err(self.refused(&error)),
            }
        }
    }

    fn check_cut(&self) -> Result<(), IoError> {
        if self.has_fired(Outcome::Cut) {
            return Err(IoError::Ended);
        }
        Ok(())
    }

    fn over(&self, over: Over) -> IoError {
        match over {
            Over::Deadline => {
                self.fire(Outcome::Deadline);
                IoError::Ended
            }
            Over::IdleTimeout => {
                self.fire(Outcome::IdleTimeout);
                IoError::TimedOut
            }
            Over::HandlerTimeout => IoError::TimedOut,
        }
    }

    fn refused(&self, error: &io::Error) -> IoError {
        let refused = match error.kind() {
            io::ErrorKind::BrokenPipe => IoError::BrokenPipe,
            io::ErrorKind::ConnectionReset => IoError::ConnectionReset,
            io::ErrorKind::NotConnected => IoError::NotConnected,
            _ => match error.raw_os_error() {
                Some(nix::libc::EMSGSIZE) => IoError::MessageTooLong,
                code => IoError::Other(code.unwrap_or(nix::libc::EIO)),
            },
        };
        if is_gone(error) {
            self.client_gone.store(true, Relaxed);
        }
        refused
    }
}

/// Whether an error says that the client is not there any more.
fn is_gone(error: &io::Error) -> bool {
    use nix::libc;
    matches!(
        error.raw_os_error(),
        Some(
            libc::EPIPE
                | libc::ECONNRESET
                | libc::ECONNABORTED
                | libc::ECONNREFUSED
                | libc::ETIMEDOUT
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::ENETRESET
        )
    )
}

/// A panic elsewhere leaves what these locks guard whole: each is changed in one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn thread_cpu() -> Duration {
    // clock_gettime(2) fails for a clock that does not exist; Linux has had this one since 2.6.12.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
