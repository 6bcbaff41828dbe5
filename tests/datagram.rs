//! What is special about datagrams: what is sent, and what is not.

use crate::harness::{
    Answers, Op, PATIENCE, Serve, Server, Transport, handler, is_request, script, wat,
};
use Op::{Fail, Flush, Return, Trap, Write, WriteMany};
use serde_json::Value;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;

/// EMSGSIZE of WASI preview 1, negated.
const MESSAGE_TOO_LONG: i32 = -35;
/// The largest payload over IPv4; Unix sockets have the same limit unless it is set.
const LARGEST: u32 = 65_507;

fn servers(handler: &str) -> [Server; 2] {
    [Transport::Udp, Transport::Unixgram].map(|t| Serve::new(wat(handler)).on(t).start())
}

/// What comes back, packet by packet, and the outcome.
#[track_caller]
fn is_answered(orders: &[Op<'_>], packets: &[&str], outcome: &str) {
    for server in servers("script") {
        let mut client = server.connect();
        client.send(script(orders));
        let event = server.request();
        assert_eq!(event["outcome"], outcome, "{event}");
        for packet in packets {
            assert_eq!(String::from_utf8_lossy(&client.receive_all()), *packet);
        }
        client.has_received_nothing();
    }
}

#[test]
fn what_was_written_is_one_packet() {
    is_answered(
        &[Write("one "), Return, Write("two "), Return, Write("three")],
        &["one two three"],
        "ok",
    );
}

#[test]
fn nothing_written_nothing_sent() {
    is_answered(&[Return, Return, Return], &[], "ok");
}

#[test]
fn after_a_reported_error_what_was_written_is_sent() {
    is_answered(
        &[Return, Write("written"), Fail, Write(", too")],
        &["written, too"],
        "handler-error",
    );
    is_answered(&[Write("written"), Fail], &["written"], "handler-error");
}

#[test]
fn after_a_trap_nothing_is_sent() {
    is_answered(&[Return, Write("lost"), Trap], &[], "trap");
}

#[test]
fn what_was_flushed_before_a_trap_is_sent() {
    is_answered(
        &[Return, Write("kept"), Flush, Write("lost"), Trap],
        &["kept"],
        "trap",
    );
}

#[test]
fn each_flush_is_a_packet() {
    for server in servers("script") {
        let mut client = server.connect();
        client.send(script(&[Write("first"), Flush, Return, Write("second")]));
        assert_eq!(client.receive_all(), b"first");
        let mut second = Answers(client.receive_all());
        assert_eq!(second.result(), 0);
        assert_eq!(second.text(6), "second");
        second.end();
    }
}

#[test]
fn a_flush_of_nothing_sends_nothing() {
    for server in servers("script") {
        let mut client = server.connect();
        client.send(script(&[Flush]));
        // All that comes is the packet with the flush's result.
        assert_eq!(client.receive_all(), 0_i32.to_le_bytes());
        server.request();
        client.has_received_nothing();
    }
}

#[test]
fn an_empty_packet_is_a_request_like_any_other() {
    for server in servers("initialize") {
        let mut client = server.connect();
        client.send("");
        assert_eq!(client.receive_all(), b"initialized");
        let event = server.request();
        assert_eq!(event["outcome"], "ok");
        assert_eq!(event["bytes_in"], 0);
    }
}

#[test]
fn the_input_ends_with_the_packet() {
    for server in servers("script") {
        let mut client = server.connect();
        client.send([script(&[Op::Read(100)]), b"last".to_vec()].concat());
        let mut answer = Answers(client.receive_all());
        assert_eq!(answer.counted(), b"last");
        answer.end();
    }
}

#[test]
fn the_largest_packet_goes_both_ways() {
    for transport in [Transport::Udp, Transport::Unixgram] {
        let server = Serve::new(handler("echo")).on(transport).start();
        let packet: Vec<u8> = (0..LARGEST).map(|n| (n % 251) as u8).collect();
        assert!(
            server.ask(&packet) == packet,
            "{transport:?}: {}",
            server.request()
        );
    }
}

#[test]
fn a_reply_too_long_for_a_packet_is_an_error_of_write() {
    for server in servers("script") {
        let answer = server.ask(script(&[WriteMany(LARGEST + 1)]));
        assert_eq!(answer, MESSAGE_TOO_LONG.to_le_bytes());
        assert_eq!(server.request()["outcome"], "ok");
    }
}

#[test]
fn a_write_that_would_make_the_reply_too_long_takes_nothing_away() {
    for server in servers("script") {
        let mut answer = Answers(server.ask(script(&[WriteMany(65_000), WriteMany(1_000)])));
        answer.bytes(65_000);
        assert_eq!(answer.result(), 65_000);
        assert_eq!(answer.result(), MESSAGE_TOO_LONG);
        answer.end();
    }
}

#[test]
fn a_packet_longer_than_the_limit_is_dropped_not_cut_off() {
    for transport in [Transport::Udp, Transport::Unixgram] {
        let server = Serve::new(handler("echo"))
            .on(transport)
            .with("--max-packet 1000")
            .start();
        let mut client = server.connect();
        client.send([b'x'; 1001]);
        client.send([b'y'; 1000]);
        assert_eq!(client.receive_all(), [b'y'; 1000]);
        server
            .log()
            .wait_for(1, |e| e["event"] == "packet-too-long" && e["dropped"] == 1);
        let event = server.request();
        assert_eq!(event["bytes_in"], 1000, "{event}");
        client.has_received_nothing();
        assert_eq!(
            server
                .log()
                .events()
                .iter()
                .filter(|e| is_request(e))
                .count(),
            1
        );
    }
}

#[test]
fn the_reply_comes_from_the_address_that_the_packet_came_to() {
    let server = Serve::new(handler("echo")).at("udp://0.0.0.0:0").start();
    let port = server.address().rsplit_once(':').unwrap().1.to_owned();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    for host in ["127.0.0.1", "127.0.0.2", "127.3.2.1"] {
        client
            .send_to(host.as_bytes(), format!("{host}:{port}"))
            .unwrap();
        let mut answer = [0; 100];
        let (n, from) = client.recv_from(&mut answer).unwrap();
        assert_eq!(&answer[..n], host.as_bytes());
        assert_eq!(from.to_string(), format!("{host}:{port}"));
    }
}

#[test]
fn a_peer_without_a_name_is_served_and_its_reply_is_an_error_in_the_log() {
    let server = Serve::new(wat("script")).on(Transport::Unixgram).start();
    let path = server
        .address()
        .trim_start_matches("unixgram://")
        .to_owned();
    let client = UnixDatagram::unbound().unwrap();
    client
        .send_to(&script(&[Op::Print("served"), Write("no way back")]), &path)
        .unwrap();
    let event = server.request();
    assert_eq!(event["client"], "", "{event}");
    server.log().wait_for(1, |e| e["line"] == "served");
    // Without output there is nothing to go wrong.
    client.send_to(&script(&[Return]), &path).unwrap();
    assert_eq!(server.requests(2)[1]["outcome"], "ok");
}

#[test]
fn a_peer_that_does_not_take_its_replies_holds_nobody_else_up() {
    let server = Serve::new(wat("initialize"))
        .on(Transport::Unixgram)
        .start();
    let address = server.address();
    let place = address.strip_prefix("unixgram://").unwrap();
    // Not connected: the queue of one that is connected to the server takes whatever the server sends.
    let dir = tempfile::tempdir().unwrap();
    let deaf = UnixDatagram::bind(dir.path().join("deaf")).unwrap();
    for _ in 0..40 {
        deaf.send_to(b"x", place).unwrap();
    }
    assert_eq!(server.ask("y"), b"initialized");
    let is_dropped = |event: &Value| {
        event["detail"]
            .as_str()
            .is_some_and(|why| why.contains("could not be sent"))
    };
    server.log().wait_for(1, is_dropped);
    server.requests(41);
}
