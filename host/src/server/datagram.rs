//! The socket that a server's datagrams come from and their replies go to.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage,
    recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::Socket;

use super::unix_client::{UnixClient, UnixClients};
use crate::address::Endpoint;
use crate::config::LONGEST_UDP_PACKET;

/// What Linux takes off the send buffer for a Unix packet, in bytes, and some more.
const UNIX_OVERHEAD: usize = 64;

/// A bound datagram socket.
pub(crate) struct DatagramSocket {
    socket: Socket,
    bound_to: Endpoint,
    /// Of a Unix socket.
    unix_clients: Option<UnixClients>,
    /// Bound to every interface: the system says with each packet which address it came to, and the
    /// reply leaves from there (ip(7), `IP_PKTINFO`; ipv6(7), `IPV6_PKTINFO`).
    every_interface: bool,
    longest_reply: usize,
}

/// Who sent a packet, and which of our addresses it came to.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    address: PeerAddress,
    to: Option<To>,
}

#[derive(Clone, Debug)]
enum PeerAddress {
    Unnamed,
    Unix(UnixClient),
    Inet(SocketAddr),
}

#[derive(Clone, Copy, Debug)]
enum To {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Peer {
    /// Whether a reply is possible.
    pub(crate) fn has_address(&self) -> bool {
        !matches!(self.address, PeerAddress::Unnamed)
    }

    /// Of UDP.
    pub(crate) fn port(&self) -> Option<u16> {
        match &self.address {
            PeerAddress::Inet(address) => Some(address.port()),
            PeerAddress::Unnamed | PeerAddress::Unix(_) => None,
        }
    }

    /// Python's `client_address`.
    pub(crate) fn endpoint(&self) -> Endpoint {
        match &self.address {
            PeerAddress::Unnamed => Endpoint::Unnamed,
            PeerAddress::Unix(client) => client.name.clone(),
            PeerAddress::Inet(address) => Endpoint::from(*address),
        }
    }
}

impl DatagramSocket {
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn new(socket: Socket, longest_packet: usize) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let every_interface = match address.as_socket() {
            Some(inet) if inet.ip().is_unspecified() => {
                match inet.ip() {
                    IpAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
                    IpAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
                }
                true
            }
            _ => false,
        };
        let longest_reply = match address.as_socket() {
            Some(_) => LONGEST_UDP_PACKET as usize,
            // unix(7): a packet has to fit into the sender's buffer, with a little of its own.
            None => {
                let wanted = longest_packet.max(LONGEST_UDP_PACKET as usize);
                let room = socket.send_buffer_size()?.saturating_sub(UNIX_OVERHEAD);
                wanted.min(room)
            }
        };
        let unix_clients = match address.as_socket() {
            Some(_) => None,
            None => Some(UnixClients::new(&socket)?),
        };
        Ok(DatagramSocket {
            socket,
            bound_to: Endpoint::from(&address),
            unix_clients,
            every_interface,
            longest_reply,
        })
    }

    /// The bytes that one reply can have.
    pub(crate) fn longest_reply(&self) -> usize {
        self.longest_reply
    }

    /// The address that a packet came to.
    pub(crate) fn server_address(&self, peer: &Peer) -> Endpoint {
        let (Some(to), Endpoint::Inet(bound)) = (peer.to, &self.bound_to) else {
            return self.bound_to.clone();
        };
        let ip = match to {
            To::V4(info) => IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()),
            To::V6(info) => IpAddr::from(info.ipi6_addr.s6_addr),
        };
        Endpoint::from(SocketAddr::new(ip, bound.port()))
    }

    /// Whether a reply to this peer can reach a client. A packet can claim any source. A reply to one of the service's own
    /// addresses is its next request, without end. No client has port 0, a multicast or a broadcast address.
    pub(crate) fn may_be_answered(&self, peer: &Peer) -> bool {
        let source = match &peer.address {
            PeerAddress::Unnamed => return true,
            PeerAddress::Unix(client) => return client.name != self.bound_to,
            PeerAddress::Inet(source) => source,
        };
        let ip = source.ip().to_canonical();
        let is_group = ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        if source.port() == 0 || ip.is_unspecified() || is_group {
            return false;
        }
        let Endpoint::Inet(own) = self.server_address(peer) else {
            return true;
        };
        // Bound to every interface, it has all addresses of this machine. Those of other interfaces than the packet came
        // to are not looked up: the kernel takes no such packet from outside (it is a "martian").
        let is_own_address =
            ip == own.ip().to_canonical() || (self.every_interface && ip.is_loopback());
        !(is_own_address && source.port() == own.port())
    }

    /// Takes one packet that is there: its whole length, which may be more than `buf` holds, and its
    /// sender.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where there is none; otherwise what the system says.
    pub(crate) fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, Peer)> {
        let Some(clients) = &self.unix_clients else {
            return self.recv_inet(buf);
        };
        let (length, client) = clients.recv(&self.socket, buf)?;
        let address = client.map_or(PeerAddress::Unnamed, PeerAddress::Unix);
        Ok((length, Peer { address, to: None }))
    }

    fn recv_inet(&self, buf: &mut [u8]) -> io::Result<(usize, Peer)> {
        let mut iov = [IoSliceMut::new(buf)];
        let mut control = self
            .every_interface
            .then(|| nix::cmsg_space!(libc::in6_pktinfo));
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut iov,
            control.as_deref_mut(),
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC,
        )?;
        let mut to = None;
        if self.every_interface {
            for control in message.cmsgs()? {
                match control {
                    ControlMessageOwned::Ipv4PacketInfo(mut info) => {
                        // The route to the peer is the system's choice; only the address is ours.
                        info.ipi_ifindex = 0;
                        to = Some(To::V4(info));
                    }
                    ControlMessageOwned::Ipv6PacketInfo(info) => to = Some(To::V6(info)),
                    _ => {}
                }
            }
        }
        let address = message.address.and_then(|address| {
            let v4 = address
                .as_sockaddr_in()
                .map(|v4| SocketAddr::V4((*v4).into()));
            v4.or_else(|| {
                address
                    .as_sockaddr_in6()
                    .map(|v6| SocketAddr::V6((*v6).into()))
            })
        });
        let address = address.map_or(PeerAddress::Unnamed, PeerAddress::Inet);
        Ok((message.bytes, Peer { address, to }))
    }

    /// Sends one packet, from the address that the question came to.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where a queue is full; otherwise what the system says.
    pub(crate) fn send_to(&self, packet: &[u8], peer: &Peer) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match &peer.address {
            PeerAddress::Unnamed => return Err(io::ErrorKind::NotConnected.into()),
            PeerAddress::Unix(client) => match &self.unix_clients {
                Some(clients) => clients.send(&self.socket, packet, client, flags)?,
                None => return Err(io::ErrorKind::NotConnected.into()),
            },
            PeerAddress::Inet(address) => {
                let iov = [IoSlice::new(packet)];
                let control = peer.to.as_ref().map(|to| match to {
                    To::V4(info) => ControlMessage::Ipv4PacketInfo(info),
                    To::V6(info) => ControlMessage::Ipv6PacketInfo(info),
                });
                let fd = self.socket.as_raw_fd();
                match address {
                    SocketAddr::V4(v4) => sendmsg(
                        fd,
                        &iov,
                        control.as_slice(),
                        flags,
                        Some(&SockaddrIn::from(*v4)),
                    )?,
                    SocketAddr::V6(v6) => sendmsg(
                        fd,
                        &iov,
                        control.as_slice(),
                        flags,
                        Some(&SockaddrIn6::from(*v6)),
                    )?,
                };
            }
        }
        Ok(())
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
