//! From an address to listeners, or to one error that says what to do.

use std::io;
use std::net::SocketAddr;

use super::listener::{BindOptions, Listener};
use super::tcp::TcpServer;
use super::udp::UdpServer;
use super::unix::{UnixDatagramServer, UnixStreamServer};
use crate::address::{ListenAddress, Transport, resolve};

/// Why a service cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {problem}")]
pub struct BindError {
    /// The address that was asked for.
    pub address: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl BindError {
    pub(super) fn new(address: &ListenAddress, problem: String) -> Self {
        BindError {
            address: address.to_string(),
            problem,
        }
    }
}

/// Python's `server_bind` and `server_activate`: one listener for each address that a name stands for.
///
/// # Errors
///
/// [`BindError`]; nothing is left bound then.
pub(crate) fn bind_and_activate(
    address: &ListenAddress,
    options: &BindOptions,
) -> Result<Vec<Box<dyn Listener>>, BindError> {
    let listeners = server_bind(address, options, usize::MAX)?;
    for listener in &listeners {
        server_activate(&**listener, address, options)?;
    }
    Ok(listeners)
}

/// Python's `server_bind`: sockets that are bound and do not listen yet, of a name with several addresses
/// at most `most`.
///
/// # Errors
///
/// [`BindError`]; nothing is left bound then.
pub(super) fn server_bind(
    address: &ListenAddress,
    options: &BindOptions,
    most: usize,
) -> Result<Vec<Box<dyn Listener>>, BindError> {
    let fail = |problem| BindError::new(address, problem);
    match address {
        ListenAddress::Unix { .. } if options.allow_reuse_port => Err(fail(
            "SO_REUSEPORT is for TCP and UDP: a Unix socket has one server".to_owned(),
        )),
        ListenAddress::Unix {
            transport: Transport::UnixDatagram,
            path,
        } => {
            let server = UnixDatagramServer::server_bind(path, options).map_err(fail)?;
            Ok(vec![Box::new(server)])
        }
        ListenAddress::Unix { path, .. } => {
            let server = UnixStreamServer::server_bind(path, options).map_err(fail)?;
            Ok(vec![Box::new(server)])
        }
        ListenAddress::Inet {
            transport,
            host,
            port,
        } => {
            let found = resolve(host, *port)
                .map_err(|error| fail(format!("`{host}` cannot be resolved: {error}")))?;
            if found.is_empty() {
                return Err(fail(format!("`{host}` stands for no address")));
            }
            bind_inet(&found, *transport, options, most)
                .map_err(|error| fail(explain(&error, *port)))
        }
        ListenAddress::HandedOver(_) => Err(fail(
            "this socket is another program's: it was bound there".to_owned(),
        )),
    }
}

/// Python's `server_activate`.
///
/// # Errors
///
/// [`BindError`].
pub(super) fn server_activate(
    listener: &dyn Listener,
    address: &ListenAddress,
    options: &BindOptions,
) -> Result<(), BindError> {
    let port = match address {
        ListenAddress::Inet { port, .. } => *port,
        _ => 0,
    };
    listener
        .server_activate(options.request_queue_size)
        .map_err(|error| BindError::new(address, explain(&error, port)))
}

/// A name with several addresses and port 0 listens on one port: the one that the first was given.
fn bind_inet(
    addresses: &[SocketAddr],
    transport: Transport,
    options: &BindOptions,
    most: usize,
) -> io::Result<Vec<Box<dyn Listener>>> {
    let mut listeners: Vec<Box<dyn Listener>> = Vec::new();
    let mut chosen = 0;
    let only = addresses.len() == 1;
    for address in addresses {
        if listeners.len() == most {
            break;
        }
        let mut address = *address;
        if address.port() == 0 {
            address.set_port(chosen);
        }
        let bound: io::Result<(u16, Box<dyn Listener>)> = match transport {
            Transport::Udp => UdpServer::server_bind(address, options)
                .map(|server| (server.port(), Box::new(server) as _)),
            _ => TcpServer::server_bind(address, options)
                .map(|server| (server.port(), Box::new(server) as _)),
        };
        match bound {
            Ok((port, listener)) => {
                chosen = port;
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
