//! Bytes over streams: how much, how they end, and clients that misbehave.

use crate::harness::{
    Answers, CONCURRENCIES, Op, Serve, Transport, handler, handler_component, script, wat,
};
use Op::{Fail, Flush, Print, Read, ReadLine, Return, Write, WriteForEver, WriteMany};
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

/// EPIPE and ECONNRESET of WASI preview 1, negated.
const BROKEN_PIPE: i32 = -64;
const CONNECTION_RESET: i32 = -15;

const STREAMS: [Transport; 2] = [Transport::Tcp, Transport::Unix];

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|n| (n % 251) as u8).collect()
}

#[test]
fn a_reply_of_300_000_bytes_reaches_a_client_that_keeps_sending() {
    for transport in STREAMS {
        let server = Serve::new(wat("reply")).on(transport).start();
        let mut client = server.connect();
        // Unread when the handler ends: closing now would be a reset, and the reply cut off.
        client.send([b'x'; 10_000]);
        assert!(client.receive(1) == pattern(1));
        let mut received = Vec::new();
        while received.len() < 290_000 {
            client.send([b'x'; 1_000]);
            received.extend(client.receive(10_000));
        }
        client.send([b'x'; 10_000]);
        client.finish_sending();
        received.extend(client.receive_all());
        assert!(
            received[..] == pattern(300_000)[1..],
            "{transport:?}: {} bytes",
            received.len()
        );
        let event = server.request();
        assert_eq!(event["outcome"], "ok", "{event}");
        assert_eq!(event["bytes_out"], 300_000, "{event}");
    }
}

