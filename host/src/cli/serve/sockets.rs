//! From an address to listeners: bound here, or handed over by another program.

#![expect(unsafe_code, reason = "descriptors that were inherited")]

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, anyhow};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::address::ListenAddress;
use crate::server::{BindOptions, Listener, bind_and_activate, handed_over};

/// The listeners of a service.
pub(super) struct Sockets {
    pub(super) listeners: Vec<Box<dyn Listener>>,
    /// It is one connection, accepted elsewhere: inetd style.
    pub(super) is_connection: bool,
}

/// A socket that was handed over, and what it is called.
pub(super) struct HandedOver {
    fd: OwnedFd,
    name: String,
}

impl Sockets {
    /// Binds and listens, or serves what was handed over.
    pub(super) fn open(
        address: &ListenAddress,
        taken: Vec<HandedOver>,
        options: &BindOptions,
    ) -> anyhow::Result<Self> {
        let listeners = match address {
            ListenAddress::HandedOver(_) => taken
                .into_iter()
                .map(|HandedOver { fd, name }| {
                    handed_over(fd, &name, options)
                        .with_context(|| format!("cannot serve the socket fd://{name}"))
                })
                .collect::<anyhow::Result<Vec<_>>>()?,
            _ => bind_and_activate(address, options)?,
        };
        Ok(Sockets {
            is_connection: listeners.iter().any(|listener| listener.is_connection()),
            listeners,
        })
    }
}

/// Takes what an address of scheme `fd` names; nothing for another. It has to come before the program
/// opens anything of its own, and before it has threads: whatever else was inherited can be closed then.
pub(super) fn take(address: &ListenAddress) -> anyhow::Result<Vec<HandedOver>> {
    let ListenAddress::HandedOver(name) = address else {
        return Ok(Vec::new());
    };
    // SAFETY: no thread was started yet that could read the environment meanwhile.
    let named = unsafe { sd_notify::listen_fds_with_names_and_unset_env() };
    let numbers = match name.parse::<RawFd>() {
        Ok(number) => vec![number],
        Err(_) => by_name(name, named)?,
    };
    let taken = numbers
        .into_iter()
        .map(|number| {
            let fd = take_number(number)
                .with_context(|| format!("cannot serve the socket fd://{name}"))?;
            Ok(HandedOver {
                fd,
                name: name.clone(),
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    silence(&taken)?;
    Ok(taken)
}

/// systemd's names (sd_listen_fds(3)): several sockets can have the same.
fn by_name(
    wanted: &str,
    handed_over: io::Result<impl Iterator<Item = (RawFd, String)>>,
) -> anyhow::Result<Vec<RawFd>> {
    let explain = || {
        format!(
            "no socket by the name `{wanted}` was handed over: LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID say which were"
        )
    };
    let found: Vec<_> = handed_over
        .with_context(explain)?
        .filter(|(_, name)| name == wanted)
        .map(|(number, _)| number)
        .collect();
    match found.is_empty() {
        true => Err(anyhow!(explain())),
        false => Ok(found),
    }
}

fn take_number(number: RawFd) -> anyhow::Result<OwnedFd> {
    // SAFETY: it is looked at for the length of these calls; a number without a descriptor is an error
    // of theirs.
    let found = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(found, FcntlArg::F_GETFD)
        .with_context(|| format!("no descriptor {number} was handed over"))?;
    // With a number that nobody else in this process knows, and closed at exec.
    let fd = fcntl(found, FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: fcntl has made it for us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let nothing = || OpenOptions::new().read(true).write(true).open("/dev/null");
    match number {
        // The standard streams keep a descriptor, or what is opened next would become one.
        0 => dup2_stdin(nothing()?)?,
        1 => dup2_stdout(nothing()?)?,
        2 => dup2_stderr(nothing()?)?,
        // SAFETY: it was handed over to us, and nothing of ours was opened before.
        _ => drop(unsafe { OwnedFd::from_raw_fd(number) }),
    }
    Ok(fd)
}

/// Closes whatever else was inherited but the standard streams (as far as the kernel can: Linux 5.9). Like
/// [`take`] it has to come before the program opens anything of its own.
pub(super) fn close_others(taken: &[HandedOver]) {
    let mut kept: Vec<_> = taken.iter().map(|taken| taken.fd.as_raw_fd()).collect();
    kept.sort_unstable();
    let mut first = 3;
    for number in kept.into_iter().chain([RawFd::MAX]) {
        if first < number {
            // SAFETY: close_range(2) takes numbers; nobody in this process knows of these descriptors.
            unsafe { libc::syscall(libc::SYS_close_range, first, number - 1, 0) };
        }
        first = number.saturating_add(1);
    }
}

/// inetd's programs have the connection as standard output and error, too: nothing but the handler's
/// bytes may go there.
fn silence(taken: &[HandedOver]) -> anyhow::Result<()> {
    let sockets: Vec<_> = taken.iter().map(|taken| inode(&taken.fd)).collect();
    let nothing = OpenOptions::new().write(true).open("/dev/null")?;
    let is_taken = |stream: Option<_>| stream.is_some() && sockets.contains(&stream);
    if is_taken(inode(&io::stdout())) {
        dup2_stdout(&nothing)?;
    }
    if is_taken(inode(&io::stderr())) {
        dup2_stderr(&nothing)?;
    }
    Ok(())
}

/// Whether standard error is a client's that this command line says to serve. It is to see nothing of
/// ours, not even that the rest of the line is wrong.
pub(in crate::cli) fn client_has_stderr() -> bool {
    let serves = |argument: OsString| argument.as_bytes().starts_with(b"fd://");
    let is_socket =
        |found: FileStat| found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFSOCK.bits();
    std::env::args_os().any(serves)
        && fstat(io::stderr()).is_ok_and(is_socket)
        && inode(&io::stdin()) == inode(&io::stderr())
}

/// What tells files apart; two descriptors of one socket have the same.
fn inode(fd: &impl AsFd) -> Option<(u64, u64)> {
    let found = fstat(fd).ok()?;
    Some((found.st_dev, found.st_ino))
}
