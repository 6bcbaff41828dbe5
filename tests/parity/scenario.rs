//! What a scenario is: where it runs, what it asks of both programs, and what it is to show.

use super::stage::Stage;
use crate::harness::{Transport, handler, wat};
use std::path::PathBuf;

/// What was seen from outside, note by note. Two programs agree where their notes are the same.
pub(crate) type Seen = Vec<String>;

/// Python's mix-in, sandsock's `--concurrency`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concurrency {
    /// No mix-in.
    Serial,
    /// `ThreadingMixIn`.
    Threads,
    /// `ForkingMixIn`.
    Fork,
}

impl Concurrency {
    /// As both programs call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Concurrency::Serial => "serial",
            Concurrency::Threads => "threads",
            Concurrency::Fork => "fork",
        }
    }
}

/// The handler that both programs serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handler {
    /// `echo`.
    Echo,
    /// `initialize.wat`: a fixed reply, whatever it is asked.
    Greets,
    /// `traces.wat`: whether an earlier request has left a mark.
    Marks,
    /// `script.wat`: what the client says.
    Script,
}

impl Handler {
    /// As `server.py` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Handler::Echo => "echo",
            Handler::Greets => "greets",
            Handler::Marks => "marks",
            Handler::Script => "script",
        }
    }

    /// What sandsock serves.
    pub(crate) fn file(self) -> PathBuf {
        match self {
            Handler::Echo => handler("echo"),
            Handler::Greets => wat("initialize"),
            Handler::Marks => wat("traces"),
            Handler::Script => wat("script"),
        }
    }
}

/// What the comparison of a scenario has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Both programs are alike, with `--compat python` too.
    Same,
    /// They are not, with and without `--compat python`, for this reason.
    Departure(&'static str),
    /// They are not, for this reason; with `--compat python` they are alike.
    DepartureUnlessCompat(&'static str),
}

/// One row of the table.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    /// What holds of both programs, or what they differ in.
    pub(crate) name: &'static str,
    /// It runs over each of these …
    pub(crate) over: &'static [Transport],
    /// … under each of these.
    pub(crate) under: &'static [Concurrency],
    /// The handler.
    pub(crate) handler: Handler,
    /// Attributes of the server's class in Python, as JSON.
    pub(crate) attributes: &'static str,
    /// Attributes of the handler's class in Python, as JSON.
    pub(crate) handler_attributes: &'static str,
    /// sandsock's options for the same.
    pub(crate) options: &'static str,
    /// One `handle_request` instead of `serve_forever`; sandsock's `--once`.
    pub(crate) once: bool,
    /// What a client does, and what it sees.
    pub(crate) sees: fn(&Stage<'_>) -> Seen,
    /// What the comparison has to show.
    pub(crate) expected: Expected,
    /// Cases of CPython's own test suite that this is.
    pub(crate) covers: &'static [&'static str],
}

/// Every transport that Python's classes have.
pub(crate) const ALL: &[Transport] = &[
    Transport::Tcp,
    Transport::Udp,
    Transport::Unix,
    Transport::Unixgram,
];
/// Connections.
pub(crate) const STREAMS: &[Transport] = &[Transport::Tcp, Transport::Unix];
/// Packets.
pub(crate) const DATAGRAMS: &[Transport] = &[Transport::Udp, Transport::Unixgram];
/// Files.
pub(crate) const PATHS: &[Transport] = &[Transport::Unix, Transport::Unixgram];
/// TCP alone.
pub(crate) const TCP: &[Transport] = &[Transport::Tcp];

/// Every concurrency.
pub(crate) const EACH: &[Concurrency] =
    &[Concurrency::Serial, Concurrency::Threads, Concurrency::Fork];
/// Where requests run side by side.
pub(crate) const AT_ONCE: &[Concurrency] = &[Concurrency::Threads, Concurrency::Fork];
/// Where it makes no difference: the first is enough.
pub(crate) const ONE: &[Concurrency] = &[Concurrency::Serial];
/// Threads alone.
pub(crate) const THREADS: &[Concurrency] = &[Concurrency::Threads];

/// What a row says where it says nothing else.
pub(crate) const SCENARIO: Scenario = Scenario {
    name: "",
    over: ALL,
    under: EACH,
    handler: Handler::Script,
    attributes: "{}",
    handler_attributes: "{}",
    options: "",
    once: false,
    sees: |_| Vec::new(),
    expected: Expected::Same,
    covers: &[],
};

impl Scenario {
    /// Every pair of a transport and a concurrency that it runs in on this machine.
    pub(crate) fn cells(&self) -> Vec<(Transport, Concurrency)> {
        let over = self.over.iter().filter(|transport| transport.is_there());
        over.flat_map(|&transport| self.under.iter().map(move |&way| (transport, way)))
            .collect()
    }
}
