//! The three steps of a handler that was made with the Rust SDK: the same source, as a module and as a
//! component, has the same life.

use crate::harness::{Client, Serve, Server, Transport, guest, guest_component, is_guest};
use std::path::PathBuf;

fn both() -> [PathBuf; 2] {
    [guest("steps"), guest_component("steps")]
}

fn servers() -> [Server; 2] {
    both().map(|file| Serve::new(file).start())
}

/// What is received, how the log calls it, and what it says of it: a component's error is the event's
/// detail, a module's is a line that it logs.
#[track_caller]
fn receives(lines: &str, received: &str, outcome: &str, said: &str) {
    for server in servers() {
        let answer = server.ask(lines);
        assert_eq!(String::from_utf8_lossy(&answer), received);
        let event = server.request();
        assert_eq!(event["outcome"], outcome, "{event}");
        let log = server.log().lines().concat();
        assert!(log.contains(said), "{said:?} expected in {log}");
        assert_eq!(server.ask("next ok\n"), b"next");
    }
}

#[test]
fn all_three_steps_run_on_one_value() {
    receives("s ok\nh ok\nf count\n", "shf3\n", "ok", "");
}

#[test]
fn after_an_error_in_setup_nothing_runs_and_its_text_is_in_the_log() {
    receives(
        "s fail\nh ok\nf ok\n",
        "s",
        "handler-error",
        "asked to fail in setup",
    );
}

#[test]
fn after_an_error_in_handle_finish_runs() {
    receives(
        "s ok\nh fail\nf ok\n",
        "shf",
        "handler-error",
        "asked to fail in handle",
    );
}

#[test]
fn an_error_in_finish_is_the_handlers_error() {
    receives(
        "s ok\nh ok\nf fail\n",
        "shf",
        "handler-error",
        "asked to fail in finish",
    );
}

#[test]
fn after_a_panic_no_later_step_runs() {
    receives("s panic\nh ok\nf ok\n", "s", "trap", "");
    receives("s ok\nh panic\nf ok\n", "sh", "trap", "");
    receives("s ok\nh ok\nf panic\n", "shf", "trap", "");
}

#[test]
fn exit_0_is_success_and_another_code_a_trap() {
    receives("s ok\nh exit-0\nf ok\n", "sh", "ok", "");
    receives("s ok\nh exit-3\nf ok\n", "sh", "trap", "");
}

#[test]
fn what_it_prints_is_the_log() {
    for server in servers() {
        server.ask("s ok\nh print\nf ok\n");
        let request = server.request();
        let mut events = server.log().wait_for(2, is_guest);
        events.sort_by_key(|event| event["stream"].to_string());
        let said: Vec<_> = events.iter().map(|e| (&e["stream"], &e["line"])).collect();
        assert_eq!(said[0], (&"stderr".into(), &"complained in handle".into()));
        assert_eq!(said[1], (&"stdout".into(), &"printed in handle".into()));
        assert!(
            events.iter().all(|e| e["id"] == request["id"]),
            "{events:?} {request}"
        );
    }
}

#[test]
fn it_is_told_addresses_transport_and_number() {
    for file in both() {
        for (transport, name) in [
            (Transport::Tcp, "tcp"),
            (Transport::Udp, "udp"),
            (Transport::Unix, "unix"),
            (Transport::Unixgram, "unixgram"),
        ] {
            let server = Serve::new(&file).on(transport).start();
            let client: Client = server.connect();
            let own = client.address();
            let answer = String::from_utf8(client.ask(" ok\n about\n ok\n")).unwrap();
            let listening = server.address();
            let place = listening.split_once("://").unwrap().1;
            let id = &server.request()["id"];
            assert_eq!(answer, format!("{own} {place} {name} {id}\n"));
        }
    }
}

#[test]
fn its_own_timeout_is_an_error_of_the_read() {
    for server in servers() {
        let mut client = server.connect();
        client.send(" ok\n timeout\n");
        assert_eq!(client.receive(15), b"Some(TimedOut)\n");
        client.send(" ok\n");
        client.finish_sending();
        assert_eq!(server.request()["outcome"], "ok");
    }
}

#[test]
fn a_sleep_ends_at_the_deadline() {
    for file in both() {
        let server = Serve::new(file).with("--deadline 400ms").start();
        assert_eq!(server.ask("s ok\nh sleep\n"), b"sh");
        assert_eq!(server.request()["outcome"], "deadline");
    }
}

#[test]
fn an_endless_loop_ends_at_the_cpu_limit() {
    for file in both() {
        let server = Serve::new(file).with("--cpu-limit 300ms").start();
        assert_eq!(server.ask("s ok\nh ok\nf spin\n"), b"shf");
        assert_eq!(server.request()["outcome"], "cpu-limit");
    }
}

#[test]
fn a_client_that_is_silent_is_an_idle_timeout_whatever_the_step_makes_of_it() {
    for file in both() {
        let server = Serve::new(file).with("--idle-timeout 200ms").start();
        let client = server.connect();
        assert_eq!(server.request()["outcome"], "idle-timeout");
        drop(client);
    }
}
