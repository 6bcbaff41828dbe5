//! The folder of core dumps: files that are whole or not there, and the oldest go first.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::Turn;
use crate::events;
use crate::handler::CoreDump;

/// The folder, and what it may hold.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) files: usize,
    pub(super) bytes: u64,
}

pub(super) fn is_not_there(file: &Path, problem: &str) {
    events::warning(&format!(
        "the core dump {} is not there: {problem}",
        file.display()
    ));
}

impl Folder {
    pub(super) fn keep(&self, dump: CoreDump, file: &Path, turn: Turn) {
        if let Err(problem) = self.try_keep(dump, file, turn) {
            is_not_there(file, &problem);
        }
    }

    fn try_keep(&self, mut dump: CoreDump, file: &Path, turn: Turn) -> Result<(), String> {
        let too_large = |size: u64| {
            format!("{size} bytes are more than all dumps may have together: raise --coredump-size")
        };
        // Looked at before anything is taken for it.
        let size = dump.size();
        if size > self.bytes {
            return Err(too_large(size));
        }
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let bytes = dump
            .to_bytes(&name)
            .ok_or("the engine cannot put it together")?;
        // Its place in the pool is free before another one is put together.
        drop(dump);
        let size = bytes.len() as u64;
        if size > self.bytes {
            return Err(too_large(size));
        }
        self.make_room(size);
        self.write(file, &bytes, turn)
            .map_err(|error| error.to_string())
    }

    /// Whoever looks sees the whole file or none, and once it is there the next dump has its turn. The calls are those
    /// that a child of `fork` may make.
    pub(super) fn write(&self, file: &Path, bytes: &[u8], turn: Turn) -> io::Result<()> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let unfinished = self.path.join(format!("{UNFINISHED}{name}"));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)
            .and_then(|mut open| open.write_all(bytes))
            .and_then(|()| {
                drop(turn);
                let flags = RenameFlags::RENAME_NOREPLACE;
                Ok(renameat2(AT_FDCWD, &unfinished, AT_FDCWD, file, flags)?)
            });
        if written.is_err() {
            remove(&unfinished);
        }
        written
    }

    /// The oldest go, until one more of this size fits. Only what has a dump's name is ours to remove.
    pub(super) fn make_room(&self, size: u64) {
        let Ok(folder) = fs::read_dir(&self.path) else {
            return;
        };
        let mut dumps = Vec::new();
        // What others are writing just now counts, and stays.
        let (mut together, mut count) = (size, 1);
        for file in folder.filter_map(Result::ok) {
            let name = file.file_name();
            let name = name.to_string_lossy();
            let Ok(found) = file.metadata() else { continue };
            let modified = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if !found.is_file() || !name.ends_with(ENDING) {
                continue;
            }
            if !name.starts_with(UNFINISHED) {
                dumps.push((modified, file.path(), found.len()));
            } else if modified.elapsed().is_ok_and(|age| age > ABANDONED) {
                remove(&file.path());
                continue;
            }
            together = together.saturating_add(found.len());
            count += 1;
        }
        dumps.sort();
        for (_, path, size) in dumps {
            if count <= self.files && together <= self.bytes {
                break;
            }
            remove(&path);
            count -= 1;
            together -= size;
        }
    }
}

/// How a dump's name ends.
pub(super) const ENDING: &str = ".coredump";

/// How the name of one begins that is being written.
const UNFINISHED: &str = ".sandsock-";

/// Nobody writes one for so long.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Another process may have been faster.
fn remove(path: &Path) {
    let _ = unlinkat(AT_FDCWD, path, UnlinkatFlags::NoRemoveDir);
}
