//! The client behind a packet of a Unix socket: its name, its user by the kernel's word, and the way back to it.
//!
//! A packet carries the path that its sender's socket was bound to. By the time of the reply that path may be a link
//! to another program's socket. A server that sent to the path would write wherever its own rights reach, on behalf of
//! a client whose rights do not. So the reply opens what is there now, without following a link, and looks at it:
//! it has to be a socket of the client's user. Then it is sent to what was looked at, whatever the path has become
//! meanwhile. A link among the folders of the path changes nothing: what it leads to has to be the client's, too.
//!
//! Abstract names have no owner and no links: whoever has the name has the packet.

use std::ffi::OsStr;
use std::io::{self, IoSliceMut};
use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::libc;
use nix::sys::socket::{MsgFlags, SockaddrLike, UnixAddr, recvmsg, setsockopt, sockopt};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use socket2::{SockAddr, Socket};

use crate::address::Endpoint;
use crate::request::IoError;
use crate::sync::{Mutex, lock};

/// The user that the kernel names where it cannot name the right one (user_namespaces(7)).
const OVERFLOW_USER: libc::uid_t = 65_534;

/// The first user namespace's inode, in which every user has a number (`PROC_USER_INIT_INO` of Linux).
const FIRST_USER_NAMESPACE: u64 = 0xefff_fffd;

/// Room for the credentials alone. What else a sender attaches finds none, so no descriptor of its is ever ours.
const CONTROL: usize = size_of::<libc::cmsghdr>() + size_of::<libc::ucred>().next_multiple_of(8);

/// Receives from clients of Unix sockets.
pub(super) struct UnixClients {
    /// [`OVERFLOW_USER`] is a user, and not all who have no number here.
    every_user_has_a_number: bool,
    spare: Spare,
}

/// A descriptor to do without. A reply takes one for a moment, and its request has been taken already when none are
/// left: what waits in the socket's queue waits until there are some, and a reply could not.
struct Spare(Mutex<Option<OwnedFd>>);

/// Who sent a packet.
#[derive(Clone, Debug)]
pub(super) struct UnixClient {
    /// The name that its socket was bound to.
    pub(super) name: Endpoint,
    user: Option<libc::uid_t>,
}

/// Lets a socket say with each packet who sent it (unix(7), `SO_PASSCRED`). Packets that are in its queue by then do not
/// say it.
///
/// # Errors
///
/// What the system says.
pub(super) fn ask_for_senders(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::PassCred, &true)?)
}

impl UnixClients {
    /// For a socket of ours, or one that was handed over.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn new(socket: &Socket) -> io::Result<Self> {
        ask_for_senders(socket)?;
        // The time of a packet, which whoever made the socket may have asked for, would take the room of its sender.
        setsockopt(socket, sockopt::ReceiveTimestamp, &false)?;
        let namespace = std::fs::metadata("/proc/self/ns/user");
        Ok(UnixClients {
            every_user_has_a_number: namespace.is_ok_and(|ns| ns.ino() == FIRST_USER_NAMESPACE),
            spare: Spare::of(socket)?,
        })
    }

    /// Takes one packet that is there, and its sender where that has a name.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where there is none; otherwise what the system says.
    pub(super) fn recv(
        &self,
        socket: &Socket,
        buf: &mut [u8],
    ) -> io::Result<(usize, Option<UnixClient>)> {
        let mut control = [0; CONTROL];
        let mut iov = [IoSliceMut::new(buf)];
        let message = recvmsg::<UnixAddr>(
            socket.as_raw_fd(),
            &mut iov,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC,
        )?;
        let length = message.bytes;
        let name = message.address.as_ref().and_then(name);
        let client = name.map(|name| UnixClient {
            name,
            user: self.user(&control),
        });
        Ok((length, client))
    }

    fn user(&self, control: &[u8; CONTROL]) -> Option<libc::uid_t> {
        let sender = credentials(control)?;
        // Without a process, the packet is older than our question for its sender.
        let is_known = self.every_user_has_a_number && sender.pid != 0;
        (sender.uid != OVERFLOW_USER || is_known).then_some(sender.uid)
    }

    /// Sends one packet to a client.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where its queue is full; one of [`IoError`]'s where its name does not lead to a socket of its
    /// user's, or nobody can tell; otherwise what the system says.
    pub(super) fn send(
        &self,
        socket: &Socket,
        packet: &[u8],
        client: &UnixClient,
        flags: MsgFlags,
    ) -> io::Result<()> {
        let path = match &client.name {
            Endpoint::Path(path) => path,
            Endpoint::Abstract(name) => {
                // As unix(7) writes it.
                let name = [b"\0", name.as_slice()].concat();
                let address = SockAddr::unix(OsStr::from_bytes(&name))?;
                socket.send_to_with_flags(packet, &address, flags.bits())?;
                return Ok(());
            }
            Endpoint::Unnamed | Endpoint::Inet(_) => {
                return Err(io::ErrorKind::NotConnected.into());
            }
        };
        let user = client.user.ok_or(IoError::UnknownSender)?;
        self.spare.open(socket, path, |found| {
            let stat = fstat(found)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Socket || stat.st_uid != user {
                return Err(IoError::NotTheSenders.into());
            }
            // proc_pid_fd(5): it leads to what was opened, and not to what its name is by now.
            let address = SockAddr::unix(format!("/proc/self/fd/{}", found.as_raw_fd()))?;
            match socket.send_to_with_flags(packet, &address, flags.bits()) {
                // What is open is there: it is the way to it that is not.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(IoError::NoProc.into())
                }
                result => result.map(drop),
            }
        })
    }
}

