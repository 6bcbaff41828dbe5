//! `shutdown` and `server_close`: what becomes of the loop, the listener and the requests in flight.

use super::in_flight::in_flight;
use crate::harness::Op::{Print, Return, Sleep, Write};
use crate::harness::{Server, script, signal};
use crate::parity::scenario::{
    Concurrency, DATAGRAMS, EACH, Expected, SCENARIO, Scenario, Seen, TCP, THREADS,
};
use crate::parity::seen::{answers, ask, packets, rest, until};
use crate::parity::stage::Stage;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a server that was never used stops, and nobody is there any more",
        sees: |stage| {
            let mut server = stage.start();
            let code = server.terminate().code();
            let there = answers(&server.address());
            vec![format!("exit code {code:?}, somebody is there: {there}")]
        },
        covers: &[
            "test_close_immediately",
            "test_context_manager",
            "test_shutdown",
        ],
        ..SCENARIO
    },
    Scenario {
        name: "an idle server takes up to half a second to stop (`poll_interval`)",
        over: TCP,
        sees: |stage| {
            // The quicker of two, since a busy machine can make anything slow.
            let time = (0..2).map(|_| time_to_stop(stage)).min();
            let slow = time.is_some_and(|time| time > Duration::from_millis(300));
            vec![format!("it takes its time: {slow}")]
        },
        expected: Expected::Departure("the loop is woken, not waited for"),
        ..SCENARIO
    },
    Scenario {
        name: "a request in flight ends by itself, while new clients are refused",
        over: TCP,
        under: THREADS,
        sees: |stage| stops_in_flight(stage, true),
        ..SCENARIO
    },
    Scenario {
        name: "without a mix-in, too, a request in flight ends by itself",
        over: TCP,
        under: &[Concurrency::Serial],
        sees: |stage| stops_in_flight(stage, false),
        ..SCENARIO
    },
    Scenario {
        name: "a child in flight ends by itself",
        over: TCP,
        under: &[Concurrency::Fork],
        sees: |stage| stops_in_flight(stage, false),
        ..SCENARIO
    },
    Scenario {
        name: "while a child is in flight new clients connect, and nobody serves them",
        over: TCP,
        under: &[Concurrency::Fork],
        sees: |stage| {
            let server = stage.start();
            let _first = in_flight(&server, 1);
            server.process().signal(signal::TERM);
            server
                .log()
                .wait_for(1, |event| event["event"] == "shutting-down");
            // More than the half second in which Python's loop looks up.
            thread::sleep(Duration::from_millis(800));
            vec![format!("a new client connects: {}", connects(&server))]
        },
        expected: Expected::Departure(
            "a child keeps its own connection only; Python's keeps the listener, too",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "a request that does not end is waited for without a limit (`block_on_close`)",
        over: TCP,
        under: EACH,
        options: "--shutdown-grace 200ms",
        sees: |stage| {
            let mut server = stage.start();
            let _client = in_flight(&server, 1);
            server.process().signal(signal::TERM);
            let end = Instant::now() + Duration::from_millis(2_000);
            while Instant::now() < end && !server.has_ended() {
                thread::sleep(Duration::from_millis(5));
            }
            vec![format!("it has ended: {}", server.has_ended())]
        },
        expected: Expected::Departure(
            "a stop is a stop: what has not ended within --shutdown-grace is cut",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "a packet in flight is answered although the server stops",
        over: DATAGRAMS,
        under: &[Concurrency::Serial, Concurrency::Fork],
        sees: stops_at_a_packet,
        ..SCENARIO
    },
    Scenario {
        name: "a packet in flight on a thread loses its reply when the server stops",
        over: DATAGRAMS,
        under: THREADS,
        sees: stops_at_a_packet,
        expected: Expected::Departure(
            "the socket is closed when the last request has answered; Python closes it first, and \
             the threads share it",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "with `daemon_threads` a request in flight ends with the program",
        over: TCP,
        under: THREADS,
        attributes: r#"{"daemon_threads": true}"#,
        options: "--shutdown-grace 0s",
        sees: |stage| {
            let mut server = stage.start();
            let mut client = in_flight(&server, 1);
            let code = server.terminate().code();
            vec![format!("exit code {code:?}"), rest(&mut client)]
        },
        ..SCENARIO
    },
];

/// Right after a request: Python's loop has just begun to wait.
fn time_to_stop(stage: &Stage<'_>) -> Duration {
    let mut server = stage.start();
    ask(&server, script(&[Write("x")]));
    thread::sleep(Duration::from_millis(50));
    let began = Instant::now();
    server.terminate();
    began.elapsed()
}

fn stops_in_flight(stage: &Stage<'_>, refuses: bool) -> Seen {
    let mut server = stage.start();
    let mut client = in_flight(&server, 1);
    server.process().signal(signal::TERM);
    server
        .log()
        .wait_for(1, |event| event["event"] == "shutting-down");
    if refuses {
        until("new clients are refused", || !connects(&server));
    }
    client.send(script(&[Write("whole "), Return, Write("reply")]));
    client.finish_sending();
    vec![
        rest(&mut client),
        format!("exit code {:?}", server.wait().code()),
    ]
}

fn stops_at_a_packet(stage: &Stage<'_>) -> Seen {
    let mut server = stage.start();
    let mut client = server.connect();
    // Longer than the half second in which Python's loop looks up.
    let work = Sleep(Duration::from_millis(900));
    client.send(script(&[Print("now"), work, Write("late")]));
    server.log().wait_for(1, |event| event["line"] == "now");
    server.process().signal(signal::TERM);
    let code = server.wait().code();
    vec![format!("exit code {code:?}"), packets(&mut client)]
}

fn connects(server: &Server) -> bool {
    TcpStream::connect(server.address().trim_start_matches("tcp://")).is_ok()
}
