//! What a handler knows of the request that it serves.

use std::fmt;
use std::time::Duration;

use crate::sys::About;
use crate::{RFile, WFile};

/// The request that a [`Handler`](crate::Handler) serves.
pub struct Request {
    /// What the client sends.
    pub rfile: RFile,
    /// What the client receives.
    pub wfile: WFile,
    pub(crate) about: About,
}

impl Request {
    #[cfg(target_family = "wasm")]
    pub(crate) const fn of_the_host() -> Self {
        Self {
            rfile: RFile::new(crate::sys::Input::new()),
            wfile: WFile::new(crate::sys::Output),
            about: About,
        }
    }

    /// The client: `127.0.0.1:4711`, `[::1]:4711`, a path, or empty for an unnamed peer.
    pub fn client_address(&self) -> String {
        self.about.client_address()
    }

    /// The address that the request came to, written in the same way.
    pub fn server_address(&self) -> String {
        self.about.server_address()
    }

    /// What carries the request.
    pub fn transport(&self) -> Transport {
        self.about.transport()
    }

    /// The request's number, as in the log.
    pub fn id(&self) -> u64 {
        self.about.id()
    }

    /// Python's `timeout`: the longest that each later read and write waits without a byte moving.
    ///
    /// It is never beyond what the operator allows; `None` is the operator's. The host counts in
    /// milliseconds: a shorter time is one millisecond.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.about
            .set_timeout(timeout.map_or(0, at_least_a_millisecond));
    }

    /// Python's `disable_nagle_algorithm`; where the transport has none, nothing.
    pub fn set_nodelay(&mut self, on: bool) {
        self.about.set_nodelay(on);
    }
}

/// Rounds up, and never to the 0 that stands for the operator's timeout.
fn at_least_a_millisecond(timeout: Duration) -> u64 {
    let beyond_seconds = timeout.subsec_nanos().div_ceil(1_000_000);
    timeout
        .as_secs()
        .saturating_mul(1000)
        .saturating_add(beyond_seconds.into())
        .clamp(1, i64::MAX as u64)
}

/// What carries a request. Shown as in the scheme of the server's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `tcp`
    Tcp,
    /// `udp`
    Udp,
    /// `unix`
    UnixStream,
    /// `unixgram`
    UnixDatagram,
}

impl Transport {
    /// As the module ABI numbers them, and the component's `enum` in the same order.
    #[cfg(target_family = "wasm")]
    pub(crate) fn from_number(number: i32) -> Self {
        match number {
            0 => Self::Tcp,
            1 => Self::Udp,
            2 => Self::UnixStream,
            _ => Self::UnixDatagram,
        }
    }

    /// Whether [`rfile`](Request::rfile) is one packet and [`wfile`](Request::wfile) sends packets.
    pub fn is_datagram(self) -> bool {
        matches!(self, Self::Udp | Self::UnixDatagram)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::UnixStream => "unix",
            Self::UnixDatagram => "unixgram",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_rounded_up_to_whole_milliseconds() {
        assert_eq!(at_least_a_millisecond(Duration::from_millis(250)), 250);
        assert_eq!(at_least_a_millisecond(Duration::from_micros(1_500)), 2);
    }

    #[test]
    fn the_shortest_timeout_is_not_the_operators() {
        assert_eq!(at_least_a_millisecond(Duration::ZERO), 1);
    }

    #[test]
    fn the_longest_timeout_fits_the_abi() {
        assert_eq!(at_least_a_millisecond(Duration::MAX), i64::MAX as u64);
    }

    #[test]
    fn a_transport_reads_as_its_scheme() {
        assert_eq!(Transport::UnixDatagram.to_string(), "unixgram");
    }
}
