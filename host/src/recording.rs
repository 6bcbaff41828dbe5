//! What a request was given and what came of it, so that it can be run again without its client.
//!
//! A recording has every result of the host that a handler could not compute by itself: what was received and in
//! which pieces, what failed and why, readings of clocks, random bytes, what a poll said; and what the handler made
//! of it: what it sent and printed, and how it ended. [`Journal`] takes it down while a request runs, and gives it
//! back when it runs again. `docs/recordings.md` is the format.

mod bytes;
mod compare;
mod folders;
mod format;
mod journal;
mod keeper;
mod player;
#[cfg(test)]
mod properties;
mod recorder;
mod waiting;

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use bytes::Bytes;
pub(crate) use compare::differences;
pub(crate) use folders::restore;
pub(crate) use journal::{Clock, Fail, Journal};
pub(crate) use keeper::{Keeper, Kept, prepare_folder};
pub(crate) use recorder::{Recorder, Sink, is_file_name, recording};

use crate::config::Limits;
use crate::outcome::Outcome;
use crate::request::PeerCredentials;
use crate::sandbox::snapshot::Origin;

/// The version of the format.
const VERSION: u32 = 1;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    pub(crate) header: Header,
    pub(crate) events: Vec<Timed>,
}

/// The first line: one object with the fields of both.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Header {
    #[serde(flatten)]
    pub(crate) request: OfRequest,
    #[serde(flatten)]
    pub(crate) service: OfService,
}

/// What a header says of its request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OfRequest {
    /// The version of the format.
    pub(crate) recording: u32,
    /// When it was made: UTC, RFC 3339.
    pub(crate) time: String,
    pub(crate) id: u64,
    /// `tcp`, `udp`, `unix`, `unixgram`.
    pub(crate) transport: Cow<'static, str>,
    pub(crate) client: String,
    pub(crate) server: String,
    /// Whom the system knows at the other end of a Unix stream: a command's environment names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<Peer>,
    /// Events that there was no room for: it cannot be replayed to its end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) dropped: u64,
}

/// What a header says of who served: the same for all requests until another handler is loaded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OfService {
    /// The version of the program.
    pub(crate) sandsock: Cow<'static, str>,
    #[serde(rename = "service")]
    pub(crate) name: String,
    pub(crate) handler: HandlerFile,
    pub(crate) limits: LimitsInForce,
}

impl OfService {
    pub(crate) fn new(name: &str, handler: HandlerFile, limits: &Limits) -> Self {
        OfService {
            sandsock: env!("CARGO_PKG_VERSION").into(),
            name: name.to_owned(),
            handler,
            limits: limits.into(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Process, user and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    pid: i32,
    uid: u32,
    gid: u32,
}

impl From<PeerCredentials> for Peer {
    fn from(PeerCredentials { pid, uid, gid }: PeerCredentials) -> Self {
        Peer { pid, uid, gid }
    }
}

impl From<Peer> for PeerCredentials {
    fn from(Peer { pid, uid, gid }: Peer) -> Self {
        PeerCredentials { pid, uid, gid }
    }
}

/// What served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HandlerFile {
    /// Its path, as the server was given it.
    pub(crate) file: String,
    /// The digest of what was in it, in hexadecimal.
    pub(crate) sha256: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// The guest's names of granted folders, and whether it may write there.
    #[serde(default)]
    pub(crate) dirs: Vec<(String, bool)>,
    /// What its snapshot started from, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot: Option<Origin>,
}

/// Milliseconds and bytes; none for a limit that was switched off.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LimitsInForce {
    deadline_ms: Option<u64>,
    idle_timeout_ms: Option<u64>,
    cpu_ms: Option<u64>,
    memory: Option<u64>,
    input: Option<u64>,
    output: Option<u64>,
    log: Option<u64>,
}

impl From<&Limits> for LimitsInForce {
    fn from(limits: &Limits) -> Self {
        let millis =
            |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        LimitsInForce {
            deadline_ms: limits.deadline.map(millis),
            idle_timeout_ms: limits.idle_timeout.map(millis),
            cpu_ms: limits.cpu.map(millis),
            memory: limits.memory,
            input: limits.input,
            output: limits.output,
            log: limits.log,
        }
    }
}

impl From<&LimitsInForce> for Limits {
    fn from(limits: &LimitsInForce) -> Self {
        Limits {
            deadline: limits.deadline_ms.map(Duration::from_millis),
            idle_timeout: limits.idle_timeout_ms.map(Duration::from_millis),
            cpu: limits.cpu_ms.map(Duration::from_millis),
            memory: limits.memory,
            input: limits.input,
            output: limits.output,
            log: limits.log,
        }
    }
}

/// One of the lines behind the first: something that happened, so many microseconds after the request's start.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Timed {
    pub(crate) at: u64,
    #[serde(flatten)]
    pub(crate) event: Event<'static>,
}

