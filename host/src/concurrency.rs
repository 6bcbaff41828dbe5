//! Ways to process a request: one file each. They know neither sockets nor Wasm.

mod in_flight;
mod serial;
mod threads;

use std::io;
use std::sync::Arc;

use crate::poll::Waker;
use crate::request::Request;

pub use in_flight::{InFlight, Permit};
pub use serial::Serial;
pub use threads::Threads;

/// Python's mix-in: how `process_request` gets a request served.
pub trait Concurrency: Send + Sync {
    /// The requests that are being served.
    fn in_flight(&self) -> &Arc<InFlight>;

    /// Room for one more request. Where there is none, `waker` is woken as soon as there is.
    fn reserve(&self, waker: &Arc<Waker>) -> Option<Permit> {
        InFlight::reserve(self.in_flight(), waker)
    }

    /// Python's `process_request`.
    ///
    /// # Errors
    ///
    /// No thread or process is to be had; the request was not served.
    fn process_request(&self, permit: Permit, request: Arc<Request>) -> io::Result<()>;
}

/// What is done with a request, whoever does it.
pub type Process = dyn Fn(Arc<Request>) + Send + Sync;
