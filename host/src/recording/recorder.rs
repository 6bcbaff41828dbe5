//! Which requests of a service are recorded, and what becomes of their recordings.

use std::sync::Arc;
use std::time::SystemTime;

use super::keeper::Kept;
use super::{End, HandlerFile, Header, Journal, Recording, VERSION};
use crate::config::{Limits, RecordWhen};
use crate::handler::Ended;
use crate::outcome::Outcome;
use crate::request::Request;

/// Where recordings go: to the folder, or to the process that has it.
pub(crate) trait Sink: Send + Sync {
    /// Takes a recording over; it must not wait for a disk.
    fn keep(&self, kept: Kept);
}

/// Of one service.
pub(crate) struct Recorder {
    pub(crate) when: RecordWhen,
    /// Bytes of one recording at most.
    pub(crate) room: usize,
    /// What serves; its digest is the handler's of the request.
    pub(crate) handler: HandlerFile,
    pub(crate) sink: Arc<dyn Sink>,
}

impl Recorder {
    /// For a request that begins, if it could be kept.
    pub(crate) fn begin(&self, id: u64) -> Option<Journal> {
        let is_wanted = match self.when {
            RecordWhen::Fail | RecordWhen::All => true,
            RecordWhen::OneIn(n) => id.is_multiple_of(n.get()),
        };
        is_wanted.then(|| Journal::recording(self.room))
    }

    /// The file of a request that has failed.
    pub(crate) fn name(
        &self,
        service: &str,
        request: &Request,
        outcome: Outcome,
    ) -> Option<String> {
        request.journal()?;
        (outcome != Outcome::Ok).then(|| file_name(service, Some(request.id())))
    }

    /// Hands it over, if it is to be kept.
    pub(crate) fn keep(
        &self,
        name: Option<String>,
        service: &str,
        limits: &Limits,
        digest: &str,
        request: &Request,
        ended: &Ended,
    ) {
        let Some(journal) = request.journal() else {
            return;
        };
        if name.is_none() && self.when == RecordWhen::Fail {
            return;
        }
        // Another one has come in its place since the service started: what its snapshot started from is not known here.
        let is_first = digest == self.handler.sha256;
        let handler = HandlerFile {
            sha256: digest.to_owned(),
            snapshot: self.handler.snapshot.clone().filter(|_| is_first),
            ..self.handler.clone()
        };
        let recording = recording(journal, service, limits, handler, request, ended);
        let bytes = recording.to_bytes();
        self.sink.keep(Kept { name, bytes });
    }
}

/// Of what a journal has taken down.
pub(crate) fn recording(
    journal: &Journal,
    service: &str,
    limits: &Limits,
    handler: HandlerFile,
    request: &Request,
    ended: &Ended,
) -> Recording {
    let micros =
        |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    journal.end(End {
        outcome: ended.outcome.to_string(),
        detail: ended.detail.clone(),
        duration_us: micros(ended.duration),
        cpu_us: micros(ended.cpu),
        memory_peak: ended.memory_peak,
    });
    let (events, dropped) = journal.take();
    Recording {
        header: Header {
            recording: VERSION,
            sandsock: env!("CARGO_PKG_VERSION").to_owned(),
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            service: service.to_owned(),
            id: request.id(),
            transport: request.transport().scheme().to_owned(),
            client: request.client_address().to_string(),
            server: request.server_address().to_string(),
            peer: request.peer_credentials().map(Into::into),
            handler,
            limits: limits.into(),
            dropped,
        },
        events,
    }
}

/// Sorted by name, recordings are sorted by time.
pub(super) fn file_name(of: &str, id: Option<u64>) -> String {
    let time = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    let digits: String = time.chars().filter(char::is_ascii_digit).collect();
    let (day, moment) = digits.split_at_checked(8).unwrap_or((&digits, ""));
    let of: String = of
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(64)
        .collect();
    let id = id.map_or(String::new(), |id| format!("-{id}"));
    format!("{day}T{moment}-{of}{id}{ENDING}")
}

/// Whether it is the name of a recording's file, and no path: one can come from a process that a guest has broken into.
pub(crate) fn is_file_name(name: &str) -> bool {
    let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_digit())
        && name.ends_with(ENDING)
        && name.bytes().all(is_of_names)
}

/// The ending of a recording's name.
const ENDING: &str = ".jsonl";

/// More than what [`file_name`] makes has, in bytes.
const LONGEST_NAME: usize = 128;
