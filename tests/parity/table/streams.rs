//! Bytes over connections: when they arrive, how they end, and clients that are slow or go away.

use crate::harness::Op::{
    self, Print, Read, ReadLine, Return, SetTimeout, Write, WriteForEver, WriteMany,
};
use crate::harness::{Client, Transport, script, signal};
use crate::parity::scenario::{
    Expected, Handler, ONE, SCENARIO, STREAMS, Scenario, Seen, TCP, THREADS,
};
use crate::parity::seen::{ask, bytes_and_end, end, error, next, shown};
use crate::parity::stage::{Side, Stage};
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "what is written arrives without a flush, and a huge write arrives whole under signals",
        over: STREAMS,
        sees: huge_write,
        covers: &["test_write"],
        ..SCENARIO
    },
    Scenario {
        name: "a read returns what is there; a line ends with its newline, its length or the input",
        sees: |stage| {
            let lines = |n, text: &str| [script(&[ReadLine(n)]), text.into()].concat();
            let server = stage.start();
            let orders = [
                script(&[Read(3)]),
                b"abc".to_vec(),
                lines(100, "first\n"),
                lines(100, "\n"),
                lines(5, "abcde"),
                lines(3, "ab\n"),
                lines(100, "no newline at the end"),
            ];
            ask(&server, orders.concat())
        },
        ..SCENARIO
    },
    Scenario {
        name: "a client's half-close is the end of input, again and again, and it still receives",
        over: STREAMS,
        sees: |stage| ask(&stage.start(), script(&[Read(10)])),
        ..SCENARIO
    },
    Scenario {
        name: "a client that connects and leaves is a request without input, and no error",
        over: STREAMS,
        sees: |stage| {
            let server = stage.start();
            drop(server.connect());
            vec![error(&server, 1), next(&server)]
        },
        ..SCENARIO
    },
    Scenario {
        name: "a client that goes while the handler writes is an error, and the server goes on",
        over: STREAMS,
        sees: |stage| gone(stage, &[Return, Print("now"), WriteForEver]),
        ..SCENARIO
    },
    Scenario {
        name: "a client that resets the connection while the handler reads is an error, too",
        over: TCP,
        sees: |stage| {
            let server = stage.start();
            let mut client = server.connect();
            client.send(script(&[Return, Print("now")]));
            server.log().wait_for(1, |event| event["line"] == "now");
            client.reset();
            vec![error(&server, 1), next(&server)]
        },
        ..SCENARIO
    },
    Scenario {
        name: "unread input makes the reply end in a reset",
        over: STREAMS,
        sees: unread_input,
        expected: Expected::Departure(
            "closing then makes the system send a reset, which can overtake the reply: the write side \
             is shut down, and what the client still sends is read off for a bounded time",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "the handler's `timeout` is an error that it sees, and it can still write",
        over: STREAMS,
        sees: |stage| {
            let server = stage.start();
            vec![shown(&silence(&mut server.connect()))]
        },
        ..SCENARIO
    },
    Scenario {
        name: "`timeout` of every handler, `--idle-timeout`: a silent client reaches `handle_error`",
        over: STREAMS,
        handler: Handler::Echo,
        handler_attributes: r#"{"timeout": 0.1}"#,
        options: "--idle-timeout 100ms",
        sees: |stage| {
            let server = stage.start();
            end(&server, &mut server.connect(), 1)
        },
        ..SCENARIO
    },
    Scenario {
        name: "a timeout that the handler does not look after reaches `handle_error`",
        over: STREAMS,
        sees: |stage| {
            let server = stage.start();
            let mut client = server.connect();
            client.send(script(&[Return, SetTimeout(100)]));
            let mut seen = end(&server, &mut client, 1);
            seen.push(next(&server));
            seen
        },
        ..SCENARIO
    },
    Scenario {
        name: "after a timeout `rfile` cannot be read any more",
        over: STREAMS,
        under: ONE,
        sees: |stage| {
            let server = stage.start();
            let mut client = server.connect();
            silence(&mut client);
            client.send(script(&[Write("and on")]));
            client.finish_sending();
            end(&server, &mut client, 1)
        },
        expected: Expected::Departure("a silence is no damage: whoever can wait longer reads on"),
        ..SCENARIO
    },
    Scenario {
        name: "`timeout` is of a whole write, however steadily the client takes it",
        over: &[Transport::Unix],
        under: ONE,
        sees: slow_reader,
        expected: Expected::Departure(
            "a timeout is of a silence: any byte that moves starts it again, in both directions; the \
             deadline bounds the whole",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "a client that trickles its bytes is never late",
        over: STREAMS,
        options: "--deadline 500ms",
        sees: trickle,
        expected: Expected::Departure(
            "Python's `timeout` is of each read, so a byte now and then defeats it: here a deadline \
             bounds the whole request",
        ),
        ..SCENARIO
    },
    Scenario {
        name: "`disable_nagle_algorithm` over TCP changes nothing of the bytes",
        over: &[Transport::Tcp],
        handler: Handler::Echo,
        handler_attributes: r#"{"disable_nagle_algorithm": true}"#,
        options: "--nodelay",
        sees: |stage| ask(&stage.start(), "x"),
        ..SCENARIO
    },
    Scenario {
        name: "`disable_nagle_algorithm` fails over Unix sockets",
        over: &[Transport::Unix],
        under: THREADS,
        handler: Handler::Echo,
        handler_attributes: r#"{"disable_nagle_algorithm": true}"#,
        options: "--nodelay",
        sees: |stage| ask(&stage.start(), "x"),
        expected: Expected::Departure("a transport without it has nothing to switch off"),
        ..SCENARIO
    },
];

fn huge_write(stage: &Stage<'_>) -> Seen {
    const PIECE: u32 = 500_000;
    let server = stage.start();
    let mut client = server.connect();
    client.send(script(&[Write("write data\n")]));
    let mut seen = vec![shown(&client.receive(11))];
    client.send(script(&[WriteMany(PIECE); 20]));
    for _ in 0..10 {
        client.receive(100_000);
        // Python does nothing at it, sandsock reads its handler again; the write goes on.
        server.process().signal(signal::HUP);
    }
    client.finish_sending();
    let (bytes, end) = bytes_and_end(&mut client);
    seen.push(format!("{} bytes more, then {end}", bytes.len()));
    seen.push(error(&server, 1));
    seen
}

fn gone(stage: &Stage<'_>, orders: &[Op<'_>]) -> Seen {
    let server = stage.start();
    let mut client = server.connect();
    client.send(script(orders));
    client.receive(1_000);
    client.reset();
    vec![error(&server, 1), next(&server)]
}

