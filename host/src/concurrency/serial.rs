//! One request after the other, on the thread of the loop (Python: no mix-in).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::in_flight::InFlight;
use super::{Concurrency, Permit, Process, Room};
use crate::poll::Waker;
use crate::request::Request;

/// Serves each request before the next is taken.
pub(crate) struct Serial {
    in_flight: Arc<InFlight>,
    process: Arc<Process>,
}

impl Serial {
    /// Requests are served by `process`.
    pub(crate) fn new(process: Arc<Process>) -> Self {
        Serial {
            // Several listeners of a service are still one request at a time.
            in_flight: InFlight::new(1),
            process,
        }
    }
}

impl Concurrency for Serial {
    fn reserve(&self, waker: &Arc<Waker>) -> Option<Permit> {
        Some(Permit(Room::Place(self.in_flight.reserve(waker)?)))
    }

    fn process_request(&self, permit: Permit, request: Arc<Request>) -> io::Result<()> {
        (self.process)(request, &mut |_| ());
        drop(permit);
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