/// What can happen in a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Event<'a> {
    /// What one receive has brought; nothing is the end of input.
    Received(Bytes<'a>),
    ReceiveFailed(Fail),
    /// What the system took of what the handler wrote.
    Sent(Bytes<'a>),
    /// What was sent, in bytes, when half of a recording's room was full of what was sent already.
    SentMore(u64),
    SendFailed(Fail),
    /// What a datagram had collected became a packet.
    Flushed,
    FlushFailed(Fail),
    Clock(Clock, u64),
    Random(Bytes<'a>),
    /// Which of the things that it waited for were there, by their number.
    Ready(Vec<u32>),
    WaitFailed(Fail),
    Printed(Printed, Bytes<'a>),
    /// What lay in a granted folder that it opened, or could open.
    Folder {
        folder: String,
        path: String,
        entries: Vec<Entry>,
    },
    /// What was in a file that it opened.
    File {
        folder: String,
        path: String,
        /// Seconds since 1970.
        modified: i64,
        content: Bytes<'a>,
    },
    /// Something that a replay cannot give: what.
    NotRecorded(String),
    Ended(End),
}

impl Event<'_> {
    /// What it takes in memory, in bytes.
    fn size(&self) -> usize {
        let bytes = match self {
            Event::Received(bytes)
            | Event::Sent(bytes)
            | Event::Random(bytes)
            | Event::Printed(_, bytes) => bytes.0.len(),
            Event::File {
                folder,
                path,
                content,
                ..
            } => folder.len() + path.len() + content.0.len(),
            Event::Folder {
                folder,
                path,
                entries,
            } => {
                let names = entries
                    .iter()
                    .map(|entry| size_of::<Entry>() + entry.name.len());
                folder.len() + path.len() + names.sum::<usize>()
            }
            Event::NotRecorded(what) => what.len(),
            _ => 0,
        };
        size_of::<Timed>() + bytes
    }
}

/// What lies in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: EntryKind,
    /// Bytes of a file.
    pub(crate) size: u64,
    /// Seconds since 1970.
    pub(crate) modified: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EntryKind {
    File,
    Folder,
}

/// Where the handler printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Printed {
    Stdout,
    Stderr,
}

/// How it ended, in the words of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) outcome: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    pub(crate) duration_us: u64,
    pub(crate) cpu_us: u64,
    pub(crate) memory_peak: u64,
}

impl Recording {
    /// What a replay cannot give the handler, each in a line.
    pub(crate) fn not_replayed(&self) -> Vec<String> {
        let mut notes: Vec<String> = self
            .events
            .iter()
            .filter_map(|timed| match &timed.event {
                Event::NotRecorded(what) => Some(format!("note: not recorded: {what}")),
                _ => None,
            })
            .collect();
        if self.header.request.dropped > 0 {
            notes.push(format!(
                "note: the recording has no room for {} events",
                self.header.request.dropped
            ));
        }
        notes
    }

    /// The limit that stopped the handler while it computed, and the CPU time that it had used by then: no event has
    /// either, since a replay computes at its own speed.
    pub(crate) fn stopped(&self) -> Option<(Outcome, Duration)> {
        let end = self.end()?;
        let stops = [Outcome::Cut, Outcome::CpuLimit, Outcome::Deadline];
        let limit = stops
            .into_iter()
            .find(|limit| limit.as_str() == end.outcome)?;
        let is_of_limit = |timed: &Timed| match &timed.event {
            Event::ReceiveFailed(fail)
            | Event::SendFailed(fail)
            | Event::FlushFailed(fail)
            | Event::WaitFailed(fail) => fail.limit() == Some(limit),
            _ => false,
        };
        let is_in_an_event = self.events.iter().any(is_of_limit);
        (!is_in_an_event).then(|| (limit, Duration::from_micros(end.cpu_us)))
    }

    /// How the request ended.
    pub(crate) fn end(&self) -> Option<&End> {
        self.events
            .iter()
            .rev()
            .find_map(|timed| match &timed.event {
                Event::Ended(end) => Some(end),
                _ => None,
            })
    }
}
