//! Handlers that end otherwise than by returning or raising: they exit, or take the process with them.

use crate::harness::Op::{Exit, Return, Trap, Write};
use crate::harness::script;
use crate::parity::scenario::{
    AT_ONCE, Concurrency, Expected, SCENARIO, STREAMS, Scenario, Seen, TCP,
};
use crate::parity::seen::{next, rest, served};
use crate::parity::stage::Stage;

const ITS_OWN: &str = "a handler is a guest: what it does to itself it does to its own request";

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "`SystemExit`, `proc_exit(0)`: not for `handle_error`; what was written arrives",
        under: AT_ONCE,
        sees: |stage| served(stage, &[Return, Write("h"), Exit(0)]),
        covers: &["test_threading_not_handled", "test_forking_not_handled"],
        ..SCENARIO
    },
    Scenario {
        name: "without a mix-in an exit is the server's end",
        under: &[Concurrency::Serial],
        sees: |stage| served(stage, &[Return, Write("h"), Exit(0)]),
        expected: Expected::Departure(ITS_OWN),
        covers: &["test_sync_not_handled"],
        ..SCENARIO
    },
    Scenario {
        name: "`finish` runs after an exit",
        over: STREAMS,
        under: AT_ONCE,
        sees: |stage| served(stage, &[Return, Write("h"), Exit(0), Write("f")]),
        expected: Expected::Departure(
            "WASI's exit is the end of the instance: no code of it can run again",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "an exit with another code is not for `handle_error`",
        over: STREAMS,
        under: AT_ONCE,
        sees: |stage| served(stage, &[Return, Write("h"), Exit(3)]),
        expected: Expected::Departure(
            "another code says that something went wrong: it is logged as a trap",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "a crash is the server's end",
        over: STREAMS,
        under: &[Concurrency::Serial, Concurrency::Threads],
        sees: crash,
        expected: Expected::Departure(ITS_OWN),
        ..SCENARIO
    },
    Scenario {
        name: "with a process for each, a crash ends its own request only",
        over: TCP,
        under: &[Concurrency::Fork],
        sees: crash,
        ..SCENARIO
    },
];

/// Without a look at the log: a process that is gone logs nothing.
fn crash(stage: &Stage<'_>) -> Seen {
    let server = stage.start();
    let mut client = server.connect();
    client.send(script(&[Return, Write("h"), Trap]));
    vec![rest(&mut client), next(&server)]
}
