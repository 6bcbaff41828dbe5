//! Starting and stopping a loop, and counting its requests.

use std::io;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::{Arc, PoisonError};

use crate::concurrency::Counting;
use crate::poll::Waker;
use crate::sync::{AtomicBool, Condvar, Mutex, lock, thread};

/// What the loop and those who stop it share.
pub(crate) struct Control {
    waker: Arc<Waker>,
    shutdown_request: AtomicBool,
    /// The thread in `serve_forever` or `handle_request`.
    running: Mutex<Option<thread::ThreadId>>,
    is_shut_down: Condvar,
}

impl Control {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Control {
            waker: Arc::new(Waker::new()?),
            shutdown_request: AtomicBool::new(false),
            running: Mutex::new(None),
            is_shut_down: Condvar::new(),
        })
    }

    pub(crate) fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    pub(super) fn shutdown_is_requested(&self) -> bool {
        self.shutdown_request.load(Acquire)
    }

    /// The loop runs until the value is dropped; afterwards it can be started again.
    pub(super) fn begin(&self) -> Running<'_> {
        *lock(&self.running) = Some(thread::current().id());
        Running(self)
    }
}

/// A loop that runs.
pub(super) struct Running<'a>(&'a Control);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut running = lock(&self.0.running);
        // Under the lock: a `shutdown` that finds no loop is for the next one.
        self.0.shutdown_request.store(false, Release);
        *running = None;
        self.0.is_shut_down.notify_all();
    }
}

/// Ends a server's loop, from any thread and from hooks and handlers. It does not keep the server alive.
#[derive(Clone)]
pub struct ShutdownHandle(Arc<Control>);

impl ShutdownHandle {
    pub(super) fn new(control: Arc<Control>) -> Self {
        ShutdownHandle(control)
    }

    /// Asks the loop to stop and does not wait. A loop that has not started yet ends at once when it does.
    pub fn request(&self) {
        self.0.shutdown_request.store(true, Release);
        self.0.waker.wake();
    }

    /// Python's `shutdown`: asks the loop to stop, which it does at once, and waits until it has; requests
    /// in flight are for [`Server::server_close`](super::Server::server_close). From the loop's own thread
    /// (a hook, a serial handler) it does not wait, since it would wait for itself. Where no loop runs it
    /// returns, and the next loop ends at once; Python's waits for ever.
    ///
    /// A forked child has a copy of the server: what it shuts down is nobody's.
    pub fn shutdown(&self) {
        self.request();
        let mut running = lock(&self.0.running);
        while running.is_some_and(|thread| thread != thread::current().id()) {
            running = self
                .0
                .is_shut_down
                .wait(running)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// How many requests are taken (`--max-requests`); all listeners of a program share it.
pub(crate) struct Quota {
    requests: Option<u32>,
    counting: Counting,
}

impl Quota {
    /// `None` for no end.
    pub(crate) fn new(requests: Option<u32>) -> Self {
        Quota::counted_in(requests, Counting::default())
    }

    /// Requests are counted together with those of other processes.
    pub(crate) fn counted_in(requests: Option<u32>, counting: Counting) -> Self {
        Quota { requests, counting }
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.requests
            .is_some_and(|requests| self.counting.get().tickets_used.load(Acquire) >= requests)
    }

    /// A ticket for one request; it comes back unless it is used up.
    pub(super) fn take(&self) -> Option<Ticket<'_>> {
        if let Some(requests) = self.requests {
            let out = &self.counting.get().tickets_out;
            out.try_update(AcqRel, Acquire, |out| (out < requests).then_some(out + 1))
                .ok()?;
        }
        Some(Ticket {
            quota: self,
            is_used: false,
        })
    }
}

/// The right to take one request.
pub(super) struct Ticket<'a> {
    quota: &'a Quota,
    is_used: bool,
}

impl Ticket<'_> {
    pub(super) fn use_up(mut self) {
        self.is_used = true;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.quota.requests.is_none() {
            return;
        }
        let counters = self.quota.counting.get();
        if self.is_used {
            counters.tickets_used.fetch_add(1, AcqRel);
        } else {
            counters.tickets_out.fetch_sub(1, AcqRel);
        }
    }
}
