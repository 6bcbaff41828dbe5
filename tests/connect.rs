//! What a handler reaches of the network: nothing, or with `--allow-connect` a component TCP connections to
//! exactly the addresses that were granted.

use crate::harness::{
    PATIENCE, Serve, Server, Taken, Transport, guest, guest_component, sandsock, signal, wat,
};
use std::fs;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// A server behind the handler. It ends with the test.
struct Backend {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Backend {
    /// One that handles each of its connections so.
    fn new(handle: fn(TcpStream)) -> Self {
        Backend::at("127.0.0.1:0", handle)
    }

    fn at(address: &str, handle: fn(TcpStream)) -> Self {
        let listener = TcpListener::bind(address).expect("an address of this machine");
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, SeqCst);
                thread::spawn(move || handle(stream.expect("a connection")));
            }
        });
        Backend { address, accepted }
    }

    fn port(&self) -> u16 {
        self.address.port()
    }

    fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }
}

fn greets(mut stream: TcpStream) {
    stream.write_all(b"hello").unwrap();
}

/// Keeps a connection, and neither reads nor writes.
fn is_silent(stream: TcpStream) {
    thread::sleep(PATIENCE);
    drop(stream);
}

fn echoes(mut stream: TcpStream) {
    let mut copy = stream.try_clone().unwrap();
    // A peer that has gone has heard enough.
    let _ = std::io::copy(&mut stream, &mut copy);
    let _ = copy.shutdown(Shutdown::Write);
}

fn serve(options: &str) -> Server {
    Serve::new(guest_component("probe")).with(options).start()
}

fn says(server: &Server, order: &str) -> String {
    String::from_utf8(server.ask(format!("{order}\n"))).expect("text")
}

#[test]
fn a_component_connects_to_what_was_granted_by_name_and_by_address() {
    let backend = Backend::new(greets);
    let port = backend.port();
    for grant in ["localhost", "LocalHost", "127.0.0.1"] {
        for transport in [Transport::Tcp, Transport::Udp, Transport::Unix] {
            let server = Serve::new(guest_component("probe"))
                .with(&format!("--allow-connect {grant}:{port}"))
                .on(transport)
                .start();
            assert_eq!(
                says(&server, &format!("connect 127.0.0.1:{port}")),
                "hello\n"
            );
            let by_name = says(&server, &format!("connect localhost:{port}"));
            let is_granted = grant != "127.0.0.1";
            assert_eq!(by_name == "hello\n", is_granted, "{grant}: {by_name}");
        }
    }
}

#[test]
fn nothing_else_is_reached_and_no_other_name_has_an_address() {
    let granted = Backend::new(greets);
    let other = Backend::new(greets);
    let elsewhere = Backend::at(&format!("127.0.0.2:{}", granted.port()), greets);
    let server = serve(&format!("--allow-connect 127.0.0.1:{}", granted.port()));
    for (order, error) in [
        (format!("connect {}", other.address), "PermissionDenied"),
        (format!("connect {}", elsewhere.address), "PermissionDenied"),
        (
            format!("connect [::ffff:127.0.0.1]:{}", granted.port()),
            "InvalidInput",
        ),
        (
            format!("connect 0.0.0.0:{}", granted.port()),
            "InvalidInput",
        ),
        (format!("connect localhost:{}", granted.port()), ""),
        ("lookup localhost".to_owned(), ""),
        (format!("udp {}", granted.address), "PermissionDenied"),
        ("bind".to_owned(), "PermissionDenied"),
    ] {
        let said = says(&server, &order);
        assert!(
            said.starts_with(&format!("error: {error}")),
            "{order}: {said}"
        );
    }
    let lookup = says(&server, "lookup 127.0.0.1");
    assert_eq!(lookup, "127.0.0.1\n", "an address is its own name");
    assert_eq!(
        (granted.accepted(), other.accepted(), elsewhere.accepted()),
        (0, 0, 0)
    );
}

#[test]
fn without_a_grant_a_component_has_no_socket() {
    let backend = Backend::new(greets);
    let server = serve("");
    let said = says(&server, &format!("connect {}", backend.address));
    assert!(said.starts_with("error: PermissionDenied"), "{said}");
    assert_eq!(backend.accepted(), 0);
}

/// The server has its own `/etc/hosts`, which the test changes while it runs.
#[test]
fn a_name_is_what_it_was_at_the_start_until_the_handler_is_loaded_again() {
    for concurrency in ["threads", "fork"] {
        a_name_is_what_it_was(concurrency);
    }
}

