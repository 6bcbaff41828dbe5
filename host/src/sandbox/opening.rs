//! Opens names in granted folders: regular files and folders, and never waits for one.
//!
//! A granted folder may be another program's, too, which can put a FIFO there: open(2) waits until somebody opens its other
//! end, and so it does for whoever holds a lease on a file. wasmtime-wasi's own open would wait, and no limit ends that
//! wait. A look at the name beforehand is not enough, since it may be a link that is turned meanwhile. So the system is
//! asked not to wait, and what has been opened is looked at.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, fstat, openat,
    openat2, utimensat,
};
use rustix::io::Errno;
use wasmtime_wasi::filesystem::{self, Descriptor, Dir, OpenMode};

/// How a name is opened, of both WASI versions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) follow: bool,
    pub(super) create: bool,
    pub(super) exclusive: bool,
    pub(super) truncate: bool,
    pub(super) folder: bool,
    pub(super) read: bool,
    pub(super) write: bool,
}

impl Wanted {
    /// As wasmtime-wasi has it: what is not opened for writing is opened for reading.
    fn mode(self) -> OpenMode {
        let mut mode = OpenMode::empty();
        mode.set(OpenMode::WRITE, self.write || self.create || self.truncate);
        mode.set(OpenMode::READ, self.read || !self.write);
        mode
    }

    fn flags(self) -> OFlags {
        let mut flags = match (
            self.mode().contains(OpenMode::READ),
            self.mode().contains(OpenMode::WRITE),
        ) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            (_, false) => OFlags::RDONLY,
        };
        flags |= OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        flags.set(OFlags::CREATE, self.create);
        flags.set(OFlags::EXCL, self.create && self.exclusive);
        flags.set(
            OFlags::TRUNC,
            self.truncate && !(self.create && self.exclusive),
        );
        flags.set(OFlags::NOFOLLOW, !self.follow);
        flags
    }
}

/// Opens a regular file or a folder.
///
/// # Errors
///
/// `Unsupported` where the system has no openat2(2), `EACCES` for all else that has a name, and what the system says.
pub(super) fn open(folder: &Dir, path: &str, wanted: Wanted) -> io::Result<Descriptor> {
    // A device may act on being opened. Whatever this is, it decides nothing: what is opened is looked at again.
    let look = OFlags::PATH | OFlags::CLOEXEC | wanted.flags() & OFlags::NOFOLLOW;
    if let Ok(found) = beneath(&folder.dir, path, look, Mode::empty()) {
        let kind = FileType::from_raw_mode(fstat(&found)?.st_mode);
        // The system refuses a link that is not followed, with its own error.
        if kind != FileType::Symlink {
            check(kind)?;
        }
    }
    let mode = match wanted.create {
        true => Mode::from_raw_mode(0o666),
        false => Mode::empty(),
    };
    let opened = beneath(&folder.dir, path, wanted.flags(), mode)?;
    let kind = FileType::from_raw_mode(fstat(&opened)?.st_mode);
    check(kind)?;
    let (file, perms, mode) = (File::from(opened), folder.perms, wanted.mode());
    Ok(match kind {
        FileType::Directory => Descriptor::Dir(Dir::new(file, perms, mode, true)),
        _ if wanted.folder => return Err(Errno::NOTDIR.into()),
        _ => Descriptor::File(filesystem::File::new(file, perms, mode, true)),
    })
}

fn check(kind: FileType) -> io::Result<()> {
    match kind {
        FileType::RegularFile | FileType::Directory => Ok(()),
        _ => Err(Errno::ACCESS.into()),
    }
}

/// Sets the times of what a name leads to, which is not opened for it.
///
/// # Errors
///
/// As [`open`].
pub(super) fn set_times(folder: &Dir, path: &str, times: &[Timespec; 2]) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = beneath(&folder.dir, path, flags, Mode::empty())?;
    check(FileType::from_raw_mode(fstat(&found)?.st_mode))?;
    let times = Timestamps {
        last_access: times[0],
        last_modification: times[1],
    };
    // proc_pid_fd(5): utimensat(2) takes no descriptor of this kind by itself.
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    Ok(utimensat(CWD, path, &times, AtFlags::empty())?)
}

/// `/dev`, only to open names beneath it.
///
/// # Errors
///
/// What the system says.
pub(super) fn devices() -> io::Result<Arc<File>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(CWD, "/dev", flags, Mode::empty())?;
    Ok(Arc::new(File::from(opened)))
}

/// How often a path is looked up again that was renamed meanwhile (openat2(2), `EAGAIN`), as wasmtime-wasi does it. A file
/// with a lease on it is the same error.
const TRIES: u32 = 4;

/// Opens a path that does not leave the folder, and crosses no link of `/proc`.
fn beneath(folder: &Arc<File>, path: &str, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut error = Errno::AGAIN;
    for _ in 0..TRIES {
        match openat2(folder, path, flags, mode, resolve) {
            Ok(opened) => return Ok(opened),
            Err(Errno::AGAIN) => {}
            Err(other) => {
                error = other;
                break;
            }
        }
    }
    Err(match error {
        Errno::XDEV => Errno::PERM.into(),
        // Some containers' word for a call that they do not know.
        Errno::NOSYS | Errno::PERM if !has_openat2(folder) => io::ErrorKind::Unsupported.into(),
        error => error.into(),
    })
}

fn has_openat2(folder: &Arc<File>) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    openat2(folder, c".", flags, Mode::empty(), ResolveFlags::BENEATH).is_ok()
}
