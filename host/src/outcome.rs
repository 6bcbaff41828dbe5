//! How a request can end: the one list that the log, the metrics and the tests use.

use std::fmt;

/// How a request ended. Where several apply, the first in this order names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The host failed: a panic, or a child that a signal ended.
    HostError,
    /// Ended by shutdown, because its grace was over.
    Cut,
    /// The CPU time of the request was used up.
    CpuLimit,
    /// The time of the whole request was over.
    Deadline,
    /// It read more than the operator allows.
    InputLimit,
    /// It wrote more than the operator allows.
    OutputLimit,
    /// The handler failed after a growth of its memory had been refused.
    MemoryLimit,
    /// The instance trapped, or a native handler panicked.
    Trap,
    /// Not one byte moved for as long as the operator allows.
    IdleTimeout,
    /// The client went away before the handler had succeeded.
    ClientGone,
    /// The handler reported an error (Python: it raised).
    HandlerError,
    /// The handler succeeded.
    Ok,
}

impl Outcome {
    /// Every outcome, in the order in which they name a request.
    pub const ALL: [Outcome; 12] = [
        Outcome::HostError,
        Outcome::Cut,
        Outcome::CpuLimit,
        Outcome::Deadline,
        Outcome::InputLimit,
        Outcome::OutputLimit,
        Outcome::MemoryLimit,
        Outcome::Trap,
        Outcome::IdleTimeout,
        Outcome::ClientGone,
        Outcome::HandlerError,
        Outcome::Ok,
    ];

    /// The word in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::HostError => "host-error",
            Outcome::Cut => "cut",
            Outcome::CpuLimit => "cpu-limit",
            Outcome::Deadline => "deadline",
            Outcome::InputLimit => "input-limit",
            Outcome::OutputLimit => "output-limit",
            Outcome::MemoryLimit => "memory-limit",
            Outcome::Trap => "trap",
            Outcome::IdleTimeout => "idle-timeout",
            Outcome::ClientGone => "client-gone",
            Outcome::HandlerError => "handler-error",
            Outcome::Ok => "ok",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_in_order_names_the_request() {
        assert!(Outcome::ALL.is_sorted());
        assert_eq!(
            Outcome::Deadline,
            Outcome::Deadline.min(Outcome::HandlerError)
        );
        assert_eq!(Outcome::Trap, Outcome::IdleTimeout.min(Outcome::Trap));
    }
}
