//! Recordings that no server has made: each comes back from its file as it was, is played in its order, and is compared
//! with another one.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::bytes::Bytes;
use super::format::events;
use super::player::Player;
use super::{
    Clock, End, Entry, EntryKind, Event, Fail, HandlerFile, Header, Journal, OfRequest, OfService,
    Printed, Recording, Timed, VERSION, differences,
};
use crate::config::Limits;
use crate::outcome::Outcome;
use crate::request::IoError;

fn header() -> Header {
    Header {
        request: OfRequest {
            recording: VERSION,
            time: "2026-01-01T00:00:00Z".into(),
            id: 7,
            transport: "tcp".into(),
            client: "127.0.0.1:4711".into(),
            server: "127.0.0.1:9999".into(),
            peer: None,
            dropped: 0,
        },
        service: OfService::new("echo", HandlerFile::default(), &Limits::default()),
    }
}

fn of(events: Vec<Event<'static>>) -> Recording {
    let timed = (0..).zip(events).map(|(at, event)| Timed { at, event });
    Recording {
        header: header(),
        events: timed.collect(),
    }
}

fn bytes() -> impl Strategy<Value = Bytes<'static>> {
    let text = "\\PC*".prop_map(String::into_bytes);
    prop_oneof![text, vec(any::<u8>(), 0..40)].prop_map(Bytes::from)
}

fn fail() -> impl Strategy<Value = Fail> {
    let errors = [
        IoError::TimedOut,
        IoError::BrokenPipe,
        IoError::ConnectionReset,
        IoError::MessageTooLong,
        IoError::Ended,
        IoError::Other(5),
        IoError::Other(105),
    ];
    let limits = prop::sample::select(Outcome::ALL.to_vec());
    let error = prop::sample::select(errors.to_vec());
    (error, option::of(limits), any::<bool>())
        .prop_map(|(error, limit, gone)| Fail::new(error, limit, gone))
}

