//! What the system's limits can carry: a default that is too much is lowered with a warning, a value
//! that was asked for is an error.

use std::fs;

use crate::config::DEFAULT_MAX_IN_FLIGHT;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// Descriptors that the program needs beside one for each request.
const OWN_DESCRIPTORS: u64 = 64;

/// Memory maps of a thread that has run Wasm, and of an instance, together; and those of the program.
const MAPS_PER_REQUEST: u64 = 8;
const OWN_MAPS: u64 = 2_000;

/// Address space of a pooled memory (4 GiB and its guards), and of the program, in bytes.
const SPACE_PER_REQUEST: u64 = (4 << 30) + (64 << 20);
const OWN_SPACE: u64 = 2 << 30;

/// How many requests there can be at one time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// The number.
    pub(crate) max_in_flight: u32,
    /// Why it is lower than the default.
    pub(crate) warning: Option<String>,
}

/// Raises the soft limit on descriptors to the hard one, and looks at what the system carries.
///
/// # Errors
///
/// `asked` is more than that: which limit, and what to do.
pub(crate) fn capacity(asked: Option<u32>) -> Result<Capacity, String> {
    let wanted = asked.unwrap_or(DEFAULT_MAX_IN_FLIGHT);
    let Some((most, limit)) = system_limits().into_iter().min() else {
        return Ok(Capacity {
            max_in_flight: wanted,
            warning: None,
        });
    };
    if u64::from(wanted) <= most {
        return Ok(Capacity {
            max_in_flight: wanted,
            warning: None,
        });
    }
    if asked.is_some() || most == 0 {
        return Err(format!(
            "--max-in-flight {wanted} is more than the system carries: {limit} allows for {most}; raise it, or ask for less"
        ));
    }
    Ok(Capacity {
        max_in_flight: u32::try_from(most).unwrap_or(wanted),
        warning: Some(format!(
            "--max-in-flight is {most} instead of {wanted}: {limit} does not allow for more"
        )),
    })
}

/// Each limit in requests, by its name.
fn system_limits() -> Vec<(u64, &'static str)> {
    let mut limits = vec![(
        raise_descriptors().saturating_sub(OWN_DESCRIPTORS),
        "the limit on open files (ulimit -Hn)",
    )];
    if let Ok(space) = getrlimit(Resource::RLIMIT_AS)
        && space.0 != RLIM_INFINITY
    {
        let requests = space.0.saturating_sub(OWN_SPACE) / SPACE_PER_REQUEST;
        limits.push((requests, "the limit on address space (ulimit -v)"));
    }
    if let Some(maps) = fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok())
    {
        let requests = maps.saturating_sub(OWN_MAPS) / MAPS_PER_REQUEST;
        limits.push((
            requests,
            "the limit on memory maps (sysctl vm.max_map_count)",
        ));
    }
    limits
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
