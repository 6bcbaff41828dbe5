//! Packets: what is a request, what is sent back, and what is not.

use crate::harness::Op::{Fail, Flush, Read, Return, Write, WriteMany};
use crate::harness::{PATIENCE, Transport, script};
use crate::parity::scenario::{DATAGRAMS, Expected, Handler, ONE, SCENARIO, Scenario, Seen};
use crate::parity::seen::{A_WHILE, arrives, ask, error, served, shown};
use crate::parity::stage::{Side, Stage};
use std::os::unix::net::UnixDatagram;

const NOTHING_SENT: &str =
    "nobody asked for an empty packet, and to a forged address it is a free hit";
const NOT_CUT: &str = "half a request is another request: a packet longer than the limit, which is the \
                       longest that UDP has, is dropped and counted";

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a packet is a request, and the input ends with it",
        over: DATAGRAMS,
        sees: |stage| {
            let server = stage.start();
            ask(&server, [script(&[Read(100)]), b"last".to_vec()].concat())
        },
        ..SCENARIO
    },
    Scenario {
        name: "an empty packet is a request like any other",
        over: DATAGRAMS,
        handler: Handler::Greets,
        sees: |stage| ask(&stage.start(), ""),
        ..SCENARIO
    },
    Scenario {
        name: "what setup, handle and finish write is one packet",
        over: DATAGRAMS,
        sees: |stage| served(stage, &[Write("s"), Return, Write("h"), Return, Write("f")]),
        ..SCENARIO
    },
    Scenario {
        name: "nothing written is answered with an empty packet",
        over: DATAGRAMS,
        sees: |stage| served(stage, &[Return, Return, Return]),
        expected: Expected::DepartureUnlessCompat(NOTHING_SENT),
        ..SCENARIO
    },
    Scenario {
        name: "nothing written and an error in `handle` is answered with an empty packet",
        over: DATAGRAMS,
        sees: |stage| served(stage, &[Return, Fail]),
        expected: Expected::DepartureUnlessCompat(NOTHING_SENT),
        ..SCENARIO
    },
    Scenario {
        name: "nothing written and an error in `setup` is not answered",
        over: DATAGRAMS,
        sees: |stage| served(stage, &[Fail]),
        ..SCENARIO
    },
    Scenario {
        name: "`wfile.flush()` sends nothing before the end",
        over: DATAGRAMS,
        sees: |stage| served(stage, &[Write("one"), Flush, Return, Write("two")]),
        expected: Expected::Departure(
            "a handler can answer with several packets: a flush sends what was written so far",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "a packet of 9000 bytes is cut off at `max_packet_size`, 8192",
        over: DATAGRAMS,
        handler: Handler::Echo,
        sees: |stage| ask(&stage.start(), [b'x'; 9_000]),
        expected: Expected::DepartureUnlessCompat(NOT_CUT),
        ..SCENARIO
    },
    Scenario {
        name: "a packet longer than a `max_packet_size` that was asked for is cut off there",
        over: DATAGRAMS,
        handler: Handler::Echo,
        attributes: r#"{"max_packet_size": 1000}"#,
        under: ONE,
        options: "--max-packet 1000",
        sees: |stage| {
            let server = stage.start();
            let mut client = server.connect();
            client.send([b'x'; 1_001]);
            client.send([b'y'; 1_000]);
            vec![shown(&client.receive_all())]
        },
        expected: Expected::DepartureUnlessCompat(NOT_CUT),
        ..SCENARIO
    },
    Scenario {
        name: "a reply too long for UDP is an error after the handler",
        over: &[Transport::Udp],
        sees: |stage| served(stage, &[Return, WriteMany(65_508)]),
        expected: Expected::Departure(
            "the handler learns it from its `write`, and can still answer",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "a Unix packet may be longer than a UDP packet",
        over: &[Transport::Unixgram],
        sees: |stage| served(stage, &[Return, WriteMany(65_508)]),
        expected: Expected::Departure(
            "a handler does not know which transport it serves: the limit is one, unless --max-packet \
             raises it",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "a peer without a name is served, and a reply to it is an error",
        over: &[Transport::Unixgram],
        handler: Handler::Echo,
        sees: |stage| unnamed(stage, b"x"),
        ..SCENARIO
    },
    Scenario {
        name: "a handler that does not look whether it could write to such a peer has failed",
        over: &[Transport::Unixgram],
        handler: Handler::Greets,
        sees: |stage| unnamed(stage, b"x"),
        expected: Expected::DepartureUnlessCompat(
            "the handler learns it from its `write`, and may not mind",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "to a peer without a name even nothing written is an error",
        over: &[Transport::Unixgram],
        sees: |stage| unnamed(stage, &script(&[Return])),
        expected: Expected::DepartureUnlessCompat(NOTHING_SENT),
        ..SCENARIO
    },
    Scenario {
        name: "a peer that does not take its replies holds up everybody",
        over: &[Transport::Unixgram],
        under: ONE,
        sees: deaf,
        expected: Expected::Departure(
            "a peer whose queue is full is tried again for a bounded time; then its reply is dropped",
        ),
        ..SCENARIO
    },
];

fn unnamed(stage: &Stage<'_>, packet: &[u8]) -> Seen {
    let server = stage.start();
    let path = server.dir().join("listener");
    let client = UnixDatagram::unbound().expect("a socket");
    client.send_to(packet, path).expect("sent");
    vec![error(&server, 1)]
}

fn deaf(stage: &Stage<'_>) -> Seen {
    // unix(7), /proc/sys/net/unix/max_dgram_qlen: a queue of so many packets takes one more.
    let queue = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen");
    let queue: usize = queue.map_or(10, |text| text.trim().parse().expect("a number"));
    let server = stage.start();
    let path = server.dir().join("listener");
    // Not connected: the queue of a socket that is has room for its own peer's packets.
    let deaf = UnixDatagram::bind(server.dir().join("deaf")).expect("a path");
    let send = || deaf.send_to(&script(&[Write("x")]), &path).expect("sent");
    for nth in 1..=queue + 1 {
        send();
        error(&server, nth);
    }
    // The reply that does not fit any more.
    send();
    let mut other = server.connect();
    other.send(script(&[Write("y")]));
    let patience = match stage.side {
        Side::Python => A_WHILE,
        Side::Sandsock | Side::Compat => PATIENCE,
    };
    let held_up = !arrives(&other, patience);
    vec![format!("another client is held up: {held_up}")]
}
