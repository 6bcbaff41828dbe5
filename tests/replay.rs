//! A recorded request runs again, offline, with the same results of the host: whatever it was, it does the same.

use crate::harness::{
    CONCURRENCIES, Op, Recording, Serve, Server, Transport, guest, guest_component, handler,
    handler_component, script, test_recordings, wat,
};
use Op::{
    ClientAddress, Exit, Fail, Flush, GrowMemory, Id, Print, PrintError, Read, ReadLine, Return,
    ServerAddress, SetTimeout, Sleep, Spin, Trap, Write, WriteMany,
};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Without IPv6, which differs in nothing here.
const TRANSPORTS: [Transport; 4] = [
    Transport::Tcp,
    Transport::Udp,
    Transport::Unix,
    Transport::Unixgram,
];

fn serve(handler: impl AsRef<Path>, concurrency: &str) -> Serve {
    Serve::new(handler)
        .with("--concurrency")
        .arg(concurrency)
        .recording("all")
}

/// Three requests over each transport: what was recorded is what was sent and answered, and it runs again.
fn are_recorded_and_replay(concurrency: &str, handler: &Path, greeting: &str) {
    for transport in TRANSPORTS {
        let cell = format!("{transport:?} {concurrency}");
        let mut server = serve(handler, concurrency).on(transport).start();
        let mut clients = Vec::new();
        for text in ["one", "two", "three"] {
            let client = server.connect();
            clients.push(client.address());
            assert_eq!(
                client.ask(format!("{greeting}{text}\n")),
                format!("{text}\n").as_bytes()
            );
        }
        server.requests(3);
        let address = server.address();
        let (_, address) = address.split_once("://").unwrap();
        let recorded = server.recorded();
        assert_eq!(recorded.len(), 3, "{cell}");
        for recording in &recorded {
            let id = recording.header("id").as_u64().unwrap() as usize;
            let text = ["one", "two", "three"][id - 1];
            assert_eq!(recording.header("client"), &*clients[id - 1], "{cell}");
            assert_eq!(recording.header("server"), address, "{cell}");
            let scheme = format!("{transport:?}").to_lowercase();
            assert_eq!(recording.header("transport"), &*scheme, "{cell}");
            assert_eq!(
                recording.text("received"),
                format!("{greeting}{text}\n"),
                "{cell}"
            );
            assert_eq!(recording.text("sent"), format!("{text}\n"), "{cell}");
            assert_eq!(recording.outcome(), "ok", "{cell}");
            let times = recording.lines[1..]
                .iter()
                .map(|line| line["at"].as_u64().unwrap());
            assert!(times.is_sorted(), "{recording:?}");
        }
        let tested = test_recordings(&server.recordings(), handler, "");
        assert_eq!(tested.code, 0, "{cell}: {}\n{recorded:?}", tested.text());
        let summary = tested.text().lines().last().unwrap().to_owned();
        assert_eq!(summary, "3 recordings: 3 passed, 0 failed", "{cell}");
    }
}

macro_rules! of_each_kind {
    ($($concurrency:ident)*) => { $(
        mod $concurrency {
            use super::*;
            #[test]
            fn modules_replay_the_same() {
                are_recorded_and_replay(stringify!($concurrency), &handler("echo"), "");
            }
            #[test]
            fn components_replay_the_same() {
                are_recorded_and_replay(stringify!($concurrency), &handler_component("echo"), "");
            }
            #[test]
            fn commands_replay_the_same() {
                are_recorded_and_replay(stringify!($concurrency), &wat("cat"), "");
            }
            #[test]
            fn commands_that_are_components_replay_the_same() {
                let probe = guest_component("probe");
                are_recorded_and_replay(stringify!($concurrency), &probe, "echo\n");
            }
        }
    )* };
}

of_each_kind! { serial threads fork }

/// The one request of a server that has ended, with this outcome.
#[track_caller]
fn the_one(server: &mut Server, outcome: &str) -> Recording {
    assert_eq!(server.request()["outcome"], outcome);
    let mut recorded = server.recorded();
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    assert_eq!(recorded[0].outcome(), outcome);
    recorded.remove(0)
}

