//! The idle timeout: the longest time in which not one byte moves. It is an error of the call, and the
//! handler may go on.

use crate::harness::{Answers, Op, Serve, Transport, guest_component, handler, script, wat};
use Op::{Read, Return, SetTimeout, WriteForEver};
use std::thread;
use std::time::Duration;

/// ETIMEDOUT of WASI preview 1, negated.
const TIMED_OUT: i32 = -73;

#[test]
fn a_silent_client_ends_at_the_idle_timeout_whatever_serves_it() {
    let files = [
        wat("script"),
        wat("cat"),
        handler("echo"),
        crate::harness::handler_component("echo"),
        guest_component("probe"),
    ];
    for file in files {
        for transport in [Transport::Tcp, Transport::Unix] {
            let server = Serve::new(&file)
                .on(transport)
                .with("--idle-timeout 200ms")
                .start();
            let mut client = server.connect();
            let event = server.request();
            assert_eq!(event["outcome"], "idle-timeout", "{file:?} {event}");
            // The kernel counts a socket's timeout in ticks of up to 10 ms.
            assert!(event["duration_us"].as_u64() >= Some(190_000), "{event}");
            client.finish_sending();
            assert_eq!(client.receive_all(), b"");
        }
    }
}

#[test]
fn a_read_that_times_out_returns_its_number_and_the_handler_goes_on() {
    let server = Serve::new(wat("script")).with("--idle-timeout 1s").start();
    let mut client = server.connect();
    client.send(script(&[Read(10)]));
    assert_eq!(client.receive(4), TIMED_OUT.to_le_bytes());
    client.send(script(&[Op::Write("still here"), Return]));
    assert_eq!(client.receive(10), b"still here");
    // It may already have timed out once more: what matters is how the log calls it.
    drop(client);
    assert_eq!(
        server.request()["outcome"],
        "idle-timeout",
        "whatever the guest made of it"
    );
}

#[test]
fn any_byte_starts_the_time_again() {
    let server = Serve::new(handler("echo"))
        .with("--idle-timeout 2s")
        .start();
    let mut client = server.connect();
    for _ in 0..12 {
        thread::sleep(Duration::from_millis(250));
        client.send("x");
        assert_eq!(client.receive(1), b"x");
    }
    client.finish_sending();
    let event = server.request();
    assert_eq!(event["outcome"], "ok", "{event}");
    assert!(event["duration_us"].as_u64() > Some(2_000_000), "{event}");
}

#[test]
fn a_client_that_does_not_take_its_reply_ends_at_the_idle_timeout() {
    for transport in [Transport::Tcp, Transport::Unix] {
        let server = Serve::new(wat("script"))
            .on(transport)
            .with("--idle-timeout 300ms")
            .start();
        let mut client = server.connect();
        client.send(script(&[Return, WriteForEver]));
        assert_eq!(server.request()["outcome"], "idle-timeout");
        assert!(!client.receive(1_000).is_empty());
    }
}

#[test]
fn the_handlers_own_timeout_ends_its_read_and_is_not_the_operators() {
    let server = Serve::new(wat("script")).start();
    let mut client = server.connect();
    client.send(script(&[SetTimeout(100), Read(10)]));
    let mut answers = Answers(client.receive(8));
    assert_eq!(answers.result(), 0);
    assert_eq!(answers.result(), TIMED_OUT);
    // The script reports the next read's timeout as its error.
    assert_eq!(server.request()["outcome"], "handler-error");
}

#[test]
fn the_handlers_own_timeout_never_goes_beyond_the_operators() {
    let server = Serve::new(wat("script"))
        .with("--idle-timeout 200ms")
        .start();
    let mut client = server.connect();
    client.send(script(&[SetTimeout(3_600_000), Read(10)]));
    let mut answers = Answers(client.receive(8));
    assert_eq!(answers.result(), 0);
    assert_eq!(answers.result(), TIMED_OUT);
    assert_eq!(server.request()["outcome"], "idle-timeout");
}

#[test]
fn a_timeout_of_nought_is_the_operators() {
    let server = Serve::new(wat("script"))
        .with("--idle-timeout 300ms")
        .start();
    let mut client = server.connect();
    client.send(script(&[SetTimeout(3_600_000), SetTimeout(0), Read(10)]));
    let mut answers = Answers(client.receive(12));
    assert_eq!(
        (answers.result(), answers.result(), answers.result()),
        (0, 0, TIMED_OUT)
    );
    assert_eq!(server.request()["outcome"], "idle-timeout");
}

#[test]
fn without_an_idle_timeout_a_silent_client_is_waited_for() {
    let server = Serve::new(wat("script"))
        .with("--idle-timeout none --deadline 500ms")
        .start();
    let client = server.connect();
    assert_eq!(server.request()["outcome"], "deadline");
    drop(client);
}
