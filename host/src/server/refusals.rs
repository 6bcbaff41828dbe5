//! What was not let in, counted: a flood of it is no flood of events, one a second says how many.

use std::time::{Duration, Instant};

use crate::address::Endpoint;
use crate::admission::Refusal;
use crate::events;

/// How often it is told at most.
const BEAT: Duration = Duration::from_secs(1);

/// The refusals of one loop.
#[derive(Default)]
pub(super) struct Refusals {
    counts: [Count; Refusal::ALL.len()],
    untold: bool,
    told: Option<Instant>,
}

#[derive(Default)]
struct Count {
    all: u64,
    told: u64,
    /// The last of them, and what kept its hook from deciding.
    client_address: Endpoint,
    detail: Option<String>,
}

impl Refusals {
    pub(super) fn count(
        &mut self,
        refusal: Refusal,
        client_address: Endpoint,
        detail: Option<String>,
    ) {
        let count = &mut self.counts[refusal as usize];
        count.all += 1;
        count.client_address = client_address;
        count.detail = detail;
        self.untold = true;
    }

    /// When the next event is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let next = self.told.map_or_else(Instant::now, |told| told + BEAT);
        self.untold.then_some(next)
    }

    /// Tells what was not told yet.
    pub(super) fn tell(&mut self, service: &str) {
        self.untold = false;
        self.told = Some(Instant::now());
        for refusal in Refusal::ALL {
            let count = &mut self.counts[refusal as usize];
            let new = count.all - std::mem::replace(&mut count.told, count.all);
            let client = &count.client_address;
            match refusal {
                _ if new == 0 => {}
                Refusal::TooLong => events::packet_too_long(service, count.all),
                _ => events::refused(service, refusal, new, client, count.detail.as_deref()),
            }
        }
    }

    /// The loop ends.
    pub(super) fn end(&mut self, service: &str) {
        if self.untold {
            self.tell(service);
        }
    }
}
