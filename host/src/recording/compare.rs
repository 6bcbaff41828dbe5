//! Where a request that ran again differs from its recording.

use super::{Event, Printed, Recording};

/// What is shown of bytes that differ.
const SHOWN: usize = 60;

/// Each difference in one line; none where the handler did the same.
pub(crate) fn differences(recorded: &Recording, replayed: &Recording) -> Vec<String> {
    let mut found = Vec::new();
    let outcome = |recording: &Recording| {
        recording
            .end()
            .map_or("none", |end| &end.outcome)
            .to_owned()
    };
    let [was, is] = [outcome(recorded), outcome(replayed)];
    if was != is {
        let detail = replayed.end().and_then(|end| end.detail.as_deref());
        found.push(format!("outcome: was {was}, is {is}{}", because(detail)));
    } else {
        let detail = |recording: &Recording| {
            let detail = recording.end().and_then(|end| end.detail.as_deref());
            detail
                .and_then(|text| text.lines().next())
                .map(str::to_owned)
        };
        let [was, is] = [detail(recorded), detail(replayed)];
        if was != is {
            let shown = |detail: Option<String>| detail.unwrap_or_else(|| "nothing".to_owned());
            found.push(format!("detail: was {}, is {}", shown(was), shown(is)));
        }
    }
    let [was, is] = [recorded, replayed].map(packets);
    if was.len() != is.len() {
        found.push(format!("datagrams: were {}, are {}", was.len(), is.len()));
    }
    for (number, (was, is)) in was.iter().zip(&is).enumerate() {
        let what = match is_of_packets(recorded) {
            true => format!("datagram {}", number + 1),
            false => "answer".to_owned(),
        };
        // Of a long one recordings have the beginning, and how long it was.
        let known = match was.is_cut() || is.is_cut() {
            true => was.bytes.len().min(is.bytes.len()),
            false => usize::MAX,
        };
        let differs = difference(&what, was.beginning(known), is.beginning(known));
        if differs.is_none() && was.length != is.length {
            found.push(format!(
                "{what}: was {} bytes long, is {}",
                was.length, is.length
            ));
        }
        found.extend(differs);
    }
    for (stream, name) in [(Printed::Stdout, "stdout"), (Printed::Stderr, "stderr")] {
        let [was, is] = [recorded, replayed].map(|recording| printed(recording, stream));
        found.extend(difference(name, &was, &is));
    }
    found
}

fn because(detail: Option<&str>) -> String {
    let line = detail.and_then(|detail| detail.lines().next());
    line.map_or(String::new(), |line| format!(" ({line})"))
}

fn is_of_packets(recording: &Recording) -> bool {
    recording.header.request.transport.starts_with("u")
        && recording.header.request.transport != "unix"
}

/// What was sent by one packet, or by a stream.
#[derive(Default)]
struct Sent {
    /// All of it, or its beginning.
    bytes: Vec<u8>,
    length: u64,
}

impl Sent {
    fn is_cut(&self) -> bool {
        self.length > self.bytes.len() as u64
    }

    fn beginning(&self, length: usize) -> &[u8] {
        &self.bytes[..length.min(self.bytes.len())]
    }
}

/// What was sent: as packets, or all of it.
fn packets(recording: &Recording) -> Vec<Sent> {
    let mut packets = vec![Sent::default()];
    for timed in &recording.events {
        let Some(packet) = packets.last_mut() else {
            continue;
        };
        match &timed.event {
            Event::Sent(bytes) => {
                packet.length += bytes.0.len() as u64;
                packet.bytes.extend_from_slice(&bytes.0);
            }
            Event::SentMore(count) => packet.length = packet.length.saturating_add(*count),
            Event::Flushed if is_of_packets(recording) => packets.push(Sent::default()),
            _ => {}
        }
    }
    // Where nothing was collected nothing was sent.
    if is_of_packets(recording) {
        packets.retain(|packet| packet.length > 0);
    }
    packets
}

fn printed(recording: &Recording, wanted: Printed) -> Vec<u8> {
    let mut all = Vec::new();
    for timed in &recording.events {
        if let Event::Printed(stream, bytes) = &timed.event
            && *stream == wanted
        {
            all.extend_from_slice(&bytes.0);
        }
    }
    all
}

fn difference(what: &str, was: &[u8], is: &[u8]) -> Option<String> {
    if was == is {
        return None;
    }
    let same = was.iter().zip(is).take_while(|(was, is)| was == is).count();
    // Some of what is the same, to be recognised by.
    let from = same.saturating_sub(SHOWN / 4);
    let shown = |bytes: &[u8]| {
        let piece = &bytes[from..bytes.len().min(from + SHOWN)];
        let end = if bytes.len() > from + SHOWN {
            "…"
        } else {
            ""
        };
        format!("\"{}{end}\"", piece.escape_ascii())
    };
    Some(format!(
        "{what}: differs from byte {same}: was {}, is {}",
        shown(was),
        shown(is)
    ))
}
