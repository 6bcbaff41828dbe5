//! What goes on between a request and the rest of the world, taken down, or given back from a recording.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::player::Player;
use super::{Event, Printed, Recording, Timed};
use crate::config::RECORDED;
use crate::outcome::Outcome;
use crate::request::{IoError, LogStream, lock};

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
const WORDS: [(IoError, &str); 7] = [
    (IoError::TimedOut, "timed-out"),
    (IoError::BrokenPipe, "broken-pipe"),
    (IoError::ConnectionReset, "connection-reset"),
    (IoError::MessageTooLong, "message-too-long"),
    (IoError::Amplifies, "amplifies"),
    (IoError::NotConnected, "not-connected"),
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
    events: Vec<Timed>,
    /// Bytes that may still be taken down.
    room: usize,
    /// Of those, what the handler sends may have: it can compute it again, unlike what it is given.
    room_to_send: usize,
    dropped: u64,
}

impl Journal {
    /// Takes down up to `room` bytes.
    pub(crate) fn recording(room: usize) -> Self {
        Journal {
            started: Instant::now(),
            tape: Mutex::new(Tape {
                // A short request has some six.
                events: Vec::with_capacity(8),
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

    fn note(&self, event: Event) {
        let at = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let size = event.size();
        let mut tape = lock(&self.tape);
        if tape.dropped > 0 || size > tape.room {
            tape.dropped += 1;
            return;
        }
        tape.room -= size;
        tape.events.push(Timed { at, event });
    }

    fn note_sent(&self, bytes: &[u8]) {
        let mut tape = lock(&self.tape);
        let size = size_of::<Timed>() + bytes.len();
        if size <= tape.room_to_send {
            tape.room_to_send -= size;
            drop(tape);
            self.note(Event::Sent(Bytes(bytes.to_vec())));
            return;
        }
        tape.room_to_send = 0;
        let count = bytes.len() as u64;
        match tape.events.last_mut().map(|timed| &mut timed.event) {
            Some(Event::SentMore(more)) => *more += count,
            _ => {
                drop(tape);
                self.note(Event::SentMore(count));
            }
        }
    }

    /// All that was taken down, and how many events had no room.
    pub(crate) fn take(&self) -> (Vec<Timed>, u64) {
        let mut tape = lock(&self.tape);
        (std::mem::take(&mut tape.events), tape.dropped)
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

    pub(crate) fn end(&self, end: super::End) {
        // It is short, and without it the rest is worth little.
        let at = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let event = Event::Ended(end);
        lock(&self.tape).events.push(Timed { at, event });
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
        self.note(match &result {
            Ok(count) => Event::Received(Bytes(buf[..*count].to_vec())),
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
            Ok(count) => self.note_sent(&buf[..*count]),
            Err(fail) => self.note(Event::SendFailed(fail.clone())),
        }
        result
    }

    pub(crate) fn flush(&self, flush: impl FnOnce() -> Result<(), Fail>) -> Result<(), Fail> {
        let result = match &self.player {
            Some(player) => lock(player).flush(),
            None => flush(),
        };
        self.note(match &result {
            Ok(()) => Event::Flushed,
            Err(fail) => Event::FlushFailed(fail.clone()),
        });
        result
    }

    /// A reading of a clock in nanoseconds; `now` is the real one's.
    pub(crate) fn clock(&self, clock: Clock, now: u64) -> u64 {
        let player = self.player.as_ref();
        let reading = player.map_or(now, |player| lock(player).clock(clock, now));
        self.note(Event::Clock(clock, reading));
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
        self.note(Event::Random(Bytes(bytes.to_vec())));
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
        self.note(match &result {
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
        self.note(Event::Printed(stream, Bytes(bytes.to_vec())));
    }

    /// What a handler has found in a granted folder: each place once.
    pub(crate) fn found(&self, event: Event) {
        let is_known = |timed: &Timed| match (&timed.event, &event) {
            (
                Event::Folder { folder, path, .. } | Event::File { folder, path, .. },
                Event::Folder {
                    folder: new_folder,
                    path: new_path,
                    ..
                }
                | Event::File {
                    folder: new_folder,
                    path: new_path,
                    ..
                },
            ) => folder == new_folder && path == new_path,
            _ => false,
        };
        if !lock(&self.tape).events.iter().any(is_known) {
            self.note(event);
        }
    }

    /// The handler uses something that a replay cannot give it.
    pub(crate) fn not_recorded(&self, what: &str) {
        let event = Event::NotRecorded(what.to_owned());
        let is_known = |timed: &Timed| timed.event == event;
        // Once is enough.
        if !lock(&self.tape).events.iter().any(is_known) {
            self.note(event);
        }
    }
}
