//! A recording as a file: a JSON object a line, the header first.

use std::io::BufRead;

use super::{Event, Header, OfRequest, OfService, Recording, Timed, VERSION};

/// More than a header says of its request, for the most part, in bytes.
const SHORT: usize = 256;

/// Longer lines and larger files were not made by us, in bytes.
const LONGEST_FILE: u64 = 256 << 20;

/// Why a file is no recording.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormatError {
    #[error("line {line} is not what a recording has there: {problem}")]
    Line { line: usize, problem: String },
    #[error(
        "it is of version {0} of the format, and this sandsock knows {VERSION}: use a newer one"
    )]
    Newer(u64),
    #[error("it is empty")]
    Empty,
    #[error("{0}")]
    Read(#[from] std::io::Error),
}

impl Recording {
    /// Its bytes as a file.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let service = OfServiceText::new(&self.header.service);
        let mut events = Vec::new();
        for Timed { at, event } in &self.events {
            push_line(&mut events, *at, event);
        }
        to_bytes(&self.header.request, &service, &events)
    }

    /// All that are in a file, one behind the other.
    ///
    /// # Errors
    ///
    /// Where it is not what a recording is.
    pub(crate) fn read_all(from: impl BufRead) -> Result<Vec<Self>, FormatError> {
        let mut recordings: Vec<Recording> = Vec::new();
        for (number, line) in from.take(LONGEST_FILE).lines().enumerate() {
            let line = line?;
            let wrong = |error: serde_json::Error| FormatError::Line {
                line: number + 1,
                problem: problem(&error),
            };
            if line.trim().is_empty() {
                continue;
            }
            if let Some(recording) = recordings.last_mut()
                && !line.starts_with(HEADER)
            {
                match serde_json::from_str::<Timed>(&line) {
                    Ok(timed) => {
                        recording.events.push(timed);
                        continue;
                    }
                    // Somebody has changed the order of its keys.
                    Err(_) if line.contains("\"recording\"") => {}
                    Err(error) => return Err(wrong(error)),
                }
            }
            let value: serde_json::Value = serde_json::from_str(&line).map_err(wrong)?;
            if let Some(version) = value["recording"].as_u64()
                && version > u64::from(VERSION)
            {
                return Err(FormatError::Newer(version));
            }
            let header = serde_json::from_value::<Header>(value).map_err(wrong)?;
            if header.request.recording != VERSION {
                return Err(FormatError::Line {
                    line: number + 1,
                    problem: format!(
                        "there is no version {} of a recording",
                        header.request.recording
                    ),
                });
            }
            recordings.push(Recording {
                header,
                events: Vec::new(),
            });
        }
        match recordings.is_empty() {
            true => Err(FormatError::Empty),
            false => Ok(recordings),
        }
    }
}

/// The part of a header that is the same for many requests, as it stands in each.
pub(super) struct OfServiceText(String);

impl OfServiceText {
    pub(super) fn new(service: &OfService) -> Self {
        // It is made of texts and numbers, which JSON has.
        let object = serde_json::to_string(service).unwrap_or_default();
        // Behind the fields of the request, in the same object.
        OfServiceText(object.replacen('{', ",", 1))
    }

    /// What a header with it takes, in bytes.
    pub(super) fn header_size(&self) -> usize {
        SHORT + self.0.len()
    }
}

/// A recording's bytes as a file, of which `events` are the lines behind the first.
pub(super) fn to_bytes(request: &OfRequest, service: &OfServiceText, events: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SHORT + service.0.len() + events.len());
    push_header(&mut bytes, request, service);
    bytes.extend_from_slice(events);
    bytes
}

/// The first line.
pub(super) fn push_header(bytes: &mut Vec<u8>, request: &OfRequest, service: &OfServiceText) {
    // A vector takes all that is written to it.
    let _ = serde_json::to_writer(&mut *bytes, request);
    bytes.pop_if(|last| *last == b'}');
    bytes.extend_from_slice(service.0.as_bytes());
    bytes.push(b'\n');
}

/// The line of an event: both in one object, as [`Timed`] is read.
pub(super) fn push_line(bytes: &mut Vec<u8>, at: u64, event: &Event<'_>) {
    bytes.extend_from_slice(b"{\"at\":");
    let _ = serde_json::to_writer(&mut *bytes, &at);
    let behind = bytes.len();
    let _ = serde_json::to_writer(&mut *bytes, event);
    match bytes.get_mut(behind) {
        // An object that begins.
        Some(first @ b'{') => *first = b',',
        // The name of an event that has nothing beside it.
        _ => {
            bytes.insert(behind, b',');
            bytes.extend_from_slice(b":null}");
        }
    }
    bytes.push(b'\n');
}

/// The events of such lines, which we have made.
pub(super) fn events(lines: &[u8]) -> Vec<Timed> {
    let lines = lines.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}

/// What is wrong, and where in its line.
fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(text) => format!("{text} (column {})", error.column()),
        None => text,
    }
}

/// How the first line of a recording begins.
const HEADER: &str = "{\"recording\":";
