//! What goes on between a request and the rest of the world, taken down, or given back from a recording.

use std::collections::HashSet;
use std::mem;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::format::push_line;
use super::player::Player;
use super::{End, Event, Printed, Recording};
use crate::config::RECORDED;
use crate::outcome::Outcome;
use crate::request::{IoError, LogStream, lock};
use crate::text::clipped;

/// Which clock was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Clock {
    /// The time of day: nanoseconds since 1970.
    Wall,
    /// Nanoseconds since the request's start.
    Monotonic,
}

/// Why an operation failed, and the limit that it failed by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fail {
    error: String,
    /// The limit that ended it, in the words of outcomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
    /// The client is not there any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) gone: bool,
}

/// The errors of an operation that have a word; others are `errno N`.
const WORDS: [(IoError, &str); 10] = [
    (IoError::TimedOut, "timed-out"),
    (IoError::BrokenPipe, "broken-pipe"),
    (IoError::ConnectionReset, "connection-reset"),
    (IoError::MessageTooLong, "message-too-long"),
    (IoError::Amplifies, "amplifies"),
    (IoError::NotConnected, "not-connected"),
    (IoError::NotTheSenders, "not-the-senders"),
    (IoError::UnknownSender, "unknown-sender"),
    (IoError::NoProc, "no-proc"),
    (IoError::Ended, "ended"),
];

impl Fail {
    pub(crate) fn new(error: IoError, limit: Option<Outcome>, gone: bool) -> Self {
        let word = WORDS.iter().find(|(known, _)| *known == error);
        let error = match (word, error) {
            (Some((_, word)), _) => (*word).to_owned(),
            (None, IoError::Other(code)) => format!("errno {code}"),
            (None, _) => "errno 5".to_owned(),
        };
        Fail {
            error,
            limit: limit.map(|limit| limit.to_string()),
            gone,
        }
    }

    pub(crate) fn error(&self) -> IoError {
        let known = WORDS.iter().find(|(_, word)| *word == self.error);
        match known {
            Some((error, _)) => *error,
            // EIO where a person has written something else.
            None => IoError::Other(
                self.error
                    .strip_prefix("errno ")
                    .and_then(|code| code.parse().ok())
                    .unwrap_or(5),
            ),
        }
    }

    pub(crate) fn limit(&self) -> Option<Outcome> {
        let limit = self.limit.as_deref()?;
        Outcome::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == limit)
    }
}

/// What is taken down of one request, at most so many bytes.
pub(crate) struct Journal {
    started: Instant,
    tape: Mutex<Tape>,
    /// Where the request runs again.
    player: Option<Mutex<Player>>,
    /// The limit that stops it after so much CPU time, where it runs again.
    stopped: Option<(Outcome, Duration)>,
}

struct Tape {
    /// The lines of a recording's file.
    lines: Vec<u8>,
    /// Bytes that were sent and are no more in it, and since when.
    sent_more: Option<(u64, u64)>,
    /// What is told once.
    told: HashSet<String>,
    /// Bytes that may still be taken down.
    room: usize,
    /// Of those, what the handler sends may have: it can compute it again, unlike what it is given.
    room_to_send: usize,
    dropped: u64,
}

impl Tape {
    /// Whether there was room for it.
    fn note(&mut self, at: u64, event: &Event<'_>) -> bool {
        let takes = self.takes(event.size());
        if takes {
            self.note_sent_more();
            push_line(&mut self.lines, at, event);
        }
        takes
    }

    /// Whether there is room for so many bytes.
    fn takes(&mut self, size: usize) -> bool {
        if self.dropped > 0 || size > self.room {
            self.dropped += 1;
            return false;
        }
        self.room -= size;
        true
    }

    fn send(&mut self, at: u64, bytes: &[u8]) {
        let event = Event::Sent(bytes.into());
        let size = event.size();
        if size <= self.room_to_send {
            self.room_to_send -= size;
            self.note(at, &event);
            return;
        }
        self.room_to_send = 0;
        let count = bytes.len() as u64;
        if let Some((_, more)) = &mut self.sent_more {
            *more += count;
        } else if self.takes(Event::SentMore(count).size()) {
            self.sent_more = Some((at, count));
        }
    }

    /// Nothing is added to it any more.
    fn note_sent_more(&mut self) {
        if let Some((at, count)) = self.sent_more.take() {
            push_line(&mut self.lines, at, &Event::SentMore(count));
        }
    }
}

impl Journal {
    /// Takes down up to `room` bytes.
    pub(crate) fn recording(room: usize) -> Self {
        Journal {
            started: Instant::now(),
            tape: Mutex::new(Tape {
                lines: Vec::with_capacity(SHORT),
                sent_more: None,
                told: HashSet::new(),
                room,
                room_to_send: room / 2,
                dropped: 0,
            }),
            player: None,
            stopped: None,
        }
    }

    /// Gives back what a recording has, and takes down what becomes of it.
    pub(crate) fn playing(recording: &Recording) -> Self {
        Journal {
            player: Some(Mutex::new(Player::new(&recording.events))),
            stopped: recording.stopped(),
            // With as much room as it had: a handler may write for ever now.
            ..Journal::recording(RECORDED)
        }
    }