#[test]
fn every_way_in_which_a_handler_ends_by_itself_replays() {
    let all_of_it = [
        Write("to the log: "),
        Print("out"),
        PrintError("err"),
        ClientAddress(40),
        ServerAddress(40),
        Id,
        Flush,
        ReadLine(3),
    ];
    let all_of_it = [&script(&all_of_it)[..], b"ab\n"].concat();
    let ways = [
        (all_of_it, "ok"),
        (script(&[Return, Write("x"), Fail]), "handler-error"),
        (script(&[Return, Write("x"), Trap]), "trap"),
        (script(&[Fail]), "handler-error"),
        (script(&[Return, Exit(0)]), "ok"),
        (script(&[Return, Exit(3)]), "trap"),
    ];
    for concurrency in CONCURRENCIES {
        for (orders, outcome) in &ways {
            let mut server = serve(wat("script"), concurrency).start();
            server.ask(orders);
            the_one(&mut server, outcome).replays_the_same();
        }
    }
}

#[test]
fn every_limit_that_ends_a_request_replays() {
    let hour = Sleep(Duration::from_secs(3600));
    let limits = [
        (
            "--idle-timeout 200ms",
            vec![Return, Read(1)],
            "idle-timeout",
        ),
        ("--deadline 300ms", vec![Return, hour], "deadline"),
        ("--deadline 300ms", vec![Return, Read(1)], "deadline"),
        ("--deadline 300ms", vec![Return, Spin], "deadline"),
        (
            "--cpu-limit 100ms",
            vec![Return, Write("x"), Spin],
            "cpu-limit",
        ),
        // More CPU time than is left of the deadline after a sleep.
        (
            "--deadline 600ms --cpu-limit 400ms",
            vec![Return, Sleep(Duration::from_millis(400)), Spin],
            "deadline",
        ),
        (
            "--memory-limit 1MiB",
            vec![Return, GrowMemory(64), Trap],
            "memory-limit",
        ),
        ("--max-input 3", vec![Return, Write("x")], "input-limit"),
        (
            "--max-output 3",
            vec![Return, Write("12345")],
            "output-limit",
        ),
    ];
    for concurrency in CONCURRENCIES {
        for (options, orders, outcome) in &limits {
            let mut server = serve(wat("script"), concurrency).with(options).start();
            let mut client = server.connect();
            client.send(script(orders));
            assert_eq!(
                server.request()["outcome"],
                *outcome,
                "{options} {orders:?}"
            );
            drop(client);
            the_one(&mut server, outcome).replays_the_same();
        }
    }
}

#[test]
fn what_shutdown_has_cut_replays() {
    for concurrency in CONCURRENCIES {
        for order in [Sleep(Duration::from_secs(3600)), Read(1), Spin] {
            let mut server = serve(wat("script"), concurrency)
                .with("--shutdown-grace 300ms")
                .start();
            let mut client = server.connect();
            client.send(script(&[Return, Print("now"), order]));
            server.log().wait_for(1, |event| event["line"] == "now");
            let recorded = server.recorded();
            assert_eq!(recorded.len(), 1, "{concurrency} {order:?}");
            assert_eq!(recorded[0].outcome(), "cut", "{concurrency} {order:?}");
            recorded[0].replays_the_same();
        }
    }
}

#[test]
fn a_client_that_resets_replays() {
    for concurrency in CONCURRENCIES {
        let sleep = Sleep(Duration::from_millis(300));
        for orders in [[ReadLine(10), Return], [sleep, WriteMany(10)]] {
            let mut server = serve(wat("script"), concurrency).start();
            let mut client = server.connect();
            client.send(script(&[
                Return,
                Print("now"),
                orders[0],
                orders[1],
                Write("x"),
            ]));
            server.log().wait_for(1, |event| event["line"] == "now");
            client.reset();
            // The script does not mind whether a write succeeds.
            let outcome = server.request()["outcome"].as_str().unwrap().to_owned();
            let recording = the_one(&mut server, &outcome);
            assert!(
                recording.to_file_text().contains("\"gone\":true"),
                "{recording:?}"
            );
            recording.replays_the_same();
        }
    }
}

#[test]
fn a_timeout_of_the_handlers_own_replays() {
    for concurrency in CONCURRENCIES {
        let mut server = serve(wat("script"), concurrency).start();
        let mut client = server.connect();
        client.send(script(&[Return, SetTimeout(100), Read(5)]));
        // What both orders answer; the next order does not come in time either, which the script reports.
        assert_eq!(client.receive(8)[4..], (-73_i32).to_le_bytes());
        let recording = the_one(&mut server, "handler-error");
        assert!(
            recording.events("receive-failed").len() >= 2,
            "{recording:?}"
        );
        recording.replays_the_same();
    }
}

