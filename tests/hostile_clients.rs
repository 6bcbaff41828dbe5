//! Clients that attack a server and its other clients: silent, slow, endless, gone, too many, too long. A
//! neighbour asks 32 times a second meanwhile; each attack ends in time, and what it took comes back.

use crate::harness::{CONCURRENCIES, Client, Serve, Server, Taken, Transport, guest, is_request};
use serde_json::Value;
use socket2::SockRef;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const IDLE: Duration = Duration::from_millis(300);
const DEADLINE: Duration = Duration::from_millis(900);
const LINGER: Duration = Duration::from_millis(300);

/// Threads that are kept: as many as there were requests at one time.
const KEPT: usize = 64;

/// What a limit may be late. A busy machine adds to it what it likes, hence more than a limit's own 100 ms.
const LATE: Duration = Duration::from_millis(400);

fn serve(transport: Transport, concurrency: &str, options: &str) -> Server {
    Serve::new(guest("hostile"))
        .on(transport)
        .with("--idle-timeout 300ms --deadline 900ms --linger 300ms --concurrency")
        .arg(concurrency)
        .with(options)
        .start()
}

/// Attacks of clients of streams, by name: what each does, and which outcome it has.
type Attack = (&'static str, fn(&Server), &'static str);

const STREAMS: [Attack; 14] = [
    ("says nothing", says_nothing, "idle-timeout"),
    ("says half a line", says_half_a_line, "idle-timeout"),
    ("a byte now and then", trickles, "deadline"),
    ("never reads", never_reads, "idle-timeout"),
    ("reads a byte now and then", sips, "deadline"),
    ("leaves at once", leaves_at_once, "handler-error"),
    ("half-closes at once", half_closes, "handler-error"),
    (
        "leaves while it is written to",
        leaves_while_written_to,
        "client-gone",
    ),
    (
        "takes no more while it is written to",
        shuts_its_reading_side,
        "client-gone",
    ),
    ("sends on after the reply", sends_on, "ok"),
    ("sends on and on while it is answered", floods, "ok"),
    ("a line without an end", endless_line, "deadline"),
    ("bytes that are no text", garbage, "handler-error"),
    ("pipelines requests", pipelines, "ok"),
];

fn says_nothing(server: &Server) {
    let client = server.connect();
    ends_within(client, IDLE);
}

fn says_half_a_line(server: &Server) {
    let mut client = server.connect();
    client.send("gre");
    ends_within(client, IDLE);
}

