//! The attributes of a socket, as the system shows them.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use sandsock::{BindOptions, Server, ServerError, ServerOptions, SocketFile};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tempfile::TempDir;

use crate::client::Transport;
use crate::running::{Running, echo};

fn with_socket(socket: BindOptions) -> ServerOptions {
    ServerOptions {
        socket,
        ..ServerOptions::default()
    }
}

fn bound(transport: Transport, socket: BindOptions) -> (Server, TempDir) {
    let dir = TempDir::new().unwrap();
    let address = transport.any_address(dir.path());
    let server = Server::with_options(&address, echo(), with_socket(socket)).unwrap();
    (server, dir)
}

#[test]
fn allow_reuse_address_and_allow_reuse_port_are_options_of_the_socket() {
    for allow in [false, true] {
        let socket = BindOptions {
            allow_reuse_address: allow,
            allow_reuse_port: allow,
            ..BindOptions::default()
        };
        let (tcp, _dir) = bound(Transport::Tcp, socket.clone());
        let fd = tcp.fileno().unwrap();
        assert_eq!(SockRef::from(&fd).reuse_address().unwrap(), allow);
        assert_eq!(SockRef::from(&fd).reuse_port().unwrap(), allow);
        let (udp, _dir) = bound(Transport::Udp, socket);
        let fd = udp.fileno().unwrap();
        assert_eq!(SockRef::from(&fd).reuse_port().unwrap(), allow);
    }
    let options = BindOptions::default();
    assert!(options.allow_reuse_address && !options.allow_reuse_port);
}

#[test]
fn with_allow_reuse_port_several_servers_have_one_port() {
    let socket = BindOptions {
        allow_reuse_port: true,
        ..BindOptions::default()
    };
    for transport in [Transport::Tcp, Transport::Udp] {
        let (first, dir) = bound(transport, socket.clone());
        let address = first.server_address().to_owned();
        let second = Server::with_options(&address, echo(), with_socket(socket.clone())).unwrap();
        assert_eq!(second.server_address(), address);
        // What would have come to the first comes to the second when the first has gone.
        drop(first);
        let running = Running::serve(second, dir);
        assert_eq!(running.ask("hello"), b"hello");
        running.stop();
    }
    let dir = TempDir::new().unwrap();
    let address = Transport::Unix.any_address(dir.path());
    let error = Server::with_options(&address, echo(), with_socket(socket));
    assert!(matches!(error, Err(ServerError::Bind(_))));
}

#[test]
fn request_queue_size_is_how_many_wait_to_be_accepted() {
    let socket = BindOptions {
        request_queue_size: 3,
        ..BindOptions::default()
    };
    let (_server, dir) = bound(Transport::Unix, socket);
    let address = SockAddr::unix(dir.path().join("listener")).unwrap();
    let mut waiting = Vec::new();
    let full = loop {
        let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        match client.connect(&address) {
            Ok(()) => waiting.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    // Linux: one more than listen(2) was told.
    assert_eq!(waiting.len(), 4);
}

#[test]
fn disable_nagle_algorithm_and_the_idle_timeout_are_the_connections_from_their_listener() {
    let mut server = Server::unbound("tcp://127.0.0.1:0", echo()).unwrap();
    server.options.socket.disable_nagle_algorithm = true;
    server.options.limits.idle_timeout = Some(Duration::from_secs(7));
    server.server_bind().unwrap();
    let fd = server.fileno().unwrap();
    let socket = SockRef::from(&fd);
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.read_timeout().unwrap(), Some(Duration::from_secs(7)));
}

#[test]
fn a_packet_longer_than_max_packet_size_is_dropped_or_cut_as_python_does() {
    for transport in [Transport::Udp, Transport::Unixgram] {
        for cut_long_packets in [false, true] {
            let options = with_socket(BindOptions {
                max_packet_size: 100,
                cut_long_packets,
                ..BindOptions::default()
            });
            let running = Running::start(transport, echo(), options);
            let mut client = running.connect();
            client.send([b'l'; 101]);
            if cut_long_packets {
                assert_eq!(client.receive_all(), [b'l'; 100]);
            }
            // Packets are served in their order: had the long one a reply, it would come first.
            client.send([b's'; 100]);
            assert_eq!(client.receive_all(), [b's'; 100]);
            running.stop();
        }
    }
}

#[test]
fn the_file_of_a_unix_socket_has_its_mode() {
    let socket = BindOptions {
        socket_file: SocketFile {
            mode: Some(0o620),
            owner: None,
        },
        ..BindOptions::default()
    };
    let (_server, dir) = bound(Transport::Unix, socket);
    let found = std::fs::metadata(dir.path().join("listener")).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o620);
}
