//! What a client and the log see, put into words that are the same for both programs.

use super::scenario::Seen;
use super::stage::Stage;
use crate::harness::{Client, Op, PATIENCE, Server, is_request, script};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

/// How long to look before it counts that something did *not* come. What does come is waited for with
/// [`PATIENCE`].
pub(crate) const A_WHILE: Duration = Duration::from_millis(300);

/// Bytes as a note.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let printable = |byte: &u8| (b' '..=b'~').contains(byte) || *byte == b'\n';
    if bytes.len() < 100 && bytes.iter().all(printable) {
        return format!("{:?}", String::from_utf8_lossy(bytes));
    }
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{} bytes ({:x})", bytes.len(), hasher.finish() >> 48)
}

/// A scripted request to a new server, and then an innocent one.
pub(crate) fn served(stage: &Stage<'_>, orders: &[Op<'_>]) -> Seen {
    let server = stage.start();
    let mut seen = ask(&server, script(orders));
    seen.push(next(&server));
    seen
}

/// A request by a client of its own: what came back, and whether its error reached `handle_error`.
pub(crate) fn ask(server: &Server, bytes: impl AsRef<[u8]>) -> Seen {
    let before = ended(server);
    let mut client = server.connect();
    client.send(bytes);
    client.finish_sending();
    end(server, &mut client, before + 1)
}

/// How many requests have ended so far.
pub(crate) fn ended(server: &Server) -> usize {
    let events = server.log().events();
    events.iter().filter(|event| is_request(event)).count()
}

/// The end of the `nth` request that ends.
pub(crate) fn end(server: &Server, client: &mut Client, nth: usize) -> Seen {
    match client {
        Client::Tcp(_) | Client::Unix(_) => {
            let reply = rest(client);
            vec![reply, error(server, nth)]
        }
        // It was sent before the end was logged: what is not there now never was.
        Client::Udp(_) | Client::Unixgram(..) => {
            let error = error(server, nth);
            vec![packets(client), error]
        }
    }
}

/// Everything up to the end of a stream, and what kind of end, as a note.
pub(crate) fn rest(client: &mut Client) -> String {
    let (bytes, end) = bytes_and_end(client);
    format!("{}, then {end}", shown(&bytes))
}

/// Everything up to the end of a stream, and what kind of end.
pub(crate) fn bytes_and_end(client: &mut Client) -> (Vec<u8>, &'static str) {
    let mut bytes = Vec::new();
    let end = match read_to_end(client, &mut bytes) {
        Ok(_) => "the end",
        Err(error) if error.kind() == ErrorKind::ConnectionReset => "a reset",
        Err(error) => panic!("neither an end nor a reset: {error}"),
    };
    (bytes, end)
}

fn read_to_end(client: &mut Client, bytes: &mut Vec<u8>) -> io::Result<usize> {
    match client {
        Client::Tcp(stream) => stream.read_to_end(bytes),
        Client::Unix(stream) => stream.read_to_end(bytes),
        Client::Udp(_) | Client::Unixgram(..) => panic!("a packet has no end"),
    }
}

/// The packets that have come.
pub(crate) fn packets(client: &mut Client) -> String {
    let mut packets = Vec::new();
    while arrives(client, Duration::from_millis(1)) {
        packets.push(shown(&client.receive_all()));
    }
    match packets.is_empty() {
        true => "no packet".to_owned(),
        false => format!("a packet {}", packets.join(", a packet ")),
    }
}

/// Whether a byte, a packet or an end comes within this time. It is not taken.
pub(crate) fn arrives(client: &Client, within: Duration) -> bool {
    client.set_patience(within);
    let mut byte = [MaybeUninit::uninit()];
    let came = match client.socket().peek(&mut byte) {
        Err(error) => error.kind() != ErrorKind::WouldBlock,
        Ok(_) => true,
    };
    client.set_patience(PATIENCE);
    came
}

/// Waits for the `nth` end of a request: whether its error reached `handle_error`.
pub(crate) fn error(server: &Server, nth: usize) -> String {
    let event = server.requests(nth).remove(nth - 1);
    let called = if event["detail"].is_string() {
        "called"
    } else {
        "not called"
    };
    format!("handle_error {called}")
}

/// Whether the next request is answered as if nothing had been.
pub(crate) fn next(server: &Server) -> String {
    let before = ended(server);
    if answers(&server.address()) {
        server.requests(before + 1);
        "the next is served".to_owned()
    } else {
        "nobody serves the next".to_owned()
    }
}

/// Whether somebody at this address carries out a script of one word.
pub(crate) fn answers(address: &str) -> bool {
    let orders = script(&[Op::Write("next")]);
    let Ok(mut client) = Client::try_connect(address) else {
        return false;
    };
    let asked = match &mut client {
        Client::Tcp(s) => s
            .write_all(&orders)
            .and_then(|()| s.shutdown(Shutdown::Write)),
        Client::Unix(s) => s
            .write_all(&orders)
            .and_then(|()| s.shutdown(Shutdown::Write)),
        Client::Udp(_) | Client::Unixgram(..) => return packet_answers(&mut client, &orders),
    };
    let mut bytes = Vec::new();
    asked.is_ok() && read_to_end(&mut client, &mut bytes).is_ok() && bytes == b"next"
}

/// A packet to somebody who ends just now is lost without a word, so it is sent again.
fn packet_answers(client: &mut Client, orders: &[u8]) -> bool {
    for _ in 0..10 {
        if client.socket().send(orders).is_err() {
            return false;
        }
        client.set_patience(A_WHILE);
        let mut bytes = [MaybeUninit::uninit(); 10];
        match client.socket().recv(&mut bytes) {
            Ok(count) => return count == "next".len(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
    false
}

/// Waits until `so` holds.
pub(crate) fn until(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "it does not come about that {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
