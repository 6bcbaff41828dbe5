//! What a recording has of granted folders: what lies in each folder that is opened, and what is in each file. They are
//! looked at again when the guest has opened them, beneath the folder that was granted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use crate::config::RECORDED;
use crate::recording::{Entry, EntryKind};
use crate::request::Request;

/// Names of one folder that are recorded.
const ENTRIES: usize = 1000;

/// A granted folder, and a path in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// Which of the grants.
    pub(super) folder: usize,
    pub(super) path: PathBuf,
}

/// Where preview 1's numbers of folders lead; the first of them are the granted ones.
#[derive(Default)]
pub(super) struct Places(BTreeMap<u32, Place>);

/// Preview 1's first number behind standard input, output and error.
const FIRST: u32 = 3;

impl Places {
    pub(super) fn of(folders: usize) -> Self {
        let granted = (0..folders).map(|folder| {
            let place = Place {
                folder,
                path: PathBuf::new(),
            };
            (FIRST + u32::try_from(folder).unwrap_or(0), place)
        });
        Places(granted.collect())
    }

    /// What a guest means that opens a name in a folder of this number.
    pub(super) fn beneath(&self, number: u32, name: &[u8]) -> Option<Place> {
        let place = self.0.get(&number)?;
        Some(Place {
            folder: place.folder,
            path: place.path.join(str::from_utf8(name).ok()?),
        })
    }

    pub(super) fn opened(&mut self, number: u32, place: Place) {
        self.0.insert(number, place);
    }

    pub(super) fn closed(&mut self, number: u32) {
        self.0.remove(&number);
    }

    pub(super) fn renumbered(&mut self, from: u32, to: u32) {
        if let Some(place) = self.0.remove(&from) {
            self.0.insert(to, place);
        }
    }
}

/// Takes down what a guest has found in a granted folder, of which `root` is the descriptor.
pub(super) fn record(request: &Request, guest_name: &str, root: &File, path: &Path) {
    let name = path.display();
    if let Err(error) = try_record(request, guest_name, root, path) {
        request.not_recorded(&format!("{guest_name}/{name}: {error}"));
    }
}

fn try_record(request: &Request, folder: &str, root: &File, path: &Path) -> io::Result<()> {
    let file = match path.as_os_str().is_empty() {
        true => root.try_clone()?,
        false => open(root, path)?,
    };
    let found = file.metadata()?;
    if found.is_dir() {
        request.found_folder(folder, path, entries(&file)?);
    } else if found.is_file() {
        let mut content = Vec::new();
        file.take(RECORDED as u64 + 1).read_to_end(&mut content)?;
        if content.len() > RECORDED {
            return Err(io::Error::other(
                "it is larger than what is recorded of a request",
            ));
        }
        request.found_file(folder, path, found.mtime(), content);
    }
    Ok(())
}

/// Beneath the folder, as the guest's own call is.
fn open(root: &File, path: &Path) -> io::Result<File> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    Ok(openat2(root.as_fd(), path, how)?.into())
}

fn entries(folder: &File) -> io::Result<Vec<Entry>> {
    let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let found = entry.metadata()?;
        let kind = match found.file_type() {
            kind if kind.is_dir() => EntryKind::Folder,
            kind if kind.is_file() => EntryKind::File,
            _ => continue,
        };
        entries.push(Entry {
            name: entry.file_name().to_string_lossy().into_owned(),
            kind,
            size: found.len(),
            modified: found.mtime(),
        });
        if entries.len() > ENTRIES {
            return Err(io::Error::other(format!(
                "it has more than {ENTRIES} names"
            )));
        }
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}
