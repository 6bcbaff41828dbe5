//! What the supervisor of `--concurrency fork` shares with its processes, used as by one that has broken out of a handler:
//! the test takes a child's descriptors, and does with them what the child could.

use crate::harness::{Op, Process, Serve, Server, script, wat};
use Op::{Return, Write};
use nix::libc;
use socket2::Socket;
use std::fs::File;
use std::net::Shutdown;

fn serve() -> Server {
    Serve::new(wat("script")).with("--concurrency fork").start()
}

/// What a child that serves a request has, while it does.
fn in_a_child<T>(server: &Server, look: impl FnOnce(Process) -> T) -> T {
    let mut client = server.connect();
    client.send(script(&[Return, Write("in")]));
    assert_eq!(client.receive(2), b"in");
    let children = server.loops()[0].children();
    assert_eq!(children.len(), 1, "{children:?}");
    let found = look(children[0]);
    client.finish_sending();
    client.receive_all();
    found
}

/// A child's way to the log, which its standard error is as well.
fn channel(server: &Server) -> Socket {
    in_a_child(server, |child| Socket::from(child.descriptor(2)))
}

fn is_served(server: &Server) {
    assert_eq!(server.ask(script(&[Write("served")])), b"served");
}

#[test]
fn the_table_of_requests_cannot_be_cut_off() {
    let server = serve();
    let table = in_a_child(&server, |child| child.descriptor_of("sandsock-table"));
    let table = File::from(table);
    let length = table.metadata().expect("a file").len();
    for wrong in [0, 1, 2 * length] {
        let error = table.set_len(wrong).expect_err("it is sealed");
        assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{wrong}");
    }
    is_served(&server);
    server.requests(2);
}

#[test]
fn an_empty_message_silences_nobody() {
    let server = serve();
    let channel = channel(&server);
    for _ in 0..3 {
        channel.send(b"").expect("it is sent");
    }
    is_served(&server);
    server.requests(2);
    let said = server.log().events();
    assert!(
        !said.iter().any(|e| e["event"] == "fork-silenced"),
        "{said:?}"
    );
}

#[test]
fn who_shuts_the_log_down_costs_it_what_is_in_flight_and_a_loop_takes_its_place() {
    for how in [Shutdown::Both, Shutdown::Write] {
        let server = serve();
        let before = server.loops()[0];
        channel(&server).shutdown(how).expect("it is shut down");
        let events = server.log().wait_for(1, |e| e["event"] == "fork-silenced");
        assert_eq!(events[0]["pid"], before.0, "{events:?}");
        // Another loop is there once this one is told to end, and has.
        while before.is_running() {
            is_served(&server);
        }
        is_served(&server);
        let after = server.loops()[0];
        assert_ne!(after, before);
        // Its requests are heard again.
        let mut client = server.connect();
        client.send(script(&[Return, Write("in")]));
        assert_eq!(client.receive(2), b"in");
        let child = after.children()[0];
        client.finish_sending();
        client.receive_all();
        server.log().wait_for(1, |e| e["pid"] == child.0);
    }
}

#[test]
fn a_child_writes_no_lines_of_the_host() {
    let server = serve();
    let channel = channel(&server);
    let forged = r#"{"timestamp":"2026-01-01T00:00:00Z","level":"INFO","event":"listening","service":"forged"}"#;
    for kind in 0..=u8::MAX {
        for text in [forged, "", "a line\n{\"event\":\"shutting-down\"}\n\x1b[2J"] {
            let message = [&[kind], text.as_bytes()].concat();
            channel.send(&message).expect("it is sent");
        }
    }
    is_served(&server);
    server.requests(2);
    for event in server.log().events() {
        let is_known =
            ["hardened", "loaded", "request"].contains(&event["event"].as_str().unwrap());
        let is_told_of = event["event"] == "fork-said" && event["pid"] == std::process::id();
        assert!(is_known || is_told_of, "{event}");
        assert_ne!(event["service"], "forged", "{event}");
    }
}

#[test]
fn an_event_of_a_child_is_in_its_own_name() {
    let server = serve();
    let channel = channel(&server);
    let event = r#"{"event":"request","service":"other","id":77,"client":"192.0.2.1:9","pid":1,"outcome":"ok","duration_us":1,"cpu_us":2,"bytes_in":3,"bytes_out":4,"memory_peak":5,"extra":"field"}"#;
    channel
        .send(&[&[3], event.as_bytes()].concat())
        .expect("it is sent");
    let events = server.log().wait_for(1, |e| e["id"] == 77);
    assert_eq!(events[0]["pid"], std::process::id(), "{events:?}");
    assert_eq!(events[0]["service"], "script", "{events:?}");
    assert!(events[0]["extra"].is_null(), "{events:?}");
}

#[test]
fn the_operators_environment_is_not_there() {
    let server = Serve::new(wat("script"))
        .with("--concurrency fork --inherit-env GRANTED")
        .environment("SECRET_OF_THE_OPERATOR", "x")
        .environment("GRANTED", "y")
        .start();
    let of_a_child = in_a_child(&server, Process::environment);
    for environment in [server.loops()[0].environment(), of_a_child] {
        assert!(
            !environment.contains("SECRET_OF_THE_OPERATOR"),
            "{environment}"
        );
        assert!(environment.contains("GRANTED=y"), "{environment}");
    }
}
