//! One process of a service that forks, as its supervisor has it.

use std::ffi::OsString;
use std::process::{Child, ExitStatus};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A loop's process.
pub(super) struct Loop {
    pub(super) number: u64,
    /// Which of the listeners it serves.
    pub(super) serves: usize,
    pub(super) child: Child,
    pub(super) since: Instant,
    pub(super) is_accepting: bool,
    /// It takes no more requests: another one has a newer handler.
    pub(super) is_retired: bool,
}

/// A loop that has ended, and how.
pub(super) struct Ended {
    pub(super) process: Loop,
    pub(super) status: ExitStatus,
}

/// What the dynamic linker and panics go by (ld.so(8), `std::backtrace`).
const OF_LOOPS: [&str; 4] = [
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
];

/// What a loop has of this process's environment, beside what its handler was granted (`--inherit-env`): who breaks out of
/// a handler is to find nothing else of the operator's.
pub(super) fn environment(granted: &[String]) -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        let is_granted = granted.iter().any(|granted| name == granted.as_str());
        is_granted || OF_LOOPS.iter().any(|of_loops| name == of_loops)
    })
}

impl Loop {
    pub(super) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    pub(super) fn signal(&self, signal: Signal) {
        // It was not waited for, so that the number is its own.
        let _ = kill(self.pid(), signal);
    }
}
