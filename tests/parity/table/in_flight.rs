//! Requests side by side: who waits for whom, and what is left of them.

use crate::harness::Op::{Print, Return, Write};
use crate::harness::{Client, PATIENCE, Server, Transport, script};
use crate::parity::scenario::{
    Concurrency, Expected, SCENARIO, STREAMS, Scenario, Seen, TCP, THREADS,
};
use crate::parity::seen::{A_WHILE, arrives, rest, until};
use crate::parity::stage::{Side, Stage};
use std::fs;

const FORK: &[Concurrency] = &[Concurrency::Fork];

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a slow client holds up the next one without a mix-in, and with one it does not",
        over: STREAMS,
        sees: slow_client,
        ..SCENARIO
    },
    Scenario {
        name: "of ten threads fewer than ten are kept",
        over: TCP,
        under: THREADS,
        sees: |stage| {
            let server = stage.start();
            let before = server.process().threads();
            for nth in 1..=10 {
                server.ask(script(&[Return]));
                // A client has its end before the thread has: without this a busy machine may give
                // each next client a thread more, and be right.
                server.requests(nth);
            }
            let kept = server.process().threads().saturating_sub(before);
            vec![format!("fewer than ten: {}", kept < 10)]
        },
        covers: &["test_threads_reaped"],
        ..SCENARIO
    },
    Scenario {
        name: "no child is left behind",
        over: &[Transport::Tcp, Transport::Udp],
        under: FORK,
        sees: |stage| {
            let server = stage.start();
            let process = server.process().0;
            // The loop itself may be a process of its own.
            let before = descendants(process);
            for _ in 0..10 {
                server.ask(script(&[Write("x")]));
            }
            until("no child is left", || descendants(process) == before);
            vec!["no child is left".into()]
        },
        ..SCENARIO
    },
    Scenario {
        name: "at `max_children` the next request waits for the end of one",
        over: TCP,
        under: FORK,
        attributes: r#"{"max_children": 2}"#,
        options: "--max-in-flight 2",
        sees: three_at_once,
        ..SCENARIO
    },
    Scenario {
        name: "there is no limit to the number of threads",
        over: TCP,
        under: THREADS,
        options: "--max-in-flight 2",
        sees: three_at_once,
        expected: Expected::Departure(
            "what clients can use up has a limit: at --max-in-flight accepting waits",
        ),
        ..SCENARIO
    },
];

/// A client whose request is in flight.
pub(crate) fn in_flight(server: &Server, nth: usize) -> Client {
    let mut client = server.connect();
    client.send(script(&[Return, Print("now")]));
    server.log().wait_for(nth, |event| event["line"] == "now");
    client
}

fn slow_client(stage: &Stage<'_>) -> Seen {
    let server = stage.start();
    let mut first = in_flight(&server, 1);
    let mut second = server.connect();
    second.send(script(&[Write("second")]));
    second.finish_sending();
    let patience = match stage.concurrency {
        Concurrency::Serial => A_WHILE,
        Concurrency::Threads | Concurrency::Fork => PATIENCE,
    };
    let held_up = !arrives(&second, patience);
    first.send(script(&[Write("first")]));
    first.finish_sending();
    vec![
        format!("the second is held up: {held_up}"),
        rest(&mut first),
        rest(&mut second),
    ]
}

fn three_at_once(stage: &Stage<'_>) -> Seen {
    let server = stage.start();
    let mut first = in_flight(&server, 1);
    let _second = in_flight(&server, 2);
    let mut third = server.connect();
    third.send(script(&[Write("third")]));
    third.finish_sending();
    let patience = match (stage.side, stage.concurrency) {
        (Side::Python, Concurrency::Threads) => PATIENCE,
        _ => A_WHILE,
    };
    let held_up = !arrives(&third, patience);
    first.finish_sending();
    rest(&mut first);
    vec![format!("the third is held up: {held_up}"), rest(&mut third)]
}

/// The processes below this one, those included that nobody has waited for.
fn descendants(process: u32) -> Vec<u32> {
    // A process or thread that ends meanwhile has none.
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    let children: Vec<u32> = tasks
        .into_iter()
        .flatten()
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|children| {
            let numbers: Vec<u32> = children.split_whitespace().flat_map(str::parse).collect();
            numbers
        })
        .collect();
    let below = children.iter().flat_map(|child| descendants(*child));
    let below: Vec<u32> = below.collect();
    [children, below].concat()
}
