//! The folder of recordings: private, bounded, and written by a thread of its own, so that no request waits for a
//! disk. Where the disk is full or slow, recordings are lost, and it is said.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Sink;
use super::recorder::{Head, file_name, is_file_name};
use super::waiting::{Batch, Waiting};
use crate::config::RecordOptions;
use crate::events;
use crate::private::make_private;
use crate::request::lock;

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
    let is_private = make_private(folder, 0o077).map_err(|error| fail(error.to_string()))?;
    if !is_private {
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
    /// Its first line, where that is no text yet.
    pub(crate) head: Option<Head>,
    /// The other lines, or all.
    pub(crate) bytes: Vec<u8>,
}

impl Kept {
    /// All lines.
    pub(crate) fn whole(&self) -> Cow<'_, [u8]> {
        let Some(head) = &self.head else {
            return Cow::Borrowed(&self.bytes);
        };
        let mut whole = Vec::with_capacity(self.size());
        head.push(&mut whole);
        whole.extend_from_slice(&self.bytes);
        Cow::Owned(whole)
    }

    /// About how many bytes that is.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.head.as_ref().map_or(0, Head::size)
    }
}

/// Writes recordings into a folder.
pub(crate) struct Keeper {
    waiting: Arc<Waiting>,
    lost: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    /// Starts writing.
    ///
    /// # Errors
    ///
    /// The folder cannot be read, or no thread is to be had.
    pub(crate) fn start(folder: &Path, options: &RecordOptions) -> io::Result<Self> {
        let waiting = Arc::<Waiting>::default();
        let mut folder = Folder::new(folder, options)?;
        let writing = waiting.clone();
        let thread = thread::Builder::new()
            .name("recordings".to_owned())
            .spawn(move || folder.write_all(&writing))?;
        Ok(Keeper {
            waiting,
            lost: AtomicU64::new(0),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Writes what is left.
    pub(crate) fn finish(&self) {
        self.waiting.finish();
        if let Some(thread) = lock(&self.thread).take() {
            // Where it panicked that was told.
            let _ = thread.join();
        }
    }
}

impl Sink for Keeper {
    fn keep(&self, kept: Kept) {
        if !self.waiting.push(kept) {
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

    fn write_all(&mut self, waiting: &Waiting) {
        let mut batch = Batch::default();
        while waiting.next(&mut batch) {
            self.write(&batch);
        }
    }

    /// A file for each failure, and successes with one write for many.
    fn write(&mut self, batch: &Batch) {
        for (name, bytes) in &batch.failures {
            if let Err(error) = self.write_file(name, bytes) {
                self.failed(1, &error);
            }
        }
        for (count, bytes) in batch.pieces(AT_ONCE.min(self.largest())) {
            if let Err(error) = self.append(bytes) {
                self.failed(count, &error);
            }
        }
    }

    /// How large a file of many becomes, in bytes.
    fn largest(&self) -> usize {
        usize::try_from(LARGEST.min(self.most_bytes / FILES)).unwrap_or(usize::MAX)
    }

    /// A file of its own. Whoever reads sees the whole of it or none.
    fn write_file(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.make_room(1, bytes.len())?;
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(&self.path)?;
        file.write_all(bytes)?;
        file.persist(self.path.join(name))?;
        self.kept.push_back((name.to_owned(), bytes.len() as u64));
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let largest = self.largest() as u64;
        self.open.take_if(|(_, size)| *size > largest);
        self.make_room(usize::from(self.open.is_none()), bytes.len())?;
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
    fn make_room(&mut self, files: usize, bytes: usize) -> io::Result<()> {
        let bytes = bytes as u64;
        if bytes > self.most_bytes {
            return Err(io::Error::other("one alone is larger than --record-size"));
        }
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
        Ok(())
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
