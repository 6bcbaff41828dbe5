//! Why an operation on `rfile` or `wfile` failed.

use std::io;

use nix::libc;

/// Why an operation on `rfile` or `wfile` failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IoError {
    /// Not one byte moved for the idle timeout, or for what the handler set.
    #[error("timed out")]
    TimedOut,
    /// The peer does not read any more.
    #[error("broken pipe")]
    BrokenPipe,
    /// The peer ended the connection by force.
    #[error("connection reset")]
    ConnectionReset,
    /// The reply is longer than a datagram can be.
    #[error("message too long for a datagram")]
    MessageTooLong,
    /// The reply is longer than `--max-amplification` allows for its question.
    #[error("the reply is longer than --max-amplification allows for a question of this length")]
    Amplifies,
    /// A datagram's sender has no address to reply to.
    #[error("the client has no address to reply to")]
    NotConnected,
    /// The name of a Unix datagram's sender leads to what is no socket of its user's.
    #[error(
        "the client's name leads to something else by now than a socket of the user who has sent the packet"
    )]
    NotTheSenders,
    /// The system does not say who has sent a Unix datagram.
    #[error(
        "the system does not say which user has sent the packet: a socket that is handed over needs PassCredentials=yes (SO_PASSCRED) from its start"
    )]
    UnknownSender,
    /// There is no `/proc`, by which a Unix datagram's sender is replied to.
    #[error("/proc/self/fd is not there, by which a client's Unix socket is replied to")]
    NoProc,
    /// What the system said.
    #[error("{}", nix::errno::Errno::from_raw(*.0).desc())]
    Other(i32),
    /// A limit ended the request: no more code of the instance may run.
    #[error("the request was ended")]
    Ended,
}

impl From<&io::Error> for IoError {
    fn from(error: &io::Error) -> Self {
        if let Some(known) = error.get_ref().and_then(|known| known.downcast_ref()) {
            return *known;
        }
        match error.kind() {
            io::ErrorKind::BrokenPipe => IoError::BrokenPipe,
            io::ErrorKind::ConnectionReset => IoError::ConnectionReset,
            io::ErrorKind::NotConnected => IoError::NotConnected,
            // Ours: no socket reports it.
            io::ErrorKind::QuotaExceeded => IoError::Amplifies,
            _ => match error.raw_os_error() {
                Some(libc::EMSGSIZE) => IoError::MessageTooLong,
                code => IoError::Other(code.unwrap_or(libc::EIO)),
            },
        }
    }
}

/// Whether an error says that the client is not there any more.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EPIPE
                | libc::ECONNRESET
                | libc::ECONNABORTED
                | libc::ECONNREFUSED
                | libc::ETIMEDOUT
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::ENETRESET
        )
    )
}
