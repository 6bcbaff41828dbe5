//! Sockets that another program has opened: a supervisor, systemd (`LISTEN_FDS`), inetd.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{getsockopt, sockopt};
use socket2::{Domain, Socket, Type};

use super::listener::{Accepted, BindOptions, BoundBy, Incoming, Listener};
use super::socket_file::SocketName;
use super::tcp::{ConnectionOptions, TcpServer};
use super::udp::UdpServer;
use super::unix::{UnixDatagramServer, UnixStreamServer};
use crate::address::{Endpoint, Transport};
use crate::request::{Stream, lock};

/// Looks at a socket that was handed over and makes a listener of it, also of a connection, see
/// [`Listener::is_connection`]. `name` is what it was called, for a socket without an address.
///
/// # Errors
///
/// It is not a socket, not of a kind that can be served, or neither listens nor is connected.
pub(crate) fn handed_over(
    fd: OwnedFd,
    name: &str,
    options: &BindOptions,
) -> io::Result<Box<dyn Listener>> {
    listener_on(fd, name, options, BoundBy::AnotherProgram)
}

/// As [`handed_over`], of a socket that another process of this program has bound.
///
/// # Errors
///
/// As [`handed_over`].
pub(crate) fn inherited(fd: OwnedFd, options: &BindOptions) -> io::Result<Box<dyn Listener>> {
    listener_on(fd, "", options, BoundBy::ThisProgram)
}

fn listener_on(
    fd: OwnedFd,
    name: &str,
    options: &BindOptions,
    bound_by: BoundBy,
) -> io::Result<Box<dyn Listener>> {
    let is_listening = getsockopt(&fd, sockopt::AcceptConn).map_err(|error| match error {
        Errno::ENOTSOCK => io::Error::other(
            "it is not a socket (one request through a pipe or a file is what `sandsock run` is for)",
        ),
        error => error.into(),
    })?;
    let socket = Socket::from(fd);
    socket.set_cloexec(true)?;
    let transport = transport(&socket)?;
    if transport.is_datagram() && !can_receive(&socket)? {
        return Err(io::Error::other(
            "it is a datagram socket that is not bound",
        ));
    }
    Ok(match transport {
        Transport::Udp => Box::new(UdpServer::new(socket, options)?),
        Transport::UnixDatagram => {
            let name = socket_name(&socket, name)?;
            Box::new(UnixDatagramServer::new(socket, name, options)?)
        }
        Transport::Tcp if is_listening => {
            Box::new(TcpServer::listening(socket, bound_by, options)?)
        }
        Transport::UnixStream if is_listening => {
            let name = socket_name(&socket, name)?;
            Box::new(UnixStreamServer::new(socket, name, bound_by)?)
        }
        transport => Box::new(OneConnection::new(socket, transport, name, options)?),
    })
}

fn transport(socket: &Socket) -> io::Result<Transport> {
    match (socket.domain()?, socket.r#type()?) {
        (Domain::IPV4 | Domain::IPV6, Type::STREAM) => Ok(Transport::Tcp),
        (Domain::IPV4 | Domain::IPV6, Type::DGRAM) => Ok(Transport::Udp),
        (Domain::UNIX, Type::STREAM) => Ok(Transport::UnixStream),
        (Domain::UNIX, Type::DGRAM) => Ok(Transport::UnixDatagram),
        _ => Err(io::Error::other(
            "it is a socket of another kind: TCP, UDP, Unix streams and Unix datagrams are served",
        )),
    }
}

/// Nobody can send to a socket without an address, but who it is connected with.
fn can_receive(socket: &Socket) -> io::Result<bool> {
    Ok(match Endpoint::from(&socket.local_addr()?) {
        Endpoint::Inet(address) => address.port() != 0,
        Endpoint::Unnamed => socket.peer_addr().is_ok(),
        Endpoint::Path(_) | Endpoint::Abstract(_) => true,
    })
}

fn socket_name(socket: &Socket, handed_over_as: &str) -> io::Result<SocketName> {
    let address = match Endpoint::from(&socket.local_addr()?) {
        Endpoint::Unnamed => None,
        named => Some(named.to_string()),
    };
    Ok(SocketName::of_another(address, handed_over_as))
}

/// A connection that somebody else has accepted (inetd's `nowait`, systemd's `Accept=yes`): it is the
/// one request that this listener has.
struct OneConnection {
    name: String,
    transport: Transport,
    accepted: Mutex<Option<Accepted>>,
    /// Readable until the request was taken; a client that waits for us to speak sends nothing.
    waits: EventFd,
}

impl OneConnection {
    fn new(
        socket: Socket,
        transport: Transport,
        name: &str,
        options: &BindOptions,
    ) -> io::Result<Self> {
        let client = socket.peer_addr().map_err(|_| {
            io::Error::other("it is a stream socket that neither listens nor is connected")
        })?;
        // As a connection has it that was accepted here.
        socket.set_nonblocking(false)?;
        match transport {
            Transport::Tcp => ConnectionOptions::new(options).set(&socket)?,
            _ => socket.set_read_timeout(options.receive_timeout)?,
        }
        Ok(OneConnection {
            name: name.to_owned(),
            transport,
            accepted: Mutex::new(Some(Accepted {
                client_address: Endpoint::from(&client),
                connection: Box::new(Stream::new(socket, options.receive_timeout)),
            })),
            waits: EventFd::from_value_and_flags(
                1,
                EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC,
            )?,
        })
    }
}

impl Listener for OneConnection {
    fn is_connection(&self) -> bool {
        true
    }

    fn transport(&self) -> Transport {
        self.transport
    }

    fn server_address(&self) -> String {
        format!("fd://{}", self.name)
    }

    fn fileno(&self) -> BorrowedFd<'_> {
        self.waits.as_fd()
    }

    fn get_request(&self) -> io::Result<Incoming> {
        self.waits.read()?;
        let accepted = lock(&self.accepted).take();
        Ok(Incoming::Request(
            accepted.ok_or(io::ErrorKind::WouldBlock)?,
        ))
    }
}
