//! What a forked child may tell: a few events, whose fields are known. A line is made of them here, so that nobody who has
//! broken out of a handler writes lines of another form, or in another process's name.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::events::{self, RequestEnded};
use crate::outcome::Outcome;
use crate::request::PeerCredentials;

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Said {
    Request(Ended),
    Guest {
        id: u64,
        stream: Stream,
        line: String,
    },
    Warning {
        detail: String,
    },
    Panic {
        detail: String,
    },
}

/// Of [`RequestEnded`], what the supervisor does not know itself.
#[derive(Deserialize)]
struct Ended {
    id: u64,
    client: String,
    peer_pid: Option<i32>,
    peer_uid: Option<u32>,
    peer_gid: Option<u32>,
    outcome: String,
    duration_us: u64,
    cpu_us: u64,
    bytes_in: u64,
    bytes_out: u64,
    memory_peak: u64,
    log_dropped: Option<u64>,
    detail: Option<String>,
    record: Option<String>,
    coredump: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stream {
    Stdout,
    Stderr,
}

/// Tells an event of this child's; `None` where it is none that a child may tell.
pub(super) fn tell(service: &str, child: u32, event: &[u8]) -> Option<()> {
    let said: Said = serde_json::from_slice(event).ok()?;
    let mut result = Some(());
    events::of_child(child, || match said {
        Said::Request(ended) => result = ended.tell(service),
        Said::Guest { id, stream, line } => events::guest(service, id, stream.as_str(), &line),
        Said::Warning { detail } => events::warning(&detail),
        Said::Panic { detail } => events::panic(&detail),
    });
    result
}

impl Ended {
    fn tell(&self, service: &str) -> Option<()> {
        let peer = match (self.peer_pid, self.peer_uid, self.peer_gid) {
            (Some(pid), Some(uid), Some(gid)) => Some(PeerCredentials { pid, uid, gid }),
            _ => None,
        };
        let is_it = |outcome: &Outcome| outcome.as_str() == self.outcome;
        events::request(&RequestEnded {
            service,
            id: self.id,
            client: &self.client,
            peer,
            outcome: Outcome::ALL.into_iter().find(is_it)?,
            duration: Duration::from_micros(self.duration_us),
            cpu: Duration::from_micros(self.cpu_us),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            memory_peak: self.memory_peak,
            log_dropped: self.log_dropped.unwrap_or(0),
            detail: self.detail.as_deref(),
            record: self.record.as_deref(),
            coredump: self.coredump.as_deref(),
        });
        Some(())
    }
}

impl Stream {
    fn as_str(&self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_tells_a_few_events_of_known_fields_and_no_others() {
        let ended = r#"{"event":"request","service":"other","id":7,"client":"127.0.0.1:9","pid":1,"outcome":"ok","duration_us":1,"cpu_us":2,"bytes_in":3,"bytes_out":4,"memory_peak":5}"#;
        let told = |event: &str| tell("echo", 11, event.as_bytes()).is_some();
        assert!(told(ended));
        assert!(told(
            r#"{"event":"guest","service":"echo","id":7,"pid":3,"stream":"stdout","line":"x"}"#
        ));
        for event in [
            &ended.replace("\"ok\"", "\"fine\""),
            &ended.replace(":7,", ":-7,"),
            &ended.replace("\"127.0.0.1:9\"", "9"),
            r#"{"event":"listening","service":"echo","address":"tcp://127.0.0.1:7"}"#,
            r#"{"event":"guest","id":7,"stream":"stdlog","line":"x"}"#,
            r#"{"event":"warning"}"#,
            "{}",
            "[]",
            "",
            "INFO listening",
        ] {
            assert!(!told(event), "{event}");
        }
    }
}
