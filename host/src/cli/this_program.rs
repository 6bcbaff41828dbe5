//! This program once more, as a process with a task of its own.

#![expect(unsafe_code, reason = "what is done between fork and exec")]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::bail;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid};

/// A process of a hidden verb, which inherits `descriptors` and nothing else (where the kernel can do
/// that: Linux 5.11), and does not outlive the thread that starts it. It has a process group of its own: a terminal's signals are not for it. `prepare` is called
/// between fork and exec, and may do only what signal-safety(7) allows.
pub(super) fn this_program(
    verb: &str,
    descriptors: Vec<RawFd>,
    prepare: impl Fn() -> io::Result<()> + Send + Sync + 'static,
) -> Command {
    // The program that runs, even where its file was replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("sandsock")
        .arg(verb)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let parent = getpid();
    let before_exec = move || {
        prepare()?;
        set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != parent {
            return Err(io::ErrorKind::Interrupted.into());
        }
        // SAFETY: close_range(2) takes numbers, and marks what is open in a process that is about to
        // become another program.
        unsafe {
            libc::syscall(
                libc::SYS_close_range,
                3,
                u32::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        };
        for &number in &descriptors {
            // SAFETY: the parent keeps them open until the process has started.
            let fd = unsafe { BorrowedFd::borrow_raw(number) };
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        Ok(())
    };
    // SAFETY: system calls that signal-safety(7) allows between fork and exec, and nothing else.
    unsafe { command.pre_exec(before_exec) };
    command
}

/// In such a process: a descriptor that it has inherited.
///
/// # Errors
///
/// It is one of the standard streams, or not open.
pub(super) fn take(number: RawFd) -> anyhow::Result<OwnedFd> {
    if number < 3 {
        bail!("descriptor {number} is not one that `serve` hands over");
    }
    // SAFETY: `serve` has handed it over for us alone; a number without a descriptor is an error of
    // whatever uses it first.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(fd)
}
