//! What a server's processes have used, from outside: CPU time and memory, as proc(5) and their clocks say.

use anyhow::{Context, Result};
use nix::time::ClockId;
use nix::unistd::Pid;
use std::fs::{read_dir, read_to_string};
use std::time::Duration;

/// Ticks of proc(5) in a second. What the kernel counts by is another number; this one is part of its
/// interface, and 100 on every Linux that Rust's std runs on.
pub const TICKS: u64 = 100;

/// A server: its first process, by whose number all others are found.
#[derive(Clone, Copy, Debug)]
pub struct Processes(pub u32);

impl Processes {
    /// User and system time of the processes that are there and of those that they have waited for.
    ///
    /// A process's own clock counts in nanoseconds, threads that have ended included. What a child used that
    /// was waited for is known in ticks of 10 ms; the kernel adds it up finer than that, so the error is one
    /// tick, not one a child.
    pub fn cpu(self) -> Duration {
        let each = tree(self.0).into_iter().map(|pid| {
            let own = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed()))
                .and_then(ClockId::now)
                .map(Duration::from)
                .unwrap_or_default();
            own + waited_for(pid)
        });
        each.sum()
    }

    /// Resident memory in KiB, pages shared between processes counted with each that has them.
    pub fn resident(self) -> Result<u64> {
        tree(self.0).into_iter().map(resident).sum()
    }

    /// The most that was resident at any time, in KiB, of the processes that are there now: a child that
    /// served one request and ended is not among them.
    pub fn peak(self) -> u64 {
        let each = tree(self.0).into_iter().map(|pid| {
            let status = read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            kib(&status, "VmHWM:").unwrap_or(0)
        });
        each.sum()
    }
}

/// CPU time of children that were waited for (proc_pid_stat(5): cutime, cstime).
fn waited_for(pid: u32) -> Duration {
    let stat = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return Duration::ZERO;
    };
    let ticks: u64 = rest
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// Exact where the system allows it: `VmRSS` may lag behind by some pages a CPU.
fn resident(pid: u32) -> Result<u64> {
    let exact = read_to_string(format!("/proc/{pid}/smaps_rollup"));
    let found = match &exact {
        Ok(text) => kib(text, "Rss:"),
        Err(_) => kib(
            &read_to_string(format!("/proc/{pid}/status")).unwrap_or_default(),
            "VmRSS:",
        ),
    };
    found.with_context(|| format!("/proc/{pid} does not say how much memory is resident"))
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// It, its children, and theirs.
fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
            Some((pid, parent.parse().ok()?))
        })
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = parents.iter().filter(|(_, its)| *its == parent);
        found.extend(children.map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Instant;

    #[test]
    fn cpu_time_of_children_that_were_waited_for_counts() {
        let own = Processes(std::process::id());
        let before = own.cpu();
        let status = Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"])
            .status()
            .expect("sh runs");
        assert!(status.success());
        assert!(own.cpu() - before >= Duration::from_millis(20));
    }

    #[test]
    fn cpu_time_counts_finer_than_ticks() {
        let own = Processes(std::process::id());
        let before = own.cpu();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(1) {}
        assert!(own.cpu() > before);
    }

    #[test]
    fn memory_is_read() {
        let own = Processes(std::process::id());
        assert!(own.resident().expect("there is proc") > 100);
        assert!(own.peak() > 100);
    }
}