fn trickles(server: &Server) {
    let client = server.connect();
    let mut slow = client.twin();
    let dripping = thread::spawn(move || {
        // It ends with the connection.
        while write(&mut slow, b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    ends_within(client, DEADLINE);
    dripping.join().expect("no panic");
}

fn never_reads(server: &Server) {
    let mut client = server.connect();
    client.send("write\n");
    // It stays until its limit ends it.
    thread::sleep(IDLE + LATE);
}

fn sips(server: &Server) {
    let mut client = server.connect();
    client.send("write\n");
    let until = Instant::now() + DEADLINE + LATE;
    // Less, and the system would not open its window for so long that nothing moves at all.
    let mut sip = vec![0; 256 << 10];
    while Instant::now() < until && read(&mut client, &mut sip).is_ok_and(|n| n > 0) {
        thread::sleep(Duration::from_millis(40));
    }
    drop(client);
}

fn leaves_at_once(server: &Server) {
    drop(server.connect());
}

fn half_closes(server: &Server) {
    let mut client = server.connect();
    client.finish_sending();
    assert_eq!(client.receive_all(), b"");
}

fn leaves_while_written_to(server: &Server) {
    let mut client = server.connect();
    client.send("write\n");
    let mut some = [0; 1000];
    read(&mut client, &mut some).expect("it is written to");
    client.reset();
}

fn shuts_its_reading_side(server: &Server) {
    let mut client = server.connect();
    client.send("write\n");
    let mut some = [0; 1000];
    read(&mut client, &mut some).expect("it is written to");
    client
        .socket()
        .shutdown(std::net::Shutdown::Both)
        .expect("shut");
    drop(client);
}

/// The reply arrives whole, and not a reset in its place; the connection is read off for a bounded time.
fn sends_on(server: &Server) {
    let mut client = server.connect();
    client.send("greet\n");
    let mut reply = [0; 5];
    read_exact(&mut client, &mut reply);
    assert_eq!(&reply, b"hello");
    let started = Instant::now();
    while write(&mut client, &[b'x'; 1000]).is_ok() {
        let took = started.elapsed();
        assert!(took < LINGER + LATE, "it is read off for {took:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn floods(server: &Server) {
    let client = server.connect();
    let mut sending = client.twin();
    let flood = thread::spawn(move || {
        let _ = write(&mut sending, b"greet\n");
        while write(&mut sending, &[b'x'; 65_536]).is_ok() {}
    });
    let mut client = client;
    let mut reply = [0; 5];
    read_exact(&mut client, &mut reply);
    assert_eq!(&reply, b"hello");
    flood.join().expect("no panic");
}

fn endless_line(server: &Server) {
    let client = server.connect();
    let mut sending = client.twin();
    let flood = thread::spawn(move || {
        let started = Instant::now();
        // Slower than the CPU limit, and than the memory limit.
        while write(&mut sending, &[b'x'; 100]).is_ok() {
            thread::sleep(Duration::from_millis(5));
            assert!(started.elapsed() < DEADLINE + LATE, "it goes on");
        }
    });
    ends_within(client, DEADLINE);
    flood.join().expect("no panic");
}

fn garbage(server: &Server) {
    let mut client = server.connect();
    let bytes: Vec<u8> = (0..=255).chain([b'\n']).collect();
    client.send(bytes);
    client.finish_sending();
    client.is_closed_without_a_word();
}

fn pipelines(server: &Server) {
    let mut client = server.connect();
    client.send("greet\n".repeat(10_000));
    let mut reply = [0; 5];
    read_exact(&mut client, &mut reply);
    assert_eq!(&reply, b"hello");
}

fn read(client: &mut Client, buf: &mut [u8]) -> std::io::Result<usize> {
    match client {
        Client::Tcp(s) => s.read(buf),
        Client::Unix(s) => s.read(buf),
        _ => panic!("a stream"),
    }
}

#[track_caller]
fn read_exact(client: &mut Client, buf: &mut [u8]) {
    match client {
        Client::Tcp(s) => s.read_exact(buf).expect("the reply, whole"),
        Client::Unix(s) => s.read_exact(buf).expect("the reply, whole"),
        _ => panic!("a stream"),
    }
}

fn write(client: &mut Client, bytes: &[u8]) -> std::io::Result<()> {
    match client {
        Client::Tcp(s) => s.write_all(bytes),
        Client::Unix(s) => s.write_all(bytes),
        _ => panic!("a stream"),
    }
}

/// The connection ends for its client, without a word, when its limit says so.
#[track_caller]
fn ends_within(client: Client, limit: Duration) {
    let started = Instant::now();
    client.is_closed_without_a_word();
    let took = started.elapsed();
    assert!(took < limit + LATE, "after {took:?}");
}

/// The requests that have ended so far.
fn ended(server: &Server) -> Vec<Value> {
    server
        .log()
        .events()
        .into_iter()
        .filter(is_request)
        .collect()
}

/// Asks 32 times a second until the value is dropped; each time it has what it asked for.
fn beside_a_neighbour(server: &Server, has_one: bool, attack: impl FnOnce()) {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }
    let stops = AtomicBool::new(!has_one);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stops.load(Relaxed) {
                let started = Instant::now();
                assert_eq!(server.ask("greet\n"), b"hello");
                let took = started.elapsed();
                assert!(took < LATE, "a neighbour waits for {took:?}");
                thread::sleep(Duration::from_millis(1000 / 32));
            }
        });
        let _stop = Stop(&stops);
        attack();
    });
}

fn streams(transport: Transport, concurrency: &str) {
    let server = serve(transport, concurrency, "");
    assert_eq!(server.ask("greet\n"), b"hello");
    let before = Taken::by(&server);
    beside_a_neighbour(&server, concurrency != "serial", || {
        for (name, attack, outcome) in STREAMS {
            let so_far = ended(&server).len();
            attack(&server);
            let until = Instant::now() + Duration::from_secs(20);
            loop {
                let events = ended(&server).split_off(so_far);
                if events.iter().any(|event| event["outcome"] == outcome) {
                    break;
                }
                assert!(
                    Instant::now() < until,
                    "{name}: {outcome} expected: {events:?}"
                );
                thread::sleep(Duration::from_millis(2));
            }
        }
    });
    before.comes_back(&server, KEPT);
}

#[test]
fn clients_over_tcp_under_every_concurrency() {
    for concurrency in CONCURRENCIES {
        streams(Transport::Tcp, concurrency);
    }
}

#[test]
fn clients_over_unix_streams_under_every_concurrency() {
    for concurrency in CONCURRENCIES {
        streams(Transport::Unix, concurrency);
    }
}

/// Far more than `--max-per-source`, from one address: others are served meanwhile.
#[test]
fn a_thousand_connections_of_one_source() {
    for concurrency in ["threads", "fork"] {
        let server = serve(Transport::Tcp, concurrency, "--max-per-source 8");
        let before = Taken::by(&server);
        let address = server.address();
        let crowd: Vec<_> = (0..1000)
            .map(|_| Client::connect_from("127.0.0.9", &address))
            .collect();
        for _ in 0..20 {
            let started = Instant::now();
            assert_eq!(
                Client::connect_from("127.0.0.1", &address).ask("greet\n"),
                b"hello"
            );
            assert!(started.elapsed() < LATE, "{:?}", started.elapsed());
        }
        for client in crowd {
            client.is_closed_without_a_word();
        }
        before.comes_back(&server, KEPT);
    }
}

