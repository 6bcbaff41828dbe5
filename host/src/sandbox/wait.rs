//! Waiting on behalf of a component: `wasi:io/poll` without a runtime, and never beyond what bounds
//! the request.
//!
//! A pollable that is not ready says what it waits for; the request then waits for the nearest.

use std::cell::RefCell;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use socket2::Socket;
use wasmtime::Trap;

use crate::request::{IoError, Request};

/// What the pollables that were looked at wait for.
#[derive(Default)]
struct Waits {
    until: Option<Instant>,
    input: bool,
    sockets: Vec<(Arc<Socket>, PollFlags)>,
    /// How many have said so.
    count: usize,
}

thread_local! {
    static WAITS: RefCell<Waits> = RefCell::default();
}

/// A pollable that does not say what it waits for is looked at again after so long.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A pollable is to be looked at again at `when`; `None` for never.
pub(super) fn at(when: Option<Instant>) {
    say(|waits| waits.until = waits.until.into_iter().chain(when).min());
}

/// A pollable is to be looked at again when `rfile` is readable.
pub(super) fn for_input() {
    say(|waits| waits.input = true);
}

/// A pollable is to be looked at again when `socket` is ready for `events`.
pub(super) fn for_socket(socket: &Arc<Socket>, events: PollFlags) {
    say(|waits| waits.sockets.push((socket.clone(), events)));
}

fn say(what: impl FnOnce(&mut Waits)) {
    WAITS.with_borrow_mut(|waits| {
        waits.count += 1;
        what(waits);
    });
}

/// Runs a future that waits for so many pollables to its end, on this thread.
///
/// # Errors
///
/// [`IoError::Ended`] at the request's deadline and when it is cut.
pub(super) fn block_on<F: Future>(
    request: &Request,
    pollables: usize,
    future: F,
) -> Result<F::Output, IoError> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        WAITS.take();
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        let waits = WAITS.take();
        let mut left = waits
            .until
            .map(|until| until.saturating_duration_since(Instant::now()));
        if waits.count < pollables.max(1) {
            left = Some(left.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN)));
        }
        let mut sockets: Vec<_> = waits
            .sockets
            .iter()
            .map(|(socket, events)| PollFd::new(socket.as_fd(), *events))
            .collect();
        if waits.input {
            request.wait_readable_or(&mut sockets, left)?;
        } else if sockets.is_empty() {
            request.sleep(left)?;
        } else {
            request.wait_for(&mut sockets, left)?;
        }
    }
}

/// What a failed operation is where the guest cannot be told: a trap.
pub(crate) fn trap(error: IoError) -> wasmtime::Error {
    match error {
        IoError::Ended => Trap::Interrupt.into(),
        other => wasmtime::Error::new(other),
    }
}
