//! A running process from outside: signals, and what `/proc` says of it.

use nix::libc;
use std::fs::{read_dir, read_to_string};
use std::io::Error;
use std::time::Duration;

/// Signal numbers that the tests send (signal(7); the same on every Linux).
pub(crate) mod signal {
    /// Read handlers again.
    pub(crate) const HUP: i32 = nix::libc::SIGHUP;
    /// Ctrl-C.
    pub(crate) const INT: i32 = nix::libc::SIGINT;
    /// The end at once, without a chance to clear up.
    pub(crate) const KILL: i32 = nix::libc::SIGKILL;
    /// What a service manager sends to stop.
    pub(crate) const TERM: i32 = nix::libc::SIGTERM;
}

/// A process that belongs to a test.
#[derive(Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// Sends a signal.
    pub(crate) fn signal(self, number: i32) {
        // SAFETY: kill(2) takes two numbers and touches no memory of ours. The process is a child that
        // has not been waited for, so its number names no other.
        let result = unsafe { libc::kill(self.0.cast_signed(), number) };
        assert_eq!(result, 0, "kill: {}", Error::last_os_error());
    }

    /// Sets how many descriptors it may have open from now on (the soft limit).
    pub(crate) fn limit_descriptors(self, most: u64) {
        let limit = libc::rlimit {
            rlim_cur: most,
            rlim_max: self.descriptor_limit().1,
        };
        // SAFETY: prlimit(2) reads the one struct that is handed to it and writes nowhere.
        let result = unsafe {
            libc::prlimit(
                self.0.cast_signed(),
                libc::RLIMIT_NOFILE,
                &raw const limit,
                std::ptr::null_mut(),
            )
        };
        assert_eq!(result, 0, "prlimit: {}", Error::last_os_error());
    }

    /// Its soft and hard limit on open descriptors.
    pub(crate) fn descriptor_limit(self) -> (u64, u64) {
        let limits = self.read("limits");
        let line = limits
            .lines()
            .find(|l| l.starts_with("Max open files"))
            .expect("a line for it");
        let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
        (
            numbers.next().expect("a soft limit"),
            numbers.next().expect("a hard limit"),
        )
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(self) -> usize {
        read_dir(format!("/proc/{}/fd", self.0))
            .expect("its descriptors")
            .count()
    }

    /// The number that its next descriptor would have.
    pub(crate) fn lowest_free_descriptor(self) -> u64 {
        let taken: Vec<u64> = read_dir(format!("/proc/{}/fd", self.0))
            .expect("its descriptors")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        (0..)
            .find(|number| !taken.contains(number))
            .expect("numbers do not end")
    }

    /// How many threads it has.
    pub(crate) fn threads(self) -> usize {
        read_dir(format!("/proc/{}/task", self.0))
            .expect("its threads")
            .count()
    }

    /// Resident memory, in KiB.
    pub(crate) fn resident_kib(self) -> u64 {
        let status = self.read("status");
        let line = status
            .lines()
            .find(|l| l.starts_with("VmRSS:"))
            .expect("a line for it");
        line.split_whitespace()
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("a number")
    }

    /// The CPU time that it has used, user and system.
    pub(crate) fn cpu_time(self) -> Duration {
        // proc_pid_stat(5): the name in parentheses may hold blanks; utime and stime are fields 14 and
        // 15, in ticks of 10 ms on every Linux that Rust runs on.
        let stat = self.read("stat");
        let after_name = stat.rsplit_once(')').expect("a name in parentheses").1;
        let ticks: u64 = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|n| n.parse::<u64>().expect("a number of ticks"))
            .sum();
        Duration::from_millis(ticks * 10)
    }

    fn read(self, file: &str) -> String {
        read_to_string(format!("/proc/{}/{file}", self.0)).expect("the process is there")
    }
}
