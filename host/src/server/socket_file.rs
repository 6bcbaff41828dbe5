//! The file of a Unix socket: who may connect, and who removes it.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat};
use nix::unistd::{Group, User};

use crate::address::Transport;
use crate::events;

/// The mode and the owner of a socket's file (unix(7): whoever connects needs the right to write to it).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketFile {
    /// As chmod(1) takes it in octal; `None` for what the umask leaves.
    pub mode: Option<u32>,
    /// `user`, `user:group` or `:group`, by name or number; `None` for the user that runs the server.
    pub owner: Option<String>,
}

impl SocketFile {
    /// Takes away what `mode` does not give before there is a name that somebody could connect to:
    /// bind(2) makes the file with the socket's own mode, less the umask.
    pub(super) fn before_bind(&self, socket: &impl AsFd) -> Result<(), String> {
        match self.mode {
            Some(mode) => fchmod(socket, Mode::from_bits_truncate(mode))
                .map_err(|error| format!("its mode cannot be set to {mode:o}: {error}")),
            None => Ok(()),
        }
    }

    /// Gives the file its owner, and what the umask has taken away.
    pub(super) fn after_bind(&self, path: &Path) -> Result<(), String> {
        if let Some(owner) = &self.owner {
            let (user, group) = ids(owner)?;
            // Not what a link leads to that somebody else might have put there.
            lchown(path, user, group).map_err(|error| {
                format!("its owner cannot be `{owner}`: {error}; only root may give a file away")
            })?;
        }
        if let Some(mode) = self.mode {
            let mode_bits = Mode::from_bits_truncate(mode);
            fchmodat(AT_FDCWD, path, mode_bits, FchmodatFlags::NoFollowSymlink)
                .map_err(|error| format!("its mode cannot be set to {mode:o}: {error}"))?;
        }
        Ok(())
    }
}

fn ids(owner: &str) -> Result<(Option<u32>, Option<u32>), String> {
    let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
    let id = |name: &str, kind: &str, found: nix::Result<Option<u32>>| match (name, found) {
        ("", _) => Ok(None),
        (_, Ok(Some(id))) => Ok(Some(id)),
        (name, _) => match name.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_) => Err(format!("there is no {kind} `{name}`")),
        },
    };
    Ok((
        id(
            user,
            "user",
            User::from_name(user).map(|user| user.map(|user| user.uid.as_raw())),
        )?,
        id(
            group,
            "group",
            Group::from_name(group).map(|group| group.map(|group| group.gid.as_raw())),
        )?,
    ))
}

/// The name that a socket has in the file system; closing the server removes it.
pub(super) struct SocketName {
    /// As `server_address` shows it, without the scheme; `Err` for a socket that has none: what it was
    /// handed over as.
    address: Result<String, String>,
    /// Path, device and inode, so that only our own file is removed; `None` for an abstract name and for
    /// a socket that another program has bound.
    file: Option<(PathBuf, (u64, u64))>,
}

impl SocketName {
    pub(super) fn of_ours(path: &Path, is_abstract: bool) -> Self {
        let identity = identity(path).filter(|_| !is_abstract);
        SocketName {
            address: Ok(path.display().to_string()),
            file: identity.map(|identity| (path.to_owned(), identity)),
        }
    }

    /// Of a socket whose file is another program's business.
    pub(super) fn of_another(address: Option<String>, handed_over_as: &str) -> Self {
        SocketName {
            address: address.ok_or_else(|| handed_over_as.to_owned()),
            file: None,
        }
    }

    pub(super) fn server_address(&self, transport: Transport) -> String {
        match &self.address {
            Ok(address) => format!("{}://{address}", transport.scheme()),
            Err(handed_over_as) => format!("fd://{handed_over_as}"),
        }
    }
}

impl Drop for SocketName {
    fn drop(&mut self) {
        if let Some((path, ours)) = &self.file
            && identity(path) == Some(*ours)
        {
            match fs::remove_file(path) {
                // It was removed meanwhile, which is what we want.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => events::warning(&format!(
                    "the socket {} cannot be removed: {error}; the next server at this path replaces it",
                    path.display()
                )),
                Ok(()) => {}
            }
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}
