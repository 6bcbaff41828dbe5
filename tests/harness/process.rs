//! A running process from outside: signals, and what `/proc` says of it.

#![expect(
    unsafe_code,
    reason = "signals and limits of processes by their number"
)]

use nix::libc;
use std::fs::{DirEntry, read_dir, read_to_string};
use std::io::Error;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// Signal numbers that the tests send (signal(7); the same on every Linux).
pub(crate) mod signal {
    /// Read handlers again.
    pub(crate) const HUP: i32 = nix::libc::SIGHUP;
    /// Ctrl-C.
    pub(crate) const INT: i32 = nix::libc::SIGINT;
    /// What a service manager sends to stop.
    pub(crate) const TERM: i32 = nix::libc::SIGTERM;
    /// Ends a process whatever it does about it.
    pub(crate) const KILL: i32 = nix::libc::SIGKILL;
    /// How a process ends itself that finds something wrong.
    pub(crate) const ABRT: i32 = nix::libc::SIGABRT;
    /// What the system sends to who reaches into memory that is not there.
    pub(crate) const SEGV: i32 = nix::libc::SIGSEGV;
    /// Stops a process until it is continued.
    pub(crate) const STOP: i32 = nix::libc::SIGSTOP;
}

/// A process that belongs to a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// Its children that have not been collected.
    pub(crate) fn children(self) -> Vec<Process> {
        let processes = read_dir("/proc").expect("proc(5)").filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            // proc_pid_stat(5): the parent is the second field behind the name in parentheses.
            let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse();
            (parent == Ok(self.0)).then_some(Process(pid))
        });
        processes.collect()
    }

    /// It, its children, and theirs.
    pub(crate) fn tree(self) -> Vec<Process> {
        let below = self.children().into_iter().flat_map(Process::tree);
        [self].into_iter().chain(below).collect()
    }

    /// Those whose command line has these words in it.
    pub(crate) fn named(words: &str) -> Vec<Process> {
        let processes = read_dir("/proc").expect("proc(5)").filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let is_named = String::from_utf8_lossy(&line).contains(words);
            is_named.then_some(Process(pid))
        });
        processes.collect()
    }

    /// Whether it is there, and not a zombie.
    pub(crate) fn is_running(self) -> bool {
        let stat = read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        let state = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.trim_start().chars().next());
        state.is_some_and(|state| state != 'Z')
    }

    /// What this descriptor of its leads to, as the process itself has it (pidfd_getfd(2)).
    pub(crate) fn descriptor(self, number: i32) -> OwnedFd {
        // SAFETY: pidfd_open(2) takes two numbers, and what it returns is ours, if it is a descriptor.
        let process = unsafe { libc::syscall(libc::SYS_pidfd_open, self.0, 0) };
        // SAFETY: pidfd_getfd(2) takes three numbers, and what it returns is ours, if it is a descriptor.
        let found = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, number, 0) };
        assert!(found >= 0, "{self:?}: {number}: {}", Error::last_os_error());
        let raw = |number: libc::c_long| i32::try_from(number).expect("a descriptor");
        // SAFETY: both were opened above for us alone.
        unsafe {
            drop(OwnedFd::from_raw_fd(raw(process)));
            OwnedFd::from_raw_fd(raw(found))
        }
    }

    /// Its descriptor that leads to something of this name in `/proc`.
    pub(crate) fn descriptor_of(self, name: &str) -> OwnedFd {
        let open = read_dir(format!("/proc/{}/fd", self.0)).expect("proc(5)");
        let found = open.filter_map(Result::ok).find(|entry| {
            let target = std::fs::read_link(entry.path()).unwrap_or_default();
            target.to_string_lossy().contains(name)
        });
        let number = found.expect("it is open").file_name();
        self.descriptor(number.to_string_lossy().parse().expect("a number"))
    }

    /// Sends a signal.
    pub(crate) fn signal(self, number: i32) {
        // SAFETY: kill(2) takes two numbers and touches no memory of ours. The process is a child that
        // has not been waited for, so its number names no other.
        let result = unsafe { libc::kill(self.0.cast_signed(), number) };
        assert_eq!(result, 0, "kill: {}", Error::last_os_error());
    }

    /// Signals it until it acts on it. The first [`signal::SEGV`] that is sent, and has not happened, only makes
    /// the runtime's handler step aside: what it takes for a bad instruction would come by itself once more.
    pub(crate) fn fell(self, number: i32) {
        self.signal(number);
        while number == signal::SEGV && self.hit(number) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// Signals it where it is still there; whether it was.
    pub(crate) fn hit(self, number: i32) -> bool {
        let is_there = self.is_running();
        if is_there {
            // SAFETY: as above. Should it end just now, its parent is about to collect it, and its number
            // names nobody else yet.
            unsafe { libc::kill(self.0.cast_signed(), number) };
        }
        is_there
    }

    /// Sets how many descriptors it may have open from now on (the soft limit).
    pub(crate) fn limit_descriptors(self, most: u64) {
        self.set_limit(libc::RLIMIT_NOFILE, most, self.descriptor_limit().1);
    }

    /// Sets how many bytes the files may have that it writes from now on: as a full disk would, but for it alone.
    pub(crate) fn limit_files(self, most: u64) {
        self.set_limit(libc::RLIMIT_FSIZE, most, libc::RLIM_INFINITY);
    }

    fn set_limit(self, resource: libc::__rlimit_resource_t, soft: u64, hard: u64) {
        let limit = libc::rlimit {
            rlim_cur: soft,
            rlim_max: hard,
        };
        // SAFETY: prlimit(2) reads the one struct that is handed to it and writes nowhere.
        let result = unsafe {
            libc::prlimit(
                self.0.cast_signed(),
                resource,
                &raw const limit,
                std::ptr::null_mut(),
            )
        };
        assert_eq!(result, 0, "prlimit: {}", Error::last_os_error());
    }

    /// Its soft and hard limit on open descriptors.
    pub(crate) fn descriptor_limit(self) -> (u64, u64) {
        self.limit("Max open files")
    }

    /// A soft and a hard limit, by its name in proc_pid_limits(5).
    pub(crate) fn limit(self, name: &str) -> (u64, u64) {
        let limits = self.read("limits");
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        let mut numbers = line
            .expect("a line for it")
            .split_whitespace()
            .filter_map(|word| word.parse().ok());
        (
            numbers.next().expect("a soft limit"),
            numbers.next().expect("a hard limit"),
        )
    }

    /// How many descriptors it has open; none where it has ended.
    pub(crate) fn descriptors(self) -> usize {
        read_dir(format!("/proc/{}/fd", self.0)).map_or(0, Iterator::count)
    }

    /// Whether it has this file open to read it, and not only to name it (`O_PATH`).
    pub(crate) fn reads(self, file: &Path) -> bool {
        let folder = read_dir(format!("/proc/{}/fd", self.0));
        let mut open = folder.into_iter().flatten().flatten();
        open.any(|entry| {
            let number = entry.file_name().into_string().unwrap_or_default();
            let info = read_to_string(format!("/proc/{}/fdinfo/{number}", self.0));
            let info = info.unwrap_or_default();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
            std::fs::read_link(entry.path()).is_ok_and(|target| target == file)
                && flags.is_some_and(|flags| flags & libc::O_PATH == 0)
        })
    }

    /// What those of its descriptors lead to that are sockets.
    pub(crate) fn sockets(self) -> Vec<String> {
        read_dir(format!("/proc/{}/fd", self.0))
            .expect("its descriptors")
            .filter_map(|entry| {
                let target = std::fs::read_link(entry.ok()?.path()).ok()?;
                let target = target.to_str()?.to_owned();
                target.starts_with("socket:").then_some(target)
            })
            .collect()
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

    /// How many threads it has; none where it has ended.
    pub(crate) fn threads(self) -> usize {
        read_dir(format!("/proc/{}/task", self.0)).map_or(0, Iterator::count)
    }

    /// Memory that is not a file's, in KiB (proc_pid_smaps(5)): what it has alone, and its share of what it
    /// has with others. How much of a file is there depends on whoever else runs it. None where it has ended.
    pub(crate) fn anonymous_kib(self) -> u64 {
        let Ok(rollup) = read_to_string(format!("/proc/{}/smaps_rollup", self.0)) else {
            return 0;
        };
        let kib = |name: &str| -> u64 {
            let line = rollup.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
            number.expect("a line with a number for it")
        };
        kib("Pss_Anon:") + kib("Pss_Shmem:")
    }

    /// The most memory that it has had, in KiB (proc_pid_status(5), `VmHWM`).
    pub(crate) fn peak_kib(self) -> u64 {
        let peak = self.status("VmHWM");
        let number = peak.split_whitespace().next();
        number.and_then(|kib| kib.parse().ok()).expect("a number")
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

    /// The variables that it was started with.
    pub(crate) fn environment(self) -> String {
        self.read("environ")
    }

    /// How many of its threads have this in that field of their status.
    pub(crate) fn tasks_with(self, field: &str, value: &str) -> usize {
        let tasks = read_dir(format!("/proc/{}/task", self.0)).expect("its threads");
        let wanted = format!("{field}:\t{value}");
        let has_it = |task: &DirEntry| {
            let status = read_to_string(task.path().join("status")).unwrap_or_default();
            status.lines().any(|line| line == wanted)
        };
        tasks.flatten().filter(has_it).count()
    }

    /// What proc_pid_status(5) says of it in this field.
    pub(crate) fn status(self, field: &str) -> String {
        let status = self.read("status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {field}: {status}"))
            .trim()
            .to_owned()
    }

    fn read(self, file: &str) -> String {
        read_to_string(format!("/proc/{}/{file}", self.0)).expect("the process is there")
    }
}