/// At `--max-in-flight` others wait, and are served as soon as the silent ones have been silent for long.
#[test]
fn a_crowd_that_says_nothing_holds_up_for_the_idle_timeout_and_no_longer() {
    for concurrency in ["threads", "fork"] {
        let server = serve(Transport::Tcp, concurrency, "--max-in-flight 32");
        let _crowd: Vec<_> = (0..32).map(|_| server.connect()).collect();
        let started = Instant::now();
        assert_eq!(server.ask("greet\n"), b"hello");
        let took = started.elapsed();
        assert!(took < IDLE + LATE, "{took:?}");
    }
}

/// They are gone before they are accepted: errors of accept(2) and of the first read.
#[test]
fn clients_that_are_gone_before_they_are_accepted() {
    let server = serve(Transport::Tcp, "serial", "");
    let mut first = server.connect();
    first.send("gre");
    for _ in 0..50 {
        server.connect().reset();
    }
    first.send("et\n");
    let mut reply = [0; 5];
    read_exact(&mut first, &mut reply);
    assert_eq!(server.ask("greet\n"), b"hello");
}

/// Urgent data is no data (tcp(7)): the handler sees none of it.
#[test]
fn urgent_data() {
    let server = serve(Transport::Tcp, "threads", "");
    let mut client = server.connect();
    client.send("gre");
    client.socket().send_out_of_band(b"!").expect("sent");
    client.send("et\n");
    client.finish_sending();
    assert_eq!(client.receive_all(), b"hello");
}

#[test]
fn packets_that_are_too_long_empty_or_garbage() {
    for (transport, concurrency) in [
        (Transport::Udp, "threads"),
        (Transport::Udp, "fork"),
        (Transport::Unixgram, "threads"),
        (Transport::Unixgram, "fork"),
    ] {
        let server = serve(transport, concurrency, "--max-packet 1000");
        let before = Taken::by(&server);
        beside_a_neighbour(&server, true, || {
            for n in 0..100 {
                let mut client = server.connect();
                match n % 3 {
                    0 => client.send([b'x'; 1001]),
                    1 => client.send(""),
                    _ => client.send([0xff; 1000]),
                }
            }
            server
                .log()
                .wait_for(1, |e| e["event"] == "packet-too-long");
        });
        before.comes_back(&server, KEPT);
    }
}

/// Each packet from another address: nothing grows with the number of sources.
#[test]
fn packets_from_many_sources() {
    let server = serve(
        Transport::Udp,
        "threads",
        "-q --rate-per-source 5/1s --max-per-source 4",
    );
    let address = server.address();
    let place = address.strip_prefix("udp://").expect("as asked for");
    let before = Taken::by(&server);
    for n in 0..3000_u32 {
        let from = format!("127.{}.{}.{}:0", 1 + n % 200, n / 200 % 250, 1 + n % 250);
        let socket = UdpSocket::bind(&from).expect("an address of this machine's");
        socket.send_to(b"greet\n", place).expect("sent");
    }
    // A packet may be lost where the queue of the system was full.
    let mut neighbour = server.connect();
    neighbour.set_patience(Duration::from_millis(500));
    let Client::Udp(socket) = &mut neighbour else {
        panic!("packets");
    };
    let mut answer = [0; 5];
    let is_answered = (0..20).any(|_| {
        socket.send(b"greet\n").expect("sent");
        socket
            .recv(&mut answer)
            .is_ok_and(|n| &answer[..n] == b"hello")
    });
    assert!(is_answered);
    before.comes_back(&server, KEPT);
}

/// No reply is possible, and none is tried for ever.
#[test]
fn unix_packets_of_peers_without_a_name_and_with_a_full_queue() {
    for concurrency in ["threads", "fork"] {
        let server = serve(Transport::Unixgram, concurrency, "");
        let address = server.address();
        let place = address.strip_prefix("unixgram://").expect("as asked for");
        let dir = tempfile::tempdir().expect("a folder");
        // It never reads: after some packets its queue is full.
        let stuck = UnixDatagram::bind(dir.path().join("stuck")).expect("a path");
        let unnamed = UnixDatagram::unbound().expect("a socket");
        beside_a_neighbour(&server, true, || {
            for _ in 0..60 {
                stuck.send_to(b"greet\n", place).expect("sent");
                unnamed.send_to(b"greet\n", place).expect("sent");
            }
            server.log().wait_for(1, |e| {
                is_request(e) && e["client"] == "" && e["outcome"] != "ok"
            });
        });
        let until = Instant::now() + Duration::from_secs(10);
        while server.process().tree().len() > server.loops().len() + 1 {
            assert!(Instant::now() < until, "children stay");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A client's window that is closed for good holds the socket's buffer, and the request no longer than its
/// limit.
#[test]
fn a_window_of_a_few_bytes() {
    let server = serve(Transport::Tcp, "threads", "");
    let mut client = server.connect();
    SockRef::from(match &client {
        Client::Tcp(s) => s,
        _ => panic!("a stream"),
    })
    .set_recv_buffer_size(1)
    .expect("an option");
    client.send("write\n");
    let event = server.request();
    assert_eq!(event["outcome"], "idle-timeout", "{event}");
    assert_eq!(server.ask("greet\n"), b"hello");
}
