//! User, group, capabilities, and what a new program could gain.

use std::ffi::CString;

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl::set_no_new_privs;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Group, Uid, User, geteuid, initgroups, setgid, setgroups, setuid};

use super::HardenError;

/// Becomes another user, and the members of its groups; without `group` of its own.
///
/// # Errors
///
/// There is no such user or group, or this process may not become it.
pub fn become_user(user: Option<&str>, group: Option<&str>) -> Result<(), HardenError> {
    let found = user.map(find_user).transpose()?;
    let gid = match (group, &found) {
        (Some(group), _) => Some(find_group(group)?),
        (None, Some(user)) => Some(user.group),
        (None, None) => None,
    };
    let Some(gid) = gid else {
        return Ok(());
    };
    let may_not = |error: nix::Error| {
        HardenError(format!(
            "cannot become another user or group: {error}; start the program as root, or without --user and --group"
        ))
    };
    match found.as_ref().and_then(|user| user.name.as_ref()) {
        Some(name) => initgroups(name, gid),
        None => setgroups(&[gid]),
    }
    .map_err(may_not)?;
    setgid(gid).map_err(may_not)?;
    if let Some(user) = found {
        setuid(user.id).map_err(may_not)?;
        if !user.id.is_root() && setuid(Uid::from_raw(0)).is_ok() {
            return Err(HardenError(
                "the system gives root back to a process that has given it up".to_owned(),
            ));
        }
    }
    Ok(())
}

struct Found {
    id: Uid,
    group: Gid,
    /// `None` for a number without a name.
    name: Option<CString>,
}

fn find_user(name: &str) -> Result<Found, HardenError> {
    let by_number = name.parse().ok().map(Uid::from_raw);
    let found = match by_number {
        Some(uid) => User::from_uid(uid),
        None => User::from_name(name),
    };
    match (found, by_number) {
        (Ok(Some(user)), _) => Ok(Found {
            id: user.uid,
            group: user.gid,
            name: CString::new(user.name).ok(),
        }),
        (_, Some(id)) => Ok(Found {
            id,
            group: Gid::from_raw(id.as_raw()),
            name: None,
        }),
        _ => Err(HardenError(format!("--user: there is no user `{name}`"))),
    }
}

fn find_group(name: &str) -> Result<Gid, HardenError> {
    match (Group::from_name(name), name.parse()) {
        (Ok(Some(group)), _) => Ok(group.gid),
        (_, Ok(number)) => Ok(Gid::from_raw(number)),
        _ => Err(HardenError(format!("--group: there is no group `{name}`"))),
    }
}

/// What root keeps that does not become somebody else: its handlers and granted folders may be other users'.
const FILES_OF_OTHERS: [Capability; 2] = [
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_DAC_READ_SEARCH,
];

/// Gives up capabilities, core dumps (which would hold requests), more descriptors than the soft limit allows
/// for now, and what a program that is started could gain. Says which capabilities are left.
///
/// # Errors
///
/// The system refuses one of them.
pub fn give_up_rights() -> Result<String, HardenError> {
    let fail =
        |what: &str, error: String| HardenError(format!("{what} cannot be given up: {error}"));
    setrlimit(Resource::RLIMIT_CORE, 0, 0)
        .map_err(|error| fail("core dumps", error.to_string()))?;
    getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, _)| setrlimit(Resource::RLIMIT_NOFILE, soft, soft))
        .map_err(|error| fail("descriptors", error.to_string()))?;
    let left = give_up_capabilities().map_err(|error| fail("capabilities", error.to_string()))?;
    set_no_new_privs().map_err(|error| fail("new privileges", error.to_string()))?;
    Ok(left)
}

fn give_up_capabilities() -> Result<String, caps::errors::CapsError> {
    let has = caps::read(None, CapSet::Permitted)?;
    let keep: CapsHashSet = match geteuid().is_root() {
        true => FILES_OF_OTHERS
            .into_iter()
            .filter(|cap| has.contains(cap))
            .collect(),
        false => CapsHashSet::new(),
    };
    // What a program of another owner or with file capabilities would have.
    if has.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::read(None, CapSet::Bounding)? {
            if !keep.contains(&capability) {
                caps::drop(None, CapSet::Bounding, capability)?;
            }
        }
    }
    if caps::runtime::ambient_set_supported().is_ok() {
        caps::clear(None, CapSet::Ambient)?;
    }
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &keep)?;
    caps::set(None, CapSet::Permitted, &keep)?;
    let mut names: Vec<String> = keep.iter().map(ToString::to_string).collect();
    names.sort();
    Ok(names.join(",").to_lowercase())
}
