//! Clients of every transport.

use super::PATIENCE;
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// The largest payload of a UDP datagram over IPv4: 65,535 less the headers.
const LARGEST_DATAGRAM: usize = 65_507;

/// What carries requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// TCP over IPv4.
    Tcp,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over IPv4.
    Udp,
    /// A Unix stream socket.
    Unix,
    /// A Unix datagram socket.
    Unixgram,
}

impl Transport {
    const ALL: [Self; 5] = [Self::Tcp, Self::Tcp6, Self::Udp, Self::Unix, Self::Unixgram];

    /// Those that this machine has.
    pub(crate) fn all() -> Vec<Self> {
        Self::ALL
            .into_iter()
            .filter(|transport| transport.is_there())
            .collect()
    }

    /// Whether this machine has it; says so where it has not. Some containers have no IPv6.
    pub(crate) fn is_there(self) -> bool {
        let is_there = self != Self::Tcp6 || TcpListener::bind("[::1]:0").is_ok();
        if !is_there {
            eprintln!("SKIPPED: this machine has no IPv6");
        }
        is_there
    }

    /// An address to listen at: a port that the system chooses, or a path in `dir`.
    pub(crate) fn any_address(self, dir: &Path) -> String {
        match self {
            Transport::Tcp => "tcp://127.0.0.1:0".into(),
            Transport::Tcp6 => "tcp://[::1]:0".into(),
            Transport::Udp => "udp://127.0.0.1:0".into(),
            Transport::Unix => format!("unix://{}/listener", dir.display()),
            Transport::Unixgram => format!("unixgram://{}/listener", dir.display()),
        }
    }

    /// A request is a packet.
    pub(crate) fn is_datagram(self) -> bool {
        matches!(self, Transport::Udp | Transport::Unixgram)
    }
}

/// A connection, or a socket for datagrams with a name of its own.
pub(crate) enum Client {
    Tcp(TcpStream),
    Unix(UnixStream),
    Udp(UdpSocket),
    Unixgram(UnixDatagram, TempDir),
}

impl Client {
    /// Connects to an address as `serve` prints it.
    pub(crate) fn connect(address: &str) -> Self {
        Self::try_connect(address).expect("a connection")
    }

    /// The same, where it may be that nobody is there.
    pub(crate) fn try_connect(address: &str) -> io::Result<Self> {
        let (scheme, place) = address.split_once("://").expect("an address with a scheme");
        let socket = || -> SocketAddr { place.parse().expect("an IP address and a port") };
        let client = match scheme {
            "tcp" => Client::Tcp(TcpStream::connect(socket())?),
            "unix" => Client::Unix(UnixStream::connect(place)?),
            "udp" => {
                let any = if socket().is_ipv4() {
                    "127.0.0.1:0"
                } else {
                    "[::1]:0"
                };
                let client = UdpSocket::bind(any).expect("a port");
                client.connect(socket())?;
                Client::Udp(client)
            }
            "unixgram" => {
                let dir = TempDir::new().expect("a temporary folder");
                let client = UnixDatagram::bind(dir.path().join("client")).expect("a path");
                client.connect(place)?;
                Client::Unixgram(client, dir)
            }
            _ => panic!("an unknown scheme: {address}"),
        };
        client.set_patience(PATIENCE);
        Ok(client)
    }

    /// Connects to a TCP or UDP address from an IPv4 address of this machine's: all of 127.0.0.0/8 are.
    pub(crate) fn connect_from(source: &str, address: &str) -> Self {
        let (scheme, place) = address.split_once("://").expect("an address with a scheme");
        let kind = if scheme == "tcp" {
            Type::STREAM
        } else {
            Type::DGRAM
        };
        let any_port =
            |host: &str, port: u16| SocketAddr::new(host.parse().expect("an IP address"), port);
        let place: SocketAddr = place.parse().expect("an IP address and a port");
        let socket = Socket::new(Domain::IPV4, kind, None).expect("a socket");
        socket.bind(&any_port(source, 0).into()).expect("a port");
        socket.connect(&place.into()).expect("a connection");
        let client = match scheme {
            "tcp" => Client::Tcp(socket.into()),
            _ => Client::Udp(socket.into()),
        };
        client.set_patience(PATIENCE);
        client
    }

    /// The connection was closed without a word, whether in good order or by force.
    #[track_caller]
    pub(crate) fn is_closed_without_a_word(&self) {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match self.socket().recv(&mut byte) {
            Ok(0) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("it was not closed: {other:?}"),
        }
    }

    /// How long to wait for each read and write.
    pub(crate) fn set_patience(&self, time: Duration) {
        let socket = self.socket();
        socket.set_read_timeout(Some(time)).expect("a timeout");
        socket.set_write_timeout(Some(time)).expect("a timeout");
    }

