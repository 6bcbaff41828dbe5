//! The life of a request: `setup` → `handle` → `finish`, and what becomes of each failure.
//!
//! `handler/` has one file for each kind of `.wasm`; none of them knows of sockets.

mod abi;
mod backtrace;
mod compile;
mod component;
mod coredump;
mod examine;
mod inspect;
mod instances;
mod interfaces;
mod life;
mod load;
mod load_error;
mod module;
mod native;
mod nearest;
mod offered;
mod wasm;
mod wit;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::outcome::Outcome;
use crate::request::Request;

pub(crate) use compile::{Compiler, Source, code, looks_like_wasm};
pub use coredump::CoreDump;
pub(crate) use examine::{Examined, Form, Requested};
pub(crate) use inspect::{Export, Inspected, Tool};
pub use load::{Kind, LoadInfo, Loader};
pub use load_error::LoadError;
pub use native::{BaseRequestHandler, HandlerError, handler_fn, native};
pub(crate) use offered::Status;
pub use wasm::WasmHandler;

/// Python's `RequestHandlerClass`: what serves a request.
pub trait RequestHandler: Send + Sync {
    /// Python's `finish_request`: sets an instance up, runs `setup`, `handle` and `finish`, and tears
    /// it down.
    fn finish_request(&self, request: &Arc<Request>) -> Handled;

    /// The digest of the file that it is from, in hexadecimal (SHA-256); empty where there is none. Recordings have it.
    fn digest(&self) -> &str {
        ""
    }
}

/// One handler for several servers.
impl<H: RequestHandler + ?Sized> RequestHandler for Arc<H> {
    fn finish_request(&self, request: &Arc<Request>) -> Handled {
        (**self).finish_request(request)
    }

    fn digest(&self) -> &str {
        (**self).digest()
    }
}

/// How the handler ended, before limits and the client's end are looked at.
#[derive(Debug)]
pub struct Handled {
    /// What became of it.
    pub result: Result<(), Failure>,
    /// Bytes of the instance's memories and tables at their largest.
    pub memory_peak: u64,
    /// What a trap has left of the instance, where [`Loader::coredumps`] asks for it.
    pub coredump: Option<CoreDump>,
}

/// Why a handler failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It reported an error (Python: it raised).
    #[error("{0}")]
    Reported(String),
    /// It reported an error in `setup`, so neither `handle` nor `finish` ran.
    #[error("{0}")]
    NotBegun(String),
    /// It reported an error or trapped after a growth of its memory had been refused.
    #[error("memory limit: {0}")]
    Memory(String),
    /// The instance trapped, or a native handler panicked: no code of it may run again.
    #[error("{0}")]
    Trap(String),
    /// The host could not do its part.
    #[error("{0}")]
    Host(String),
}

impl Failure {
    /// What the failure alone makes of the request.
    pub fn outcome(&self) -> Outcome {
        match self {
            Failure::Reported(_) | Failure::NotBegun(_) => Outcome::HandlerError,
            Failure::Memory(_) => Outcome::MemoryLimit,
            Failure::Trap(_) => Outcome::Trap,
            Failure::Host(_) => Outcome::HostError,
        }
    }
}

/// How a request ended, as the log tells it.
#[derive(Debug)]
pub struct Ended {
    /// The one word for it.
    pub outcome: Outcome,
    /// From accept or receive to here.
    pub duration: Duration,
    /// CPU time of the thread.
    pub cpu: Duration,
    /// Bytes of the instance's memories and tables at their largest.
    pub memory_peak: u64,
    /// Bytes that were beyond the log limit.
    pub log_dropped: u64,
    /// What failed, and where. It is for the log: nothing of it reaches the client.
    pub detail: Option<String>,
    /// The file that will have what is left of the instance, once the connection has ended.
    pub coredump: Option<PathBuf>,
}

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
