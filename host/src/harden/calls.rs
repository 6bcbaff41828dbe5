//! System calls: seccomp (seccomp(2)).
//!
//! Each process may make the calls that it makes, and no others: a list of what is refused would age with each new
//! call of the system's. A program that serves and one that compiles hear `EPERM`, a forked child is ended.

mod child;
mod lists;
mod violation;

use std::collections::BTreeMap;

use nix::libc::{self, c_int};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use super::{Harden, HardenError, InForce, Needs};
pub(crate) use child::confine_child;
pub(crate) use lists::call_name;
pub(super) use lists::call_number;
use lists::{Calls, OF_A_FORKER, OF_A_PROGRAM, OF_ALL, OF_CONNECTING, OF_FILES, OF_THREADS};
pub(crate) use violation::VIOLATION;
use violation::handle_violations;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// What a tracer puts in place of a call that it answers itself (ptrace(2)): the system does nothing.
const NO_CALL: (i64, Vec<SeccompRule>) = (0xffff_ffff, Vec::new());

/// Namespaces (clone(2)).
const fn namespaces() -> c_int {
    libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWUTS
}

/// A rule on one argument: `argument & mask == value`.
fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, HardenError> {
    let masked = SeccompCmpOp::MaskedEq(mask);
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, masked, value).map_err(failed)
}

fn is(argument: u8, value: u64) -> Result<SeccompCondition, HardenError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
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

/// Calls that match are allowed, with all others the system does what is said; it only tells of them where that is
/// asked for.
fn install(
    rules: Rules,
    others: SeccompAction,
    harden: Harden,
    in_force: &mut InForce,
) -> Result<(), HardenError> {
    let others = match harden {
        Harden::Log => SeccompAction::Log,
        _ => others,
    };
    apply(rules, SeccompAction::Allow, others, in_force)
}

/// Calls that match get the one, all others the other.
fn apply(
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

/// Allows what a program does that serves, and that starts itself once more.
pub(super) fn confine_program(
    harden: Harden,
    needs: &Needs,
    in_force: &mut InForce,
) -> Result<(), HardenError> {
    let lists = [OF_ALL, OF_A_FORKER, OF_FILES, OF_THREADS, OF_A_PROGRAM];
    let mut rules: Rules = lists.into_iter().flat_map(unconditional).collect();
    rules.extend([NO_CALL]);
    rules.insert(libc::SYS_clone, any([masked(0, number(namespaces()), 0)])?);
    // For handlers that may connect, and for their names: datagrams to a server of names, netlink for its way.
    if !needs.connect.is_empty() {
        let families = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
        let families = families.map(|family| is(0, number(family)));
        rules.insert(libc::SYS_socket, any(families)?);
        rules.extend(unconditional(OF_CONNECTING));
    }
    restrict_memory_and_descriptors(&mut rules)?;
    // Memory is written or run.
    let (write, run) = (number(libc::PROT_WRITE), number(libc::PROT_EXEC));
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, any([masked(2, write, 0), masked(2, run, 0)])?);
    }
    // Memory that is handed on is sealed.
    let seals = [libc::F_ADD_SEALS, libc::F_GET_SEALS];
    rules.insert(libc::SYS_fcntl, commands(&seals)?);
    // Its own, which those have that it starts.
    rules.insert(libc::SYS_prlimit64, any([is(0, 0)])?);
    let of_a_program = [
        libc::PR_SET_CHILD_SUBREAPER,
        libc::PR_SET_NAME,
        libc::PR_SET_NO_NEW_PRIVS,
        libc::PR_SET_PDEATHSIG,
        libc::PR_SET_SECCOMP,
        libc::PR_SET_VMA,
    ];
    rules.insert(
        libc::SYS_prctl,
        any(of_a_program.map(|option| is(0, number(option))))?,
    );
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    if !needs.connect.is_empty() && needs.calls.iter().all(|call| call.0 != libc::SYS_socket) {
        // The C library looks for a daemon that caches names (nscd(8)) and does without it: no miss to tell of.
        let unix = any([is(0, number(libc::AF_UNIX))])?;
        let rules = Rules::from([(libc::SYS_socket, unix)]);
        apply(rules, refused.clone(), SeccompAction::Allow, in_force)?;
    }
    threads_by_clone(in_force)?;
    rules.extend(asked_for(needs));
    install(rules, refused, harden, in_force)
}