#[test]
fn a_client_that_never_stops_sending_is_read_off_for_a_bounded_time_only() {
    let server = Serve::new(wat("reply")).with("--linger 300ms").start();
    let crate::harness::Client::Tcp(mut client) = server.connect() else {
        unreachable!()
    };
    let began = Instant::now();
    while client.write_all(&[b'x'; 1_000]).is_ok() {
        assert!(
            began.elapsed() < crate::harness::PATIENCE,
            "it reads on and on"
        );
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(server.request()["outcome"], "ok");
}

#[test]
fn the_end_of_the_reply_is_seen_before_the_client_ends_its_side() {
    for transport in STREAMS {
        let server = Serve::new(wat("reply")).on(transport).start();
        let mut client = server.connect();
        assert_eq!(client.receive_all().len(), 300_000);
        client.finish_sending();
    }
}

#[test]
fn ten_megabytes_go_both_ways_at_once() {
    for file in [handler("echo"), handler_component("echo"), wat("cat")] {
        for transport in STREAMS {
            let server = Serve::new(&file).on(transport).start();
            let bytes = pattern(10_000_000);
            let mut reader = server.connect();
            let received = thread::scope(|scope| {
                let mut writer = reader.twin();
                let sent = &bytes;
                scope.spawn(move || {
                    writer.send(sent);
                    writer.finish_sending();
                });
                reader.receive_all()
            });
            assert!(
                received == bytes,
                "{file:?} {transport:?}: {} bytes",
                received.len()
            );
            let event = server.request();
            assert_eq!(event["bytes_in"], 10_000_000, "{event}");
            assert_eq!(event["bytes_out"], 10_000_000, "{event}");
        }
    }
}

#[test]
fn every_byte_value_survives() {
    let all: Vec<u8> = (0..=255).collect();
    for file in [handler("echo"), handler_component("echo"), wat("cat")] {
        assert_eq!(Serve::new(file).start().ask(&all), all);
    }
}

#[test]
fn after_a_half_close_the_client_still_receives() {
    for transport in STREAMS {
        let server = Serve::new(handler("echo")).on(transport).start();
        let mut client = server.connect();
        client.send("last words");
        client.finish_sending();
        assert_eq!(client.receive_all(), b"last words");
        assert_eq!(server.request()["outcome"], "ok");
    }
}

#[test]
fn a_read_returns_what_is_there_and_does_not_wait_for_more() {
    let server = Serve::new(wat("script")).start();
    let mut client = server.connect();
    client.send([script(&[Read(1_000)]), b"abc".to_vec()].concat());
    let mut answers = Answers(client.receive(4 + 3));
    assert_eq!(answers.counted(), b"abc");
}

#[test]
fn a_write_arrives_without_a_flush() {
    for transport in STREAMS {
        let server = Serve::new(wat("script")).on(transport).start();
        let mut client = server.connect();
        client.send(script(&[Write("at once")]));
        assert_eq!(client.receive(7), b"at once");
        client.send(script(&[Flush]));
        assert_eq!(client.receive(4), 0_i32.to_le_bytes());
    }
}

#[test]
fn read_line_reads_through_a_newline_or_up_to_its_length_or_to_the_end() {
    for transport in [Transport::Tcp, Transport::Unix, Transport::Udp] {
        let server = Serve::new(wat("script")).on(transport).start();
        let lines = |n: u32, text: &str| [script(&[ReadLine(n)]), text.into()].concat();
        let request = [
            lines(100, "first\n"),
            lines(100, "\n"),
            // Five of them; the rest comes with the next call, up to its newline.
            lines(5, "abcde"),
            lines(3, "ab\n"),
            lines(1, "\n"),
            lines(0, ""),
            lines(100, "no newline at the end"),
        ]
        .concat();
        let mut answers = Answers(server.ask(request));
        for expected in [
            "first\n",
            "\n",
            "abcde",
            "ab\n",
            "\n",
            "",
            "no newline at the end",
        ] {
            assert_eq!(String::from_utf8(answers.counted()).unwrap(), expected);
        }
        answers.end();
    }
}

#[test]
fn read_line_takes_nothing_of_what_is_behind_the_newline() {
    let server = Serve::new(wat("script")).start();
    let request = [
        script(&[ReadLine(100)]),
        b"a line\n".to_vec(),
        script(&[Read(4)]),
        b"abcd".to_vec(),
        script(&[ReadLine(100)]),
        b"another\n".to_vec(),
    ]
    .concat();
    let mut answers = Answers(server.ask(request));
    assert_eq!(answers.counted(), b"a line\n");
    assert_eq!(answers.counted(), b"abcd");
    assert_eq!(answers.counted(), b"another\n");
    answers.end();
}

#[test]
fn read_line_waits_for_the_newline_over_several_packets() {
    let server = Serve::new(wat("script")).start();
    let mut client = server.connect();
    client.send([script(&[Print("now"), ReadLine(100)]), b"one ".to_vec()].concat());
    server.log().wait_for(1, |e| e["line"] == "now");
    client.send("two ");
    client.send("three\n");
    let mut answers = Answers(client.receive(4 + 14));
    assert_eq!(answers.counted(), b"one two three\n");
}

#[test]
fn reading_at_the_end_of_input_is_0_again_and_again() {
    let server = Serve::new(wat("script")).start();
    let mut answers = Answers(server.ask(script(&[Read(10)])));
    assert_eq!(answers.result(), 0);
    answers.end();
    let mut answers = Answers(server.ask(script(&[ReadLine(10)])));
    assert_eq!(answers.result(), 0);
    answers.end();
}

#[test]
fn a_client_that_resets_while_the_handler_reads_is_an_error_of_the_read() {
    let server = Serve::new(wat("script")).start();
    let mut client = server.connect();
    // The script reports what its reading of orders says.
    client.send(script(&[Return, Print("now")]));
    server.log().wait_for(1, |e| e["line"] == "now");
    client.reset();
    let event = server.request();
    assert_eq!(event["outcome"], "client-gone", "{event}");
    assert_eq!(server.ask(script(&[Write("next")])), b"next");
}

#[test]
fn a_client_that_resets_while_the_handler_writes_is_an_error_of_the_write() {
    let server = Serve::new(wat("script")).start();
    let mut client = server.connect();
    client.send(script(&[Return, WriteForEver]));
    client.receive(1_000);
    client.reset();
    let event = server.request();
    assert_eq!(event["outcome"], "client-gone", "{event}");
    assert_eq!(server.ask(script(&[Write("next")])), b"next");
}

#[test]
fn a_handler_that_succeeds_although_the_client_has_gone_is_ok() {
    // It writes nothing and ignores what its read says.
    let server = Serve::new(wat("ignores-its-client")).start();
    let mut client = server.connect();
    client.send("x");
    server.log().wait_for(1, |e| e["line"] == "reading");
    client.reset();
    let event = server.request();
    assert_eq!(event["outcome"], "ok", "{event}");
    let said = server
        .log()
        .wait_for(1, |e| e["event"] == "guest" && e["line"] != "reading");
    let result: i32 = said[0]["line"]
        .as_str()
        .and_then(|n| n.parse().ok())
        .expect("a number");
    assert!(
        [BROKEN_PIPE, CONNECTION_RESET].contains(&result),
        "{said:?}"
    );
}

#[test]
fn a_client_that_vanishes_costs_one_line_of_the_log_and_the_next_is_served() {
    for concurrency in CONCURRENCIES {
        for file in [wat("cat"), handler_component("echo")] {
            let server = Serve::new(file)
                .with("--concurrency")
                .arg(concurrency)
                .start();
            for n in 1..=20 {
                let mut client = server.connect();
                client.send("half a requ");
                client.receive(1);
                client.reset();
                server.requests(n);
            }
            let lines = server.log().lines_of_requests();
            assert_eq!(lines.len(), 20, "{lines:?}");
            assert_eq!(server.ask("whole"), b"whole");
        }
    }
}

#[test]
fn a_client_that_connects_and_leaves_at_once_is_a_request_without_input() {
    let server = Serve::new(handler("echo")).start();
    for _ in 0..20 {
        drop(server.connect());
    }
    assert!(
        server
            .requests(20)
            .iter()
            .all(|e| e["outcome"] == "ok" && e["bytes_in"] == 0)
    );
    assert_eq!(server.ask("next"), b"next");
}

#[test]
fn what_a_failing_handler_wrote_arrives() {
    for transport in STREAMS {
        let server = Serve::new(wat("script")).on(transport).start();
        let mut client = server.connect();
        client.send(script(&[Return, WriteMany(300_000), Fail]));
        // More that nobody reads.
        client.send([b'.'; 50_000]);
        client.finish_sending();
        assert_eq!(client.receive_all().len(), 300_004);
    }
}