fn unread_input(stage: &Stage<'_>) -> Seen {
    const REPLY: u32 = 150_000;
    let server = stage.start();
    let mut client = server.connect();
    // More than Python's `rfile` takes in ahead of what it is asked for.
    let unread = vec![b'.'; 30_000];
    client.send([script(&[Return, WriteMany(REPLY), Return, Return]), unread].concat());
    let error = error(&server, 1);
    if stage.side == Side::Python {
        server.log().wait_for(1, |event| event["event"] == "closed");
    }
    // It may have been reset.
    let _ = client.socket().shutdown(Shutdown::Write);
    let (bytes, end) = bytes_and_end(&mut client);
    let whole = bytes.len() == REPLY as usize + 4;
    vec![format!("whole: {whole}, then {end}"), error]
}

/// The results of setting a timeout and of a read that times out.
fn silence(client: &mut Client) -> Vec<u8> {
    client.send(script(&[SetTimeout(100), Read(1)]));
    client.receive(4 + 4)
}

fn slow_reader(stage: &Stage<'_>) -> Seen {
    const REPLY: u32 = 500_000;
    let server = stage.start();
    let Client::Unix(mut client) = server.connect() else {
        panic!("a Unix stream")
    };
    let orders = script(&[SetTimeout(1_600), WriteMany(REPLY)]);
    client.write_all(&orders).expect("sent");
    client.shutdown(Shutdown::Write).expect("half-closed");
    // unix(7): a writer is woken when three quarters of its buffer (about 200 KB) have been taken, here
    // every second; all of it takes two.
    let mut received = Vec::new();
    let mut piece = vec![0; 16_000];
    while received.len() < 350_000 {
        thread::sleep(Duration::from_millis(100));
        match client.read(&mut piece).expect("a piece") {
            0 => break,
            count => received.extend_from_slice(&piece[..count]),
        }
    }
    client.read_to_end(&mut received).expect("the end");
    let result = received.split_off(received.len() - 4);
    let result = i32::from_le_bytes(result.try_into().expect("four bytes"));
    vec![format!("result {result}"), error(&server, 1)]
}

fn trickle(stage: &Stage<'_>) -> Seen {
    let server = stage.start();
    let mut client = server.connect();
    client.send(script(&[SetTimeout(1_000), ReadLine(12)]));
    for byte in b"twelve bytes" {
        thread::sleep(Duration::from_millis(100));
        // It may have been told to go.
        if client.socket().send(&[*byte]).is_err() {
            break;
        }
    }
    let _ = client.socket().shutdown(Shutdown::Write);
    let (bytes, _) = bytes_and_end(&mut client);
    vec![
        format!("the line comes back: {}", bytes.ends_with(b"twelve bytes")),
        error(&server, 1),
    ]
}
