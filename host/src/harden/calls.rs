//! System calls: seccomp (seccomp(2)).
//!
//! A program that serves is refused what no server needs. A process that forks, and one that compiles, may
//! make the calls that they make, and no others: a child that makes another one is ended, a compiler refused.

mod lists;
mod violation;

use std::collections::BTreeMap;

use nix::libc::{self, c_int};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use super::{HardenError, InForce, Needs};
pub(crate) use lists::call_name;
use lists::{Calls, OF_A_FORKER, OF_ALL, OF_FILES, OF_NO_SERVER, OF_THREADS};
pub(crate) use violation::VIOLATION;
use violation::handle_violations;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// What a tracer puts in place of a call that it answers itself (ptrace(2)): the system does nothing.
const NO_CALL: (i64, Vec<SeccompRule>) = (0xffff_ffff, Vec::new());

/// Namespaces (clone(2)).
const NAMESPACES: [c_int; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// A rule on one argument: `argument & mask == value`.
fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, HardenError> {
    let masked = SeccompCmpOp::MaskedEq(mask);
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, masked, value).map_err(failed)
}

fn is(argument: u8, value: u64) -> Result<SeccompCondition, HardenError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
        .map_err(failed)
}

fn is_not(argument: u8, value: u64) -> Result<SeccompCondition, HardenError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
        .map_err(failed)
}

/// A rule for each condition: one of them is enough.
fn any(
    conditions: impl IntoIterator<Item = Result<SeccompCondition, HardenError>>,
) -> Result<Vec<SeccompRule>, HardenError> {
    let rule = |condition: Result<_, _>| SeccompRule::new(vec![condition?]).map_err(failed);
    conditions.into_iter().map(rule).collect()
}

fn all(
    conditions: impl IntoIterator<Item = Result<SeccompCondition, HardenError>>,
) -> Result<Vec<SeccompRule>, HardenError> {
    let conditions = conditions.into_iter().collect::<Result<_, _>>()?;
    Ok(vec![SeccompRule::new(conditions).map_err(failed)?])
}

fn unconditional(calls: Calls) -> impl Iterator<Item = (i64, Vec<SeccompRule>)> {
    calls.iter().map(|(number, _)| (*number, Vec::new()))
}

fn number(value: c_int) -> u64 {
    u64::from(value.cast_unsigned())
}

fn failed(error: impl std::fmt::Display) -> HardenError {
    HardenError(format!("seccomp: {error}"))
}

/// Calls that match get the one, all others the other.
fn install(
    rules: Rules,
    matching: SeccompAction,
    others: SeccompAction,
    in_force: &mut InForce,
) -> Result<(), HardenError> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        in_force.lacks("seccomp for this processor");
        return Ok(());
    };
    let filter = SeccompFilter::new(rules, others, matching, arch).map_err(failed)?;
    let program = BpfProgram::try_from(filter).map_err(failed)?;
    match apply_filter(&program) {
        Ok(()) => {
            in_force.seccomp = true;
            Ok(())
        }
        Err(seccompiler::Error::Seccomp(error))
            // EPERM and EACCES are a container's, which keeps it for itself.
            if matches!(
                error.raw_os_error(),
                Some(libc::EINVAL | libc::ENOSYS | libc::EPERM | libc::EACCES)
            ) =>
        {
            in_force.lacks("seccomp");
            Ok(())
        }
        Err(error) => Err(failed(error)),
    }
}

/// Refuses what no server needs.
pub(super) fn confine_program(needs: &Needs, in_force: &mut InForce) -> Result<(), HardenError> {
    let mut rules: Rules = unconditional(OF_NO_SERVER).collect();
    let namespaces = NAMESPACES.map(|flag| masked(0, number(flag), number(flag)));
    rules.insert(libc::SYS_clone, any(namespaces)?);
    // Unix sockets are for service managers, the others for handlers that may connect, and for their names.
    let mut families = vec![libc::AF_UNIX];
    if !needs.connect.is_empty() {
        families.extend([libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK]);
    }
    let others = families.into_iter().map(|family| is_not(0, number(family)));
    rules.insert(libc::SYS_socket, all(others)?);
    // Memory is written or run.
    let both = number(libc::PROT_WRITE | libc::PROT_EXEC);
    rules.insert(libc::SYS_mmap, any([masked(2, both, both)])?);
    rules.insert(libc::SYS_mprotect, any([masked(2, both, both)])?);
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    install(rules, refused, SeccompAction::Allow, in_force)?;
    // Its flags cannot be looked at: whoever is told that it is not there uses clone(2).
    let rules = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let absent = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    install(rules, absent, SeccompAction::Allow, in_force)
}

