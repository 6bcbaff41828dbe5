//! The folder of recordings: private, bounded, and written by a thread of its own, so that no request waits for a
//! disk. Where the disk is full or slow, recordings are lost, and it is said.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::recorder::{file_name, is_file_name};
use super::{Recording, Sink};
use crate::config::RecordOptions;
use crate::events;
use crate::request::lock;

/// Recordings that wait to be written, and bytes in them; more are lost.
const WAITING: usize = 4096;
const WAITING_BYTES: usize = 64 << 20;

/// Who writes gathers for so long what else comes: to wake it for each recording would cost requests more than
/// recording them does.
const GATHERING: Duration = Duration::from_millis(5);

/// Successes that are written at once, in bytes.
const AT_ONCE: usize = 256 << 10;

/// A file of many recordings is followed by another one when it is larger, in bytes.
const LARGEST: u64 = 1 << 20;

/// There are at least so many such files before the oldest goes, with all that is in it.
const FILES: u64 = 8;

/// Losses are told once in so long.
const TOLD_AGAIN: Duration = Duration::from_secs(1);

/// How a file's name begins that is being written.
const UNFINISHED: &str = ".sandsock-";

/// Why a folder is not used for recordings.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep recordings in {}: {problem}", folder.display())]
pub(crate) struct KeeperError {
    folder: PathBuf,
    problem: String,
}

/// Makes the folder, for its owner only, where it is not there.
///
/// # Errors
///
/// It cannot be made, or others could read or write what is in it.
pub(crate) fn prepare_folder(folder: &Path) -> Result<(), KeeperError> {
    let fail = |problem: String| KeeperError {
        folder: folder.to_owned(),
        problem,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| fail(error.to_string()))?;
    let found = fs::metadata(folder).map_err(|error| fail(error.to_string()))?;
    if found.uid() != nix::unistd::geteuid().as_raw() || found.mode() & 0o077 != 0 {
        return Err(fail(
            "it has to belong to the user that serves, with mode 0700, since recordings hold what clients send: `chown` and `chmod 700` it".to_owned(),
        ));
    }
    Ok(())
}

/// What waits to be written.
pub(crate) struct Kept {
    /// The name of its file; none of a success, which has no file of its own.
    pub(crate) name: Option<String>,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    Recording(Box<Recording>),
    /// From another process, as it is to be in the file.
    Bytes(Vec<u8>),
}

impl Kept {
    /// About what it takes while it waits.
    fn size(&self) -> usize {
        match &self.content {
            Content::Recording(recording) => recording.size(),
            Content::Bytes(bytes) => bytes.len(),
        }
    }
}

/// Writes recordings into a folder.
pub(crate) struct Keeper {
    queue: Arc<Queue>,
    lost: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Between requests and who writes.
#[derive(Default)]
struct Queue {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    kept: Vec<Kept>,
    bytes: usize,
    /// Who writes sleeps until something comes.
    is_idle: bool,
    /// Nothing comes any more.
    is_finished: bool,
}

impl Queue {
    /// Whether there is room for it.
    fn push(&self, kept: Kept) -> bool {
        let size = kept.size();
        let mut state = lock(&self.state);
        let is_full = state.kept.len() >= WAITING || state.bytes + size > WAITING_BYTES;
        if is_full || state.is_finished {
            return false;
        }
        state.kept.push(kept);
        state.bytes += size;
        if std::mem::take(&mut state.is_idle) || state.kept.len() == WAITING / 2 {
            self.changed.notify_one();
        }
        true
    }

    fn finish(&self) {
        lock(&self.state).is_finished = true;
        self.changed.notify_one();
    }

