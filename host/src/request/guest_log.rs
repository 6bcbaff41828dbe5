//! What a handler prints: whole lines, each one event, up to the request's log limit.

use std::sync::Arc;

use crate::events;

/// A longer line is broken into several, so that a handler cannot make the host hold more.
const LONGEST_LINE: usize = 1024;

/// What each line costs of the limit beside its text, in bytes: empty ones make events, too.
const EVENT: u64 = 32;

/// Where a handler printed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogStream {
    Stdout,
    Stderr,
}

impl LogStream {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            LogStream::Stdout => "stdout",
            LogStream::Stderr => "stderr",
        }
    }
}

/// The log of one request.
pub(crate) struct GuestLog {
    service: Arc<str>,
    id: u64,
    /// What may still be logged, in bytes.
    left: Option<u64>,
    dropped: u64,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl GuestLog {
    pub(super) fn new(service: Arc<str>, id: u64, limit: Option<u64>) -> Self {
        GuestLog {
            service,
            id,
            left: limit,
            dropped: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }

    /// What of these bytes is within the limit, and to be written; the rest is dropped and counted.
    pub(super) fn admit<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(left) = &mut self.left else {
            return bytes;
        };
        let room = usize::try_from(*left).unwrap_or(usize::MAX);
        let (taken, dropped) = bytes.split_at(bytes.len().min(room));
        *left -= taken.len() as u64;
        self.dropped += dropped.len() as u64;
        taken
    }

    /// Makes events of what was admitted.
    pub(super) fn write(&mut self, stream: LogStream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let partial = self.partial(stream);
            let room = LONGEST_LINE - partial.len();
            // A newline right behind the longest line is the end of that line, not an empty one.
            let newline = bytes.iter().take(room + 1).position(|byte| *byte == b'\n');
            let end = newline.unwrap_or(bytes.len().min(room));
            partial.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end..];
            if newline.is_some() {
                bytes = &bytes[1..];
                self.emit(stream, LONGEST_LINE);
            } else if !bytes.is_empty() {
                let end = whole_characters(self.partial(stream));
                self.emit(stream, end);
            }
        }
    }

    /// The request is over: a line without an end is one, too.
    pub(crate) fn finish(&mut self) {
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            if !self.partial(stream).is_empty() {
                self.emit(stream, LONGEST_LINE);
            }
        }
    }

    /// Bytes beyond the limit.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn partial(&mut self, stream: LogStream) -> &mut Vec<u8> {
        match stream {
            LogStream::Stdout => &mut self.stdout,
            LogStream::Stderr => &mut self.stderr,
        }
    }

    /// One event of what is there up to `end`; the rest is the beginning of the next.
    fn emit(&mut self, stream: LogStream, end: usize) {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(EVENT);
        }
        let partial = self.partial(stream);
        let rest = partial.split_off(end.min(partial.len()));
        let line = std::mem::replace(partial, rest);
        let text = String::from_utf8_lossy(&line);
        let text = text.strip_suffix('\r').unwrap_or(&text);
        events::guest(&self.service, self.id, stream.as_str(), text);
    }
}

/// How much of a line that is broken goes out now: a character that has only begun waits for the rest of
/// its bytes.
fn whole_characters(line: &[u8]) -> usize {
    let invalid = line.utf8_chunks().last().map_or(&[][..], |c| c.invalid());
    let has_begun = str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
    line.len() - if has_begun { invalid.len() } else { 0 }
}