fn a_name_is_what_it_was(concurrency: &str) {
    let before = Backend::new(greets);
    let after = Backend::at(&format!("127.0.0.2:{}", before.port()), |mut stream| {
        stream.write_all(b"after").unwrap();
    });
    let dir = tempfile::tempdir().unwrap();
    let hosts = dir.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 backend.example\n").unwrap();
    let own_hosts = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
    let wrapper = ["unshare", "-rm", "sh", "-c", &own_hosts, "sh"];
    if !Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg("true")
        .status()
        .unwrap()
        .success()
    {
        println!("this machine lets nobody have a mount namespace: not tested");
        return;
    }
    let mut server = Serve::new(guest_component("probe"))
        .with(&format!(
            "--allow-connect backend.example:{}",
            before.port()
        ))
        .with("--concurrency")
        .arg(concurrency)
        .through(&wrapper)
        .start();
    let by_name = format!("connect backend.example:{}", before.port());
    assert_eq!(says(&server, &by_name), "hello\n");
    fs::write(&hosts, "127.0.0.2 backend.example\n").unwrap();
    assert_eq!(says(&server, &by_name), "hello\n");
    let by_address = says(&server, &format!("connect {}", after.address));
    assert!(
        by_address.starts_with("error: PermissionDenied"),
        "{by_address}"
    );
    assert_eq!(after.accepted(), 0);
    if let [the_loop] = server.loops()[..] {
        // One that is started again looks nothing up.
        the_loop.signal(signal::KILL);
        assert_eq!(says(&server, &by_name), "hello\n");
        assert!(!the_loop.is_running());
    }

    server.process().signal(signal::HUP);
    server.log().wait_for(2, |event| event["event"] == "loaded");
    // The event may come a moment before the change.
    let until = Instant::now() + PATIENCE;
    while says(&server, &by_name) != "after\n" {
        assert!(Instant::now() < until, "the name has its old address");
    }

    // A name that has no address any more leaves the old handler in service.
    fs::write(&hosts, "\n").unwrap();
    server.process().signal(signal::HUP);
    server.log().wait_for(1, |e| e["event"] == "reload-failed");
    assert_eq!(says(&server, &by_name), "after\n");
    if let [the_loop] = server.loops()[..] {
        the_loop.signal(signal::KILL);
        assert_eq!(says(&server, &by_name), "after\n");
    }
    server.terminate();
}

#[test]
fn megabytes_go_both_ways_at_once() {
    const BYTES: usize = 8 << 20;
    let backend = Backend::new(echoes);
    let server = serve(&format!("--allow-connect {}", backend.address));
    let order = format!("exchange {} {BYTES}", backend.address);
    assert_eq!(says(&server, &order), format!("{BYTES} bytes\n"));
}

#[test]
fn the_deadline_ends_a_wait_for_a_backend_which_takes_no_cpu_time() {
    let backend = Backend::new(is_silent);
    let full = FullListener::new();
    let server = serve(&format!(
        "--deadline 1s --allow-connect {} --allow-connect {}",
        backend.address, full.address
    ));
    let before = Taken::by(&server);
    let orders = [
        format!("connect {}", backend.address),
        format!("fill {}", backend.address),
        format!("connect {}", full.address),
        format!("exchange {} 1", backend.address),
    ];
    for (n, order) in orders.iter().enumerate() {
        let started = Instant::now();
        assert_eq!(says(&server, order), "");
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "{order}: {took:?}");
        let event = server.requests(n + 1).remove(n);
        assert_eq!(event["outcome"], "deadline", "{order}: {event}");
        let cpu = event["cpu_us"].as_u64().unwrap();
        assert!(cpu < 100_000, "{order}: {event}");
    }
    before.comes_back(&server, 8);
}

/// A listener whose queue is full: connecting to it takes for ever.
struct FullListener {
    address: SocketAddr,
    _kept: (socket2::Socket, Vec<socket2::Socket>),
}

impl FullListener {
    fn new() -> Self {
        let listener =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut kept = Vec::new();
        loop {
            let client =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            if client
                .connect_timeout(&address, Duration::from_millis(300))
                .is_err()
            {
                break;
            }
            kept.push(client);
        }
        FullListener {
            address: address.as_socket().unwrap(),
            _kept: (listener, kept),
        }
    }
}

#[test]
fn shutdown_ends_a_wait_for_a_backend() {
    let backend = Backend::new(is_silent);
    let options = format!("--shutdown-grace 0s --allow-connect {}", backend.address);
    let mut server = serve(&options);
    let mut client = server.connect();
    client.send(format!("connect {}\n", backend.address));
    let until = Instant::now() + PATIENCE;
    while backend.accepted() == 0 {
        assert!(Instant::now() < until, "nobody has connected");
        thread::sleep(Duration::from_millis(5));
    }
    let started = Instant::now();
    assert!(server.terminate().success());
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(server.request()["outcome"], "cut");
}

#[test]
fn connections_are_bounded_and_given_back() {
    let backend = Backend::new(is_silent);
    let server = serve(&format!("--allow-connect {}", backend.address));
    let before = Taken::by(&server);
    for _ in 0..20 {
        let said = says(&server, &format!("connections {}", backend.address));
        assert!(said.starts_with("32 connections\nerror: "), "{said}");
    }
    before.comes_back(&server, 2);
}

#[test]
fn what_is_refused_at_the_start_says_why() {
    let component = guest_component("probe");
    for (handler, grant, words) in [
        (
            wat("script"),
            "127.0.0.1:80",
            "--allow-connect: a core module has no sockets",
        ),
        (
            guest("probe"),
            "127.0.0.1:80",
            "--allow-connect: a core module has no sockets",
        ),
        (
            component.clone(),
            "nowhere.invalid:80",
            "--allow-connect nowhere.invalid:80: ",
        ),
        (component.clone(), "localhost", "write HOST:PORT"),
        (component, "localhost:0", "write HOST:PORT"),
    ] {
        let handler = handler.to_str().unwrap();
        let checked = sandsock(&["check", "--allow-connect", grant, handler], b"");
        match words.starts_with("write") {
            true => checked.is_an_error(2, &[words]),
            false => checked.is_a_refusal(&[words]),
        }
    }
}
