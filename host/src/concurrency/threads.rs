//! One request a thread (Python's `ThreadingMixIn`). Threads are kept and used again: starting one for
//! each request would cost more than the sandbox does.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::in_flight::InFlight;
use super::{Concurrency, Permit, Process, Room};
use crate::poll::Waker;
use crate::request::Request;
use crate::sandbox::THREAD_STACK;
use crate::sync::{Condvar, Mutex, lock, thread, wait_timeout};

/// A thread that has waited for so long for another request ends.
const IDLE: Duration = Duration::from_secs(30);

/// Serves each request on a thread of its own for the time.
pub(crate) struct Threads {
    in_flight: Arc<InFlight>,
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    process: Arc<Process>,
}

#[derive(Default)]
struct Queue {
    /// First come, first served: a stack of threads or requests would be unfair to the oldest.
    jobs: VecDeque<(Permit, Arc<Request>)>,
    /// Threads without a job: those that wait for one, and those that have been started for one and not taken it yet.
    /// Threads are never more than requests may be in flight, since a thread with a job holds a permit, as each job
    /// does, and one is started only where there are more jobs than these.
    idle: usize,
    /// Threads that were started so far: Python's `Thread-1`, `Thread-2`, …
    started: u64,
    /// No job comes any more.
    is_closed: bool,
}

impl Threads {
    /// At most `max_in_flight` requests at one time, each served by `process`.
    pub(crate) fn new(max_in_flight: usize, process: Arc<Process>) -> Self {
        Threads {
            in_flight: InFlight::new(max_in_flight),
            shared: Arc::new(Shared {
                queue: Mutex::default(),
                work: Condvar::new(),
                process,
            }),
        }
    }
}

impl Concurrency for Threads {
    fn reserve(&self, waker: &Arc<Waker>) -> Option<Permit> {
        Some(Permit(Room::Place(self.in_flight.reserve(waker)?)))
    }

    fn process_request(&self, permit: Permit, request: Arc<Request>) -> io::Result<()> {
        let mut queue = lock(&self.shared.queue);
        queue.jobs.push_back((permit, request));
        if queue.jobs.len() <= queue.idle {
            drop(queue);
            self.shared.work.notify_one();
            return Ok(());
        }
        queue.started += 1;
        let shared = self.shared.clone();
        let spawned = thread::Builder::new()
            .name(format!("Thread-{}", queue.started))
            .stack_size(THREAD_STACK)
            .spawn(move || shared.process_request_thread());
        match spawned {
            Ok(_) => queue.idle += 1,
            Err(error) => {
                queue.jobs.pop_back();
                return Err(error);
            }
        }
        Ok(())
    }

    fn count(&self) -> usize {
        self.in_flight.count()
    }

    fn join(&self) {
        self.in_flight.join(Duration::MAX);
    }

    fn close(&self, grace: Duration) -> usize {
        self.in_flight.close(grace)
    }
}

/// Threads that wait have nothing to wait for any more, and end with what they keep of the handler.
impl Drop for Threads {
    fn drop(&mut self) {
        lock(&self.shared.queue).is_closed = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn process_request_thread(&self) {
        while let Some((permit, request)) = self.next() {
            (self.process)(request, &mut |_| ());
            // Idle first: who has the permit next must find this thread, and not start another one.
            lock(&self.queue).idle += 1;
            drop(permit);
        }
    }

    /// The next job of a thread that is idle, or `None` where there was none for long.
    fn next(&self) -> Option<(Permit, Arc<Request>)> {
        let mut queue = lock(&self.queue);
        let mut timed_out = false;
        loop {
            let job = queue.jobs.pop_front();
            if job.is_some() || queue.is_closed || timed_out {
                queue.idle -= 1;
                return job;
            }
            (queue, timed_out) = wait_timeout(&self.work, &self.queue, queue, IDLE);
        }
    }
}
