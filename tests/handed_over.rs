//! Listeners that somebody else has opened: `fd://N`, and systemd's names for them.

use crate::harness::{
    Answers, CONCURRENCIES, Client, Op, Serve, Server, Transport, guest, handler, sandsock, script,
    signal, wat,
};
use Op::{Print, Return, Write};
use socket2::{Domain, Socket, Type};
use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// A listener of the test's.
struct Opened {
    fd: OwnedFd,
    address: String,
    dir: TempDir,
}

impl Opened {
    fn new(transport: Transport) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("listener");
        let any = match transport {
            Transport::Tcp6 => "[::1]:0",
            _ => "127.0.0.1:0",
        };
        let (fd, place): (OwnedFd, String) = match transport {
            Transport::Tcp | Transport::Tcp6 => {
                let listener = TcpListener::bind(any).unwrap();
                let address = listener.local_addr().unwrap();
                (listener.into(), format!("tcp://{address}"))
            }
            Transport::Udp => {
                let socket = UdpSocket::bind(any).unwrap();
                let address = socket.local_addr().unwrap();
                (socket.into(), format!("udp://{address}"))
            }
            Transport::Unix => {
                let listener = UnixListener::bind(&path).unwrap();
                (listener.into(), format!("unix://{}", path.display()))
            }
            Transport::Unixgram => {
                let socket = UnixDatagram::bind(&path).unwrap();
                (socket.into(), format!("unixgram://{}", path.display()))
            }
        };
        Opened {
            fd,
            address: place,
            dir,
        }
    }

    /// One more descriptor of it.
    fn fd(&self) -> OwnedFd {
        self.fd.try_clone().unwrap()
    }

    fn connect(&self) -> Client {
        Client::connect(&self.address)
    }
}

