//! The library as an embedder meets it: every attribute and method of a [`Server`], over real sockets. What
//! needs a process of its own is in `tests/alone`.

#[path = "../../../tests/harness/client.rs"]
#[allow(dead_code, reason = "the program's tests use all of it")]
mod client;

mod bind;
mod close;
mod handlers;
mod hooks;
mod races;
mod readme;
mod running;
mod serve;
mod socket;
mod wasm;

use std::time::Duration;

/// How long a test waits for what must come. It is reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);
