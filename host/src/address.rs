//! Addresses: where a service listens (`tcp://127.0.0.1:9999`), and who the peers are.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

/// What carries a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A TCP connection (Python's `TCPServer`).
    Tcp,
    /// A UDP packet (Python's `UDPServer`).
    Udp,
    /// A connection on a Unix stream socket (Python's `UnixStreamServer`).
    UnixStream,
    /// A packet on a Unix datagram socket (Python's `UnixDatagramServer`).
    UnixDatagram,
}

impl Transport {
    /// The scheme in an address.
    pub const fn scheme(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            Transport::UnixStream => "unix",
            Transport::UnixDatagram => "unixgram",
        }
    }

    /// By its scheme.
    pub(crate) fn by_scheme(scheme: &str) -> Option<Self> {
        [
            Transport::Tcp,
            Transport::Udp,
            Transport::UnixStream,
            Transport::UnixDatagram,
        ]
        .into_iter()
        .find(|transport| transport.scheme() == scheme)
    }

    /// Whether a request is one packet and not a connection.
    pub const fn is_datagram(self) -> bool {
        matches!(self, Transport::Udp | Transport::UnixDatagram)
    }

    /// The number in the module ABI (`request.transport`).
    pub const fn number(self) -> i32 {
        match self {
            Transport::Tcp => 0,
            Transport::Udp => 1,
            Transport::UnixStream => 2,
            Transport::UnixDatagram => 3,
        }
    }
}

/// An address to listen on, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    /// `tcp://host:port`, `udp://host:port`; a name is resolved when the service starts, once.
    Inet {
        /// TCP or UDP.
        transport: Transport,
        /// A name or an IP address, without brackets.
        host: String,
        /// 0 lets the system choose.
        port: u16,
    },
    /// `unix:///path`, `unixgram:///path`.
    Unix {
        /// Stream or datagrams.
        transport: Transport,
        /// A path, or with a leading `@` an abstract name.
        path: PathBuf,
    },
    /// `fd://3`, `fd://NAME`: a socket that another program has opened.
    HandedOver(String),
}

/// Why an address does not parse.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    /// There is no scheme that we know.
    #[error(
        "address `{0}` has no known scheme: write tcp://HOST:PORT, udp://HOST:PORT, unix:///PATH, unixgram:///PATH or fd://N"
    )]
    Scheme(String),
    /// The host is missing.
    #[error(
        "address `{0}` has no host: write 127.0.0.1 for this machine only, 0.0.0.0 or [::] for every interface"
    )]
    NoHost(String),
    /// The port is missing or is not one.
    #[error(
        "address `{0}` needs a port from 0 to 65535 at its end, as in tcp://127.0.0.1:9999 (0 lets the system choose)"
    )]
    Port(String),
    /// An IPv6 address stands without brackets.
    #[error("address `{0}`: an IPv6 address stands in brackets, as in tcp://[::1]:9999")]
    Brackets(String),
    /// The path is missing, or longer than a socket's name can be.
    #[error(
        "address `{0}` needs the path of a socket of at most 107 bytes, as in unix:///run/echo.sock"
    )]
    Path(String),
    /// A descriptor's number or name is missing.
    #[error(
        "address `{0}` needs the number or the name of a socket that was handed over, as in fd://3"
    )]
    HandedOver(String),
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| AddressError::Scheme(text.to_owned()))?;
        match scheme {
            "tcp" => parse_inet(text, rest, Transport::Tcp),
            "udp" => parse_inet(text, rest, Transport::Udp),
            "unix" => parse_path(text, rest, Transport::UnixStream),
            "unixgram" => parse_path(text, rest, Transport::UnixDatagram),
            "fd" if rest.is_empty() || rest.starts_with('-') => {
                Err(AddressError::HandedOver(text.to_owned()))
            }
            "fd" => Ok(ListenAddress::HandedOver(rest.to_owned())),
            _ => Err(AddressError::Scheme(text.to_owned())),
        }
    }
}

fn parse_inet(text: &str, rest: &str, transport: Transport) -> Result<ListenAddress, AddressError> {
    let (host, port) = rest
        .rsplit_once(':')
        .ok_or_else(|| AddressError::Port(text.to_owned()))?;
    let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
        Some(_) => return Err(AddressError::Brackets(text.to_owned())),
        None if host.contains([':', '[', ']']) => {
            return Err(AddressError::Brackets(text.to_owned()));
        }
        None => host,
    };
    if host.is_empty() {
        return Err(AddressError::NoHost(text.to_owned()));
    }
    if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AddressError::Port(text.to_owned()));
    }
    let port = port
        .parse()
        .map_err(|_| AddressError::Port(text.to_owned()))?;
    Ok(ListenAddress::Inet {
        transport,
        host: host.to_owned(),
        port,
    })
}

fn parse_path(text: &str, rest: &str, transport: Transport) -> Result<ListenAddress, AddressError> {
    // unix(7): sun_path has 108 bytes; a path needs one of them for its end.
    if rest.is_empty() || rest == "@" || rest.len() > 107 || rest.contains('\0') {
        return Err(AddressError::Path(text.to_owned()));
    }
    Ok(ListenAddress::Unix {
        transport,
        path: PathBuf::from(rest),
    })
}

