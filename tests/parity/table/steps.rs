//! `setup`, `handle` and `finish`: which of them run, and what a failure of each means.

use crate::harness::Op::{Fail, Print, Return, Write};
use crate::harness::script;
use crate::parity::scenario::{
    Concurrency, DATAGRAMS, Expected, Handler, SCENARIO, STREAMS, Scenario, Seen, TCP,
};
use crate::parity::seen::{ask, served, shown};
use crate::parity::stage::Stage;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "`setup`, `handle` and `finish` run in this order",
        sees: |stage| {
            let server = stage.start();
            let steps = [
                Print("setup"),
                Write("s"),
                Return,
                Print("handle"),
                Write("h"),
                Return,
                Print("finish"),
                Write("f"),
            ];
            let mut seen = ask(&server, script(&steps));
            let printed = server.log().wait_for(3, crate::harness::is_guest);
            seen.extend(printed.iter().map(|event| event["line"].to_string()));
            seen
        },
        ..SCENARIO
    },
    Scenario {
        name: "after an error in `setup` neither `handle` nor `finish` runs, and the server goes on",
        over: STREAMS,
        sees: |stage| served(stage, &[Write("s"), Fail, Write("h"), Return, Write("f")]),
        ..SCENARIO
    },
    Scenario {
        name: "after an error in `handle` `finish` runs, `handle_error` is called, the connection ends",
        sees: |stage| served(stage, &[Write("s"), Return, Write("h"), Fail, Write("f")]),
        covers: &[
            "test_sync_handled",
            "test_threading_handled",
            "test_forking_handled",
        ],
        ..SCENARIO
    },
    Scenario {
        name: "an error in `finish` reaches `handle_error`, and the server goes on",
        over: STREAMS,
        sees: |stage| {
            served(
                stage,
                &[Write("s"), Return, Write("h"), Return, Write("f"), Fail],
            )
        },
        ..SCENARIO
    },
    Scenario {
        name: "errors in `handle` and in `finish` are one call of `handle_error`",
        over: STREAMS,
        sees: |stage| served(stage, &[Return, Write("h"), Fail, Write("f"), Fail]),
        ..SCENARIO
    },
    Scenario {
        name: "what was written before an error in `setup` is not sent as a packet",
        over: DATAGRAMS,
        sees: |stage| served(stage, &[Write("s"), Fail, Write("h")]),
        expected: Expected::Departure(
            "the reply is sent by the host, not by a `finish` that an error can leave out",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "what was written before an error in `finish` is not sent as a packet",
        over: DATAGRAMS,
        sees: |stage| served(stage, &[Return, Write("h"), Return, Write("f"), Fail]),
        expected: Expected::Departure(
            "the reply is sent by the host, not by a `finish` that an error can leave out",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "`handle_request` serves one request and returns, whether it failed or not",
        over: TCP,
        once: true,
        sees: |stage| {
            let mut seen = one_and_the_end(stage, &[Return, Write("h")]);
            seen.extend(one_and_the_end(stage, &[Return, Write("h"), Fail]));
            seen
        },
        ..SCENARIO
    },
    Scenario {
        name: "what a handler leaves behind in its class the next request finds",
        over: TCP,
        under: &[Concurrency::Serial, Concurrency::Threads],
        handler: Handler::Marks,
        sees: marks,
        expected: Expected::Departure(
            "every request has an instance of its own, and finds nothing of an earlier one",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "with a process for each it does not",
        over: TCP,
        under: &[Concurrency::Fork],
        handler: Handler::Marks,
        sees: marks,
        ..SCENARIO
    },
];

fn one_and_the_end(stage: &Stage<'_>, orders: &[crate::harness::Op<'_>]) -> Seen {
    let mut server = stage.start();
    let mut seen = ask(&server, script(orders));
    seen.push(format!("exit code {:?}", server.wait().code()));
    seen
}

fn marks(stage: &Stage<'_>) -> Seen {
    let server = stage.start();
    (0..2).map(|_| shown(&server.ask("x"))).collect()
}