fn end() -> impl Strategy<Value = End> {
    let outcome = prop::sample::select(Outcome::ALL.to_vec());
    let numbers = any::<[u64; 3]>();
    (outcome, option::of(".*"), numbers).prop_map(|(outcome, detail, numbers)| End {
        outcome: outcome.as_str().into(),
        detail,
        duration_us: numbers[0],
        cpu_us: numbers[1],
        memory_peak: numbers[2],
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![Just(EntryKind::File), Just(EntryKind::Folder)];
    (".*", kind, any::<u64>(), any::<i64>()).prop_map(|(name, kind, size, modified)| Entry {
        name,
        kind,
        size,
        modified,
    })
}

fn event() -> impl Strategy<Value = Event<'static>> {
    let clock = prop_oneof![Just(Clock::Wall), Just(Clock::Monotonic)];
    let stream = prop_oneof![Just(Printed::Stdout), Just(Printed::Stderr)];
    prop_oneof![
        bytes().prop_map(Event::Received),
        fail().prop_map(Event::ReceiveFailed),
        bytes().prop_map(Event::Sent),
        any::<u64>().prop_map(Event::SentMore),
        fail().prop_map(Event::SendFailed),
        Just(Event::Flushed),
        fail().prop_map(Event::FlushFailed),
        (clock, any::<u64>()).prop_map(|(clock, reading)| Event::Clock(clock, reading)),
        bytes().prop_map(Event::Random),
        vec(any::<u32>(), 0..4).prop_map(Event::Ready),
        fail().prop_map(Event::WaitFailed),
        (stream, bytes()).prop_map(|(stream, bytes)| Event::Printed(stream, bytes)),
        (".*", ".*", vec(entry(), 0..3)).prop_map(|(folder, path, entries)| Event::Folder {
            folder,
            path,
            entries,
        }),
        (".*", ".*", any::<i64>(), bytes()).prop_map(|(folder, path, modified, content)| {
            Event::File {
                folder,
                path,
                modified,
                content,
            }
        }),
        ".*".prop_map(Event::NotRecorded),
        end().prop_map(Event::Ended),
    ]
}

/// What a recording's input is, and how it ended where it ended otherwise than at its end.
fn received(player: &mut Player, size: usize) -> (Vec<u8>, Option<IoError>) {
    let mut all = Vec::new();
    let mut buffer = vec![0; size];
    loop {
        match player.receive(&mut buffer) {
            Ok(0) => return (all, None),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(fail) => return (all, Some(fail.error())),
        }
    }
}

proptest! {
    #[test]
    fn a_recording_comes_back_from_its_file(events in vec(vec(event(), 0..12), 1..4)) {
        let recordings: Vec<_> = events.into_iter().map(of).collect();
        let file: Vec<u8> = recordings.iter().flat_map(Recording::to_bytes).collect();
        let read = Recording::read_all(&*file).unwrap();
        prop_assert_eq!(read.len(), recordings.len());
        for (read, written) in read.iter().zip(&recordings) {
            prop_assert_eq!(&read.events, &written.events);
            prop_assert!(differences(read, written).is_empty());
        }
        // One event is one line, whatever is in it.
        let lines = file.split(|byte| *byte == b'\n').count() - 1;
        let events: usize = recordings.iter().map(|recording| 1 + recording.events.len()).sum();
        prop_assert_eq!(lines, events);
    }

    #[test]
    fn whatever_is_in_a_file_is_read_or_refused(lines in vec("\\PC*", 0..4), at: u64) {
        let made = of(vec![Event::Flushed]).to_bytes();
        let text = [&made[..], lines.join("\n").as_bytes(), format!("\n{{\"at\":{at}}}").as_bytes()].concat();
        let _ = Recording::read_all(&*text);
        let cut = usize::try_from(at).unwrap_or(0) % made.len();
        let _ = Recording::read_all(&made[..cut]);
    }

    #[test]
    fn a_file_of_which_some_bytes_were_changed_is_read_or_refused(
        events in vec(event(), 0..6),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut file = of(events).to_bytes();
        for (place, byte) in changes {
            let place = place.index(file.len());
            file[place] = byte;
        }
        for recording in Recording::read_all(&*file).unwrap_or_default() {
            // What is read can be played and written.
            let mut player = Player::new(&recording.events);
            let _ = received(&mut player, 7);
            let _ = (player.send(9), player.flush(), player.clock(Clock::Wall, 1), player.ready());
            let again = Recording::read_all(&*recording.to_bytes()).unwrap();
            prop_assert_eq!(&again[0].events, &recording.events);
        }
    }

    #[test]
    fn input_is_the_same_in_buffers_of_any_size(
        pieces in vec(vec(any::<u8>(), 1..20), 0..6),
        size in 1_usize..30,
        failure in option::of(fail()),
    ) {
        let mut events: Vec<_> = pieces.iter().map(|piece| Event::Received(Bytes::from(piece.clone()))).collect();
        events.push(match &failure {
            Some(fail) => Event::ReceiveFailed(fail.clone()),
            None => Event::Received(Bytes::default()),
        });
        let mut player = Player::new(&of(events).events);
        let (all, error) = received(&mut player, size);
        prop_assert_eq!(all, pieces.concat());
        prop_assert_eq!(error, failure.map(|fail| fail.error()));
        prop_assert!(player.missed().is_empty());
    }

    #[test]
    fn writes_fail_behind_the_byte_that_they_failed_behind(
        sent in vec(0_usize..20, 1..5),
        size in 1_usize..30,
    ) {
        // After each of these many bytes one write has failed, and the last for ever.
        let timed_out = || Event::SendFailed(Fail::new(IoError::TimedOut, None, false));
        let events = sent.iter().flat_map(|count| [Event::Sent(Bytes::from(vec![b'x'; *count])), timed_out()]);
        let mut player = Player::new(&of(events.collect()).events);
        let mut before = 0;
        let mut written = 0;
        for count in &sent {
            before += count;
            while let Ok(count) = player.send(size) {
                prop_assert!(count > 0 && count <= size);
                written += count;
            }
            prop_assert_eq!(written, before);
        }
        prop_assert!(player.send(size).is_err(), "what failed last fails again");
    }

    #[test]
    fn what_is_the_same_is_no_difference_and_what_is_not_is_named(was in ".*", is in ".*") {
        let answering = |text: &str| of(vec![
            Event::Sent(Bytes::from(text.as_bytes().to_vec())),
            Event::Printed(Printed::Stdout, Bytes::from(text.as_bytes().to_vec())),
        ]);
        let found = differences(&answering(&was), &answering(&is));
        prop_assert_eq!(found.len(), if was == is { 0 } else { 2 });
        if let [answer, stdout] = &found[..] {
            let same = was.bytes().zip(is.bytes()).take_while(|(was, is)| was == is).count();
            let place = format!("differs from byte {same}:");
            prop_assert!(answer.starts_with("answer: ") && answer.contains(&place), "{}", answer);
            prop_assert!(stdout.starts_with("stdout: ") && stdout.contains(&place), "{}", stdout);
        }
    }
}

/// The first cells of all rows of tables in `docs/recordings.md`.
fn documented() -> Vec<&'static str> {
    let text = include_str!("../../../docs/recordings.md");
    let cells = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    cells.collect()
}