/// Allows what the process and its children do, and ends whoever does anything else.
pub(super) fn confine_forker(needs: &Needs, in_force: &mut InForce) -> Result<(), HardenError> {
    let mut rules: Rules = unconditional(OF_ALL)
        .chain(unconditional(OF_A_FORKER))
        .collect();
    rules.extend([NO_CALL]);
    // The name of a Unix client is looked at before it is replied to. Nothing is read or written by such a descriptor.
    let looks = number(libc::O_PATH);
    rules.insert(libc::SYS_openat, any([masked(2, looks, looks)])?);
    if needs.has_files() {
        rules.extend(unconditional(OF_FILES));
    }
    if !needs.connect.is_empty() {
        let kind = number(0xf);
        let stream = |family| {
            all([
                is(0, number(family)),
                masked(1, kind, number(libc::SOCK_STREAM)),
            ])
        };
        let families = [stream(libc::AF_INET)?, stream(libc::AF_INET6)?];
        rules.insert(libc::SYS_socket, families.concat());
        rules.insert(libc::SYS_connect, Vec::new());
    }
    let thread_or_namespace = NAMESPACES
        .into_iter()
        .fold(libc::CLONE_VM | libc::CLONE_THREAD, |flags, flag| {
            flags | flag
        });
    rules.insert(
        libc::SYS_clone,
        any([masked(0, number(thread_or_namespace), 0)])?,
    );
    let tell_of_death = [
        libc::PR_SET_PDEATHSIG,
        libc::PR_SET_NO_NEW_PRIVS,
        libc::PR_SET_VMA,
    ];
    rules.insert(
        libc::SYS_prctl,
        any(tell_of_death.map(|option| is(0, number(option))))?,
    );
    restrict_memory_and_descriptors(&mut rules)?;
    handle_violations()?;
    install(rules, SeccompAction::Allow, SeccompAction::Trap, in_force)
}

/// Allows what a compiler with threads does, and, where it runs what it has compiled, that memory is written first
/// and run then.
pub(super) fn confine_compiler(runs_code: bool, in_force: &mut InForce) -> Result<(), HardenError> {
    let mut rules: Rules = unconditional(OF_ALL)
        .chain(unconditional(OF_THREADS))
        .collect();
    let namespaces = NAMESPACES.into_iter().fold(0, |flags, flag| flags | flag);
    rules.insert(libc::SYS_clone, any([masked(0, number(namespaces), 0)])?);
    let names = [libc::PR_SET_NAME, libc::PR_SET_VMA];
    rules.insert(
        libc::SYS_prctl,
        any(names.map(|option| is(0, number(option))))?,
    );
    restrict_memory_and_descriptors(&mut rules)?;
    if runs_code {
        let (both, run) = (
            number(libc::PROT_WRITE | libc::PROT_EXEC),
            number(libc::PROT_EXEC),
        );
        let is_no_program = masked(2, run, 0);
        rules.insert(
            libc::SYS_mprotect,
            any([is_no_program, masked(2, both, run)])?,
        );
    }
    // The allocator asks the system for its settings now and then, and does without the answer.
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    install(rules, SeccompAction::Allow, refused, in_force)
}

/// No memory becomes a program, no descriptor sends signals, no limit changes.
fn restrict_memory_and_descriptors(rules: &mut Rules) -> Result<(), HardenError> {
    let is_no_program = || any([masked(2, number(libc::PROT_EXEC), 0)]);
    rules.insert(libc::SYS_mmap, is_no_program()?);
    rules.insert(libc::SYS_mprotect, is_no_program()?);
    let of_a_descriptor = [
        libc::F_DUPFD,
        libc::F_DUPFD_CLOEXEC,
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
    ];
    rules.insert(
        libc::SYS_fcntl,
        any(of_a_descriptor.map(|command| is(1, number(command))))?,
    );
    let of_a_socket = [libc::FIONBIO, libc::FIONREAD, libc::TIOCOUTQ];
    rules.insert(
        libc::SYS_ioctl,
        any(of_a_socket.map(|request| is(1, request)))?,
    );
    // Read, and not set.
    rules.insert(libc::SYS_prlimit64, any([masked(2, u64::MAX, 0)])?);
    Ok(())
}
