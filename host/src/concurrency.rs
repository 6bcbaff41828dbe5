//! Ways to process a request: one file each. They know neither sockets nor Wasm.

mod fork;
mod in_flight;
mod serial;
mod threads;

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::admission::Source;
use crate::outcome::Outcome;
use crate::poll::Waker;
use crate::request::Request;

pub(crate) use fork::{
    CUT, Counting, DID_NOT_END, DUMPING, Fork, Lifetime, Lost, Slot, Table, bound_data,
};
pub(crate) use serial::Serial;
pub(crate) use threads::Threads;

/// Python's mix-in: how `process_request` gets a request served.
pub(crate) trait Concurrency: Send + Sync {
    /// A listener, which a child has to close.
    fn not_for_children(&self, _listener: RawFd) {}

    /// Room for one more request. Where there is none, `waker` is woken as soon as there is.
    fn reserve(&self, waker: &Arc<Waker>) -> Option<Permit>;

    /// Python's `process_request`.
    ///
    /// # Errors
    ///
    /// No thread or process is to be had; the request was not served.
    fn process_request(&self, permit: Permit, request: Arc<Request>) -> io::Result<()>;

    /// What the loop does after each turn (Python's `ForkingMixIn.service_actions` collects children).
    fn service_actions(&self) {}

    /// When `service_actions` is needed next, whether or not a request comes.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// How many requests are being served.
    fn count(&self) -> usize;

    /// Waits until no request is left, however long that takes.
    fn join(&self);

    /// Python's `block_on_close`: waits until no request is left, for at most `grace`; then ends the
    /// others and gives them a moment to notice. Says how many did not end by themselves.
    fn close(&self, grace: Duration) -> usize;
}

/// How long requests that were cut may take to notice: a tick of the clock, and what a file call takes.
pub(crate) const AFTER_CUT: Duration = Duration::from_secs(1);

/// Room for one request; dropping it makes room for the next.
pub(crate) struct Permit(Room);

enum Room {
    /// Among the requests of this process.
    Place(in_flight::Place),
    /// Among the children of all processes that serve one service.
    Slot(fork::Slot),
}

impl Permit {
    /// Counts the request for its source; `false` where that has `max` in flight without it.
    pub(crate) fn count_for(&mut self, source: Source, max: u32) -> bool {
        match &mut self.0 {
            Room::Place(place) => place.count_for(source, max),
            Room::Slot(slot) => slot.count_for(source, max),
        }
    }

    /// From now on the request can be cut.
    pub(crate) fn attach(&mut self, request: &Arc<Request>) {
        match &mut self.0 {
            Room::Place(place) => place.attach(request.clone()),
            Room::Slot(slot) => slot.attach(request.id()),
        }
    }
}

/// What is done with a request, whoever does it. The second argument is called once the request's
/// event was told; what is left then is its connection.
pub(crate) type Process = dyn Fn(Arc<Request>, &mut dyn FnMut(Outcome)) + Send + Sync;
