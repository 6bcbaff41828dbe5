//! What the loop needs of a transport. `server/` has one file for each.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::address::{Endpoint, ListenAddress, Place, Transport};
use crate::config::{Limits, ServiceOptions};
use crate::request::Connection;
use crate::server::tcp::TcpServer;
use crate::server::udp::UdpServer;
use crate::server::unix::{UnixDatagramServer, UnixStreamServer};

/// A bound and listening socket.
pub trait Listener: Send + Sync {
    /// What carries its requests.
    fn transport(&self) -> Transport;

    /// Python's `server_address`: what the system says after bind, as `tcp://127.0.0.1:9999`.
    fn server_address(&self) -> String;

    /// Python's `fileno`: readable where `get_request` has something to do.
    fn fileno(&self) -> BorrowedFd<'_>;

    /// Takes one request that waits, without blocking; `None` for a packet that was longer than
    /// `max_packet_size` and is dropped.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where none waits; otherwise what accept(2) or recvmsg(2) says.
    fn get_request(&self) -> io::Result<Option<Accepted>>;
}

/// A request as it comes from a transport.
pub struct Accepted {
    /// Who asks.
    pub client_address: Endpoint,
    /// Its `rfile` and `wfile`.
    pub connection: Box<dyn Connection>,
}

/// How a socket is bound. Python's names for the attributes of a server.
#[derive(Clone, Debug)]
pub struct BindOptions {
    /// The backlog of listen(2).
    pub request_queue_size: u32,
    /// `SO_REUSEADDR`, so that a restart does not fail while old connections are in TIME_WAIT.
    pub allow_reuse_address: bool,
    /// `SO_REUSEPORT`.
    pub allow_reuse_port: bool,
    /// `[::]` does not take IPv4.
    pub ipv6_only: bool,
    /// `TCP_NODELAY` for every connection.
    pub disable_nagle_algorithm: bool,
    /// A longer packet is dropped, in bytes.
    pub max_packet_size: usize,
    /// The time after which a read gives up, as the listener's connections inherit it.
    pub receive_timeout: Option<Duration>,
}

impl BindOptions {
    /// The part of a service's options that its socket is made with.
    pub fn new(service: &ServiceOptions, limits: &Limits) -> Self {
        BindOptions {
            request_queue_size: service.backlog,
            allow_reuse_address: true,
            allow_reuse_port: service.reuse_port,
            ipv6_only: service.ipv6_only,
            disable_nagle_algorithm: service.nodelay,
            max_packet_size: service.max_packet.get().map_or(usize::MAX, |size| {
                usize::try_from(size.0).unwrap_or(usize::MAX)
            }),
            receive_timeout: limits.idle_timeout,
        }
    }
}

/// Why a service cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {problem}")]
pub struct BindError {
    /// The address that was asked for.
    pub address: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// Binds (`server_bind`) and listens (`server_activate`): one listener for each address that a name
/// stands for.
///
/// # Errors
///
/// [`BindError`]; nothing is left bound then.
pub fn bind_and_activate(
    address: &ListenAddress,
    options: &BindOptions,
) -> Result<Vec<Box<dyn Listener>>, BindError> {
    let fail = |problem: String| BindError {
        address: address.to_string(),
        problem,
    };
    match (&address.place, address.transport) {
        (Place::Path(_), _) if options.allow_reuse_port => Err(fail(
            "--reuse-port is for TCP and UDP: a Unix socket has one server".to_owned(),
        )),
        (Place::Path(path), Transport::UnixDatagram) => {
            let server = UnixDatagramServer::server_bind(path, options).map_err(fail)?;
            Ok(vec![Box::new(server)])
        }
        (Place::Path(path), _) => {
            let server = UnixStreamServer::server_bind(path, options).map_err(fail)?;
            Ok(vec![Box::new(server)])
        }
        (Place::Inet { host, port }, transport) => {
            let found = address
                .resolve()
                .map_err(|error| fail(format!("`{host}` cannot be resolved: {error}")))?;
            if found.is_empty() {
                return Err(fail(format!("`{host}` stands for no address")));
            }
            bind_inet(&found, transport, options).map_err(|error| fail(explain(&error, *port)))
        }
    }
}

/// A name with several addresses and port 0 listens on one port: the one that the first was given.
fn bind_inet(
    addresses: &[SocketAddr],
    transport: Transport,
    options: &BindOptions,
) -> io::Result<Vec<Box<dyn Listener>>> {
    let mut listeners: Vec<Box<dyn Listener>> = Vec::new();
    let mut chosen = 0;
    let only = addresses.len() == 1;
    for address in addresses {
        let mut address = *address;
        if address.port() == 0 {
            address.set_port(chosen);
        }
        let bound = match transport {
            Transport::Udp => UdpServer::server_bind(address, options).map(|server| {
                (
                    server.local_address(),
                    Box::new(server) as Box<dyn Listener>,
                )
            }),
            _ => TcpServer::server_bind(address, options).map(|server| {
                (
                    server.local_address(),
                    Box::new(server) as Box<dyn Listener>,
                )
            }),
        };
        match bound {
            Ok((local, listener)) => {
                chosen = local.port();
                listeners.push(listener);
            }
            // A machine without IPv6 still knows `localhost` by both of its addresses.
            Err(error) if !only && error.raw_os_error() == Some(nix::libc::EADDRNOTAVAIL) => {}
            Err(error) => return Err(error),
        }
    }
    if listeners.is_empty() {
        return Err(io::Error::from_raw_os_error(nix::libc::EADDRNOTAVAIL));
    }
    Ok(listeners)
}

fn explain(error: &io::Error, port: u16) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "the port is taken: stop the program that has it (`ss -tulpn 'sport = :{port}'` names it), or choose another port (0 lets the system choose)"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "no right to bind port {port}: a port below 1024 needs the capability CAP_NET_BIND_SERVICE; choose a higher one"
        ),
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address: `ip address` lists them".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Lets a listener stand in `poll`.
impl AsFd for dyn Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fileno()
    }
}
