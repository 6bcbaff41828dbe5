//! Python's `UnixStreamServer` and `UnixDatagramServer`.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use nix::libc;
use socket2::{Domain, SockAddr, Socket, Type};

use super::datagram::DatagramSocket;
use super::listener::{Accepted, BindOptions, BoundBy, Incoming, Listener};
use super::socket_file::SocketName;
use super::tcp::backlog;
use super::udp::Packets;
use super::unix_client::ask_for_senders;
use crate::address::{Endpoint, Transport};
use crate::request::Stream;

/// A listening Unix stream socket.
pub(super) struct UnixStreamServer {
    // Before the socket, so that it goes first: a file whose socket is closed is the next server's.
    name: SocketName,
    socket: Socket,
    bound_by: BoundBy,
}

impl UnixStreamServer {
    /// Binds.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to do.
    pub(super) fn server_bind(path: &Path, options: &BindOptions) -> Result<Self, String> {
        let (socket, name) = bind(path, Type::STREAM, options)?;
        UnixStreamServer::new(socket, name, BoundBy::ThisProgram).map_err(|error| error.to_string())
    }

    /// A server on a socket that is bound.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn new(socket: Socket, name: SocketName, bound_by: BoundBy) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(UnixStreamServer {
            name,
            socket,
            bound_by,
        })
    }
}

impl Listener for UnixStreamServer {
    fn server_activate(&self, request_queue_size: u32) -> io::Result<()> {
        self.socket.listen(backlog(request_queue_size))
    }

    fn never_blocks(&self) -> bool {
        self.bound_by == BoundBy::ThisProgram
    }

    fn transport(&self) -> Transport {
        Transport::UnixStream
    }

    fn server_address(&self) -> String {
        self.name.server_address(Transport::UnixStream)
    }

    fn fileno(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn get_request(&self) -> io::Result<Incoming> {
        let (socket, address) = self.socket.accept()?;
        Ok(Incoming::Request(Accepted {
            client_address: Endpoint::from(&address),
            connection: Box::new(Stream::new(socket, None)),
        }))
    }
}

/// A bound Unix datagram socket.
pub(super) struct UnixDatagramServer {
    // As above.
    name: SocketName,
    packets: Packets,
}

impl UnixDatagramServer {
    /// Binds.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to do.
    pub(super) fn server_bind(path: &Path, options: &BindOptions) -> Result<Self, String> {
        let (socket, name) = bind(path, Type::DGRAM, options)?;
        UnixDatagramServer::new(socket, name, options).map_err(|error| error.to_string())
    }

    /// A server on a socket that is bound.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn new(socket: Socket, name: SocketName, options: &BindOptions) -> io::Result<Self> {
        let max_packet_size = options.max_packet_size.min(LONGEST_UNIX_PACKET);
        let socket = DatagramSocket::new(socket, max_packet_size)?;
        Ok(UnixDatagramServer {
            name,
            packets: Packets::new(socket, max_packet_size, options),
        })
    }
}

/// A sender's buffer bounds its packets (unix(7)), so `none` needs a bound of ours, in bytes: it is room
/// that is reserved once.
const LONGEST_UNIX_PACKET: usize = 1 << 20;

impl Listener for UnixDatagramServer {
    fn transport(&self) -> Transport {
        Transport::UnixDatagram
    }

    fn server_address(&self) -> String {
        self.name.server_address(Transport::UnixDatagram)
    }

    fn fileno(&self) -> BorrowedFd<'_> {
        self.packets.socket.as_fd()
    }

    fn get_request(&self) -> io::Result<Incoming> {
        self.packets.get_request()
    }
}

fn bind(path: &Path, kind: Type, options: &BindOptions) -> Result<(Socket, SocketName), String> {
    let bytes = path.as_os_str().as_bytes();
    let is_abstract = bytes.first() == Some(&b'@');
    let address = if is_abstract {
        // socket2 takes an abstract name as unix(7) writes it: with a leading NUL.
        let name = [b"\0", &bytes[1..]].concat();
        SockAddr::unix(std::ffi::OsStr::from_bytes(&name))
    } else {
        SockAddr::unix(path)
    }
    .map_err(|error| error.to_string())?;
    let socket = Socket::new(Domain::UNIX, kind, None).map_err(|error| error.to_string())?;
    options.socket_file.before_bind(&socket)?;
    if kind == Type::DGRAM {
        // From its first packet on.
        ask_for_senders(&socket).map_err(|error| error.to_string())?;
    }
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && !is_abstract => {
            if !options.replace_stale_socket {
                return Err(
                    "the path is taken: remove the socket if its server has gone, or choose another path"
                        .to_owned(),
                );
            }
            remove_stale(path, &address, kind)?;
            socket
                .bind(&address)
                .map_err(|error| explain(&error, path))?;
        }
        result => result.map_err(|error| explain(&error, path))?,
    }
    let name = SocketName::of_ours(path, is_abstract);
    if !is_abstract {
        options.socket_file.after_bind(path)?;
    }
    Ok((socket, name))
}

/// Removes a socket's file that no server stands behind any more.
fn remove_stale(path: &Path, address: &SockAddr, kind: Type) -> Result<(), String> {
    let found = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if !found.file_type().is_socket() {
        return Err(
            "something that is not a socket has this path: remove it, or choose another path"
                .to_owned(),
        );
    }
    let probe = Socket::new(Domain::UNIX, kind, None).map_err(|error| error.to_string())?;
    probe
        .set_nonblocking(true)
        .map_err(|error| error.to_string())?;
    match probe.connect(address) {
        Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => fs::remove_file(path)
            .map_err(|error| format!("the old socket cannot be removed: {error}")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err("another user's socket has this path: choose another path".to_owned())
        }
        // It answers, or its queue is full, or it is of another type: somebody is there.
        _ => Err("another server is listening there: stop it, or choose another path".to_owned()),
    }
}

fn explain(error: &io::Error, path: &Path) -> String {
    let folder = path.parent().unwrap_or(path).display();
    match error.kind() {
        io::ErrorKind::NotFound => format!("the folder {folder} is not there: make it first"),
        io::ErrorKind::PermissionDenied => format!("no right to make a socket in {folder}"),
        io::ErrorKind::AddrInUse => "another server has this name: choose another".to_owned(),
        _ => error.to_string(),
    }
}