/// The name of a socket, where it has one.
fn name(address: &UnixAddr) -> Option<Endpoint> {
    // Not by the methods of `UnixAddr`: they panic where the system has written no address, and read one byte too many
    // where a path leaves no room for its end.
    let path = &AsRef::<libc::sockaddr_un>::as_ref(address).sun_path;
    let family = size_of::<libc::sa_family_t>();
    let length = usize::try_from(address.len()).ok()?.checked_sub(family)?;
    let bytes = path.iter().take(length).map(|byte| byte.cast_unsigned());
    match path.first().filter(|_| length > 0)? {
        0 => Some(Endpoint::Abstract(bytes.skip(1).collect())),
        _ => {
            let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
            let path = Path::new(OsStr::from_bytes(&bytes));
            Some(Endpoint::Path(path.to_owned()))
        }
    }
}

/// Who the kernel says has sent a packet, where it says so.
fn credentials(control: &[u8; CONTROL]) -> Option<libc::ucred> {
    let int = |at: usize| {
        let bytes = control.get(at..)?.first_chunk()?;
        Some(i32::from_ne_bytes(*bytes))
    };
    let level = int(offset_of!(libc::cmsghdr, cmsg_level))?;
    let kind = int(offset_of!(libc::cmsghdr, cmsg_type))?;
    if (level, kind) != (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) {
        return None;
    }
    // cmsg(3): the data comes behind the header.
    let data = size_of::<libc::cmsghdr>();
    Some(libc::ucred {
        pid: int(data + offset_of!(libc::ucred, pid))?,
        uid: int(data + offset_of!(libc::ucred, uid))?.cast_unsigned(),
        gid: int(data + offset_of!(libc::ucred, gid))?.cast_unsigned(),
    })
}

impl Spare {
    fn of(socket: &Socket) -> io::Result<Self> {
        let spare = socket.as_fd().try_clone_to_owned()?;
        Ok(Spare(Mutex::new(Some(spare))))
    }

    /// Opens what a path names, no link, for as long as `look` takes; with the spare descriptor where there is no other.
    fn open(
        &self,
        socket: &Socket,
        path: &Path,
        look: impl Fn(BorrowedFd<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let open = || {
            // Without O_NOFOLLOW it would be what a link leads to.
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let found = openat(CWD, path, flags, Mode::empty())?;
            look(found.as_fd())
        };
        let mut result = open();
        let mut spare = lock(&self.0);
        let error = result.as_ref().err().and_then(io::Error::raw_os_error);
        if matches!(error, Some(libc::EMFILE | libc::ENFILE)) {
            drop(spare.take());
            result = open();
        }
        // Another thread may take it meanwhile, for something else. There will be one again.
        if spare.is_none() {
            *spare = socket.as_fd().try_clone_to_owned().ok();
        }
        result
    }
}
