//! Waiting for descriptors, with a time limit, and being woken while waiting.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;

/// Waits until `fd` is ready for `events`, or has failed; `false` after `timeout`.
///
/// # Errors
///
/// What poll(2) says; an interruption by a signal is none.
pub(crate) fn wait(
    fd: BorrowedFd<'_>,
    events: PollFlags,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let mut fds = [PollFd::new(fd, events)];
    wait_any(&mut fds, timeout)
}

/// Waits until one of `fds` is ready; `false` after `timeout`.
///
/// # Errors
///
/// What poll(2) says; an interruption by a signal is none.
pub(crate) fn wait_any(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<bool> {
    // What is explored has one thread for all: who waits lets others go on, and looks again.
    #[cfg(feature = "schedules")]
    let timeout = {
        crate::sync::thread::yield_now();
        timeout.and(None).or(Some(Duration::ZERO))
    };
    let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut left = timeout;
    loop {
        match ppoll(fds, left.map(TimeSpec::from_duration), None) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::EINTR) => {
                left = end.map(|end| end.saturating_duration_since(Instant::now()));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Wakes a thread that waits in [`wait_any`]; what is woken stays awake until [`Waker::reset`].
#[derive(Debug)]
pub(crate) struct Waker(EventFd);

impl Waker {
    /// # Errors
    ///
    /// No descriptor is left.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Waker(EventFd::from_value_and_flags(0, flags)?))
    }

    pub(crate) fn wake(&self) {
        // The counter is full only after 2^64 - 2 calls, and then the thread is awake anyhow.
        let _ = self.0.write(1);
    }

    pub(crate) fn reset(&self) {
        // An error says that the counter was 0 already.
        let _ = self.0.read();
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
