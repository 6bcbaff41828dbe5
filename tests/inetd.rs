//! inetd style: `serve fd://0`, where standard input, standard output and standard error may all be the
//! client.

use crate::harness::{
    Answers, CONCURRENCIES, Client, Op, PATIENCE, Serve, Transport, handler, script, signal, wat,
};
use Op::{Fail, Print, Return, Trap, Write};
use nix::sys::socket::{setsockopt, sockopt};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

/// A client, and its connection as an inetd has accepted it.
fn accepted(transport: Transport) -> (Client, OwnedFd) {
    let dir = tempfile::tempdir().unwrap();
    match transport {
        Transport::Unix => {
            let path = dir.path().join("listener");
            let listener = UnixListener::bind(&path).unwrap();
            let client = Client::connect(&format!("unix://{}", path.display()));
            (client, listener.accept().unwrap().0.into())
        }
        _ => {
            let host = if transport == Transport::Tcp6 {
                "[::1]:0"
            } else {
                "127.0.0.1:0"
            };
            let listener = TcpListener::bind(host).unwrap();
            let client = Client::connect(&format!("tcp://{}", listener.local_addr().unwrap()));
            (client, listener.accept().unwrap().0.into())
        }
    }
}

fn streams() -> impl Iterator<Item = Transport> {
    Transport::all().into_iter().filter(|t| !t.is_datagram())
}

/// As inetd does it: the connection is all three standard streams.
fn inetd(serve: Serve, connection: &OwnedFd) -> Serve {
    (0..3).fold(serve.at("fd://0"), |serve, number| {
        serve.hand_over(number, connection.try_clone().unwrap())
    })
}

/// The client has exactly these bytes, and the program this exit code.
#[track_caller]
fn receives(serve: impl Fn() -> Serve, sent: &[u8], expected: &str, code: i32) {
    for transport in streams() {
        let (mut client, connection) = accepted(transport);
        client.send(sent);
        client.finish_sending();
        let finished = inetd(serve(), &connection).run_to_end();
        drop(connection);
        let received = String::from_utf8(client.receive_all()).unwrap();
        assert_eq!(received, expected, "{transport:?}");
        assert_eq!(finished.code, code, "{finished:?}");
        assert!(finished.stdout.is_empty() && finished.stderr.is_empty());
    }
}

#[test]
fn the_client_receives_the_handlers_bytes_and_nothing_else() {
    for options in ["", "--verbose", "--quiet", "--compat python"] {
        for concurrency in CONCURRENCIES {
            for end in [Return, Fail, Trap] {
                let orders = [Print("to the log"), Return, Write("said"), end];
                let serve = || {
                    Serve::new(wat("script"))
                        .with(options)
                        .with("--concurrency")
                        .arg(concurrency)
                };
                receives(serve, &script(&orders), "said", 0);
                receives(|| serve().text_log(), &script(&orders), "said", 0);
            }
        }
    }
}

#[test]
fn a_start_that_fails_says_nothing_to_the_client() {
    let echo = |options| Serve::new(handler("echo")).with(options);
    receives(|| Serve::new("no-such.wasm"), b"", "", 1);
    receives(|| echo("--dir /no/such::/x"), b"", "", 1);
    // What is wrong with the command line, too.
    for options in [
        "--no-such-option",
        "--deadline 5",
        "--socket-mode 600",
        "--concurrency serial --max-in-flight 7",
    ] {
        receives(|| echo(options), b"", "", 2);
    }
}

#[test]
fn the_log_is_still_there_where_standard_error_is_not_the_client() {
    for concurrency in CONCURRENCIES {
        for transport in streams() {
            let (mut client, connection) = accepted(transport);
            let own = client.address();
            let listener = client.socket().peer_addr().unwrap();
            client.send(script(&[
                Print("to the log"),
                Op::ClientAddress(255),
                Op::ServerAddress(255),
                Op::Transport,
            ]));
            client.finish_sending();
            let mut server = Serve::new(wat("script"))
                .at("fd://0")
                .hand_over(0, connection.try_clone().unwrap())
                .hand_over(1, connection)
                .with("--concurrency")
                .arg(concurrency)
                .start_unheard();
            let event = server.request();
            assert_eq!(event["outcome"], "ok", "{event}");
            assert_eq!(event["client"], own, "{event}");
            server.log().wait_for(1, |e| e["line"] == "to the log");
            assert_eq!(server.wait().code(), Some(0));
            let mut answers = Answers(client.receive_all());
            assert_eq!(String::from_utf8(answers.counted()).unwrap(), own);
            let shown = String::from_utf8(answers.counted()).unwrap();
            match listener.as_socket() {
                Some(listener) => assert_eq!(shown, listener.to_string()),
                None => assert!(shown.ends_with("/listener"), "{shown}"),
            }
            assert_eq!(
                answers.result(),
                if transport == Transport::Unix { 2 } else { 0 }
            );
            answers.end();
        }
    }
}

