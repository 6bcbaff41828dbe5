//! Python's `TCPServer`: a listener for IPv4, IPv6 or both.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::listener::{Accepted, BindOptions, Listener};
use crate::address::{Endpoint, Transport};
use crate::request::Stream;

/// A listening TCP socket.
pub(super) struct TcpServer {
    socket: Socket,
    address: SocketAddr,
    receive_timeout: Option<Duration>,
    nodelay: bool,
    /// Connections have their options from the listener. Not those that waited in its queue when it was
    /// handed over to us.
    is_ours: bool,
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
        TcpServer::new(socket, true, options)
    }

    /// A server on a socket that another program has bound.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn handed_over(socket: Socket, options: &BindOptions) -> io::Result<Self> {
        TcpServer::new(socket, false, options)
    }

    fn new(socket: Socket, is_ours: bool, options: &BindOptions) -> io::Result<Self> {
        // Linux: connections inherit these from their listener, which spares each of them the calls.
        socket.set_tcp_nodelay(options.disable_nagle_algorithm)?;
        socket.set_read_timeout(options.receive_timeout)?;
        socket.set_nonblocking(true)?;
        Ok(TcpServer {
            address: local_address(&socket)?,
            socket,
            receive_timeout: options.receive_timeout,
            nodelay: options.disable_nagle_algorithm,
            is_ours,
        })
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

    fn transport(&self) -> Transport {
        Transport::Tcp
    }

    fn server_address(&self) -> String {
        format!("tcp://{}", self.address)
    }

    fn fileno(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn get_request(&self) -> io::Result<Option<Accepted>> {
        // accept4(2): on Linux the connection does not inherit O_NONBLOCK.
        let (socket, address) = self.socket.accept()?;
        let stream = match self.is_ours {
            true => Stream::new(socket, self.receive_timeout),
            false => {
                socket.set_tcp_nodelay(self.nodelay)?;
                Stream::of_another(socket)
            }
        };
        Ok(Some(Accepted {
            client_address: Endpoint::from(&address),
            connection: Box::new(stream),
        }))
    }
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