/// The IP addresses that a host stands for. IPv4 in the clothes of IPv6 is IPv4: a socket for IPv6
/// alone refuses it.
///
/// # Errors
///
/// What the resolver says.
pub(crate) fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut found: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()?
        .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
        .collect();
    found.dedup();
    Ok(found)
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Inet {
                transport,
                host,
                port,
            } => {
                let scheme = transport.scheme();
                match host.contains(':') {
                    true => write!(f, "{scheme}://[{host}]:{port}"),
                    false => write!(f, "{scheme}://{host}:{port}"),
                }
            }
            ListenAddress::Unix { transport, path } => {
                write!(f, "{}://{}", transport.scheme(), path.display())
            }
            ListenAddress::HandedOver(name) => write!(f, "fd://{name}"),
        }
    }
}

/// One end of a request, as the handler and the log see it: `127.0.0.1:4711`, `[::1]:4711`, a path, an
/// abstract name with a leading `@`, or empty for an unnamed peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket without a name.
    #[default]
    Unnamed,
    /// An IP address and a port; IPv4 on a dual-stack listener is IPv4.
    Inet(SocketAddr),
    /// The path of a Unix socket.
    Path(PathBuf),
    /// The name of an abstract Unix socket.
    Abstract(Vec<u8>),
}

impl Endpoint {
    /// What [`fmt::Display`] has made of one.
    pub(crate) fn from_text(text: &str) -> Self {
        match text.parse::<SocketAddr>() {
            Ok(address) => address.into(),
            Err(_) if text.is_empty() => Endpoint::Unnamed,
            Err(_) => match text.strip_prefix('@') {
                Some(name) => Endpoint::Abstract(name.into()),
                None => Endpoint::Path(text.into()),
            },
        }
    }
}

impl From<&socket2::SockAddr> for Endpoint {
    fn from(address: &socket2::SockAddr) -> Self {
        if let Some(inet) = address.as_socket() {
            Endpoint::from(inet)
        } else if let Some(path) = address.as_pathname() {
            Endpoint::Path(path.to_owned())
        } else if let Some(name) = address.as_abstract_namespace() {
            Endpoint::Abstract(name.to_owned())
        } else {
            Endpoint::Unnamed
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
            v4 => v4,
        };
        match (ip, address) {
            // A link-local address keeps its scope.
            (IpAddr::V6(_), address) => Endpoint::Inet(address),
            (v4, address) => Endpoint::Inet(SocketAddr::new(v4, address.port())),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unnamed => Ok(()),
            Endpoint::Inet(address) => address.fmt(f),
            Endpoint::Path(path) => {
                f.write_str(&String::from_utf8_lossy(path.as_os_str().as_bytes()))
            }
            Endpoint::Abstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_the_same() {
        for text in [
            "tcp://127.0.0.1:9999",
            "tcp://[::1]:9999",
            "tcp://localhost:0",
            "udp://0.0.0.0:53",
            "unix:///run/echo.sock",
            "unix://relative.sock",
            "unixgram:///run/log.sock",
            "unix://@name",
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(text, address.to_string());
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| text.parse::<ListenAddress>().unwrap_err();
        assert!(matches!(error("127.0.0.1:9999"), AddressError::Scheme(_)));
        assert!(matches!(
            error("http://127.0.0.1:1"),
            AddressError::Scheme(_)
        ));
        assert!(matches!(error("tcp:127.0.0.1:1"), AddressError::Scheme(_)));
        assert!(matches!(error("tcp://:9999"), AddressError::NoHost(_)));
        for text in [
            "tcp://127.0.0.1",
            "tcp://127.0.0.1:",
            "tcp://h:+1",
            "tcp://h:65536",
            "tcp://h:-1",
        ] {
            assert!(matches!(error(text), AddressError::Port(_)), "{text}");
        }
        for text in [
            "tcp://::1:9999",
            "tcp://[::1:9999",
            "tcp://[name]:1",
            "tcp://[]:1",
        ] {
            assert!(matches!(error(text), AddressError::Brackets(_)), "{text}");
        }
        assert!(matches!(error("unix://"), AddressError::Path(_)));
        assert!(matches!(error("unix://@"), AddressError::Path(_)));
        for text in ["fd://", "fd://-1"] {
            assert!(matches!(error(text), AddressError::HandedOver(_)), "{text}");
        }
        let long = format!("unix:///{}", "x".repeat(107));
        assert!(matches!(error(&long), AddressError::Path(_)));
    }

    #[test]
    fn an_ipv4_peer_of_a_dual_stack_listener_is_shown_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:4711".parse().unwrap();
        assert_eq!("127.0.0.1:4711", Endpoint::from(mapped).to_string());
        let six: SocketAddr = "[::1]:4711".parse().unwrap();
        assert_eq!("[::1]:4711", Endpoint::from(six).to_string());
        assert_eq!("", Endpoint::Unnamed.to_string());
    }
}
