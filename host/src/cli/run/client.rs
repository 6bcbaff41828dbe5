//! `run --client`: whom the handler takes its client for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::address::{Endpoint, ListenAddress, Transport};

/// An address, and the transport that goes with it where it says one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) address: Endpoint,
    is_unix: bool,
    transport: Option<Transport>,
}

/// `127.0.0.1:4711`, `[::1]:4711`, `/run/peer.sock`, `@name`, or the same with the scheme of a transport before it.
impl FromStr for Client {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let no_client = || {
            format!(
                "`{text}` is no client's address: write 127.0.0.1:4711, [::1]:4711, /run/peer.sock, @name, or one of them behind tcp://, udp://, unix:// or unixgram://"
            )
        };
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let is_unix = rest.starts_with(['/', '@']);
        let whole = match (scheme, is_unix) {
            (Some(_), _) => text.to_owned(),
            (None, true) => format!("unix://{rest}"),
            (None, false) => format!("tcp://{rest}"),
        };
        let parsed: ListenAddress = whole.parse().map_err(|_| no_client())?;
        let (transport, address) = match parsed {
            ListenAddress::Unix { transport, path } => (transport, of_path(path)),
            // A peer has a number: names are looked up for nobody.
            ListenAddress::Inet { transport, .. } => {
                let address: SocketAddr = rest.parse().map_err(|_| no_client())?;
                (transport, Endpoint::from(address))
            }
            ListenAddress::HandedOver(_) => return Err(no_client()),
        };
        Ok(Client {
            address,
            is_unix: !matches!(transport, Transport::Tcp | Transport::Udp),
            transport: scheme.map(|_| transport),
        })
    }
}

fn of_path(path: PathBuf) -> Endpoint {
    match path.to_string_lossy().strip_prefix('@') {
        Some(name) => Endpoint::Abstract(name.as_bytes().to_vec()),
        None => Endpoint::Path(path),
    }
}

impl Client {
    /// What carries the request.
    ///
    /// # Errors
    ///
    /// The address is a stream's and a datagram is asked for, or the other way round.
    pub(super) fn transport(client: Option<&Self>, datagram: bool) -> Result<Transport, String> {
        let said = client.and_then(|client| client.transport);
        match said {
            Some(transport) if transport.is_datagram() && !datagram => Err(format!(
                "--client: {}:// is of datagrams: add --datagram",
                transport.scheme()
            )),
            Some(transport) if datagram && !transport.is_datagram() => Err(format!(
                "--client: {}:// is of streams: leave --datagram out, or the scheme",
                transport.scheme()
            )),
            Some(transport) => Ok(transport),
            None => Ok(
                match (client.is_some_and(|client| client.is_unix), datagram) {
                    (false, false) => Transport::Tcp,
                    (false, true) => Transport::Udp,
                    (true, false) => Transport::UnixStream,
                    (true, true) => Transport::UnixDatagram,
                },
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_as_a_handler_is_told_it() {
        for (text, shown, datagram, transport) in [
            ("127.0.0.1:4711", "127.0.0.1:4711", false, Transport::Tcp),
            ("[::1]:4711", "[::1]:4711", true, Transport::Udp),
            (
                "tcp://[::ffff:1.2.3.4]:5",
                "1.2.3.4:5",
                false,
                Transport::Tcp,
            ),
            ("udp://1.2.3.4:5", "1.2.3.4:5", true, Transport::Udp),
            ("/run/peer", "/run/peer", false, Transport::UnixStream),
            ("@peer", "@peer", true, Transport::UnixDatagram),
            (
                "unixgram:///run/peer",
                "/run/peer",
                true,
                Transport::UnixDatagram,
            ),
        ] {
            let client: Client = text.parse().unwrap();
            assert_eq!(shown, client.address.to_string());
            assert_eq!(
                Ok(transport),
                Client::transport(Some(&client), datagram),
                "{text}"
            );
        }
        assert_eq!(Ok(Transport::Udp), Client::transport(None, true));
    }

    #[test]
    fn what_is_no_client_says_what_is_one() {
        for text in [
            "",
            "peer",
            "localhost:1",
            "127.0.0.1",
            "fd://3",
            "tcp:///run/x",
            "http://1.2.3.4:5",
        ] {
            let error = text.parse::<Client>().unwrap_err();
            assert!(error.contains("127.0.0.1:4711"), "{text}: {error}");
        }
        let stream: Client = "tcp://1.2.3.4:5".parse().unwrap();
        assert!(Client::transport(Some(&stream), true).is_err());
        let packet: Client = "udp://1.2.3.4:5".parse().unwrap();
        assert!(Client::transport(Some(&packet), false).is_err());
    }
}
