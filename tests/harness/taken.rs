//! What a service takes of the system.

use super::{PATIENCE, Process, Server};
use std::ops::AddAssign;
use std::thread;
use std::time::{Duration, Instant};

/// What all processes of a server have together.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) processes: usize,
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
    /// Memory that is not a file's, see [`Process::anonymous_kib`].
    pub(crate) kib: u64,
}

impl AddAssign for Taken {
    fn add_assign(&mut self, other: Self) {
        self.processes += other.processes;
        self.threads += other.threads;
        self.descriptors += other.descriptors;
        self.kib += other.kib;
    }
}

impl Taken {
    /// Now: what is about to be closed still counts, and of a process that ends meanwhile nothing.
    pub(crate) fn by(server: &Server) -> Self {
        let tree = server.process().tree();
        let sum = |of: fn(Process) -> usize| tree.iter().map(|process| of(*process)).sum();
        Taken {
            processes: tree.len(),
            threads: sum(Process::threads),
            descriptors: sum(Process::descriptors),
            kib: tree.iter().map(|process| process.anonymous_kib()).sum(),
        }
    }

    /// Waits until the server has no more than this, but for `threads` that are kept, and what each of
    /// them keeps ready.
    #[track_caller]
    pub(crate) fn comes_back(&self, server: &Server, threads: usize) {
        let until = Instant::now() + PATIENCE;
        loop {
            let now = Taken::by(server);
            let is_back = now.processes <= self.processes
                && now.threads <= self.threads + threads
                && now.descriptors <= self.descriptors + 4
                && now.kib <= self.kib * 11 / 10 + 1024 * threads as u64;
            if is_back {
                return;
            }
            assert!(Instant::now() < until, "{now:?}, before {self:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}
