//! What bounds a request: its clocks, how long an operation may block now, and which limit fired.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::PollFd;
use nix::time::{ClockId, clock_gettime};

use super::{IoError, lock};
use crate::config::Limits;
use crate::outcome::Outcome;
use crate::poll;

/// How often a sleeper looks whether it was cut: in a forked child a signal says so, and no signal
/// handler may wake a sleeper.
const LOOK: Duration = Duration::from_millis(250);

/// The limits of one request and what has become of them.
pub(super) struct Bounds {
    started: Instant,
    deadline: Option<Instant>,
    idle_timeout: Option<Duration>,
    cpu_limit: Option<Duration>,
    input_limit: Option<u64>,
    output_limit: Option<u64>,
    /// The reading of the thread's CPU clock at which the request began, in nanoseconds.
    cpu_started: AtomicU64,
    /// The handler's own timeout in milliseconds; 0 for none.
    handler_timeout: AtomicU64,
    /// One bit for each [`Outcome`] that a limit has named.
    fired: AtomicU16,
    /// For a guest that sleeps until the request is cut.
    sleeping: Mutex<()>,
    cut_changed: Condvar,
}

/// What a blocking operation may take, and what it means when the time is over.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    pub(super) timeout: Option<Duration>,
    pub(super) over: Over,
}

/// The limit that was the nearest.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Over {
    Deadline,
    IdleTimeout,
    HandlerTimeout,
}

impl Bounds {
    /// The deadline runs from here.
    pub(super) fn new(limits: &Limits) -> Self {
        let started = Instant::now();
        Bounds {
            started,
            // A deadline that the clock cannot tell never comes.
            deadline: limits.deadline.and_then(|d| started.checked_add(d)),
            idle_timeout: limits.idle_timeout,
            cpu_limit: limits.cpu,
            input_limit: limits.input,
            output_limit: limits.output,
            cpu_started: AtomicU64::new(0),
            handler_timeout: AtomicU64::new(0),
            fired: AtomicU16::new(0),
            sleeping: Mutex::new(()),
            cut_changed: Condvar::new(),
        }
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    pub(super) fn set_handler_timeout(&self, millis: u64) {
        self.handler_timeout.store(millis, Relaxed);
    }

    pub(super) fn begin_cpu(&self) {
        let now = u64::try_from(thread_cpu().as_nanos()).unwrap_or(u64::MAX);
        self.cpu_started.store(now, Relaxed);
    }

    pub(super) fn cpu_used(&self) -> Duration {
        thread_cpu().saturating_sub(Duration::from_nanos(self.cpu_started.load(Relaxed)))
    }

    /// As [`Bounds::is_over`], where the deadline does not count.
    pub(super) fn cpu_is_over(&self) -> bool {
        if self.cpu_limit.is_some_and(|limit| self.cpu_used() >= limit) {
            self.fire(Outcome::CpuLimit);
        }
        self.has_ended()
    }

    /// Whether a limit has fired that ends guest code.
    fn has_ended(&self) -> bool {
        [Outcome::CpuLimit, Outcome::Deadline, Outcome::Cut]
            .into_iter()
            .any(|limit| self.has_fired(limit))
    }

    /// Whether guest code must end now.
    pub(super) fn is_over(&self) -> bool {
        self.cpu_is_over();
        if self.deadline.is_some_and(|d| d <= Instant::now()) {
            self.fire(Outcome::Deadline);
        }
        self.has_ended()
    }

    /// How much of so many bytes a read may ask for, where `read` were read before. It is one more than
    /// what is left: the end of input after the last byte is no violation.
    pub(super) fn room_to_read(&self, wanted: usize, read: u64) -> usize {
        match self.input_limit {
            Some(limit) => clamp(wanted, limit.saturating_sub(read).saturating_add(1)),
            None => wanted,
        }
    }

    /// So many bytes were read by now.
    pub(super) fn check_input(&self, read: u64) -> Result<(), IoError> {
        if self.input_limit.is_some_and(|limit| read > limit) {
            self.fire(Outcome::InputLimit);
            return Err(IoError::Ended);
        }
        Ok(())
    }

    /// How much of so many bytes may be written, where `written` were written before.
    pub(super) fn room_to_write(&self, wanted: usize, written: u64) -> Result<usize, IoError> {
        let room = self
            .output_limit
            .map_or(wanted, |limit| clamp(wanted, limit.saturating_sub(written)));
        if room == 0 && wanted > 0 {
            self.fire(Outcome::OutputLimit);
            return Err(IoError::Ended);
        }
        Ok(room)
    }

    /// How long an operation may block that begins now.
    pub(super) fn now(&self) -> Result<Bound, IoError> {
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

    /// The time of an operation is over.
    pub(super) fn over(&self, over: Over) -> IoError {
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

    pub(super) fn check_cut(&self) -> Result<(), IoError> {
        if self.has_fired(Outcome::Cut) {
            return Err(IoError::Ended);
        }
        Ok(())
    }

    /// Sleeps, at most until the deadline or the cut.
    pub(super) fn sleep(&self, duration: Option<Duration>) -> Result<(), IoError> {
        let wake = duration.and_then(|d| Instant::now().checked_add(d));
        let mut sleeping = lock(&self.sleeping);
        loop {
            let left = self.slice(wake)?;
            if left.is_zero() {
                return Ok(());
            }
            sleeping = self
                .cut_changed
                .wait_timeout(sleeping, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// As [`Bounds::sleep`], but returns as well when one of `others` is ready.
    pub(super) fn wait_for(
        &self,
        others: &mut [PollFd<'_>],
        duration: Option<Duration>,
    ) -> Result<(), IoError> {
        let wake = duration.and_then(|d| Instant::now().checked_add(d));
        loop {
            let left = self.slice(wake)?;
            // An error is the descriptor's, and is found when it is used.
            if poll::wait_any(others, Some(left)).unwrap_or(true) || left.is_zero() {
                return Ok(());
            }
        }
    }

    /// How long a sleep until `wake` may take until it looks again.
    fn slice(&self, wake: Option<Instant>) -> Result<Duration, IoError> {
        self.check_cut()?;
        let now = Instant::now();
        if wake.is_some_and(|wake| wake <= now) {
            return Ok(Duration::ZERO);
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(self.over(Over::Deadline));
        }
        let until = wake.into_iter().chain(self.deadline).min();
        Ok(until.map_or(LOOK, |until| (until - now).min(LOOK)))
    }

    /// The request was cut: whoever sleeps wakes.
    pub(super) fn wake(&self) {
        let _sleeper = lock(&self.sleeping);
        self.cut_changed.notify_all();
    }

    /// A limit names the outcome, whatever the handler makes of it.
    pub(super) fn fire(&self, outcome: Outcome) {
        self.fired.fetch_or(1 << outcome as u16, Relaxed);
    }

    pub(super) fn has_fired(&self, outcome: Outcome) -> bool {
        self.fired.load(Relaxed) & (1 << outcome as u16) != 0
    }

    /// The first of the limits that fired and of how the handler ended.
    pub(super) fn outcome(&self, by_handler: Outcome) -> Outcome {
        Outcome::ALL
            .into_iter()
            .find(|outcome| self.has_fired(*outcome))
            .map_or(by_handler, |fired| fired.min(by_handler))
    }
}

fn clamp(wanted: usize, room: u64) -> usize {
    wanted.min(usize::try_from(room).unwrap_or(usize::MAX))
}

fn thread_cpu() -> Duration {
    // clock_gettime(2) fails for a clock that does not exist; Linux has had this one since 2.6.12.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
