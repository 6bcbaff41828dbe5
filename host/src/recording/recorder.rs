//! Which requests of a service are recorded, and what becomes of their recordings.

use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use super::format::{self, OfServiceText, push_header};
use super::keeper::Kept;
use super::{End, Header, Journal, OfRequest, OfService, Recording, VERSION};
use crate::address::{Endpoint, Transport};
use crate::config::RecordWhen;
use crate::handler::Ended;
use crate::outcome::Outcome;
use crate::request::{PeerCredentials, Request};

/// Where recordings go: to the folder, or to the process that has it.
pub(crate) trait Sink: Send + Sync {
    /// Takes a recording over; it must not wait for a disk.
    fn keep(&self, kept: Kept);
}

/// Of one service.
pub(crate) struct Recorder {
    when: RecordWhen,
    /// Bytes of one recording at most.
    room: usize,
    /// What served first.
    service: OfService,
    /// What served last, by its digest.
    text: RwLock<(String, Arc<OfServiceText>)>,
    sink: Arc<dyn Sink>,
}

impl Recorder {
    pub(crate) fn new(
        when: RecordWhen,
        room: usize,
        service: OfService,
        sink: Arc<dyn Sink>,
    ) -> Self {
        // Before there are children, who have it from here.
        let digest = service.handler.sha256.clone();
        let text = Arc::new(OfServiceText::new(&service));
        Recorder {
            when,
            room,
            service,
            text: RwLock::new((digest, text)),
            sink,
        }
    }

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
        let (taken, bytes) = taken(journal, request, ended);
        let service = self.text(digest);
        let head = Some(Head { taken, service });
        self.sink.keep(Kept { name, head, bytes });
    }

    /// Of the handler with this digest: it is made once, and again when another handler has come in its place.
    fn text(&self, digest: &str) -> Arc<OfServiceText> {
        let last = self.text.read().unwrap_or_else(PoisonError::into_inner);
        if last.0 == digest {
            return last.1.clone();
        }
        drop(last);
        let mut service = self.service.clone();
        digest.clone_into(&mut service.handler.sha256);
        // What the snapshot of a later one started from is not known here.
        service.handler.snapshot = None;
        let text = Arc::new(OfServiceText::new(&service));
        let mut last = self.text.write().unwrap_or_else(PoisonError::into_inner);
        *last = (digest.to_owned(), text.clone());
        text
    }
}

/// Of what a journal has taken down.
pub(crate) fn recording(
    journal: &Journal,
    service: OfService,
    request: &Request,
    ended: &Ended,
) -> Recording {
    let (taken, events) = taken(journal, request, ended);
    let request = taken.of_request();
    Recording {
        header: Header { request, service },
        events: format::events(&events),
    }
}

/// Takes down how a request ended.
fn taken(journal: &Journal, request: &Request, ended: &Ended) -> (Taken, Vec<u8>) {
    let micros =
        |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    journal.end(End {
        outcome: ended.outcome.as_str().into(),
        detail: ended.detail.clone(),
        duration_us: micros(ended.duration),
        cpu_us: micros(ended.cpu),
        memory_peak: ended.memory_peak,
    });
    let (events, dropped) = journal.take();
    let taken = Taken {
        time: SystemTime::now(),
        id: request.id(),
        transport: request.transport(),
        client: request.client_address().clone(),
        server: request.server_address(),
        peer: request.peer_credentials(),
        dropped,
    };
    (taken, events)
}

/// What a header says of its request, before it is text.
struct Taken {
    time: SystemTime,
    id: u64,
    transport: Transport,
    client: Endpoint,
    server: Endpoint,
    peer: Option<PeerCredentials>,
    dropped: u64,
}

impl Taken {
    fn of_request(&self) -> OfRequest {
        OfRequest {
            recording: VERSION,
            time: humantime::format_rfc3339_millis(self.time).to_string(),
            id: self.id,
            transport: self.transport.scheme().into(),
            client: text(&self.client),
            server: text(&self.server),
            peer: self.peer.map(Into::into),
            dropped: self.dropped,
        }
    }
}

/// A header that is to be written: whoever writes makes it text, and not the request's thread.
pub(crate) struct Head {
    taken: Taken,
    service: Arc<OfServiceText>,
}

impl Head {
    /// Writes it.
    pub(super) fn push(&self, bytes: &mut Vec<u8>) {
        push_header(bytes, &self.taken.of_request(), &self.service);
    }

    /// About what it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        self.service.header_size()
    }
}

/// An endpoint's text, in one allocation where it is of the internet.
fn text(endpoint: &Endpoint) -> String {
    let mut text = String::with_capacity(LONGEST_INET);
    // A string takes all that is written to it.
    let _ = write!(text, "{endpoint}");
    text
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

/// What the address and the port of IPv6 take, in bytes.
const LONGEST_INET: usize = 64;

/// More than what [`file_name`] makes has, in bytes.
const LONGEST_NAME: usize = 128;
