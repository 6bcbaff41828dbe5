//! One request after the other, on the thread of the loop (Python: no mix-in).

use std::io;
use std::sync::Arc;

use super::{Concurrency, InFlight, Permit, Process};
use crate::request::Request;

/// Serves each request before the next is taken.
pub struct Serial {
    in_flight: Arc<InFlight>,
    process: Arc<Process>,
}

impl Serial {
    /// Requests are served by `process`.
    pub fn new(process: Arc<Process>) -> Self {
        Serial {
            // Several listeners of a service are still one request at a time.
            in_flight: InFlight::new(1),
            process,
        }
    }
}

impl Concurrency for Serial {
    fn in_flight(&self) -> &Arc<InFlight> {
        &self.in_flight
    }

    fn process_request(&self, permit: Permit, request: Arc<Request>) -> io::Result<()> {
        (self.process)(request);
        drop(permit);
        Ok(())
    }
}
