//! Python's `TCPServer`: a listener for IPv4, IPv6 or both.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::listener::{Accepted, BindOptions, BoundBy, Incoming, Listener};
use crate::address::{Endpoint, Transport};
use crate::request::Stream;

/// A listening TCP socket.
pub(super) struct TcpServer {
    socket: Socket,
    address: SocketAddr,
    options: ConnectionOptions,
    /// Connections have their options from the listener: not those that waited in its queue when another program
    /// handed it over.
    bound_by: BoundBy,
}

impl TcpServer {
    /// Binds.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn server_bind(address: SocketAddr, options: &BindOptions) -> io::Result<Self> {
        let socket = inet_socket(address, Type::STREAM, Protocol::TCP, options)?;
        socket.set_reuse_address(options.allow_reuse_address)?;
        socket.bind(&address.into())?;
        TcpServer::listening(socket, BoundBy::ThisProgram, options)
    }

    /// A server on a socket that is bound.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn listening(
        socket: Socket,
        bound_by: BoundBy,
        options: &BindOptions,
    ) -> io::Result<Self> {
        let options = ConnectionOptions::new(options);
        // Linux: connections inherit them from their listener, which spares each of them the calls.
        options.set(&socket)?;
        socket.set_nonblocking(true)?;
        Ok(TcpServer {
            address: local_address(&socket)?,
            socket,
            options,
            bound_by,
        })
    }

    /// Connections to a wildcard have each the address that they came to; those of another program's socket can
    /// have any, where it is transparent.
    fn address_of_connections(&self) -> Option<SocketAddr> {
        let is_known = self.bound_by == BoundBy::ThisProgram && !self.address.ip().is_unspecified();
        is_known.then_some(self.address)
    }

    /// The port that the system has given.
    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Listener for TcpServer {
    fn server_activate(&self, request_queue_size: u32) -> io::Result<()> {
        self.socket.listen(backlog(request_queue_size))
    }

    fn never_blocks(&self) -> bool {
        self.bound_by == BoundBy::ThisProgram
    }

    fn transport(&self) -> Transport {
        Transport::Tcp
    }

    fn server_address(&self) -> String {
        format!("tcp://{}", self.address)
    }

    fn fileno(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn get_request(&self) -> io::Result<Incoming> {
        // accept4(2): on Linux the connection does not inherit O_NONBLOCK.
        let (socket, address) = self.socket.accept()?;
        if self.bound_by == BoundBy::AnotherProgram {
            self.options.set(&socket)?;
        }
        Ok(Incoming::Request(Accepted {
            client_address: Endpoint::from(&address),
            connection: Box::new(
                Stream::new(socket, self.options.receive_timeout)
                    .with_local_address(self.address_of_connections()),
            ),
        }))
    }
}

/// What every connection has.
#[derive(Clone, Copy)]
pub(super) struct ConnectionOptions {
    receive_timeout: Option<Duration>,
    nodelay: bool,
}

impl ConnectionOptions {
    pub(super) fn new(options: &BindOptions) -> Self {
        ConnectionOptions {
            receive_timeout: options.receive_timeout,
            nodelay: options.disable_nagle_algorithm,
        }
    }

    pub(super) fn set(self, socket: &Socket) -> io::Result<()> {
        socket.set_tcp_nodelay(self.nodelay)?;
        socket.set_read_timeout(self.receive_timeout)?;
        notice_vanished_peers(socket, self.receive_timeout)
    }
}

/// A peer that has vanished says nothing, not even that. One that is silent is asked whether it is there;
/// one that does not take what it was sent is given up, as is what the system still holds for it after the
/// connection was closed (tcp(7)).
fn notice_vanished_peers(socket: &Socket, idle_timeout: Option<Duration>) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
        .with_retries(6);
    socket.set_tcp_keepalive(&keepalive)?;
    // Packets are lost, and sent again after a while: not every short silence is an end.
    let shortest = Duration::from_secs(30);
    socket.set_tcp_user_timeout(idle_timeout.map(|timeout| timeout.max(shortest)))
}

/// listen(2) takes an `int`.
pub(super) fn backlog(request_queue_size: u32) -> i32 {
    i32::try_from(request_queue_size).unwrap_or(i32::MAX)
}

/// An unbound socket of the family of `address` with the options that TCP and UDP share.
pub(super) fn inet_socket(
    address: SocketAddr,
    kind: Type,
    protocol: Protocol,
    options: &BindOptions,
) -> io::Result<Socket> {
    // Python's `address_family`, here by the address.
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // Only `[::]` can be dual-stack; what the system's default is must not matter.
        let dual_stack = address.ip().is_unspecified() && !options.ipv6_only;
        socket.set_only_v6(!dual_stack)?;
    }
    socket.set_reuse_port(options.allow_reuse_port)?;
    Ok(socket)
}

pub(super) fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limits, ServiceOptions};

    #[test]
    fn connections_inherit_what_notices_a_vanished_peer() {
        let options = BindOptions::new(&ServiceOptions::default(), &Limits::default());
        let any = "127.0.0.1:0".parse().unwrap();
        let server = TcpServer::server_bind(any, &options).unwrap();
        server.server_activate(1).unwrap();
        let _client = std::net::TcpStream::connect(server.address).unwrap();
        let (connection, _) = server.socket.accept().unwrap();
        assert!(connection.keepalive().unwrap());
        assert_eq!(
            Duration::from_secs(60),
            connection.tcp_keepalive_time().unwrap()
        );
        assert_eq!(
            Limits::default().idle_timeout,
            connection.tcp_user_timeout().unwrap()
        );
    }
}