/// `socketpair`: what socat gives the programs that it runs.
#[test]
fn a_connection_without_names_is_served() {
    let (client, connection) = UnixStream::pair().unwrap();
    let mut client = Client::Unix(client);
    client.set_patience(PATIENCE);
    client.send("to and fro");
    client.finish_sending();
    inetd(Serve::new(handler("echo")), &connection.into())
        .run_to_end()
        .is_a_success();
    assert_eq!(client.receive_all(), b"to and fro");
}

#[test]
fn a_connection_has_the_limits_of_any_other() {
    for transport in streams() {
        let (mut client, connection) = accepted(transport);
        let mut server = Serve::new(handler("echo"))
            .at("fd://0")
            .hand_over(0, connection)
            .with("--idle-timeout 200ms")
            .start_unheard();
        assert_eq!(server.request()["outcome"], "idle-timeout");
        assert_eq!(client.receive_all(), b"");
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn a_connection_that_is_not_let_in_is_the_end_as_well() {
    let (mut client, connection) = accepted(Transport::Tcp);
    let mut server = Serve::new(handler("echo"))
        .at("fd://0")
        .hand_over(0, connection)
        .with("--deny 127.0.0.0/8")
        .start_unheard();
    assert_eq!(client.receive_all(), b"");
    server.log().wait_for(1, |e| e["event"] == "refused");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_signal_ends_a_connection_within_the_grace() {
    let (mut client, connection) = accepted(Transport::Tcp);
    client.send(script(&[Return, Print("now")]));
    let mut server = Serve::new(wat("script"))
        .at("fd://0")
        .hand_over(0, connection)
        .with("--shutdown-grace 100ms")
        .start_unheard();
    server.log().wait_for(1, |e| e["line"] == "now");
    server.process().signal(signal::TERM);
    assert_eq!(server.request()["outcome"], "cut");
    assert_eq!(client.receive_all(), b"");
    assert_eq!(server.wait().code(), Some(0));
}

/// inetd's `wait`: the program has the listener, and serves it until it ends itself.
#[test]
fn a_listener_as_all_standard_streams_is_served_until_the_end() {
    for concurrency in CONCURRENCIES {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let mut server = inetd(Serve::new(handler("echo")), &listener.into())
            .with("--max-requests 3 --concurrency")
            .arg(concurrency)
            .start_unheard();
        for n in ["one", "two", "three"] {
            assert_eq!(Client::connect(&address).ask(n), n.as_bytes());
        }
        assert_eq!(server.wait().code(), Some(0), "{concurrency}");
    }
}

#[test]
fn a_datagram_socket_on_descriptor_0_is_served_until_the_end() {
    let dir = tempfile::tempdir().unwrap();
    for concurrency in CONCURRENCIES {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let path = dir.path().join(concurrency);
        let unix = UnixDatagram::bind(&path).unwrap();
        // As systemd's PassCredentials=yes: a packet from before that is one whose sender nobody knows.
        setsockopt(&unix, sockopt::PassCred, &true).unwrap();
        let sockets: [(String, OwnedFd); 2] = [
            (format!("udp://{}", udp.local_addr().unwrap()), udp.into()),
            (format!("unixgram://{}", path.display()), unix.into()),
        ];
        for (address, socket) in sockets {
            // The packet that made inetd start it is the first one.
            let mut first = Client::connect(&address);
            first.send("first");
            let mut server = inetd(Serve::new(handler("echo")), &socket)
                .with("--max-requests 2 --concurrency")
                .arg(concurrency)
                .start_unheard();
            assert_eq!(first.receive_all(), b"first", "{address}");
            assert_eq!(Client::connect(&address).ask("second"), b"second");
            assert_eq!(server.wait().code(), Some(0));
        }
    }
}

#[test]
fn a_pipe_as_standard_input_is_an_error_that_names_run() {
    Serve::new(handler("echo"))
        .at("fd://0")
        .run_to_end()
        .is_an_error(1, &["fd://0", "not a socket", "sandsock run"]);
}
