//! How long a child may live, and how much CPU time it may take, whatever it does.
//!
//! A child ends its request by itself at each limit. These bounds are for one that does not: it hangs in the host,
//! or code that has broken out of WebAssembly runs in it. They leave it the time in which it tells how its request
//! ended and closes its connection.

use std::hint::black_box;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::Limits;

/// What a child may take beyond its deadline and `--linger`: a line of the log waits up to a second for a supervisor
/// that is busy, and so does each piece of a recording.
const AFTER_DEADLINE: Duration = Duration::from_secs(3);

/// How long a child may write a core dump once its connection has ended.
pub(crate) const DUMPING: Duration = Duration::from_secs(60);

/// CPU seconds beyond `--cpu-limit`: those in which a child sets itself up and reports.
const CPU_SPARE: u64 = 1;

/// From SIGXCPU, which a child can ignore, to SIGKILL, in CPU seconds.
const CPU_IGNORED: u64 = 1;

/// Bytes of a core dump that a slow processor puts together in a second.
const DUMPED_A_SECOND: u64 = 16 << 20;

/// More than any process has (x86-64 and AArch64 with 48 bits), in bytes.
const ADDRESS_SPACE: u64 = 1 << 47;

/// The bounds of all children of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// From accept or receive to the end; `None` where there is no deadline.
    pub(crate) longest: Option<Duration>,
    /// CPU seconds at which the system sends SIGXCPU; `None` where there is no CPU limit.
    cpu_seconds: Option<u64>,
}

impl Lifetime {
    /// For requests with these limits, whose connections are read off for `linger`, and of which a core dump has
    /// up to `dump` bytes.
    pub(crate) fn new(limits: &Limits, linger: Duration, dump: u64) -> Self {
        let longest = limits
            .deadline
            .and_then(|deadline| deadline.checked_add(linger)?.checked_add(AFTER_DEADLINE));
        let cpu_seconds = limits.cpu.map(|cpu| {
            let started = u64::from(cpu.subsec_nanos() > 0);
            let asked = cpu.as_secs().saturating_add(started);
            let dumping = dump.div_ceil(DUMPED_A_SECOND);
            asked.saturating_add(CPU_SPARE).saturating_add(dumping)
        });
        Lifetime {
            longest,
            cpu_seconds,
        }
    }

    /// When a child is killed whose request began at that moment.
    pub(crate) fn end(&self, started: Instant) -> Option<Instant> {
        self.longest
            .and_then(|longest| started.checked_add(longest))
    }

    /// In a child: the system ends it when it has taken that much CPU time. Each process counts its own, so that its
    /// parent, which would come to an end some day, cannot set it once for all of them.
    ///
    /// # Errors
    ///
    /// The system refuses it.
    pub(super) fn bound_cpu(&self) -> nix::Result<()> {
        let Some(soft) = self.cpu_seconds else {
            return Ok(());
        };
        // Nobody raises a hard limit without a privilege, and one that is lower stays.
        let hard = soft.saturating_add(CPU_IGNORED);
        match setrlimit(Resource::RLIMIT_CPU, soft, hard) {
            Err(Errno::EPERM) => {
                let (was_soft, was_hard) = getrlimit(Resource::RLIMIT_CPU)?;
                setrlimit(Resource::RLIMIT_CPU, soft.min(was_soft), hard.min(was_hard))
            }
            result => result,
        }
    }
}

/// The calling process, and each that it forks, may have so many bytes of memory beside what it has now, of the kind
/// that RLIMIT_DATA counts (setrlimit(2)): private and writable, so that a range that is only reserved is none.
///
/// # Errors
///
/// The system refuses it.
pub(crate) fn bound_data(beside: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_DATA)?;
    let bytes = data_now(hard)?.saturating_add(beside).min(hard);
    // Nobody raises a hard limit without a privilege.
    setrlimit(Resource::RLIMIT_DATA, bytes, bytes)
}

/// What RLIMIT_DATA counts of this process, to the MiB. /proc has the number, but a process that is confined cannot
/// read it there: it is found by asking for memory under one limit after the other.
fn data_now(hard: u64) -> nix::Result<u64> {
    const MIB: u64 = 1 << 20;
    // glibc takes so much from the system and gives it back at once (mallopt(3), M_MMAP_THRESHOLD).
    const PROBE: u64 = 33 * MIB;
    let fits = |mib: u64| -> nix::Result<bool> {
        setrlimit(Resource::RLIMIT_DATA, (mib * MIB).min(hard), hard)?;
        let mut probe = Vec::<u8>::new();
        let result = probe.try_reserve_exact(PROBE as usize);
        black_box(&mut probe);
        Ok(result.is_ok())
    };
    let (mut too_small, mut enough) = (0, ADDRESS_SPACE / MIB);
    while too_small + 1 < enough {
        let middle = too_small.midpoint(enough);
        match fits(middle)? {
            true => enough = middle,
            false => too_small = middle,
        }
    }
    Ok((enough * MIB).saturating_sub(PROBE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(deadline: Option<Duration>, cpu: Option<Duration>) -> Limits {
        Limits {
            deadline,
            cpu,
            ..Limits::default()
        }
    }

    #[test]
    fn a_child_has_time_to_report_beyond_its_limits() {
        let (deadline, cpu) = (Duration::from_secs(10), Duration::from_millis(1500));
        let linger = Duration::from_secs(2);
        let lifetime = Lifetime::new(&limits(Some(deadline), Some(cpu)), linger, 0);
        assert_eq!(Some(Duration::from_secs(15)), lifetime.longest);
        assert_eq!(Some(3), lifetime.cpu_seconds);
        let dumps = Lifetime::new(&limits(None, Some(cpu)), linger, 33 << 20);
        assert_eq!((None, Some(6)), (dumps.longest, dumps.cpu_seconds));
    }

    #[test]
    fn what_no_clock_can_tell_is_no_bound() {
        let lifetime = Lifetime::new(
            &limits(Some(Duration::MAX), Some(Duration::MAX)),
            Duration::from_secs(2),
            u64::MAX,
        );
        assert_eq!(None, lifetime.end(Instant::now()));
        assert_eq!(Some(u64::MAX), lifetime.cpu_seconds);
        let none = Lifetime::new(&limits(None, None), Duration::ZERO, 0);
        assert_eq!((None, None), (none.longest, none.cpu_seconds));
    }
}
