//! Black-box tests over the built program: a file a topic, a `Server` of its own for every test.
//!
//! `cargo xtask test` builds what they need (the program, the handlers, the guests of `tests/guests`)
//! and runs them. They bind port 0 and wait for events of the log, not for time to pass; where time
//! itself is what is tested, the limit is short and what is asserted is what the log measured.

mod accept;
mod addresses;
mod admission;
mod attacks;
mod backtraces;
mod byte_limits;
mod cache;
mod check;
mod cli;
mod commands;
mod compile;
mod connect;
mod coredump;
mod cpu_limit;
mod datagram;
mod deadline;
mod embedding;
mod endurance;
mod examples;
mod faults;
mod fork;
mod grants;
mod handed_over;
mod handlers;
mod hardening;
mod harness;
mod hostile;
mod hostile_clients;
mod idle_timeout;
mod inetd;
mod isolation;
mod kills;
mod languages;
mod leaks;
mod lifecycle;
mod log;
mod log_sink;
mod matrix;
mod memory_limit;
mod notify;
mod parity;
mod pointers;
mod profile;
mod races;
mod record;
mod record_bounds;
mod reload;
mod replay;
mod replay_differs;
mod replay_files;
mod replay_suite;
mod resources;
mod run;
mod sdk;
mod shutdown;
mod snapshot;
mod soak;
mod socket_file;
mod sources;
mod stream;
mod supervisors;
mod trap_reports;
