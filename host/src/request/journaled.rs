//! What goes through a request's journal, where it has one: all that a handler could not compute by itself.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::{IoError, Request};
use crate::outcome::Outcome;
use crate::recording::{Bytes, Clock, Entry, Event, Fail, Journal};

use std::sync::atomic::Ordering::Relaxed;

/// The limits by which an operation can fail.
const LIMITS: [Outcome; 4] = [
    Outcome::Cut,
    Outcome::CpuLimit,
    Outcome::Deadline,
    Outcome::IdleTimeout,
];

impl Request {
    /// With a journal.
    pub(crate) fn journaled(mut self, journal: Option<Journal>) -> Self {
        self.journal = journal;
        self
    }

    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    pub(super) fn recv(&self, buf: &mut [u8]) -> Result<usize, IoError> {
        let Some(journal) = &self.journal else {
            return self.recv_now(buf);
        };
        let receive = |buf: &mut [u8]| self.recv_now(buf).map_err(|error| self.fail(error));
        journal
            .receive(buf, receive)
            .map_err(|fail| self.failed_so(&fail))
    }

    pub(super) fn send(&self, piece: &[u8]) -> Result<usize, IoError> {
        let Some(journal) = &self.journal else {
            return self.send_now(piece);
        };
        let send = || self.send_now(piece).map_err(|error| self.fail(error));
        journal
            .send(piece, send)
            .map_err(|fail| self.failed_so(&fail))
    }

    pub(super) fn flushed(&self, flush: impl FnOnce() -> io::Result<()>) -> Result<(), IoError> {
        let flush = || flush().map_err(|error| self.failed(&error));
        // A stream holds nothing back.
        let journal = self
            .journal
            .as_ref()
            .filter(|_| self.transport.is_datagram());
        let Some(journal) = journal else {
            return flush();
        };
        let flush = || flush().map_err(|error| self.fail(error));
        journal.flush(flush).map_err(|fail| self.failed_so(&fail))
    }

    /// A clock's reading in nanoseconds.
    pub(crate) fn now(&self, clock: Clock) -> u64 {
        let since = match clock {
            Clock::Wall => SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            Clock::Monotonic => self.started().elapsed(),
        };
        let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let journal = self.journal.as_ref();
        journal.map_or(now, |journal| journal.clock(clock, now))
    }

    /// Random bytes, which `fill` draws from the system.
    ///
    /// # Errors
    ///
    /// Those of `fill`.
    pub(crate) fn random<E>(
        &self,
        bytes: &mut [u8],
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.journal {
            Some(journal) => journal.random(bytes, fill),
            None => fill(bytes),
        }
    }

    /// Which of several things are there, by their numbers, which `wait` says.
    ///
    /// # Errors
    ///
    /// [`IoError::Ended`].
    pub(crate) fn waited(
        &self,
        wait: impl FnOnce() -> Result<Vec<u32>, IoError>,
    ) -> Result<Vec<u32>, IoError> {
        let Some(journal) = &self.journal else {
            return wait();
        };
        let wait = || wait().map_err(|error| self.fail(error));
        journal.wait(wait).map_err(|fail| self.failed_so(&fail))
    }

    pub(crate) fn found_folder(&self, folder: &str, path: &Path, entries: Vec<Entry>) {
        if let Some(journal) = &self.journal {
            journal.found(&Event::Folder {
                folder: folder.to_owned(),
                path: path.to_string_lossy().into_owned(),
                entries,
            });
        }
    }

    pub(crate) fn found_file(&self, folder: &str, path: &Path, modified: i64, content: Vec<u8>) {
        if let Some(journal) = &self.journal {
            journal.found(&Event::File {
                folder: folder.to_owned(),
                path: path.to_string_lossy().into_owned(),
                modified,
                content: Bytes::from(content),
            });
        }
    }

    /// The handler uses something that a recording does not have.
    pub(crate) fn not_recorded(&self, what: &str) {
        if let Some(journal) = &self.journal {
            journal.not_recorded(what);
        }
    }

    /// Where the request runs again: whether guest code must end now. Its deadline is not looked at: nothing waits in a
    /// replay, and how long it takes says nothing of the handler.
    pub(super) fn is_over_again(&self) -> Option<bool> {
        let journal = self
            .journal
            .as_ref()
            .filter(|journal| journal.is_playing())?;
        if let Some((limit, after)) = journal.stopped()
            && self.cpu_used() >= after
        {
            self.bounds.fire(limit);
            return Some(true);
        }
        Some(self.bounds.cpu_is_over())
    }

    /// For the journal.
    fn fail(&self, error: IoError) -> Fail {
        let is_by_limit = matches!(error, IoError::Ended | IoError::TimedOut);
        let limit = LIMITS
            .into_iter()
            .find(|limit| is_by_limit && self.bounds.has_fired(*limit));
        Fail::new(error, limit, self.client_gone.load(Relaxed))
    }

    /// From the journal: what the failure has changed is changed again.
    fn failed_so(&self, fail: &Fail) -> IoError {
        if let Some(limit) = fail.limit() {
            self.bounds.fire(limit);
        }
        if fail.gone {
            self.client_gone.store(true, Relaxed);
        }
        let error = fail.error();
        if error == IoError::Amplifies {
            self.amplifies.store(true, Relaxed);
        }
        error
    }
}
