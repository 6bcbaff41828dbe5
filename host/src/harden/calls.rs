//! System calls: seccomp (seccomp(2)).
//!
//! A program that serves is refused what no server needs. A process that forks, and one that compiles, may
//! make the calls that they make, and no others: a child that makes another one is ended, a compiler refused.

#![expect(unsafe_code, reason = "a signal handler that knows the call")]

use std::collections::BTreeMap;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

use nix::libc::{self, c_int, c_long, c_void};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use super::{HardenError, InForce, Needs};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;
type Calls = &'static [(c_long, &'static str)];

macro_rules! calls {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        &[$($(#[$attribute])* (libc::$name, stringify!($name))),*]
    };
}

/// What no server needs: other processes' memory, mounts, namespaces, modules, clocks, keys, ways around
/// the checks of files, owners and modes.
const OF_NO_SERVER: Calls = calls![
    SYS_acct,
    SYS_add_key,
    SYS_adjtimex,
    SYS_bpf,
    SYS_chroot,
    SYS_clock_adjtime,
    SYS_clock_settime,
    SYS_delete_module,
    SYS_fanotify_init,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_fchownat,
    SYS_finit_module,
    SYS_fremovexattr,
    SYS_fsconfig,
    SYS_fsetxattr,
    SYS_fsmount,
    SYS_fsopen,
    SYS_fspick,
    SYS_init_module,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_io_uring_setup,
    SYS_kcmp,
    SYS_kexec_file_load,
    SYS_kexec_load,
    SYS_keyctl,
    SYS_lremovexattr,
    SYS_lsetxattr,
    SYS_mknodat,
    SYS_mount,
    SYS_mount_setattr,
    SYS_move_mount,
    SYS_move_pages,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_open_tree,
    SYS_perf_event_open,
    SYS_personality,
    SYS_pidfd_getfd,
    SYS_pidfd_send_signal,
    SYS_pivot_root,
    SYS_process_madvise,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_ptrace,
    SYS_quotactl,
    SYS_reboot,
    SYS_removexattr,
    SYS_request_key,
    SYS_setdomainname,
    SYS_setfsgid,
    SYS_setfsuid,
    SYS_setgid,
    SYS_setgroups,
    SYS_sethostname,
    SYS_setns,
    SYS_setregid,
    SYS_setresgid,
    SYS_setresuid,
    SYS_setreuid,
    SYS_settimeofday,
    SYS_setuid,
    SYS_setxattr,
    SYS_swapoff,
    SYS_swapon,
    SYS_syslog,
    SYS_umount2,
    SYS_unshare,
    SYS_userfaultfd,
    SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    SYS_chown,
    #[cfg(target_arch = "x86_64")]
    SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    SYS_mknod,
    #[cfg(target_arch = "x86_64")]
    SYS_modify_ldt,
];

/// What a tracer puts in place of a call that it answers itself (ptrace(2)): the system does nothing.
const NO_CALL: (i64, Vec<SeccompRule>) = (0xffff_ffff, Vec::new());

/// What compiled code, its memory and its clocks take, and what is open already.
const OF_ALL: Calls = calls![
    SYS_brk,
    SYS_clock_getres,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_close,
    SYS_close_range,
    SYS_dup,
    SYS_exit,
    SYS_exit_group,
    SYS_fstat,
    SYS_futex,
    SYS_getcpu,
    SYS_getegid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getpid,
    SYS_getppid,
    SYS_getrandom,
    SYS_getrusage,
    SYS_gettid,
    SYS_gettimeofday,
    SYS_getuid,
    SYS_lseek,
    SYS_madvise,
    SYS_membarrier,
    SYS_mincore,
    SYS_mremap,
    SYS_munmap,
    SYS_nanosleep,
    SYS_newfstatat,
    SYS_ppoll,
    SYS_read,
    SYS_readv,
    SYS_restart_syscall,
    SYS_rseq,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sched_getaffinity,
    SYS_sched_yield,
    SYS_set_robust_list,
    SYS_set_tid_address,
    SYS_sigaltstack,
    SYS_statx,
    SYS_sysinfo,
    SYS_tgkill,
    SYS_uname,
    SYS_write,
    SYS_writev,
    #[cfg(target_arch = "x86_64")]
    SYS_poll,
    #[cfg(target_arch = "x86_64")]
    SYS_time,
];

/// What a process does that accepts, forks and collects, and a child that answers.
const OF_A_FORKER: Calls = calls![
    SYS_accept,
    SYS_accept4,
    SYS_eventfd2,
    SYS_getitimer,
    SYS_getpeername,
    SYS_getsockname,
    SYS_getsockopt,
    SYS_kill,
    SYS_landlock_restrict_self,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_sendmsg,
    SYS_sendto,
    SYS_setitimer,
    SYS_setsockopt,
    SYS_shutdown,
    SYS_wait4,
    SYS_waitid,
    #[cfg(target_arch = "x86_64")]
    SYS_fork,
];

/// What a process does that has threads.
const OF_THREADS: Calls = calls![SYS_clone3, SYS_setpriority, SYS_sched_setaffinity];

/// What a handler does in granted folders; which ones is for Landlock to say.
const OF_FILES: Calls = calls![
    SYS_copy_file_range,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_fadvise64,
    SYS_fallocate,
    SYS_fdatasync,
    SYS_fstatfs,
    SYS_fsync,
    SYS_ftruncate,
    SYS_getcwd,
    SYS_getdents64,
    SYS_linkat,
    SYS_mkdirat,
    SYS_openat,
    SYS_openat2,
    SYS_pread64,
    SYS_preadv,
    SYS_preadv2,
    SYS_pwrite64,
    SYS_pwritev,
    SYS_pwritev2,
    SYS_readlinkat,
    SYS_renameat,
    SYS_renameat2,
    SYS_statfs,
    SYS_symlinkat,
    SYS_unlinkat,
    SYS_utimensat,
    #[cfg(target_arch = "x86_64")]
    SYS_access,
    #[cfg(target_arch = "x86_64")]
    SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    SYS_open,
    #[cfg(target_arch = "x86_64")]
    SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    SYS_stat,
];

/// Calls that break-outs make first, for their names alone.
const OF_BREAK_OUTS: Calls = calls![
    SYS_bind,
    SYS_clone,
    SYS_connect,
    SYS_execve,
    SYS_execveat,
    SYS_fcntl,
    SYS_ioctl,
    SYS_listen,
    SYS_memfd_create,
    SYS_mmap,
    SYS_mprotect,
    SYS_pidfd_open,
    SYS_pkey_mprotect,
    SYS_prctl,
    SYS_prlimit64,
    SYS_seccomp,
    SYS_socket,
    SYS_socketpair,
    SYS_tkill,
    SYS_truncate,
    SYS_epoll_create1,
    SYS_pipe2,
    SYS_setrlimit,
    SYS_timer_create,
    #[cfg(target_arch = "x86_64")]
    SYS_creat,
    #[cfg(target_arch = "x86_64")]
    SYS_link,
    #[cfg(target_arch = "x86_64")]
    SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    SYS_rename,
    #[cfg(target_arch = "x86_64")]
    SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    SYS_vfork,
];

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

/// The name of a call, as its manual page has it.
pub(crate) fn call_name(number: u32) -> String {
    let known = [
        OF_NO_SERVER,
        OF_ALL,
        OF_A_FORKER,
        OF_THREADS,
        OF_FILES,
        OF_BREAK_OUTS,
    ];
    let found = known
        .into_iter()
        .flatten()
        .find(|(known, _)| *known == c_long::from(number));
    match found {
        Some((_, name)) => name.trim_start_matches("SYS_").to_owned(),
        None => format!("system call {number}"),
    }
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

/// Allows what a compiler with threads does.
pub(super) fn confine_compiler(in_force: &mut InForce) -> Result<(), HardenError> {
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

/// Where a child notes the call for which it was ended; null in its parent.
pub(crate) static VIOLATION: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// What `SIGSYS` comes with (sigaction(2), `_sigsys`).
#[repr(C)]
struct SysInfo {
    signal: c_int,
    error: c_int,
    code: c_int,
    address: *const c_void,
    call: c_int,
    arch: u32,
}

fn handle_violations() -> Result<(), HardenError> {
    // SAFETY: all bit patterns are an action, and this one is filled in below.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_violation as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the handler does only what signal-safety(7) allows.
    match unsafe { libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(failed(std::io::Error::last_os_error())),
    }
}

/// In a signal handler: an atomic, write(2) and _exit(2).
extern "C" fn on_violation(_signal: c_int, info: *const SysInfo, _context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel hands a signal over with what it comes with.
    let call = unsafe { (*info).call }.cast_unsigned();
    // SAFETY: null, or this child's own entry, which is mapped for as long as the process lives.
    match unsafe { VIOLATION.load(Relaxed).as_ref() } {
        // 0 is a call, too.
        Some(noted) => noted.store(call + 1, Relaxed),
        None => say(call),
    }
    // SAFETY: _exit(2) takes a number and does not return.
    unsafe { libc::_exit(128 + libc::SIGSYS) }
}

/// As [`on_violation`]; nothing is allocated.
fn say(call: u32) {
    let mut text = *b"seccomp has ended the process: system call .....\n";
    let mut left = call;
    for digit in text.iter_mut().rev().skip(1).take(5) {
        *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
    }
    // SAFETY: it writes from an array of that length.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_the_names_of_their_manual_pages() {
        let number = |call: c_long| u32::try_from(call).unwrap();
        assert_eq!("openat", call_name(number(libc::SYS_openat)));
        assert_eq!("ptrace", call_name(number(libc::SYS_ptrace)));
        assert_eq!("system call 9999", call_name(9999));
    }
}
