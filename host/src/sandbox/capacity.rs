//! What the system's limits can carry: a default that is too much is lowered with a warning, a value
//! that was asked for is an error.

use std::fs;
use std::path::Path;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use super::wasi::WasiGrants;
use crate::config::{ConcurrencyKind, Grants};

/// Descriptors, threads and memory maps that the program needs beside those of its requests.
const OWN_DESCRIPTORS: u64 = 16;
const OWN_THREADS: u64 = 8;
const OWN_MAPS: u64 = 2_000;

/// Memory maps of a thread that has run Wasm, and of an instance with one memory and one table, together,
/// and of each memory or table beyond these, as /proc/self/maps shows them.
const MAPS_PER_REQUEST: u64 = 10;
const MAPS_PER_MEMORY: u64 = 2;

/// Address space of a pooled memory (4 GiB and its guards), of the program, and of any process (x86-64 and
/// AArch64 with 48 bits, of which half is the kernel's), in bytes.
const SPACE_PER_MEMORY: u64 = (4 << 30) + (64 << 20);
const OWN_SPACE: u64 = 2 << 30;
const ADDRESS_SPACE: u64 = 1 << 47;

/// How many requests there can be at one time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// The number.
    pub(crate) max_in_flight: u32,
    /// Why it is lower than the default.
    pub(crate) warning: Option<String>,
}

impl Capacity {
    /// Of a program that serves one request and ends.
    pub(crate) fn of_one() -> Self {
        Capacity {
            max_in_flight: 1,
            warning: None,
        }
    }
}

/// Raises the soft limit on descriptors to the hard one, and looks at what the system carries for a
/// service with these grants, and with `dumping` instances beside those of its requests, of which core dumps are put
/// together.
///
/// # Errors
///
/// `asked` is more than that: which limit, and what to do.
pub(crate) fn capacity(
    asked: Option<u32>,
    concurrency: ConcurrencyKind,
    grants: &Grants,
    dumping: u32,
) -> Result<Capacity, String> {
    let descriptors = raise_descriptors();
    let limits = match concurrency {
        // A child has descriptors, maps and an address space of its own.
        ConcurrencyKind::Fork => process_limits(),
        _ => system_limits(descriptors, grants),
    };
    if concurrency == ConcurrencyKind::Serial {
        return Ok(Capacity::of_one());
    }
    let wanted = asked.unwrap_or(concurrency.default_max_in_flight());
    let limits = limits.into_iter();
    let limits = limits.map(|(most, limit)| (most.saturating_sub(u64::from(dumping)), limit));
    match limits.min() {
        Some((most, limit)) if u64::from(wanted) > most => {
            if asked.is_some() {
                return Err(format!(
                    "--max-in-flight {wanted} is more than the system carries: {limit} allows for {most}; raise it, or ask for less"
                ));
            }
            let most = u32::try_from(most.max(1)).unwrap_or(wanted);
            Ok(Capacity {
                max_in_flight: most,
                warning: Some(format!(
                    "--max-in-flight is {most} instead of {wanted}: {limit} does not allow for more"
                )),
            })
        }
        _ => Ok(Capacity {
            max_in_flight: wanted,
            warning: None,
        }),
    }
}

/// Each limit in requests, by its name.
fn system_limits(descriptors: u64, grants: &Grants) -> Vec<(u64, &'static str)> {
    let each = 1 + WasiGrants::descriptors_per_request(grants);
    let mut limits = vec![(
        descriptors.saturating_sub(OWN_DESCRIPTORS) / each,
        "the limit on open files (ulimit -Hn)",
    )];
    limits.extend(memory_limits(1, 1));
    limits.extend(process_limits());
    limits
}

/// As [`system_limits`], of what memories and tables take.
fn memory_limits(memories: u32, tables: u32) -> Vec<(u64, &'static str)> {
    let (memories, tables) = (u64::from(memories.max(1)), u64::from(tables.max(1)));
    // Reading a handler again takes a second pool while the first still serves.
    let in_space = |space: u64| space.saturating_sub(OWN_SPACE) / (SPACE_PER_MEMORY * memories) / 2;
    let mut limits = vec![(in_space(ADDRESS_SPACE), "the address space of a process")];
    if let Some(space) = soft_limit(Resource::RLIMIT_AS) {
        limits.push((in_space(space), "the limit on address space (ulimit -v)"));
    }
    if let Some(maps) = number_in("/proc/sys/vm/max_map_count") {
        let each = MAPS_PER_REQUEST + MAPS_PER_MEMORY * (memories + tables - 2);
        limits.push((
            maps.saturating_sub(OWN_MAPS) / each,
            "the limit on memory maps (sysctl vm.max_map_count)",
        ));
    }
    limits
}

/// Whether there can be so many instances with so many memories and tables each.
///
/// # Errors
///
/// There cannot: which limit, and what to do.
pub(crate) fn check_instances(instances: u32, memories: u32, tables: u32) -> Result<(), String> {
    let what = format!("it has {memories} memories and {tables} tables");
    match memory_limits(memories, tables).into_iter().min() {
        Some((0, limit)) => Err(format!("{what}, more than {limit} allows for")),
        Some((most, limit)) if u64::from(instances) > most => Err(format!(
            "{what}, of which {limit} allows for {most} requests at one time: serve it with --max-in-flight {most}, or build it with fewer"
        )),
        _ => Ok(()),
    }
}

/// As [`system_limits`], of threads and processes.
fn process_limits() -> Vec<(u64, &'static str)> {
    let mut limits = Vec::new();
    // The limit on processes counts threads, but not those of root.
    if let Some(threads) =
        soft_limit(Resource::RLIMIT_NPROC).filter(|_| !nix::unistd::geteuid().is_root())
    {
        let requests = threads.saturating_sub(OWN_THREADS);
        limits.push((requests, "the limit on processes and threads (ulimit -u)"));
    }
    if let Some(threads) = cgroup_threads() {
        let requests = threads.saturating_sub(OWN_THREADS);
        limits.push((requests, "the control group's limit on threads (pids.max)"));
    }
    limits
}

fn soft_limit(resource: Resource) -> Option<u64> {
    let (soft, _) = getrlimit(resource).ok()?;
    (soft != RLIM_INFINITY).then_some(soft)
}

fn number_in(file: impl AsRef<Path>) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The lowest limit of the control group and those that it is in. cgroups(7): the line of version 2 is
/// `0::/path`.
fn cgroup_threads() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Path::new("/sys/fs/cgroup")
        .join(path)
        .ancestors()
        .take_while(|group| group.starts_with("/sys/fs/cgroup"))
        .filter_map(|group| number_in(group.join("pids.max")))
        .min()
}

fn raise_descriptors() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return u64::MAX;
    };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}
