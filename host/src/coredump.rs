//! `--coredump`: a private folder of what traps have left, bounded in files and bytes.
//!
//! A dump has a client's data in it, so it is for who serves alone. It is put together once the connection has ended, by
//! somebody who has no request: a thread of its own, or a forked child whose slot is another's by then. One at a time
//! is, and one that would have to wait is dropped and counted. What cannot be written costs the dump and nothing else.

mod folder;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use self::folder::{ENDING, Folder, is_not_there};
use crate::concurrency::Table;
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

/// A private folder of core dumps, and who puts them together.
pub(crate) struct Coredumps {
    folder: Arc<Folder>,
    by: By,
    /// Dumps that were dropped, in this process.
    lost: AtomicU64,
}

/// Who puts dumps together. One at a time: each is as large as its instance, and then twice more.
enum By {
    /// Who has served the request, since there is no other.
    Itself,
    /// A thread that is started for it.
    Thread(Arc<Writers>),
    /// The child of the request, among all that share the table.
    Child(Arc<Table>),
}

/// Threads that see to dumps.
#[derive(Default)]
pub(crate) struct Writers {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// One puts its dump together.
    is_busy: bool,
    /// There are so many: those that have done so, and have not ended, too.
    threads: usize,
}

/// The right to put one dump together.
pub(crate) enum Turn {
    /// There is no other who could.
    Only,
    Thread(Arc<Writers>),
    Child(Arc<Table>),
}

impl Drop for Turn {
    fn drop(&mut self) {
        match self {
            Turn::Only => {}
            Turn::Thread(writers) => lock(&writers.state).is_busy = false,
            Turn::Child(table) => table.give_turn_back(std::process::id()),
        }
    }
}

/// A thread that sees to a dump, until it ends.
struct Writer(Arc<Writers>);

impl Writer {
    fn new(writers: Arc<Writers>) -> Self {
        lock(&writers.state).threads += 1;
        Writer(writers)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        lock(&self.0.state).threads -= 1;
        self.0.changed.notify_all();
    }
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
            folder: Arc::new(Folder {
                path: folder.to_owned(),
                files: options.coredump_files as usize,
                bytes: options.coredump_size.get().map_or(u64::MAX, |size| size.0),
            }),
            by: By::Itself,
            lost: AtomicU64::new(0),
        }))
    }

    /// A thread puts them together, so that a request does not wait.
    pub(crate) fn by_a_thread(mut self) -> Self {
        self.by = By::Thread(Arc::default());
        self
    }

    /// The children of the service that has this table put them together.
    pub(crate) fn by_children(mut self, table: Arc<Table>) -> Self {
        self.by = By::Child(table);
        self
    }

    /// The right to put a dump together, or `None` where another one is: that of the request is lost, and counted. It is
    /// asked for before the request's event is told, which names no file that is not to be.
    pub(crate) fn turn(&self) -> Option<Turn> {
        let lost = match &self.by {
            By::Itself => return Some(Turn::Only),
            By::Thread(writers) => {
                let was_busy = std::mem::replace(&mut lock(&writers.state).is_busy, true);
                if !was_busy {
                    return Some(Turn::Thread(writers.clone()));
                }
                &self.lost
            }
            By::Child(table) => {
                if table.take_turn(std::process::id()) {
                    return Some(Turn::Child(table.clone()));
                }
                &table.counters().dumps_lost
            }
        };
        let lost = lost.fetch_add(1, Relaxed) + 1;
        // A handler that fails again and again is no flood of warnings.
        if lost.is_power_of_two() {
            events::warning(&format!(
                "{lost} core dumps were dropped so far: another one was being put together"
            ));
        }
        None
    }

    /// Waits until no thread sees to one, at most until `end`.
    pub(crate) fn wait(&self, end: Option<Instant>) {
        let By::Thread(writers) = &self.by else {
            return;
        };
        let mut state = lock(&writers.state);
        while state.threads > 0 {
            let left = end.map_or(Duration::MAX, |end| {
                end.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return;
            }
            let waited = writers.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
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
        self.folder.path.join(format!("{name}-{id}-{now}{ENDING}"))
    }

    /// Writes a dump, once the connection has ended. What fails is a warning.
    pub(crate) fn keep(&self, turn: Turn, dump: CoreDump, file: &Path) {
        match &self.by {
            By::Itself => self.folder.keep(dump, file, turn),
            By::Child(table) => {
                table.set_dumping(std::process::id());
                self.folder.keep(dump, file, turn);
            }
            By::Thread(writers) => {
                let writer = Writer::new(writers.clone());
                let (folder, path) = (self.folder.clone(), file.to_owned());
                let started = thread::Builder::new()
                    .name("coredump".to_owned())
                    .spawn(move || {
                        folder.keep(dump, &path, turn);
                        drop(writer);
                    });
                if let Err(error) = started {
                    is_not_there(file, &error.to_string());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limit, Size};
    use std::fs;
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
        dumps.folder.make_room(bytes as u64);
        let path = dumps.folder.path.join(name);
        dumps
            .folder
            .write(&path, &vec![1; bytes], Turn::Only)
            .unwrap();
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
        assert_eq!(
            0o700,
            fs::metadata(&dumps.folder.path).unwrap().mode() & 0o777
        );
        let file = dumps.file("../a b", 7);
        assert!(file.starts_with(&dumps.folder.path), "{file:?}");
        dumps.folder.write(&file, b"first", Turn::Only).unwrap();
        assert_eq!(0o600, fs::metadata(&file).unwrap().mode() & 0o777);
        assert!(dumps.folder.write(&file, b"second", Turn::Only).is_err());
        assert_eq!(b"first", &*fs::read(&file).unwrap());
        assert_eq!(1, names(&dumps.folder.path).len());
    }

    #[test]
    fn one_at_a_time_is_put_together_and_who_would_wait_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let dumps = kept_in(dir.path(), 3, 100).by_a_thread();
        let turn = dumps.turn().unwrap();
        assert!(dumps.turn().is_none() && dumps.turn().is_none());
        assert_eq!(2, dumps.lost.load(Relaxed));
        drop(turn);
        assert!(dumps.turn().is_some());
    }

    #[test]
    fn the_end_waits_for_threads_that_see_to_dumps() {
        let dir = tempfile::tempdir().unwrap();
        let dumps = kept_in(dir.path(), 3, 100).by_a_thread();
        let By::Thread(writers) = &dumps.by else {
            panic!("by a thread");
        };
        let writer = Writer::new(writers.clone());
        dumps.wait(Some(Instant::now()));
        let ended = thread::spawn(move || drop(writer));
        dumps.wait(None);
        ended.join().unwrap();
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