    /// Microseconds since the request's start.
    fn at(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn note(&self, event: &Event<'_>) {
        lock(&self.tape).note(self.at(), event);
    }

    /// All that was taken down, a line each, and how many events had no room.
    pub(crate) fn take(&self) -> (Vec<u8>, u64) {
        let mut tape = lock(&self.tape);
        tape.note_sent_more();
        (mem::take(&mut tape.lines), tape.dropped)
    }

    /// Whether the request runs again.
    pub(crate) fn is_playing(&self) -> bool {
        self.player.is_some()
    }

    /// The limit that stops it after so much CPU time, where it runs again.
    pub(crate) fn stopped(&self) -> Option<(Outcome, Duration)> {
        self.stopped
    }

    /// What was wanted that the recording does not have.
    pub(crate) fn missed(&self) -> Vec<String> {
        let player = self.player.as_ref();
        player.map_or_else(Vec::new, |player| lock(player).missed())
    }

    pub(crate) fn end(&self, end: End) {
        let mut tape = lock(&self.tape);
        tape.note_sent_more();
        // It is short, and without it the rest is worth little: it needs no room.
        push_line(&mut tape.lines, self.at(), &Event::Ended(end));
    }

    pub(crate) fn receive(
        &self,
        buf: &mut [u8],
        receive: impl FnOnce(&mut [u8]) -> Result<usize, Fail>,
    ) -> Result<usize, Fail> {
        let result = match &self.player {
            Some(player) => lock(player).receive(buf),
            None => receive(buf),
        };
        self.note(&match &result {
            Ok(count) => Event::Received(Bytes::from(&buf[..*count])),
            Err(fail) => Event::ReceiveFailed(fail.clone()),
        });
        result
    }

    pub(crate) fn send(
        &self,
        buf: &[u8],
        send: impl FnOnce() -> Result<usize, Fail>,
    ) -> Result<usize, Fail> {
        let played = self.player.as_ref();
        let result = match played.map(|player| lock(player).send(buf.len())) {
            Some(result) => result,
            None => send(),
        };
        match &result {
            Ok(count) => lock(&self.tape).send(self.at(), &buf[..*count]),
            Err(fail) => self.note(&Event::SendFailed(fail.clone())),
        }
        result
    }

    pub(crate) fn flush(&self, flush: impl FnOnce() -> Result<(), Fail>) -> Result<(), Fail> {
        let result = match &self.player {
            Some(player) => lock(player).flush(),
            None => flush(),
        };
        self.note(&match &result {
            Ok(()) => Event::Flushed,
            Err(fail) => Event::FlushFailed(fail.clone()),
        });
        result
    }

    /// A reading of a clock in nanoseconds; `now` is the real one's.
    pub(crate) fn clock(&self, clock: Clock, now: u64) -> u64 {
        let player = self.player.as_ref();
        let reading = player.map_or(now, |player| lock(player).clock(clock, now));
        self.note(&Event::Clock(clock, reading));
        reading
    }

    /// Random bytes; `fill` draws them from the system.
    pub(crate) fn random<E>(
        &self,
        bytes: &mut [u8],
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.player {
            Some(player) => lock(player).random(bytes),
            None => fill(bytes)?,
        }
        self.note(&Event::Random(Bytes::from(&*bytes)));
        Ok(())
    }

    /// What of several things is there, by number.
    pub(crate) fn wait(
        &self,
        wait: impl FnOnce() -> Result<Vec<u32>, Fail>,
    ) -> Result<Vec<u32>, Fail> {
        let played = self.player.as_ref();
        let result = match played.and_then(|player| lock(player).ready()) {
            Some(result) => result,
            None => wait(),
        };
        self.note(&match &result {
            Ok(ready) => Event::Ready(ready.clone()),
            Err(fail) => Event::WaitFailed(fail.clone()),
        });
        result
    }

    pub(crate) fn print(&self, stream: LogStream, bytes: &[u8]) {
        let stream = match stream {
            LogStream::Stdout => Printed::Stdout,
            LogStream::Stderr => Printed::Stderr,
        };
        self.note(&Event::Printed(stream, bytes.into()));
    }

    /// What a handler has found in a granted folder: each place once.
    pub(crate) fn found(&self, event: &Event<'_>) {
        if let Event::Folder { folder, path, .. } | Event::File { folder, path, .. } = event {
            self.note_once(format!("{folder}\0{path}"), event);
        }
    }

    /// The handler uses something that a replay cannot give it.
    pub(crate) fn not_recorded(&self, what: &str) {
        // A path in it is the guest's.
        let what = clipped(what, LONGEST_NOTE);
        self.note_once(what.clone(), &Event::NotRecorded(what));
    }

    fn note_once(&self, what: String, event: &Event<'_>) {
        let mut tape = lock(&self.tape);
        if !tape.told.contains(&what) && tape.note(self.at(), event) {
            tape.told.insert(what);
        }
    }
}

/// What a note of something that is not recorded has at most, in characters.
const LONGEST_NOTE: usize = 500;

/// More than a short request's events take, in bytes.
const SHORT: usize = 512;
