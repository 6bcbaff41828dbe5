//! What an error of accept(2) or recvmsg(2) means for the loop, which neither ends nor spins.

use std::io;
use std::time::Duration;

use nix::libc;

/// The first pause after an error that lasts, and the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Kinds of errors of `get_request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptError {
    /// That one request is lost, or there was none: go on at once.
    Transient,
    /// Descriptors or memory are used up, or nothing that we know: pause before the next try.
    Lasting,
}

/// Sorts an error of `get_request`.
pub(crate) fn classify(error: &io::Error) -> AcceptError {
    match error.raw_os_error() {
        // accept(2): the connection was gone before it was taken, or "already-pending network errors
        // on the new socket", which Linux passes on as errors of accept. EPERM is a firewall's refusal.
        Some(
            libc::EAGAIN
            | libc::EINTR
            | libc::ECONNABORTED
            | libc::EPROTO
            | libc::EPERM
            | libc::ENETDOWN
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH
            | libc::ETIMEDOUT
            // recvmsg(2) on UDP reports that an earlier reply met a closed port.
            | libc::ECONNREFUSED
            | libc::ECONNRESET,
        ) => AcceptError::Transient,
        _ => AcceptError::Lasting,
    }
}

/// How long to pause after lasting errors in a row, and whether to speak of them: once a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    pause: Option<Duration>,
}

impl Backoff {
    /// After a lasting error: the pause, and whether it is the first of its row.
    pub(crate) fn failed(&mut self) -> (Duration, bool) {
        let first = self.pause.is_none();
        let pause = self
            .pause
            .map_or(SHORTEST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
        self.pause = Some(pause);
        (pause, first)
    }

    /// After a success; `true` where it ends a row of errors.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.pause.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted() {
        for code in [
            libc::ECONNABORTED,
            libc::EPROTO,
            libc::EINTR,
            libc::ENETDOWN,
        ] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(AcceptError::Transient, classify(&error), "{error}");
        }
        for code in [
            libc::EMFILE,
            libc::ENFILE,
            libc::ENOMEM,
            libc::ENOBUFS,
            libc::EBADF,
        ] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(AcceptError::Lasting, classify(&error), "{error}");
        }
    }

    #[test]
    fn a_row_of_errors_is_spoken_of_once_and_slows_down() {
        let mut backoff = Backoff::default();
        assert_eq!((Duration::from_millis(100), true), backoff.failed());
        assert_eq!((Duration::from_millis(200), false), backoff.failed());
        for _ in 0..10 {
            backoff.failed();
        }
        assert_eq!((LONGEST_PAUSE, false), backoff.failed());
        assert!(backoff.succeeded());
        assert!(!backoff.succeeded());
        assert_eq!((Duration::from_millis(100), true), backoff.failed());
    }
}
