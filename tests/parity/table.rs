//! The table: every scenario, and the cases of CPython's own suite that no network can see.

mod datagrams;
mod echo;
mod errors;
mod in_flight;
mod sockets;
mod steps;
mod stops;
mod streams;

use super::scenario::Scenario;

/// All scenarios, in the order in which they are printed.
pub(crate) fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    [
        echo::SCENARIOS,
        steps::SCENARIOS,
        errors::SCENARIOS,
        streams::SCENARIOS,
        datagrams::SCENARIOS,
        in_flight::SCENARIOS,
        sockets::SCENARIOS,
        stops::SCENARIOS,
    ]
    .into_iter()
    .flatten()
}

/// The number of cases in CPython's `test/test_socketserver.py` (3.11 to 3.14).
pub(crate) const CASES: usize = 27;

/// Those of them that are about Python objects, each with what stands in for it here.
pub(crate) const OUT_OF_SIGHT: [(&str, &str); 4] = [
    ("test_all", "the names that the Python module exports"),
    ("test_basics", "the class of `wfile` and its descriptor"),
    (
        "test_shutdown_request_called_if_verify_request_false",
        "the library's hook, tested beside the loop",
    ),
    (
        "test_tcpserver_bind_leak",
        "1024 binds that fail in one process; the program ends with the first",
    ),
];