    /// All that has come, once something has; nothing at the end.
    fn next(&self) -> Vec<Kept> {
        let wait = |state, time| {
            let waited = self.changed.wait_timeout(state, time);
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
        let mut state = lock(&self.state);
        while state.kept.is_empty() && !state.is_finished {
            state.is_idle = true;
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.is_idle = false;
        if !state.is_finished && state.kept.len() < WAITING / 2 {
            state = wait(state, GATHERING);
        }
        state.bytes = 0;
        std::mem::take(&mut state.kept)
    }
}

impl Keeper {
    /// Starts writing.
    ///
    /// # Errors
    ///
    /// The folder cannot be read, or no thread is to be had.
    pub(crate) fn start(folder: &Path, options: &RecordOptions) -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let mut folder = Folder::new(folder, options)?;
        let waiting = queue.clone();
        let thread = thread::Builder::new()
            .name("recordings".to_owned())
            .spawn(move || folder.write_all(&waiting))?;
        Ok(Keeper {
            queue,
            lost: AtomicU64::new(0),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Writes what is left.
    pub(crate) fn finish(&self) {
        self.queue.finish();
        if let Some(thread) = lock(&self.thread).take() {
            // Where it panicked that was told.
            let _ = thread.join();
        }
    }
}

impl Sink for Keeper {
    fn keep(&self, kept: Kept) {
        if !self.queue.push(kept) {
            let lost = self.lost.fetch_add(1, Relaxed) + 1;
            if lost.is_power_of_two() {
                events::warning(&format!(
                    "{lost} recordings were lost so far: they come faster than they are written"
                ));
            }
        }
    }
}

struct Folder {
    path: PathBuf,
    /// Files, and bytes in them, that are kept at most.
    most: usize,
    most_bytes: u64,
    /// What is there, the oldest first, and its bytes.
    kept: VecDeque<(String, u64)>,
    bytes: u64,
    /// Where recordings of successes are put one behind the other.
    open: Option<(File, u64)>,
    told: Option<Instant>,
    lost: u64,
}

impl Folder {
    fn new(path: &Path, options: &RecordOptions) -> io::Result<Self> {
        let mut kept: Vec<(String, u64)> = fs::read_dir(path)?
            .filter_map(|file| {
                let file = file.ok()?;
                let name = file.file_name().into_string().ok()?;
                // Only what has the name of a recording is ours to remove, and what a killed server has not finished.
                let is_ours = is_file_name(&name) || name.starts_with(UNFINISHED);
                is_ours.then_some((name, file.metadata().ok()?.len()))
            })
            .collect();
        kept.sort();
        Ok(Folder {
            path: path.to_owned(),
            most: options.record_max as usize,
            most_bytes: options.record_size.get().map_or(u64::MAX, |size| size.0),
            bytes: kept.iter().map(|(_, size)| size).sum(),
            kept: kept.into(),
            open: None,
            told: None,
            lost: 0,
        })
    }

    fn write_all(&mut self, queue: &Queue) {
        loop {
            let kept = queue.next();
            if kept.is_empty() {
                return;
            }
            self.write(kept);
        }
    }

    /// A file for each failure, and successes with one write for many.
    fn write(&mut self, all: Vec<Kept>) {
        let mut successes = Vec::new();
        let mut count = 0;
        for Kept { name, content } in all {
            let bytes = match content {
                Content::Recording(recording) => recording.to_bytes(),
                Content::Bytes(bytes) => bytes,
            };
            if bytes.len() as u64 > self.most_bytes {
                self.failed(
                    1,
                    &io::Error::other("one alone is larger than --record-size"),
                );
                continue;
            }
            if let Some(name) = name {
                if let Err(error) = self.write_file(name, &bytes) {
                    self.failed(1, &error);
                }
                continue;
            }
            if successes.len() + bytes.len() > AT_ONCE.min(self.largest()) {
                self.append(count, &successes);
                successes.clear();
                count = 0;
            }
            successes.extend_from_slice(&bytes);
            count += 1;
        }
        self.append(count, &successes);
    }

    /// How large a file of many becomes, in bytes.
    fn largest(&self) -> usize {
        usize::try_from(LARGEST.min(self.most_bytes / FILES)).unwrap_or(usize::MAX)
    }

    /// A file of its own. Whoever reads sees the whole of it or none.
    fn write_file(&mut self, name: String, bytes: &[u8]) -> io::Result<()> {
        self.make_room(1, bytes.len());
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(&self.path)?;
        file.write_all(bytes)?;
        file.persist(self.path.join(&name))?;
        self.kept.push_back((name, bytes.len() as u64));
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn append(&mut self, count: u64, bytes: &[u8]) {
        if count > 0
            && let Err(error) = self.try_append(bytes)
        {
            self.failed(count, &error);
        }
    }

    fn try_append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let largest = self.largest() as u64;
        self.open.take_if(|(_, size)| *size > largest);
        self.make_room(usize::from(self.open.is_none()), bytes.len());
        // The oldest file, which had to go, can have been the open one.
        if self.open.is_none() {
            let name = file_name("ok", None);
            let mut options = OpenOptions::new();
            let file = options.create_new(true).append(true).mode(0o600);
            self.open = Some((file.open(self.path.join(&name))?, 0));
            self.kept.push_back((name, 0));
        }
        let Some((file, size)) = &mut self.open else {
            return Ok(());
        };
        let written = file.write_all(bytes);
        if written.is_err() {
            // What of it is there would make the next one unreadable.
            let _ = file.set_len(*size);
            return written;
        }
        *size += bytes.len() as u64;
        self.bytes += bytes.len() as u64;
        let newest = self.kept.iter_mut().rev();
        for (_, kept) in newest.filter(|(name, _)| name.contains("-ok.")).take(1) {
            *kept = *size;
        }
        Ok(())
    }

    /// The oldest go until there is room for so many more files and bytes.
    fn make_room(&mut self, files: usize, bytes: usize) {
        let bytes = bytes as u64;
        while self.kept.len() + files > self.most || self.bytes + bytes > self.most_bytes {
            let Some((name, size)) = self.kept.pop_front() else {
                break;
            };
            if self.kept.iter().all(|(name, _)| !name.contains("-ok.")) {
                self.open = None;
            }
            // Somebody else may have been faster.
            let _ = fs::remove_file(self.path.join(name));
            self.bytes -= size;
        }
    }

    fn failed(&mut self, count: u64, error: &io::Error) {
        self.lost += count;
        if self.told.is_none_or(|told| told.elapsed() >= TOLD_AGAIN) {
            events::warning(&format!(
                "{} recordings could not be written to {}: {error}",
                self.lost,
                self.path.display()
            ));
            self.told = Some(Instant::now());
            self.lost = 0;
        }
    }
}

#[cfg(test)]
mod tests;
