//! The cells of CPython's own suite: three clients one after the other, over every transport.

use crate::harness::{Answers, Client, Op, PATIENCE, Transport, script};
use crate::parity::scenario::{Expected, Handler, ONE, SCENARIO, Scenario, Seen};
use crate::parity::seen::{answers, ask};
use crate::parity::stage::Stage;
use socket2::{Domain, SockAddr, Socket, Type};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::path::Path;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "three clients one after the other get `hello world` back",
        handler: Handler::Echo,
        sees: three_clients,
        covers: &[
            "test_TCPServer",
            "test_ThreadingTCPServer",
            "test_ForkingTCPServer",
            "test_UDPServer",
            "test_ThreadingUDPServer",
            "test_ForkingUDPServer",
            "test_UnixStreamServer",
            "test_ThreadingUnixStreamServer",
            "test_ForkingUnixStreamServer",
            "test_UnixDatagramServer",
            "test_ThreadingUnixDatagramServer",
            "test_ForkingUnixDatagramServer",
        ],
        ..SCENARIO
    },
    Scenario {
        name: "the same over IPv6, where Python is told `address_family`",
        over: &[Transport::Tcp6],
        handler: Handler::Echo,
        attributes: r#"{"address_family": 10}"#,
        sees: three_clients,
        ..SCENARIO
    },
    Scenario {
        name: "an IPv6 address needs another `address_family`",
        over: &[Transport::Tcp6],
        under: ONE,
        sees: |stage| match stage.start_at("tcp://[::1]:0") {
            Ok(_) => vec!["it listens".into()],
            Err(_) => vec!["it does not listen".into()],
        },
        expected: Expected::Departure("an address says what family it is of"),
        ..SCENARIO
    },
    Scenario {
        name: "`server_address` is what the client is connected to, and what the handler is told",
        sees: |stage| {
            let server = stage.start();
            let address = server.address();
            let (_, place) = address.split_once("://").expect("a scheme");
            let client = server.connect();
            let peer = client.socket().peer_addr().expect("a peer");
            let peer = match peer.as_socket() {
                Some(inet) => inet.to_string(),
                None => peer.as_pathname().expect("a path").display().to_string(),
            };
            let told = told(client, Op::ServerAddress(200));
            vec![
                format!("the client is connected to it: {}", peer == place),
                format!("the handler is told it: {}", told == place),
            ]
        },
        ..SCENARIO
    },
    Scenario {
        name: "`client_address` is the client's own; of an unnamed peer it is empty",
        sees: |stage| {
            let server = stage.start();
            let client = server.connect();
            let own = client.address();
            let told = told(client, Op::ClientAddress(200));
            vec![format!("the handler is told it: {}", told == own)]
        },
        ..SCENARIO
    },
    Scenario {
        name: "`client_address` of a Unix stream that has a name is its path",
        over: &[Transport::Unix],
        under: ONE,
        sees: |stage| {
            let server = stage.start();
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
            let path = server.dir().join("client");
            client
                .bind(&SockAddr::unix(&path).expect("a path"))
                .expect("a free path");
            let listener = SockAddr::unix(server.dir().join("listener")).expect("a path");
            client.connect(&listener).expect("a connection");
            let told = told(
                Client::Unix(OwnedFd::from(client).into()),
                Op::ClientAddress(200),
            );
            vec![format!(
                "the handler is told it: {}",
                Path::new(&told) == path
            )]
        },
        ..SCENARIO
    },
    Scenario {
        name: "a reply may leave from another address than the packet came to",
        over: &[Transport::Udp],
        under: ONE,
        handler: Handler::Echo,
        sees: |stage| {
            let server = stage.start_at("udp://0.0.0.0:0").expect("a port");
            let address = server.address();
            let (_, port) = address.rsplit_once(':').expect("a port");
            let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
            client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            client
                .send_to(b"x", format!("127.0.0.2:{port}"))
                .expect("sent");
            let (_, from) = client.recv_from(&mut [0]).expect("a reply");
            vec![format!("asked 127.0.0.2, answered by {}", from.ip())]
        },
        expected: Expected::Departure(
            "a client that has connected its socket drops a reply from elsewhere; the system knows \
             where the packet came to (IP_PKTINFO)",
        ),
        ..SCENARIO
    },
];

fn three_clients(stage: &Stage<'_>) -> Seen {
    let mut server = stage.start();
    let mut seen: Seen = (0..3).flat_map(|_| ask(&server, "hello world\n")).collect();
    server.terminate();
    seen.push(format!(
        "after it has ended somebody is there: {}",
        answers(&server.address())
    ));
    seen
}

/// What a handler is told that is asked for it.
fn told(client: Client, order: Op<'_>) -> String {
    let mut answers = Answers(client.ask(script(&[order])));
    String::from_utf8(answers.counted()).expect("text")
}
