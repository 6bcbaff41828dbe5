//! What the loop needs of a transport. `server/` has one file for each.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::socket_file::SocketFile;
use crate::address::{Endpoint, Transport};
use crate::admission::Refusal;
use crate::config::{Compat, Limits, ServiceOptions, SourcePorts};
use crate::request::Connection;

/// A bound socket, which listens once it was activated.
pub(crate) trait Listener: Send + Sync {
    /// Python's `server_activate`: listens. A datagram socket does nothing here.
    ///
    /// # Errors
    ///
    /// What listen(2) says.
    fn server_activate(&self, _request_queue_size: u32) -> io::Result<()> {
        Ok(())
    }

    /// Whether it is a connection, which was accepted elsewhere, and so has one request.
    fn is_connection(&self) -> bool {
        false
    }

    /// Whether `get_request` returns at once, whoever else has the socket: one that another program handed over can be
    /// made blocking there at any time.
    fn never_blocks(&self) -> bool {
        true
    }

    /// What carries its requests.
    fn transport(&self) -> Transport;

    /// Python's `server_address`: what the system says after bind, as `tcp://127.0.0.1:9999`.
    fn server_address(&self) -> String;

    /// Python's `fileno`: readable where `get_request` has something to do.
    fn fileno(&self) -> BorrowedFd<'_>;

    /// Takes one request that waits, without blocking.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where none waits; otherwise what accept(2) or recvmsg(2) says.
    fn get_request(&self) -> io::Result<Incoming>;
}

/// Whose listener a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BoundBy {
    ThisProgram,
    AnotherProgram,
}

/// What waited at a listener.
pub(crate) enum Incoming {
    /// A request.
    Request(Accepted),
    /// A packet that is none, and where it says it came from.
    Dropped(Refusal, Endpoint),
}

/// A request as it comes from a transport.
pub(crate) struct Accepted {
    /// Who asks.
    pub(crate) client_address: Endpoint,
    /// Its `rfile` and `wfile`.
    pub(crate) connection: Box<dyn Connection>,
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
    /// Mode and owner of a Unix socket's file.
    pub socket_file: SocketFile,
    /// What a UDP client is sent is no longer than so many times its question, headers counted with both:
    /// see [`crate::config::AdmissionOptions::max_amplification`].
    pub max_amplification: Option<u32>,
    /// See [`crate::config::AdmissionOptions::deny_source_ports`].
    pub deny_source_ports: Vec<u16>,
    /// A longer packet is served cut off, as in Python, and not dropped.
    pub cut_long_packets: bool,
    /// A handler that wrote nothing answers a packet with an empty one, as Python's
    /// `DatagramRequestHandler.finish` does.
    pub reply_to_nothing: bool,
    /// A Unix socket that no server stands behind any more is removed, and its path taken.
    pub replace_stale_socket: bool,
    /// The time after which a read gives up, as the listener's connections inherit it; [`Server`] sets it to
    /// its limits' idle timeout.
    ///
    /// [`Server`]: super::Server
    pub receive_timeout: Option<Duration>,
}

impl BindOptions {
    /// The part of a service's options that its socket is made with.
    pub fn new(service: &ServiceOptions, limits: &Limits) -> Self {
        let as_python = service.compat == Some(Compat::Python);
        BindOptions {
            request_queue_size: service.backlog,
            allow_reuse_address: !as_python,
            allow_reuse_port: service.reuse_port,
            ipv6_only: service.ipv6_only,
            disable_nagle_algorithm: service.nodelay,
            max_packet_size: service.max_packet.get().map_or(usize::MAX, |size| {
                usize::try_from(size.0).unwrap_or(usize::MAX)
            }),
            socket_file: SocketFile {
                mode: service.socket_mode,
                owner: service.socket_owner.clone(),
            },
            max_amplification: None,
            deny_source_ports: SourcePorts::default().0,
            cut_long_packets: as_python,
            reply_to_nothing: as_python,
            replace_stale_socket: !as_python,
            receive_timeout: limits.idle_timeout,
        }
    }
}

impl Default for BindOptions {
    fn default() -> Self {
        BindOptions::new(&ServiceOptions::default(), &Limits::default())
    }
}

/// Lets a listener stand in `poll`.
impl AsFd for dyn Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fileno()
    }
}
