//! The requests that are being served: how many there may be, when the last has ended, and a way to
//! end them all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::AFTER_CUT;
use crate::admission::Source;
use crate::poll::Waker;
use crate::request::Request;
use crate::sync::{Condvar, Mutex, lock, wait_timeout};

/// Requests in flight, up to a limit.
pub(super) struct InFlight {
    max: usize,
    state: Mutex<State>,
    none_left: Condvar,
}

#[derive(Default)]
struct State {
    count: usize,
    next: u64,
    /// By the number of their place; a request's id is its service's.
    requests: HashMap<u64, Arc<Request>>,
    /// How many of them each source has, where that is counted.
    sources: HashMap<Source, u32>,
    /// Loops that found no room.
    waiting: Vec<Arc<Waker>>,
    /// Threads in `join`: only they need to be told that none is left.
    joining: usize,
    /// While those that are left are cut: how many were cut as they came, since their room was theirs before.
    cut_late: Option<usize>,
}

impl InFlight {
    /// Room for `max` requests.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(InFlight {
            max,
            state: Mutex::default(),
            none_left: Condvar::new(),
        })
    }

    /// Room for one more request. Where there is none, `waker` is woken as soon as there is.
    pub(super) fn reserve(self: &Arc<Self>, waker: &Arc<Waker>) -> Option<Place> {
        let mut state = lock(&self.state);
        if state.count >= self.max {
            if !state.waiting.iter().any(|other| Arc::ptr_eq(other, waker)) {
                state.waiting.push(waker.clone());
            }
            return None;
        }
        state.count += 1;
        state.next += 1;
        Some(Place {
            number: state.next,
            source: None,
            in_flight: self.clone(),
        })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        lock(&self.state).count
    }

    /// Waits until none is left, at most for `grace`; then ends the others. Says how many those were.
    pub(super) fn close(&self, grace: Duration) -> usize {
        if self.join(grace) {
            return 0;
        }
        let requests: Vec<_> = {
            let mut state = lock(&self.state);
            state.cut_late = Some(0);
            state.requests.values().cloned().collect()
        };
        let cut = requests.iter().filter(|request| request.cut()).count();
        self.join(AFTER_CUT);
        cut + lock(&self.state).cut_late.take().unwrap_or(0)
    }

    /// Waits until none is left, at most for `grace`; whether that was so.
    pub(super) fn join(&self, grace: Duration) -> bool {
        let started = Instant::now();
        let mut state = lock(&self.state);
        state.joining += 1;
        while state.count > 0 {
            let left = grace.saturating_sub(started.elapsed());
            if left.is_zero() {
                break;
            }
            (state, _) = wait_timeout(&self.none_left, &self.state, state, left);
        }
        state.joining -= 1;
        state.count == 0
    }
}

/// Room for one request; dropping it makes room for the next.
pub(super) struct Place {
    number: u64,
    source: Option<Source>,
    in_flight: Arc<InFlight>,
}

impl Place {
    /// Counts it for a source; `false` where that has `max` without it.
    pub(super) fn count_for(&mut self, source: Source, max: u32) -> bool {
        let mut state = lock(&self.in_flight.state);
        let count = state.sources.entry(source).or_default();
        if *count >= max {
            return false;
        }
        *count += 1;
        self.source = Some(source);
        true
    }

    /// From now on the request can be cut.
    pub(super) fn attach(&mut self, request: Arc<Request>) {
        let mut state = lock(&self.in_flight.state);
        state.requests.insert(self.number, request.clone());
        if let Some(cut) = &mut state.cut_late {
            *cut += usize::from(request.cut());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (request, waiting) = {
            let mut state = lock(&self.in_flight.state);
            state.count -= 1;
            if let Some(source) = self.source
                && let Entry::Occupied(mut count) = state.sources.entry(source)
            {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
            if state.count == 0 && state.joining > 0 {
                self.in_flight.none_left.notify_all();
            }
            (
                state.requests.remove(&self.number),
                std::mem::take(&mut state.waiting),
            )
        };
        // Closing a connection takes a system call: not under the lock.
        drop(request);
        for waker in waiting {
            waker.wake();
        }
    }
}
