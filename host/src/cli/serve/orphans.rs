//! Requests whose loop has died: their children go on, and are the supervisor's.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::address::Endpoint;
use crate::concurrency::{CUT, Slot, Table};
use crate::events::{self, RequestEnded};
use crate::outcome::Outcome;

/// The children that loops have left.
pub(super) struct Orphans {
    service: String,
    all: Vec<Orphan>,
}

struct Orphan {
    pid: Pid,
    id: u64,
    slot: Slot,
    is_cut: bool,
}

impl Orphans {
    pub(super) fn new(service: &str) -> Self {
        Orphans {
            service: service.to_owned(),
            all: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Takes over the children of a loop that has ended.
    pub(super) fn adopt(&mut self, table: &Arc<Table>, parent: Pid) {
        let orphans = table.orphans_of(parent.as_raw());
        self.all
            .extend(orphans.into_iter().map(|(pid, id, slot)| Orphan {
                pid: Pid::from_raw(pid),
                id,
                slot,
                is_cut: false,
            }));
        // What the table says was written by processes that serve handlers: whoever is no child of ours goes.
        self.collect();
    }

    /// Waits for those that have ended.
    pub(super) fn collect(&mut self) {
        let service = &self.service;
        self.all.retain(|orphan| {
            let look = WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG;
            let detail = match waitid(Id::Pid(orphan.pid), look) {
                Ok(WaitStatus::StillAlive) => return true,
                Ok(WaitStatus::Stopped(..)) => {
                    let _ = kill(orphan.pid, Signal::SIGKILL);
                    return true;
                }
                Ok(WaitStatus::Exited(_, code)) => format!("its process exited with code {code}"),
                Ok(WaitStatus::Signaled(_, signal, _)) => {
                    format!("its process was killed by {signal}")
                }
                _ => "its process ended, after the one that had forked it".to_owned(),
            };
            let detail = orphan.slot.forbidden_call().unwrap_or(detail);
            if !orphan.slot.is_told() {
                lost(service, orphan, &detail);
            }
            false
        });
    }

    /// Ends their requests.
    pub(super) fn cut(&mut self) {
        for orphan in &mut self.all {
            orphan.is_cut = true;
            let _ = kill(orphan.pid, CUT);
        }
    }

    /// Ends what does not end.
    pub(super) fn kill(&self) {
        for orphan in &self.all {
            let _ = kill(orphan.pid, Signal::SIGKILL);
        }
    }
}

/// The event of a request whose child and loop have both died.
fn lost(service: &str, orphan: &Orphan, detail: &str) {
    events::request(&RequestEnded {
        service,
        id: orphan.id,
        client: &Endpoint::Unnamed,
        peer: None,
        outcome: match orphan.is_cut {
            true => Outcome::Cut,
            false => Outcome::HostError,
        },
        duration: Duration::ZERO,
        cpu: Duration::ZERO,
        bytes_in: 0,
        bytes_out: 0,
        memory_peak: 0,
        log_dropped: 0,
        detail: Some(detail),
        record: None,
        coredump: None,
    });
}
