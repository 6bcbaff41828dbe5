//! The CPU limit: guest code that never ends is ended, wherever it runs, and nobody else notices.

use crate::harness::{
    Op, Serve, Server, Transport, guest, guest_component, is_request, script, wat,
};
use Op::{Print, Return, Spin, Write};
use serde_json::Value;
use std::path::Path;

/// What may be used beyond the limit: the tick of the clock that looks after it, and what a machine
/// under load adds to that.
const ALLOWANCE_US: u64 = 100_000;

fn serve(handler: impl AsRef<Path>, limit: &str) -> Server {
    Serve::new(handler).with("--cpu-limit").arg(limit).start()
}

#[track_caller]
fn ended_within(limit_us: u64, event: &Value) {
    assert_eq!(event["outcome"], "cpu-limit", "{event}");
    let used = event["cpu_us"].as_u64().expect("a number");
    assert!(used >= limit_us, "before its time: {event}");
    assert!(used <= limit_us + ALLOWANCE_US, "too late: {event}");
}

/// The script loops in one of its steps while another request is served, under `threads`.
fn a_loop_ends_while_another_is_served(orders: &[Op<'_>], received: &str) {
    let server = serve(wat("script"), "1s");
    let mut looping = server.connect();
    looping.send(script(orders));
    server.log().wait_for(1, |e| e["line"] == "now");
    assert_eq!(server.ask(script(&[Write("served")])), b"served");
    let events = server.requests(2);
    assert_eq!(
        events[0]["outcome"], "ok",
        "the other one has to end first: {events:?}"
    );
    ended_within(1_000_000, &events[1]);
    looping.finish_sending();
    assert_eq!(looping.receive_all(), received.as_bytes());
}

#[test]
fn an_endless_loop_in_setup_ends_while_another_is_served() {
    a_loop_ends_while_another_is_served(&[Write("s"), Print("now"), Spin], "s");
}

#[test]
fn an_endless_loop_in_handle_ends_while_another_is_served() {
    a_loop_ends_while_another_is_served(&[Return, Write("h"), Print("now"), Spin], "h");
}

#[test]
fn an_endless_loop_in_finish_ends_while_another_is_served() {
    a_loop_ends_while_another_is_served(&[Return, Return, Write("f"), Print("now"), Spin], "f");
}

/// Of two requests that follow each other one loops; which one, its number says.
fn every_second_loops_and_the_other_is_served(handler: &str) {
    let server = serve(wat(handler), "1s");
    let mut clients = [server.connect(), server.connect()];
    clients.iter_mut().for_each(|client| {
        client.send("x");
        client.finish_sending();
    });
    let answers = clients.map(|mut client| client.receive_all());
    assert!(answers.contains(&b"served".to_vec()), "{answers:?}");
    assert!(answers.contains(&Vec::new()), "{answers:?}");
    let events = server.requests(2);
    assert_eq!(
        events[0]["outcome"], "ok",
        "the other one has to end first: {events:?}"
    );
    ended_within(1_000_000, &events[1]);
}

#[test]
fn an_endless_loop_in_the_start_function_ends_while_another_is_served() {
    every_second_loops_and_the_other_is_served("spin-in-start");
}

#[test]
fn an_endless_loop_in_initialize_ends_while_another_is_served() {
    every_second_loops_and_the_other_is_served("spin-in-initialize");
}

#[test]
fn a_loop_of_host_calls_ends() {
    let server = serve(wat("spin-in-host-calls"), "300ms");
    assert_eq!(server.ask("x"), b"");
    ended_within(300_000, &server.request());
}

#[test]
fn an_endless_loop_in_a_command_ends() {
    for file in [guest("probe"), guest_component("probe")] {
        let server = serve(file, "300ms");
        assert_eq!(server.ask("spin\n"), b"");
        ended_within(300_000, &server.request());
    }
}

#[test]
fn an_endless_loop_ends_under_serial_and_the_next_is_served() {
    let server = Serve::new(wat("script"))
        .with("--concurrency serial --cpu-limit 300ms")
        .start();
    assert_eq!(server.ask(script(&[Return, Spin])), b"");
    ended_within(300_000, &server.request());
    assert_eq!(server.ask(script(&[Write("served")])), b"served");
}

#[test]
fn an_endless_loop_over_datagrams_ends_and_nothing_is_sent() {
    for transport in [Transport::Udp, Transport::Unixgram] {
        let server = Serve::new(wat("script"))
            .on(transport)
            .with("--cpu-limit 300ms")
            .start();
        let mut client = server.connect();
        client.send(script(&[Return, Write("lost"), Spin]));
        ended_within(300_000, &server.request());
        client.has_received_nothing();
    }
}

#[test]
fn waiting_for_the_client_is_not_cpu_time() {
    let server = serve(wat("script"), "100ms");
    let mut client = server.connect();
    for _ in 0..4 {
        // Four times 60 ms of waiting would be too much if waiting counted.
        std::thread::sleep(std::time::Duration::from_millis(60));
        client.send(script(&[Write("x")]));
        assert_eq!(client.receive(1), b"x");
    }
    client.finish_sending();
    assert_eq!(server.request()["outcome"], "ok");
}

#[test]
fn many_that_loop_at_once_all_end_and_the_server_serves_on() {
    let server = serve(wat("script"), "200ms");
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    clients
        .iter_mut()
        .for_each(|client| client.send(script(&[Return, Spin])));
    let ended = server
        .log()
        .wait_for(8, |e| is_request(e) && e["outcome"] == "cpu-limit");
    assert_eq!(ended.len(), 8);
    assert_eq!(server.ask(script(&[Write("served")])), b"served");
}