    /// The socket, for options.
    pub(crate) fn socket(&self) -> SockRef<'_> {
        match self {
            Client::Tcp(s) => SockRef::from(s),
            Client::Unix(s) => SockRef::from(s),
            Client::Udp(s) => SockRef::from(s),
            Client::Unixgram(s, _) => SockRef::from(s),
        }
    }

    /// Its own address, as a server should show it.
    pub(crate) fn address(&self) -> String {
        match self {
            Client::Tcp(s) => s.local_addr().expect("a name").to_string(),
            Client::Udp(s) => s.local_addr().expect("a name").to_string(),
            Client::Unix(_) => String::new(),
            Client::Unixgram(_, dir) => dir.path().join("client").display().to_string(),
        }
    }

    /// Sends all of it: on a stream some more bytes, else one packet.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        match self {
            Client::Tcp(s) => s.write_all(bytes).expect("sent"),
            Client::Unix(s) => s.write_all(bytes).expect("sent"),
            Client::Udp(s) => assert_eq!(s.send(bytes).expect("sent"), bytes.len()),
            Client::Unixgram(s, _) => assert_eq!(s.send(bytes).expect("sent"), bytes.len()),
        }
    }

    /// Says that nothing more comes. A packet needs no such thing.
    pub(crate) fn finish_sending(&mut self) {
        match self {
            Client::Tcp(s) => s.shutdown(Shutdown::Write).expect("half-closed"),
            Client::Unix(s) => s.shutdown(Shutdown::Write).expect("half-closed"),
            Client::Udp(_) | Client::Unixgram(..) => {}
        }
    }

    /// So many bytes of a stream.
    pub(crate) fn receive(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        match self {
            Client::Tcp(s) => s.read_exact(&mut bytes).expect("received"),
            Client::Unix(s) => s.read_exact(&mut bytes).expect("received"),
            Client::Udp(_) | Client::Unixgram(..) => panic!("a packet comes whole"),
        }
        bytes
    }

    /// The same connection once more, for a thread that sends while another receives.
    pub(crate) fn twin(&self) -> Self {
        match self {
            Client::Tcp(s) => Client::Tcp(s.try_clone().expect("a descriptor")),
            Client::Unix(s) => Client::Unix(s.try_clone().expect("a descriptor")),
            Client::Udp(_) | Client::Unixgram(..) => panic!("a packet is sent at once"),
        }
    }

    /// Everything up to the end of a stream, or one packet.
    pub(crate) fn receive_all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut packet = |receive: &dyn Fn(&mut [u8]) -> io::Result<usize>| {
            let mut buffer = [0; LARGEST_DATAGRAM];
            let n = loop {
                match receive(&mut buffer) {
                    // A child of the test's own process has ended (signal(7): with a timeout it is not restarted).
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    received => break received.expect("a packet"),
                }
            };
            bytes.extend_from_slice(&buffer[..n]);
        };
        match self {
            Client::Udp(s) => packet(&|buffer| s.recv(buffer)),
            Client::Unixgram(s, _) => packet(&|buffer| s.recv(buffer)),
            Client::Tcp(s) => {
                s.read_to_end(&mut bytes)
                    .expect("an end of the stream, not a reset");
            }
            Client::Unix(s) => {
                s.read_to_end(&mut bytes)
                    .expect("an end of the stream, not a reset");
            }
        }
        bytes
    }

    /// A whole request: all of it sent, then everything that comes back.
    pub(crate) fn ask(mut self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        self.send(bytes);
        self.finish_sending();
        self.receive_all()
    }

    /// As [`Client::ask`], where the request may go wrong.
    pub(crate) fn try_ask(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let socket = self.socket();
        let mut socket: &Socket = &socket;
        socket.write_all(bytes)?;
        let mut reply = Vec::new();
        if matches!(self, Client::Udp(_) | Client::Unixgram(..)) {
            reply.resize(LARGEST_DATAGRAM, 0);
            let length = socket.read(&mut reply)?;
            reply.truncate(length);
        } else {
            socket.shutdown(Shutdown::Write)?;
            socket.read_to_end(&mut reply)?;
        }
        Ok(reply)
    }

    /// Nothing has come so far that could be received now.
    #[track_caller]
    pub(crate) fn has_received_nothing(&self) {
        let socket = self.socket();
        socket.set_nonblocking(true).expect("an option");
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match socket.recv(&mut byte) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            other => panic!("something came: {other:?}"),
        }
        socket.set_nonblocking(false).expect("an option");
    }

    /// Vanishes: the connection is reset, as when a machine is switched off and on again.
    pub(crate) fn reset(self) {
        if let Client::Tcp(stream) = &self {
            SockRef::from(stream)
                .set_linger(Some(Duration::ZERO))
                .expect("an option");
        }
    }
}
