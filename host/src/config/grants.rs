//! What an operator can grant to a handler, as it is written.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

/// An environment variable for the handler: `K=V`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvGrant {
    /// The variable's name.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl FromStr for EnvGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() && !text.contains('\0') => Ok(EnvGrant {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("write NAME=VALUE, as in GREETING=hello".to_owned()),
        }
    }
}

/// A folder that is open to the handler: `HOST::GUEST`, or `HOST::GUEST:rw`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirGrant {
    /// The folder on this machine.
    pub host: PathBuf,
    /// Its name for the handler.
    pub guest: String,
    /// Whether the handler may change what is in it.
    pub writable: bool,
}

impl FromStr for DirGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, guest) = text
            .split_once("::")
            .ok_or("write HOST::GUEST, as in ./public::/public, or HOST::GUEST:rw")?;
        let (guest, writable) = match guest.strip_suffix(":rw") {
            Some(guest) => (guest, true),
            None => (guest.strip_suffix(":ro").unwrap_or(guest), false),
        };
        if host.is_empty() || guest.is_empty() || guest.contains(':') || guest.contains('\0') {
            return Err("write HOST::GUEST, as in ./public::/public, or HOST::GUEST:rw".to_owned());
        }
        Ok(DirGrant {
            host: PathBuf::from(host),
            guest: guest.to_owned(),
            writable,
        })
    }
}

/// A host that a component may connect to, over TCP: `db.example:5432`, `192.0.2.1:80`, `[::1]:80`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectGrant {
    /// A name, or an address.
    pub host: String,
    /// The port, not 0.
    pub port: u16,
}

impl FromStr for ConnectGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = "write HOST:PORT, as in db.example:5432, 192.0.2.1:80 or [::1]:80";
        let (host, port) = text.rsplit_once(':').ok_or(wrong)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(wrong)?;
        let in_brackets = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let is_well_formed = match in_brackets {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && !host.contains([':', '[', ']', '/', '\0']),
        };
        if !is_well_formed {
            return Err(wrong.to_owned());
        }
        Ok(ConnectGrant {
            host: in_brackets.unwrap_or(host).to_owned(),
            port,
        })
    }
}

impl fmt::Display for ConnectGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read() {
        let dir: DirGrant = "/srv/a::/public".parse().unwrap();
        assert!(!dir.writable && dir.guest == "/public");
        assert!("/srv/a::/public:rw".parse::<DirGrant>().unwrap().writable);
        for wrong in ["/srv", "::/x", "/srv::", "/a::/b:wr"] {
            assert!(wrong.parse::<DirGrant>().is_err(), "{wrong}");
        }
        assert!("K=V=W".parse::<EnvGrant>().is_ok());
        assert!("=V".parse::<EnvGrant>().is_err());
        assert!("K".parse::<EnvGrant>().is_err());
        for right in ["db.example:5432", "192.0.2.1:80", "[2001:db8::1]:80"] {
            let grant: ConnectGrant = right.parse().unwrap();
            assert_eq!(right, grant.to_string());
        }
        for wrong in [
            "db",
            "db:",
            ":80",
            "db:0",
            "db:65536",
            "::1:80",
            "[db]:80",
            "tcp://a:80",
        ] {
            assert!(wrong.parse::<ConnectGrant>().is_err(), "{wrong}");
        }
    }
}
