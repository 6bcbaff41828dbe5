//! The listener: its address, its queue, and what is left of it.

use super::in_flight::in_flight;
use crate::harness::Op::{Return, Write};
use crate::harness::{PATIENCE, Server, Transport, script, signal};
use crate::parity::scenario::{ALL, Expected, ONE, PATHS, SCENARIO, STREAMS, Scenario, Seen, TCP};
use crate::parity::seen::{answers, bytes_and_end, next};
use crate::parity::stage::{Side, Stage};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const QUEUE: &str = "a burst of clients should find room";

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a second server at the address of a living one is refused",
        over: ALL,
        under: ONE,
        sees: |stage| {
            let first = stage.start();
            vec![listens(stage, &first.address()), next(&first)]
        },
        ..SCENARIO
    },
    Scenario {
        name: "with `allow_reuse_port` it is not",
        over: &[Transport::Tcp, Transport::Udp],
        under: ONE,
        attributes: r#"{"allow_reuse_port": true}"#,
        options: "--reuse-port",
        sees: |stage| {
            let first = stage.start();
            vec![listens(stage, &first.address())]
        },
        ..SCENARIO
    },
    Scenario {
        name: "a port whose old connections are in TIME_WAIT is refused (`allow_reuse_address`)",
        over: TCP,
        under: ONE,
        sees: |stage| {
            let mut first = stage.start();
            let mut client = first.connect();
            // The server closes first, so TIME_WAIT is on its side.
            client.send(script(&[Write("x"), Return, Return, Return]));
            bytes_and_end(&mut client);
            drop(client);
            first.terminate();
            vec![listens(stage, &first.address())]
        },
        expected: Expected::DepartureUnlessCompat("a restart must not fail for a minute"),
        ..SCENARIO
    },
    Scenario {
        name: "a socket whose server was killed is in the way",
        over: PATHS,
        under: ONE,
        sees: |stage| {
            let mut first = stage.start();
            first.process().signal(signal::KILL);
            first.wait();
            vec![listens(stage, &first.address())]
        },
        expected: Expected::DepartureUnlessCompat(
            "a restart must not fail after a crash: a socket that refuses connections is dead",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "a file that is not a socket is in the way, and is left alone",
        over: PATHS,
        under: ONE,
        sees: |stage| {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let path = dir.path().join("listener");
            fs::write(&path, "somebody's").expect("a file");
            let listens = listens(stage, &stage.transport.any_address(dir.path()));
            vec![listens, fs::read_to_string(path).expect("a file")]
        },
        ..SCENARIO
    },
    Scenario {
        name: "the socket's file stays when the server closes",
        over: PATHS,
        under: ONE,
        sees: |stage| {
            let mut server = stage.start();
            server.terminate();
            let stays = server.dir().join("listener").exists();
            vec![format!("it stays: {stays}")]
        },
        expected: Expected::Departure("who makes it clears it up"),
        ..SCENARIO
    },
    Scenario {
        name: "`request_queue_size` is 5",
        over: STREAMS,
        under: ONE,
        sees: queue,
        expected: Expected::DepartureUnlessCompat(QUEUE),
        ..SCENARIO
    },
    Scenario {
        name: "a `request_queue_size` that is asked for holds",
        over: STREAMS,
        under: ONE,
        attributes: r#"{"request_queue_size": 9}"#,
        options: "--backlog 9",
        sees: queue,
        ..SCENARIO
    },
    Scenario {
        name: "without a descriptor for the next client the loop spins",
        over: TCP,
        under: ONE,
        sees: no_descriptor,
        expected: Expected::Departure(
            "errors of accept are sorted: what lasts is tried again after a pause",
        ),
        ..SCENARIO
    },
];

fn listens(stage: &Stage<'_>, address: &str) -> String {
    match stage.start_at(address) {
        Ok(server) => format!("a server there listens at {}", same(&server, address)),
        Err(_) => "a server there does not start".to_owned(),
    }
}

fn same(server: &Server, address: &str) -> &'static str {
    if server.address() == address {
        "the same address"
    } else {
        "another address"
    }
}

/// How many clients are let in that nobody serves yet.
fn queue(stage: &Stage<'_>) -> Seen {
    let server = stage.start();
    let _served = in_flight(&server, 1);
    let address = server.address();
    let (_, place) = address.split_once("://").expect("a scheme");
    let mut waiting: Vec<Socket> = Vec::new();
    while waiting.len() < 300 {
        let client = match stage.transport {
            Transport::Unix => unix(place),
            _ => tcp(place.parse().expect("an IP address and a port")),
        };
        match client {
            Some(client) => waiting.push(client),
            None => break,
        }
    }
    vec![format!("{} clients wait", waiting.len())]
}

/// unix(7): connecting without blocking is EAGAIN where the queue is full.
fn unix(path: &str) -> Option<Socket> {
    let client = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    client.set_nonblocking(true).expect("an option");
    let address = SockAddr::unix(path).expect("a path");
    client.connect(&address).is_ok().then_some(client)
}

/// listen(2): where the queue is full the system lets the client try again, a second later.
fn tcp(address: SocketAddr) -> Option<Socket> {
    TcpStream::connect_timeout(&address, Duration::from_millis(300))
        .ok()
        .map(Socket::from)
}

fn no_descriptor(stage: &Stage<'_>) -> Seen {
    let server = stage.start();
    let mut seen = vec![next(&server)];
    let process = server.process();
    let (soft, _) = process.descriptor_limit();
    // The descriptor of the last client has to be gone, or its number would be free in a moment.
    if stage.side == Side::Python {
        server.log().wait_for(1, |event| event["event"] == "closed");
    }
    process.limit_descriptors(process.lowest_free_descriptor());
    let waiting = server.connect();
    // Python's loop gets there sooner or later; that ours does not, only time shows.
    let patience = match stage.side {
        Side::Python => PATIENCE,
        Side::Sandsock | Side::Compat => Duration::from_millis(800),
    };
    let before = process.cpu_time();
    let spins = || process.cpu_time().saturating_sub(before) > Duration::from_millis(150);
    let end = Instant::now() + patience;
    while Instant::now() < end && !spins() {
        thread::sleep(Duration::from_millis(10));
    }
    seen.push(format!("it spins: {}", spins()));
    process.limit_descriptors(soft);
    drop(waiting);
    seen.push(format!("then it serves: {}", answers(&server.address())));
    seen
}
