//! Requests whose loop has died: their children go on, and are the supervisor's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::address::Endpoint;
use crate::concurrency::{CUT, DID_NOT_END, DUMPING, Lifetime, Slot, Table};
use crate::events::{self, RequestEnded};
use crate::outcome::Outcome;

/// The children that loops have left.
pub(super) struct Orphans {
    service: String,
    lifetime: Lifetime,
    all: Vec<Orphan>,
}

struct Orphan {
    pid: Pid,
    id: u64,
    slot: Slot,
    /// When it is killed; `None` where it has no deadline, or was killed.
    end: Option<Instant>,
    is_overdue: bool,
    /// It has been given the time that a core dump takes.
    is_dumping: bool,
    is_cut: bool,
}

impl Orphans {
    pub(super) fn new(service: &str, lifetime: Lifetime) -> Self {
        Orphans {
            service: service.to_owned(),
            lifetime,
            all: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Takes over the children of a loop that has ended.
    pub(super) fn adopt(&mut self, table: &Arc<Table>, parent: Pid) {
        // When their requests began is known to nobody whom a child could not deceive, so that their time begins anew.
        let end = self.lifetime.end(Instant::now());
        let orphans = table.orphans_of(parent.as_raw());
        self.all
            .extend(orphans.into_iter().map(|(pid, id, slot)| Orphan {
                pid: Pid::from_raw(pid),
                id,
                slot,
                end,
                is_overdue: false,
                is_dumping: false,
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
                Ok(WaitStatus::Signaled(_, Signal::SIGKILL, _)) if orphan.is_overdue => {
                    DID_NOT_END.to_owned()
                }
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
            } else if orphan.is_overdue {
                events::warning(&format!("request {} had ended: {detail}", orphan.id));
            }
            false
        });
    }

    /// When the next of them has outlived its time.
    pub(super) fn due(&self) -> Option<Instant> {
        self.all.iter().filter_map(|orphan| orphan.end).min()
    }

    /// Kills those that have outlived their time.
    pub(super) fn kill_overdue(&mut self) {
        let now = Instant::now();
        let overdue = |orphan: &&mut Orphan| orphan.end.is_some_and(|end| end <= now);
        for orphan in self.all.iter_mut().filter(overdue) {
            if orphan.slot.is_dumping() && !std::mem::replace(&mut orphan.is_dumping, true) {
                orphan.end = now.checked_add(DUMPING);
                continue;
            }
            orphan.end = None;
            orphan.is_overdue = true;
            let _ = kill(orphan.pid, Signal::SIGKILL);
        }
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
        outcome: match (orphan.is_cut, detail) {
            (true, _) => Outcome::Cut,
            (false, DID_NOT_END) => Outcome::Deadline,
            (false, _) => Outcome::HostError,
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