/// A server of the sockets of one name, which are the first ones to be handed over, with their names.
fn named(sockets: &[(&str, &Opened)], wanted: &str) -> Serve {
    let names: Vec<_> = sockets.iter().map(|(name, _)| *name).collect();
    let serve = Serve::new(wat("script"))
        .at(format!("fd://{wanted}"))
        // Its own number is nobody's to know before.
        .through(&["sh", "-c", r#"export LISTEN_PID=$$; exec "$@""#, "sh"])
        .environment("LISTEN_FDS", sockets.len().to_string())
        .environment("LISTEN_FDNAMES", names.join(":"));
    (3..)
        .zip(sockets)
        .fold(serve, |serve, (number, (_, opened))| {
            serve.hand_over(number, opened.fd())
        })
}

#[test]
fn a_listener_of_every_transport_is_served_by_its_number() {
    for transport in Transport::all() {
        for concurrency in CONCURRENCIES {
            let opened = Opened::new(transport);
            let mut server = Serve::new(wat("script"))
                .at("fd://7")
                .hand_over(7, opened.fd())
                .with("--concurrency")
                .arg(concurrency)
                .start();
            assert_eq!(server.address(), opened.address, "{concurrency}");
            for n in 1..=3 {
                let mut answers = Answers(server.ask(script(&[Op::ServerAddress(255)])));
                let shown = String::from_utf8(answers.counted()).unwrap();
                assert!(opened.address.ends_with(&shown) && !shown.is_empty());
                assert_eq!(server.requests(n)[n - 1]["outcome"], "ok");
            }
            assert_eq!(server.terminate().code(), Some(0));
        }
    }
}

/// What a connection has from its listener it has from the time before that was ours.
#[test]
fn who_waits_in_the_queue_already_is_served_within_the_limits() {
    for transport in [Transport::Tcp, Transport::Unix] {
        for concurrency in CONCURRENCIES {
            let opened = Opened::new(transport);
            let mut silent = opened.connect();
            let talking = opened.connect();
            let server = Serve::new(handler("echo"))
                .at("fd://3")
                .hand_over(3, opened.fd())
                .with("--idle-timeout 300ms --concurrency")
                .arg(concurrency)
                .start();
            assert_eq!(talking.ask("waited"), b"waited");
            assert_eq!(silent.receive_all(), b"");
            let events = server.requests(2);
            let mut outcomes: Vec<_> = events.iter().map(|e| e["outcome"].as_str()).collect();
            outcomes.sort();
            assert_eq!(
                outcomes,
                [Some("idle-timeout"), Some("ok")],
                "{concurrency}"
            );
        }
    }
}

#[test]
fn a_listener_outlives_its_server_and_its_file_is_not_ours_to_remove() {
    for transport in Transport::all() {
        for concurrency in CONCURRENCIES {
            let opened = Opened::new(transport);
            let serve = || {
                Serve::new(handler("echo"))
                    .at("fd://3")
                    .hand_over(3, opened.fd())
                    .with("--concurrency")
                    .arg(concurrency)
                    .start()
            };
            let mut first = serve();
            assert_eq!(first.ask("first"), b"first");
            assert_eq!(first.terminate().code(), Some(0));
            // Who comes while nobody serves it waits for the next server.
            let mut between = opened.connect();
            between.send("between");
            between.finish_sending();
            let second = serve();
            assert_eq!(between.receive_all(), b"between", "{transport:?}");
            assert_eq!(second.ask("second"), b"second");
            if matches!(transport, Transport::Unix | Transport::Unixgram) {
                assert!(opened.dir.path().join("listener").exists());
            }
        }
    }
}

#[test]
fn what_is_no_socket_that_can_be_served_is_one_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let (_reader, pipe) = std::io::pipe().unwrap();
    let file = File::create(dir.path().join("file")).unwrap();
    let socket = |domain, kind| Socket::new(domain, kind, None).unwrap();
    let stream = socket(Domain::IPV4, Type::STREAM);
    let unix_stream = socket(Domain::UNIX, Type::STREAM);
    let packets = socket(Domain::UNIX, Type::SEQPACKET);
    let unbound = socket(Domain::IPV4, Type::DGRAM);
    let unbound_unix = socket(Domain::UNIX, Type::DGRAM);
    let cases: [(OwnedFd, &str); 7] = [
        (file.into(), "not a socket"),
        (pipe.into(), "not a socket"),
        (stream.into(), "neither listens nor is connected"),
        (unix_stream.into(), "neither listens nor is connected"),
        (packets.into(), "another kind"),
        (unbound.into(), "not bound"),
        (unbound_unix.into(), "not bound"),
    ];
    for (fd, words) in &cases {
        for concurrency in CONCURRENCIES {
            Serve::new(handler("echo"))
                .at("fd://3")
                .hand_over(3, fd.try_clone().unwrap())
                .with("--concurrency")
                .arg(concurrency)
                .run_to_end()
                .is_an_error(1, &["fd://3", words]);
        }
    }
    Serve::new(handler("echo"))
        .at("fd://97")
        .run_to_end()
        .is_an_error(1, &["fd://97", "no descriptor 97 was handed over"]);
    for wrong in ["fd://", "fd://-1"] {
        Serve::new(handler("echo"))
            .at(wrong)
            .run_to_end()
            .is_an_error(2, &[wrong]);
    }
}

#[test]
fn a_failed_start_leaves_the_listener_as_it_was() {
    let opened = Opened::new(Transport::Unix);
    Serve::new("no-such.wasm")
        .at("fd://3")
        .hand_over(3, opened.fd())
        .run_to_end()
        .is_an_error(1, &["no-such"]);
    let server = Serve::new(handler("echo"))
        .at("fd://3")
        .hand_over(3, opened.fd())
        .start();
    assert_eq!(server.ask("later"), b"later");
}

#[test]
fn all_sockets_of_a_name_are_served_and_no_others() {
    for concurrency in CONCURRENCIES {
        let [one, two, other] =
            [Transport::Tcp, Transport::Unixgram, Transport::Tcp].map(Opened::new);
        let sockets = [("mine", &one), ("other", &other), ("mine", &two)];
        let mut server = named(&sockets, "mine")
            .with("--concurrency")
            .arg(concurrency)
            .start();
        let mut addresses = server.listening(2);
        addresses.sort();
        assert_eq!(addresses, [&*one.address, &*two.address]);
        let mut not_served = other.connect();
        not_served.send(script(&[Write("x")]));
        not_served.finish_sending();
        for opened in [&one, &two] {
            assert_eq!(opened.connect().ask(script(&[Write("mine")])), b"mine");
        }
        not_served.has_received_nothing();
        assert_eq!(server.terminate().code(), Some(0));
        not_served.has_received_nothing();
    }
}

/// Two listeners of one service: with `fork`, too, though each is a process.
#[test]
fn several_listeners_share_numbers_and_room() {
    for concurrency in ["threads", "fork"] {
        let [one, two] = [Transport::Tcp, Transport::Unix].map(Opened::new);
        let server = named(&[("both", &one), ("both", &two)], "both")
            .with("--max-in-flight 1 --concurrency")
            .arg(concurrency)
            .start();
        server.listening(2);
        let mut first = one.connect();
        first.send(script(&[Return, Print("first")]));
        server.log().wait_for(1, |e| e["line"] == "first");
        let mut second = two.connect();
        second.send(script(&[Write("second")]));
        second.finish_sending();
        thread::sleep(Duration::from_millis(200));
        second.has_received_nothing();
        first.finish_sending();
        assert_eq!(second.receive_all(), b"second");
        let events = server.requests(2);
        let ids: Vec<_> = events.iter().map(|e| e["id"].as_u64()).collect();
        assert_eq!(ids, [Some(1), Some(2)], "{concurrency}");
    }
}

#[test]
fn a_name_that_was_not_handed_over_is_one_clear_error() {
    let opened = Opened::new(Transport::Tcp);
    named(&[("mine", &opened)], "another")
        .run_to_end()
        .is_an_error(1, &["another", "LISTEN_FDNAMES"]);
    // Two are promised, and one is there.
    named(&[("mine", &opened)], "mine")
        .environment("LISTEN_FDS", "2")
        .environment("LISTEN_FDNAMES", "mine:mine")
        .run_to_end()
        .is_an_error(1, &["mine"]);
    // What another process was given is not for this one: its descriptor 3 could be anything.
    named(&[("mine", &opened)], "mine")
        .through(&["sh", "-c", r#"export LISTEN_PID=$PPID; exec "$@""#, "sh"])
        .run_to_end()
        .is_an_error(1, &["mine", "LISTEN_PID"]);
    Serve::new(handler("echo"))
        .at("fd://mine")
        .run_to_end()
        .is_an_error(1, &["mine", "LISTEN_FDS"]);
}

/// sd_listen_fds(3): whoever runs below would take them for its own.
#[test]
fn the_variables_of_the_handover_go_no_further() {
    for address in ["fd://mine", "fd://3"] {
        for concurrency in CONCURRENCIES {
            let opened = Opened::new(Transport::Tcp);
            let serve = |handler: PathBuf| {
                Serve::new(handler)
                    .at(address)
                    .through(&["sh", "-c", r#"export LISTEN_PID=$$; exec "$@""#, "sh"])
                    .environment("LISTEN_FDS", "1")
                    .environment("LISTEN_FDNAMES", "mine")
                    .hand_over(3, opened.fd())
                    .with("--concurrency")
                    .arg(concurrency)
            };
            let server = serve(guest("probe")).start();
            let said = String::from_utf8(server.ask("environment\n")).unwrap();
            assert!(said.contains("PROTO=TCP") && !said.contains("LISTEN_"));
            for process in server.loops() {
                assert!(!process.environment().contains("LISTEN_"));
            }
            serve(guest("probe"))
                .with("--inherit-env LISTEN_FDS")
                .run_to_end()
                .is_an_error(1, &["LISTEN_FDS"]);
        }
    }
}

/// A reload, or a loop that is started again, goes on with the same sockets.
#[test]
fn a_loop_that_is_replaced_has_the_same_listeners() {
    let [one, two] = [Transport::Tcp, Transport::Unixgram].map(Opened::new);
    let server = named(&[("both", &one), ("both", &two)], "both")
        .with("--concurrency fork")
        .start();
    server.listening(2);
    let loops: Vec<_> = server.loops();
    assert_eq!(loops.len(), 2);
    for process in loops {
        process.signal(signal::KILL);
    }
    server.log().wait_for(2, |e| e["event"] == "fork-died");
    answers_on(&server, &[&one, &two]);
    server.process().signal(signal::HUP);
    server.log().wait_for(2, |e| e["event"] == "loaded");
    answers_on(&server, &[&one, &two]);
}

fn answers_on(server: &Server, sockets: &[&Opened]) {
    for opened in sockets {
        let answer = opened.connect().ask(script(&[Write("still")]));
        assert_eq!(answer, b"still", "{:?}", server.log().lines());
    }
}

#[test]
fn help_explains_sockets_of_others_with_an_example() {
    let help = sandsock(&["serve", "--help"], b"").text();
    for word in [
        "fd://N",
        "fd://NAME",
        "LISTEN_FDNAMES",
        "inetd",
        "NOTIFY_SOCKET",
        "serve fd://0",
    ] {
        assert!(help.contains(word), "{word} in {help}");
    }
}