fn asked_for(needs: &Needs) -> impl Iterator<Item = (i64, Vec<SeccompRule>)> {
    needs.calls.iter().map(|call| (call.0, Vec::new()))
}

/// The flags of clone3(2) cannot be looked at: whoever is told that it is not there uses clone(2).
fn threads_by_clone(in_force: &mut InForce) -> Result<(), HardenError> {
    let absent = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let rules = Rules::from([(libc::SYS_clone3, Vec::new())]);
    apply(rules, absent, SeccompAction::Allow, in_force)
}

/// Allows what the process and its children do, and ends whoever does anything else.
pub(super) fn confine_forker(
    harden: Harden,
    needs: &Needs,
    in_force: &mut InForce,
) -> Result<(), HardenError> {
    let mut rules: Rules = unconditional(OF_ALL)
        .chain(unconditional(OF_A_FORKER))
        .collect();
    rules.extend([NO_CALL]);
    // The name of a Unix client is looked at before it is replied to. Nothing is read or written by such a descriptor.
    if needs.unix_clients {
        let looks = number(libc::O_PATH);
        rules.insert(libc::SYS_openat, any([masked(2, looks, looks)])?);
    }
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
    let thread_or_namespace = libc::CLONE_VM | libc::CLONE_THREAD | namespaces();
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
    // A child bounds its own CPU time, and without a privilege that it does not have can only lower that.
    let own_cpu = all([is(0, 0), is(1, u64::from(libc::RLIMIT_CPU))])?;
    let reading = any([masked(2, u64::MAX, 0)])?;
    rules.insert(libc::SYS_prlimit64, [reading, own_cpu].concat());
    // A child takes one more filter.
    let filter = number(libc::SECCOMP_SET_MODE_FILTER as c_int);
    rules.insert(libc::SYS_seccomp, all([is(0, filter), is(1, 0)])?);
    rules.extend(asked_for(needs));
    handle_violations()?;
    install(rules, SeccompAction::Trap, harden, in_force)?;
    match in_force.seccomp {
        true => child::prepare(harden),
        false => Ok(()),
    }
}

/// Allows what a compiler with threads does, and, where it runs what it has compiled, that memory is written first
/// and run then.
pub(super) fn confine_compiler(
    harden: Harden,
    runs_code: bool,
    in_force: &mut InForce,
) -> Result<(), HardenError> {
    let mut rules: Rules = unconditional(OF_ALL)
        .chain(unconditional(OF_THREADS))
        .collect();
    // A thread, and no process that would outlive this one.
    let thread = number(libc::CLONE_VM | libc::CLONE_THREAD);
    let flags = thread | number(namespaces());
    rules.insert(libc::SYS_clone, any([masked(0, flags, thread)])?);
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
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    // The allocator asks the system for its settings now and then, and does without the answer: no miss to tell of.
    let files = Rules::from([(libc::SYS_openat, Vec::new())]);
    apply(files, refused.clone(), SeccompAction::Allow, in_force)?;
    threads_by_clone(in_force)?;
    install(rules, refused, harden, in_force)
}

/// What may be asked of a descriptor (fcntl(2)), and these.
fn commands(more: &[c_int]) -> Result<Vec<SeccompRule>, HardenError> {
    let of_all = [
        libc::F_DUPFD,
        libc::F_DUPFD_CLOEXEC,
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
    ];
    any(of_all
        .iter()
        .chain(more)
        .map(|command| is(1, number(*command))))
}

/// No memory becomes a program, no descriptor sends signals, no limit changes.
fn restrict_memory_and_descriptors(rules: &mut Rules) -> Result<(), HardenError> {
    let is_no_program = || any([masked(2, number(libc::PROT_EXEC), 0)]);
    rules.insert(libc::SYS_mmap, is_no_program()?);
    rules.insert(libc::SYS_mprotect, is_no_program()?);
    rules.insert(libc::SYS_fcntl, commands(&[])?);
    let of_a_socket = [libc::FIONBIO, libc::FIONREAD, libc::TIOCOUTQ];
    rules.insert(
        libc::SYS_ioctl,
        any(of_a_socket.map(|request| is(1, request)))?,
    );
    // Read, and not set.
    rules.insert(libc::SYS_prlimit64, any([masked(2, u64::MAX, 0)])?);
    Ok(())
}
