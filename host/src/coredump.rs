//! `--coredump`: a private folder of what traps have left, bounded in files and bytes.
//!
//! A dump has a client's data in it, so it is for who serves alone. It is written once the connection has ended, and
//! what cannot be written costs the dump and nothing else.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::config::CoredumpOptions;
use crate::events;
use crate::handler::CoreDump;
use crate::private::make_private;
use crate::request::lock;

/// Why a folder is not used.
#[derive(Debug, thiserror::Error)]
#[error("--coredump: dumps cannot be kept in {}: {problem}", folder.display())]
pub(crate) struct FolderError {
    folder: PathBuf,
    problem: String,
}

/// A private folder of core dumps.
pub(crate) struct Coredumps {
    folder: PathBuf,
    files: usize,
    bytes: u64,
    /// One at a time: each is as large as its instance, and then once more while it is put together.
    writing: Mutex<()>,
}

impl Coredumps {
    /// Uses the folder that is asked for, and makes it where it is not there (mode 0700); `None` where none is.
    ///
    /// # Errors
    ///
    /// It cannot be made, or others can write to it.
    pub(crate) fn open(options: &CoredumpOptions) -> Result<Option<Self>, FolderError> {
        let Some(folder) = &options.coredump else {
            return Ok(None);
        };
        let fail = |problem: String| FolderError {
            folder: folder.to_owned(),
            problem,
        };
        let is_private = make_private(folder, 0o022).map_err(|error| fail(error.to_string()))?;
        if !is_private {
            return Err(fail(
                "it has to belong to the user that serves, and nobody else may write to it: `chown` and `chmod 700` it, or name another folder".to_owned(),
            ));
        }
        Ok(Some(Coredumps {
            folder: folder.to_owned(),
            files: options.coredump_files as usize,
            bytes: options.coredump_size.get().map_or(u64::MAX, |size| size.0),
            writing: Mutex::default(),
        }))
    }

    /// Where the dump of a request is going to be.
    pub(crate) fn file(&self, service: &str, id: u64) -> PathBuf {
        let name: String = service
            .chars()
            .take(64)
            .map(|c| {
                if c.is_ascii_alphanumeric() || "-_".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        // Colons are not for a name that is typed.
        let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let now = now.replace([':', '-'], "");
        self.folder.join(format!("{name}-{id}-{now}{ENDING}"))
    }

    /// Writes a dump. What fails is a warning.
    pub(crate) fn keep(&self, mut dump: CoreDump, file: &Path) {
        let _alone = lock(&self.writing);
        if let Err(problem) = self.try_keep(&mut dump, file) {
            events::warning(&format!(
                "the core dump {} is not there: {problem}",
                file.display()
            ));
        }
    }

    fn try_keep(&self, dump: &mut CoreDump, file: &Path) -> Result<(), String> {
        let too_large = |size: u64| {
            format!("{size} bytes are more than all dumps may have together: raise --coredump-size")
        };
        let memory = dump.memory_size();
        if memory > self.bytes {
            return Err(too_large(memory));
        }
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let bytes = dump
            .to_bytes(&name)
            .ok_or("the engine cannot put it together")?;
        let size = bytes.len() as u64;
        if size > self.bytes {
            return Err(too_large(size));
        }
        self.make_room(size);
        self.write(file, &bytes).map_err(|error| error.to_string())
    }

    /// Whoever looks sees the whole file or none. The calls are those that a child of `fork` may make.
    fn write(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let unfinished = self.folder.join(format!("{UNFINISHED}{name}"));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)
            .and_then(|mut open| open.write_all(bytes))
            .and_then(|()| {
                let flags = RenameFlags::RENAME_NOREPLACE;
                Ok(renameat2(AT_FDCWD, &unfinished, AT_FDCWD, file, flags)?)
            });
        if written.is_err() {
            remove(&unfinished);
        }
        written
    }

    /// The oldest go, until one more of this size fits. Only what has a dump's name is ours to remove.
    fn make_room(&self, size: u64) {
        let Ok(folder) = fs::read_dir(&self.folder) else {
            return;
        };
        let mut dumps = Vec::new();
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
            }
        }
        dumps.sort();
        let mut together = dumps
            .iter()
            .fold(size, |sum, dump| sum.saturating_add(dump.2));
        let mut count = dumps.len() + 1;
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
const ENDING: &str = ".coredump";

/// How the name of one begins that is being written.
const UNFINISHED: &str = ".sandsock-";

/// Nobody writes one for so long.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Another process may have been faster.
fn remove(path: &Path) {
    let _ = unlinkat(AT_FDCWD, path, UnlinkatFlags::NoRemoveDir);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limit, Size};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn kept_in(folder: &Path, files: u32, bytes: u64) -> Coredumps {
        let options = CoredumpOptions {
            coredump: Some(folder.to_owned()),
            coredump_files: files,
            coredump_size: Limit::at(Size(bytes)),
        };
        Coredumps::open(&options).unwrap().unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let files = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn write(dumps: &Coredumps, name: &str, bytes: usize, age: u64) {
        dumps.make_room(bytes as u64);
        let path = dumps.folder.join(name);
        dumps.write(&path, &vec![1; bytes]).unwrap();
        let then = SystemTime::now() - Duration::from_secs(age);
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(then)
            .unwrap();
    }

    #[test]
    fn the_oldest_make_room_for_the_newest_and_other_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        let dumps = kept_in(dir.path(), 3, 100);
        fs::write(dir.path().join("notes.txt"), [0; 500]).unwrap();
        for (age, name) in ["a.coredump", "b.coredump", "c.coredump", "d.coredump"]
            .iter()
            .enumerate()
        {
            write(&dumps, name, 30, 90 - age as u64);
        }
        assert_eq!(
            names(dir.path()),
            ["b.coredump", "c.coredump", "d.coredump", "notes.txt"]
        );
        write(&dumps, "e.coredump", 60, 0);
        assert_eq!(names(dir.path()), ["d.coredump", "e.coredump", "notes.txt"]);
    }

    #[test]
    fn a_dump_is_for_its_owner_alone_and_replaces_none() {
        let dir = tempfile::tempdir().unwrap();
        let dumps = kept_in(&dir.path().join("made"), 3, 100);
        assert_eq!(0o700, fs::metadata(&dumps.folder).unwrap().mode() & 0o777);
        let file = dumps.file("../a b", 7);
        assert!(file.starts_with(&dumps.folder), "{file:?}");
        dumps.write(&file, b"first").unwrap();
        assert_eq!(0o600, fs::metadata(&file).unwrap().mode() & 0o777);
        assert!(dumps.write(&file, b"second").is_err());
        assert_eq!(b"first", &*fs::read(&file).unwrap());
        assert_eq!(1, names(&dumps.folder).len());
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let options = CoredumpOptions {
            coredump: Some(dir.path().to_owned()),
            ..CoredumpOptions::default()
        };
        let error = Coredumps::open(&options).err().unwrap().to_string();
        assert!(error.contains("chmod 700"), "{error}");
    }
}