#[test]
fn a_write_that_timed_out_before_others_succeeded_replays() {
    for concurrency in CONCURRENCIES {
        let mut server = serve(wat("script"), concurrency)
            .on(Transport::Unix)
            .start();
        let mut client = server.connect();
        let orders = [Return, SetTimeout(100), WriteMany(500_000), Print("full")];
        client.send(script(&orders));
        server.log().wait_for(1, |event| event["line"] == "full");
        let mut twin = client.twin();
        let reader = thread::spawn(move || twin.receive_all());
        client.send(script(&[SetTimeout(0), Write("after")]));
        client.finish_sending();
        assert!(reader.join().unwrap().ends_with(b"after"));
        let recording = the_one(&mut server, "ok");
        assert!(!recording.events("send-failed").is_empty(), "{recording:?}");
        recording.replays_the_same();
    }
}

/// The answer to one question, which is the same when it is replayed.
fn answer_replays(handler: &Path, transport: Transport, question: &str) -> String {
    let mut server = serve(handler, "threads").on(transport).start();
    let answer = String::from_utf8(server.ask(question)).unwrap();
    let recording = the_one(&mut server, "ok");
    if !transport.is_datagram() {
        assert_eq!(recording.text("sent"), answer);
    }
    recording.replays_the_same();
    answer
}

#[test]
fn random_numbers_clocks_and_sleeps_are_what_they_were() {
    for probe in [guest("probe"), guest_component("probe")] {
        for question in ["random\n", "clocks\n", "sleep 30\n"] {
            let answer = answer_replays(&probe, Transport::Tcp, question);
            assert!(!answer.is_empty() && !answer.contains("error"), "{answer}");
        }
    }
}

#[test]
fn a_sleep_takes_no_time_when_it_is_replayed() {
    let mut server = serve(wat("script"), "threads").start();
    server.ask(script(&[Return, Sleep(Duration::from_millis(700))]));
    let recording = the_one(&mut server, "ok");
    let replayed = crate::harness::sandsock(
        &["replay".as_ref(), recording.file.as_os_str(), "-v".as_ref()],
        b"",
    );
    let text = replayed.text();
    let ended = text.lines().last().unwrap();
    let ended: serde_json::Value = serde_json::from_str(ended).unwrap();
    let took = ended["ended"]["duration_us"].as_u64().unwrap();
    assert!(took < 600_000, "{text}");
}

/// Polls standard input and a clock of ten milliseconds, and says of each poll what came: `t` or `i`.
const WAITS: &str = r#"(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  ;; 0 and 48: subscriptions, of time and of input. 128: events. 256: an iovec, 264: a count, 300: a letter.
  (memory (export "memory") 1)
  (func (export "_start")
    (i64.store (i32.const 0) (i64.const 116))
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 10000000))
    (i64.store (i32.const 48) (i64.const 105))
    (i32.store8 (i32.const 56) (i32.const 1))
    (i32.store (i32.const 256) (i32.const 128))
    (i32.store (i32.const 260) (i32.const 1))
    (loop $again
      (if (call $poll (i32.const 0) (i32.const 128) (i32.const 2) (i32.const 264)) (then unreachable))
      (drop (call $write (i32.const 1) (i32.const 256) (i32.const 1) (i32.const 264)))
      (br_if $again (i32.eq (i32.load8_u (i32.const 128)) (i32.const 116))))))"#;

#[test]
fn polls_see_again_what_came_first() {
    let dir = tempfile::tempdir().unwrap();
    let waits = dir.path().join("waits.wat");
    fs::write(&waits, WAITS).unwrap();
    for (program, greeting, after) in [
        (waits, "", "t"),
        (guest_component("probe"), "wait\n", "[1]\n"),
    ] {
        let mut server = serve(program, "threads").start();
        let mut client = server.connect();
        client.send(greeting);
        // Three rounds are over when the input comes.
        let said = client.receive(3 * after.len());
        assert_eq!(said, after.repeat(3).as_bytes());
        client.send("x");
        client.finish_sending();
        client.receive_all();
        let recording = the_one(&mut server, "ok");
        assert!(recording.events("ready").len() >= 4, "{recording:?}");
        recording.replays_the_same();
    }
}

#[test]
fn arguments_and_environment_are_what_they_were() {
    for transport in TRANSPORTS {
        for probe in [guest("probe"), guest_component("probe")] {
            let answer = answer_replays(&probe, transport, "environment\n");
            assert!(answer.contains("PROTO="), "{answer}");
        }
    }
    let mut server = serve(guest("probe"), "threads")
        .with("--env GREETING=hello")
        .handler_args(&["one", "two words"])
        .start();
    assert_eq!(server.ask("arguments\n"), b"one\ntwo words\n");
    the_one(&mut server, "ok").replays_the_same();
}
