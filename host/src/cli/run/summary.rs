//! What `run` says of its request at the end: lines for people, or an event for programs.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use bytesize::ByteSize;

use super::calls::Counted;
use crate::cli::log::LogArgs;
use crate::events;
use crate::handler::Ended;
use crate::text::Printable;

/// How the request ended, and what it took.
pub(super) struct Summary<'a> {
    pub(super) ended: &'a Ended,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) calls: Vec<(String, u64)>,
    /// Their lengths, of a request that is one.
    pub(super) datagrams: Option<Vec<usize>>,
    /// The file, and how many samples it has.
    pub(super) profile: Option<(&'a Path, u64)>,
}

impl Summary<'_> {
    /// Tells it, where requests are told of.
    pub(super) fn tell(self, log: &LogArgs) {
        if log.is_json() {
            // All else stands in the event `request` already.
            let datagrams = self.datagrams.as_deref().map(lengths);
            let profile = self.profile.map(|(path, _)| path.display().to_string());
            let calls = Counted(self.calls).to_string();
            events::ran(&calls, datagrams.as_deref(), profile.as_deref());
        } else if log.tells_requests() {
            // A reader that has gone learns the outcome from the exit code.
            let _ = io::stderr().write_all(self.to_string().as_bytes());
        }
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.ended;
        writeln!(f, "outcome    {}", ended.outcome.as_str())?;
        writeln!(
            f,
            "time       {:.1?}, CPU {:.1?}",
            ended.duration, ended.cpu
        )?;
        writeln!(f, "memory     {} at its peak", ByteSize(ended.memory_peak))?;
        writeln!(f, "bytes      {} in, {} out", self.bytes_in, self.bytes_out)?;
        if let Some(sent) = &self.datagrams {
            writeln!(f, "datagrams  {}", lengths(sent))?;
        }
        // The names are the host's own.
        writeln!(f, "calls      {}", Counted(self.calls.clone()))?;
        if let Some(file) = &ended.coredump {
            writeln!(f, "core dump  {}", Printable(&file.to_string_lossy()))?;
        }
        if let Some((file, samples)) = self.profile {
            let file = file.to_string_lossy();
            writeln!(f, "profile    {}, {samples} samples", Printable(&file))?;
        }
        Ok(())
    }
}

/// Packets whose lengths are told.
const TOLD: usize = 100;

fn lengths(sent: &[usize]) -> String {
    let told: Vec<_> = sent.iter().take(TOLD).map(ToString::to_string).collect();
    let more = if sent.len() > TOLD { ", …" } else { "" };
    match sent.len() {
        0 => "none sent".to_owned(),
        count => format!("{count} sent, of {}{more} bytes", told.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_told_apart_by_their_lengths() {
        assert_eq!("none sent", lengths(&[]));
        assert_eq!("2 sent, of 5, 7 bytes", lengths(&[5, 7]));
        let many = lengths(&[1; 200]);
        assert!(many.starts_with("200 sent") && many.len() < 400, "{many}");
    }
}