#[test]
fn every_event_and_field_is_in_the_documentation() {
    let documented = documented();
    // serde names all that there are where it is given one that there is not.
    let error = serde_json::from_str::<Event<'_>>(r#"{"?":1}"#)
        .unwrap_err()
        .to_string();
    let (_, names) = error.split_once("expected one of ").expect("the names");
    let events: Vec<_> = names.split('`').skip(1).step_by(2).collect();
    assert!(events.len() >= 13, "{events:?}");
    let mut header = header();
    header.service.handler.snapshot =
        Some(serde_json::from_str(r#"{"seed":"00","time":1}"#).unwrap());
    let peer = crate::request::PeerCredentials {
        pid: 1,
        uid: 2,
        gid: 3,
    };
    header.request.peer = Some(peer.into());
    header.request.dropped = 1;
    let request = serde_json::to_value(&header.request).unwrap();
    let service = serde_json::to_value(&header.service).unwrap();
    let end = End {
        outcome: "trap".into(),
        detail: Some("why".into()),
        duration_us: 1,
        cpu_us: 1,
        memory_peak: 1,
    };
    let end = serde_json::to_value(&end).unwrap();
    let objects = [
        &request,
        &service,
        &service["handler"],
        &service["limits"],
        &end,
    ];
    let fields = objects
        .into_iter()
        .flat_map(|object| object.as_object().unwrap().keys());
    let in_the_code: Vec<_> = events.into_iter().chain(fields.map(|key| &**key)).collect();
    for name in &in_the_code {
        assert!(
            documented.contains(name),
            "{name} is not in docs/recordings.md"
        );
    }
    for name in &documented {
        let is_there = in_the_code.contains(name) || name.starts_with("--record");
        assert!(is_there, "{name} is in docs/recordings.md only");
    }
}

#[test]
fn who_sends_on_after_a_write_that_timed_out_can() {
    let events = vec![
        Event::Sent(Bytes::from(b"ab".to_vec())),
        Event::SendFailed(Fail::new(IoError::TimedOut, None, false)),
        Event::Sent(Bytes::from(b"c".to_vec())),
    ];
    let mut player = Player::new(&of(events).events);
    assert_eq!(player.send(5), Ok(2));
    assert!(player.send(3).is_err());
    assert_eq!(player.send(3), Ok(3));
    assert_eq!(player.send(3), Ok(3), "and as long as it likes");
}

#[test]
fn what_a_recording_does_not_have_is_missed_and_said() {
    let mut player = Player::new(&[]);
    assert_eq!(player.receive(&mut [0; 4]), Ok(0));
    assert_eq!(player.receive(&mut [0; 4]), Ok(0), "the end stays the end");
    assert_eq!(player.send(4), Ok(4));
    assert_eq!(player.flush(), Ok(()));
    let mut drawn = [1; 4];
    player.random(&mut drawn);
    assert_eq!(drawn, [0; 4]);
    assert!(player.ready().is_none());
    let readings: Vec<_> = (0..3).map(|_| player.clock(Clock::Monotonic, 50)).collect();
    assert!(
        readings.is_sorted() && readings[0] < readings[2],
        "{readings:?}"
    );
    assert_eq!(player.missed().len(), 4, "{:?}", player.missed());
}

#[test]
fn clocks_and_random_bytes_come_in_their_order_and_a_last_reading_does_not_overflow() {
    let events = vec![
        Event::Clock(Clock::Wall, 10),
        Event::Clock(Clock::Monotonic, 5),
        Event::Clock(Clock::Wall, u64::MAX),
        Event::Random(Bytes::from(vec![1, 2, 3])),
        Event::Random(Bytes::from(vec![4])),
    ];
    let mut player = Player::new(&of(events).events);
    assert_eq!(player.clock(Clock::Monotonic, 0), 5);
    assert_eq!(player.clock(Clock::Wall, 0), 10);
    assert_eq!(player.clock(Clock::Wall, 0), u64::MAX);
    let mut drawn = [0; 2];
    player.random(&mut drawn);
    assert_eq!(drawn, [1, 2]);
    player.random(&mut drawn);
    assert_eq!(drawn, [3, 4]);
    assert!(player.missed().is_empty());
    assert_eq!(player.clock(Clock::Wall, 0), u64::MAX);
}

#[test]
fn a_limit_that_stopped_a_handler_while_it_computed_is_told_from_one_in_a_call() {
    let end = |outcome: Outcome| {
        Event::Ended(End {
            outcome: outcome.as_str().into(),
            detail: None,
            duration_us: 9,
            cpu_us: 3,
            memory_peak: 0,
        })
    };
    let micros = std::time::Duration::from_micros(3);
    let computing = of(vec![end(Outcome::Cut)]);
    assert_eq!(computing.stopped(), Some((Outcome::Cut, micros)));
    let waiting = Event::WaitFailed(Fail::new(IoError::Ended, Some(Outcome::Cut), false));
    assert_eq!(of(vec![waiting, end(Outcome::Cut)]).stopped(), None);
    assert_eq!(of(vec![end(Outcome::IdleTimeout)]).stopped(), None);
    assert_eq!(of(Vec::new()).stopped(), None);
}

#[test]
fn packets_are_compared_one_by_one() {
    let packets = |sent: &[&str]| {
        let events = sent.iter().flat_map(|packet| {
            [
                Event::Sent(Bytes::from(packet.as_bytes().to_vec())),
                Event::Flushed,
            ]
        });
        let mut recording = of(events.collect());
        recording.header.request.transport = "udp".into();
        recording
    };
    assert!(differences(&packets(&["a", "b"]), &packets(&["a", "b"])).is_empty());
    let found = differences(&packets(&["a", "b"]), &packets(&["a", "c"]));
    assert_eq!(
        found,
        [r#"datagram 2: differs from byte 0: was "b", is "c""#]
    );
    let found = differences(&packets(&["ab"]), &packets(&["a", "b"]));
    assert_eq!(found[0], "datagrams: were 1, are 2");
}

#[test]
fn of_a_long_answer_the_beginning_and_the_length_are_compared() {
    let sent = |bytes: &[u8], more: u64| {
        of(vec![
            Event::Sent(Bytes::from(bytes.to_vec())),
            Event::SentMore(more),
        ])
    };
    let recorded = sent(b"abcd", 10);
    assert_eq!(differences(&recorded, &sent(b"abcd", 10)), [""; 0]);
    // In other pieces there is room for more or less of it.
    assert_eq!(differences(&recorded, &sent(b"ab", 12)), [""; 0]);
    let whole = of(vec![Event::Sent(Bytes::from(b"abcdefghijklmn".to_vec()))]);
    assert_eq!(differences(&recorded, &whole), [""; 0]);
    let longer = differences(&recorded, &sent(b"abcd", 11));
    assert_eq!(longer, ["answer: was 14 bytes long, is 15"]);
    let other = differences(&recorded, &sent(b"abX", 11));
    assert!(
        other[0].starts_with("answer: differs from byte 2"),
        "{other:?}"
    );
}

#[test]
fn what_a_journal_holds_is_bounded_whatever_the_handler_makes_it_note() {
    let journal = Journal::recording(10_000);
    for n in 0..10_000 {
        let long = format!("{n}/{}", "x".repeat(4_000));
        journal.not_recorded(&long);
        journal.found(&Event::Folder {
            folder: "/data".to_owned(),
            path: long,
            entries: Vec::new(),
        });
    }
    let (lines, dropped) = journal.take();
    assert!((1_000..30_000).contains(&lines.len()), "{}", lines.len());
    assert!(dropped > 10_000, "{dropped}");
}

#[test]
fn what_is_sent_is_counted_after_something_else_had_no_room() {
    let journal = Journal::recording(2_000);
    let send = |length| journal.send(&vec![b'x'; length], || Ok(length));
    for length in [600, 600, 50] {
        assert_eq!(send(length), Ok(length));
    }
    let long = journal.receive(&mut [b'y'; 3_000], |buf| Ok(buf.len()));
    assert_eq!(long, Ok(3_000));
    assert_eq!(send(70), Ok(70));
    let (lines, dropped) = journal.take();
    let sent = events(&lines).into_iter().map(|timed| match timed.event {
        Event::Sent(bytes) => bytes.0.len() as u64,
        Event::SentMore(count) => count,
        other => panic!("{other:?}"),
    });
    assert_eq!(sent.sum::<u64>(), 600 + 600 + 50 + 70);
    assert_eq!(dropped, 1);
}
