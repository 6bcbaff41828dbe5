//! Which system calls are needed, by the names of their manual pages: all others are refused.
//!
//! What the program calls that is not here is found by its tests under `--harden log` (`cargo xtask calls`).

use nix::libc::{self, c_long};

/// Numbers and names.
pub(super) type Calls = &'static [(c_long, &'static str)];

macro_rules! calls {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        &[$($(#[$attribute])* (libc::$name, stringify!($name))),*]
    };
}

/// What compiled code, its memory and its clocks take, and what is open already.
pub(super) const OF_ALL: Calls = calls![
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
pub(super) const OF_A_FORKER: Calls = calls![
    SYS_accept,
    SYS_accept4,
    SYS_eventfd2,
    SYS_getitimer,
    SYS_getpeername,
    SYS_getsockname,
    SYS_getsockopt,
    SYS_kill,
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

/// What a program does whose handlers may connect.
pub(super) const OF_CONNECTING: Calls = calls![SYS_bind, SYS_connect, SYS_recvmmsg, SYS_sendmmsg];

/// What a process does that has threads; of clone3(2) it is told that it is not there.
pub(super) const OF_THREADS: Calls = calls![SYS_clone3, SYS_setpriority, SYS_sched_setaffinity];

/// What a program does that serves in threads, starts this program once more, and gives up what it can.
pub(super) const OF_A_PROGRAM: Calls = calls![
    SYS_dup3,
    SYS_execve,
    SYS_flock,
    SYS_getpriority,
    SYS_landlock_add_rule,
    SYS_landlock_create_ruleset,
    SYS_landlock_restrict_self,
    SYS_memfd_create,
    SYS_pipe2,
    SYS_seccomp,
    SYS_setpgid,
    SYS_socketpair,
    #[cfg(target_arch = "x86_64")]
    SYS_arch_prctl,
    #[cfg(target_arch = "x86_64")]
    SYS_dup2,
    #[cfg(target_arch = "x86_64")]
    SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    SYS_unlink,
];

/// What a handler does in granted folders; which ones is for Landlock to say.
pub(super) const OF_FILES: Calls = calls![
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
pub(super) const OF_BREAK_OUTS: Calls = calls![
    SYS_clone,
    SYS_execveat,
    SYS_fcntl,
    SYS_ioctl,
    SYS_listen,
    SYS_mmap,
    SYS_mprotect,
    SYS_pidfd_open,
    SYS_pkey_mprotect,
    SYS_prctl,
    SYS_prlimit64,
    SYS_socket,
    SYS_tkill,
    SYS_truncate,
    SYS_epoll_create1,
    SYS_setrlimit,
    SYS_timer_create,
    #[cfg(target_arch = "x86_64")]
    SYS_creat,
    #[cfg(target_arch = "x86_64")]
    SYS_link,
    #[cfg(target_arch = "x86_64")]
    SYS_rename,
    #[cfg(target_arch = "x86_64")]
    SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    SYS_vfork,
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
    SYS_fchmodat2,
];

fn known() -> impl Iterator<Item = (c_long, &'static str)> {
    let known = [
        OF_ALL,
        OF_A_FORKER,
        OF_THREADS,
        OF_A_PROGRAM,
        OF_CONNECTING,
        OF_FILES,
        OF_BREAK_OUTS,
    ];
    let calls = known.into_iter().flatten();
    calls.map(|(number, name)| (*number, name.trim_start_matches("SYS_")))
}

/// The name of a call, as its manual page has it.
pub(crate) fn call_name(number: u32) -> String {
    let found = known().find(|(known, _)| *known == c_long::from(number));
    found.map_or_else(
        || format!("system call {number}"),
        |(_, name)| name.to_owned(),
    )
}

/// The number of a call, by that name.
pub(crate) fn call_number(name: &str) -> Option<c_long> {
    known()
        .find(|(_, known)| *known == name)
        .map(|(number, _)| number)
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
        assert_eq!(Some(libc::SYS_ptrace), call_number("ptrace"));
        assert_eq!(None, call_number("SYS_ptrace"));
    }
}
