//! Python's `UDPServer`: every packet is a request.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex};

use socket2::{Protocol, Socket, Type};

use super::datagram::DatagramSocket;
use super::listener::{Accepted, BindOptions, Incoming, Listener};
use super::tcp::{inet_socket, local_address};
use crate::address::{Endpoint, Transport};
use crate::admission::Refusal;
use crate::config::LONGEST_UDP_PACKET;
use crate::request::{Datagram, Replies, lock};

/// A bound UDP socket.
pub(super) struct UdpServer {
    address: SocketAddr,
    packets: Packets,
}

impl UdpServer {
    /// Binds.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn server_bind(address: SocketAddr, options: &BindOptions) -> io::Result<Self> {
        // Without SO_REUSEADDR: on Linux it lets a second UDP server take the port, and the packets.
        let socket = inet_socket(address, Type::DGRAM, Protocol::UDP, options)?;
        socket.bind(&address.into())?;
        UdpServer::new(socket, options)
    }

    /// A server on a socket that is bound.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn new(socket: Socket, options: &BindOptions) -> io::Result<Self> {
        let address = local_address(&socket)?;
        let max_packet_size = options.max_packet_size.min(LONGEST_UDP_PACKET as usize);
        Ok(UdpServer {
            address,
            packets: Packets::new(
                DatagramSocket::new(socket, max_packet_size)?,
                max_packet_size,
                options,
            ),
        })
    }

    /// The port that the system has given.
    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Listener for UdpServer {
    fn transport(&self) -> Transport {
        Transport::Udp
    }

    fn server_address(&self) -> String {
        format!("udp://{}", self.address)
    }

    fn fileno(&self) -> BorrowedFd<'_> {
        self.packets.socket.as_fd()
    }

    fn get_request(&self) -> io::Result<Incoming> {
        self.packets.get_request()
    }
}

/// The packets of a datagram socket, UDP or Unix, as requests.
pub(super) struct Packets {
    pub(super) socket: Arc<DatagramSocket>,
    /// Room for the longest packet, used again for each.
    buffer: Mutex<Vec<u8>>,
    cut_long_packets: bool,
    deny_source_ports: Vec<u16>,
    replies: Replies,
}

impl Packets {
    pub(super) fn new(
        socket: DatagramSocket,
        max_packet_size: usize,
        options: &BindOptions,
    ) -> Self {
        Packets {
            socket: Arc::new(socket),
            buffer: Mutex::new(vec![0; max_packet_size]),
            cut_long_packets: options.cut_long_packets,
            deny_source_ports: options.deny_source_ports.clone(),
            replies: Replies {
                to_nothing: options.reply_to_nothing,
                max_amplification: options.max_amplification,
            },
        }
    }

    pub(super) fn get_request(&self) -> io::Result<Incoming> {
        let mut buffer = lock(&self.buffer);
        let (mut length, peer) = self.socket.recv_from(&mut buffer)?;
        if self.cut_long_packets {
            length = length.min(buffer.len());
        }
        let is_of_a_service = peer
            .port()
            .is_some_and(|port| self.deny_source_ports.contains(&port));
        if is_of_a_service || !self.socket.may_be_answered(&peer) {
            return Ok(Incoming::Dropped(Refusal::Source, peer.endpoint()));
        }
        let Some(packet) = buffer.get(..length) else {
            return Ok(Incoming::Dropped(Refusal::TooLong, Endpoint::Unnamed));
        };
        Ok(Incoming::Request(Accepted {
            client_address: peer.endpoint(),
            connection: Box::new(Datagram::new(
                self.socket.clone(),
                peer,
                packet.to_vec(),
                self.replies,
            )),
        }))
    }
}
