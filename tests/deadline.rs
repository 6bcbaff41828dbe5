//! The deadline of the whole request: it ends a handler that waits, whatever it waits for.

use crate::harness::{
    Op, Serve, Server, Transport, guest, guest_component, handler, is_request, script, wat,
};
use Op::{Print, Return, Sleep, SleepNanos, Write};
use serde_json::Value;
use std::path::Path;
use std::thread;
use std::time::Duration;

const AN_HOUR: Duration = Duration::from_secs(3600);
/// What may pass beyond the deadline; long, because the machine may be busy, but far from what the
/// handlers here wait for.
const ALLOWANCE_US: u64 = 5_000_000;

fn serve(handler: impl AsRef<Path>) -> Server {
    Serve::new(handler).with("--deadline 400ms").start()
}

#[track_caller]
fn ended_at_the_deadline(event: &Value) {
    assert_eq!(event["outcome"], "deadline", "{event}");
    let took = event["duration_us"].as_u64().expect("a number");
    // The kernel counts a socket's timeout in ticks of up to 10 ms.
    assert!(took >= 390_000, "before its time: {event}");
    assert!(took <= 400_000 + ALLOWANCE_US, "too late: {event}");
}

#[test]
fn a_module_that_sleeps_ends_and_keeps_no_other_waiting() {
    let server = Serve::new(wat("script")).with("--deadline 2s").start();
    let mut sleeping = server.connect();
    sleeping.send(script(&[
        Return,
        Write("h"),
        Print("now"),
        Sleep(AN_HOUR),
        Write("never"),
    ]));
    server.log().wait_for(1, |e| e["line"] == "now");
    assert_eq!(server.ask(script(&[Write("served")])), b"served");
    let events = server.requests(2);
    assert_eq!(events[0]["outcome"], "ok", "{events:?}");
    assert_eq!(events[1]["outcome"], "deadline", "{events:?}");
    sleeping.finish_sending();
    assert_eq!(sleeping.receive_all(), b"h");
}

#[test]
fn a_sleep_of_2_to_the_63_nanoseconds_and_one_of_all_bits_end() {
    for nanos in [1 << 63, u64::MAX] {
        let server = serve(wat("script"));
        assert_eq!(
            server.ask(script(&[Return, SleepNanos(nanos), Write("never")])),
            b""
        );
        ended_at_the_deadline(&server.request());
    }
}

#[test]
fn a_sleep_that_is_short_enough_is_slept() {
    let server = Serve::new(wat("script")).start();
    let orders = [
        Sleep(Duration::from_millis(20)),
        SleepNanos(0),
        Write("slept"),
    ];
    assert_eq!(server.ask(script(&orders)), b"slept");
    let event = server.request();
    assert!(event["duration_us"].as_u64() >= Some(20_000), "{event}");
}

#[test]
fn a_command_that_sleeps_ends() {
    let server = serve(guest("probe"));
    assert_eq!(server.ask("sleep 3600000\n"), b"");
    ended_at_the_deadline(&server.request());
}

#[test]
fn a_component_that_sleeps_ends() {
    let server = serve(guest_component("probe"));
    assert_eq!(server.ask("sleep 3600000\n"), b"");
    ended_at_the_deadline(&server.request());
}

#[test]
fn a_sleep_in_a_command_is_slept() {
    for file in [guest("probe"), guest_component("probe")] {
        assert_eq!(Serve::new(file).start().ask("sleep 20\n"), b"slept\n");
    }
}

#[test]
fn a_client_that_trickles_ends_at_the_deadline() {
    for file in [wat("cat"), guest_component("probe"), handler("echo")] {
        let server = Serve::new(&file)
            .with("--deadline 400ms --idle-timeout 60s")
            .start();
        let mut client = server.connect();
        client.send("echo\n");
        // A byte now and then keeps the idle timeout away, not the deadline.
        while !server.log().events().iter().any(is_request) {
            client.send("x");
            thread::sleep(Duration::from_millis(20));
        }
        ended_at_the_deadline(&server.request());
    }
}

#[test]
fn a_handler_that_waits_for_a_silent_client_ends_at_the_deadline() {
    for file in [wat("cat"), guest_component("probe"), handler("echo")] {
        let server = Serve::new(&file)
            .with("--deadline 400ms --idle-timeout none")
            .start();
        let client = server.connect();
        ended_at_the_deadline(&server.request());
        drop(client);
    }
}

#[test]
fn a_datagram_handler_that_sleeps_ends_and_nothing_is_sent() {
    for transport in [Transport::Udp, Transport::Unixgram] {
        let server = Serve::new(wat("script"))
            .on(transport)
            .with("--deadline 400ms")
            .start();
        let mut client = server.connect();
        client.send(script(&[Return, Write("lost"), Sleep(AN_HOUR)]));
        ended_at_the_deadline(&server.request());
        client.has_received_nothing();
    }
}

#[test]
fn under_serial_the_next_request_is_served_after_the_deadline() {
    let server = Serve::new(wat("script"))
        .with("--concurrency serial --deadline 400ms")
        .start();
    assert_eq!(server.ask(script(&[Sleep(AN_HOUR)])), b"");
    ended_at_the_deadline(&server.request());
    assert_eq!(server.ask(script(&[Write("served")])), b"served");
}
