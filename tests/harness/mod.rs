//! What the tests share: a served program, its log, clients of every transport, and scripts for the
//! handler `script.wat`.

mod another_user;
mod client;
mod files;
mod finished;
mod log;
mod process;
mod recordings;
mod script;
mod server;
mod strace;
mod taken;

pub(crate) use another_user::{NOBODY, is_root, once_it_is_nobodys};
pub(crate) use client::{Client, Transport};
pub(crate) use files::{
    cache_home, example, example_program, guest, guest_component, handler, handler_component,
    language, program, python_server, toolchains, wat, workspace, written,
};
pub(crate) use finished::{Finished, sandsock};
pub(crate) use log::{Log, is_guest, is_request};
pub(crate) use process::{Process, signal};
pub(crate) use recordings::{Recording, replay, test_recordings};
pub(crate) use script::{Answers, Import, Op, script};
pub(crate) use server::{CONCURRENCIES, Serve, Server};
pub(crate) use strace::{Faults, faults, strace};
pub(crate) use taken::Taken;

use std::time::Duration;

/// How long a test waits for what must come. Long, because the machine may be busy: it is reached only
/// when something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The same for a program that may have to compile a handler first: that gets little of a busy machine.
pub(crate) const PATIENCE_TO_COMPILE: Duration = Duration::from_secs(600);
