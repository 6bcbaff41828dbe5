//! Why a handler is not served: whatever is wrong, in one message that says what to do.

use std::io;
use std::path::PathBuf;

use crate::text::quoted;

/// Why a file is not served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read handler {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is longer than the limit.
    #[error("handler {} has more than {limit} bytes: raise --max-handler-size, if it is to be trusted with so much", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// It is neither WebAssembly nor its text format.
    #[error("{} is not a WebAssembly file: build the handler for wasm32 first, and name the .wasm (or .wat) file", .0.display())]
    NotWasm(PathBuf),
    /// It is WebAssembly, but not valid.
    #[error("{} is not valid WebAssembly, is cut off, or needs a feature that is off: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What the compiler says.
        problem: String,
    },
    /// The process that compiles it has not come to an end.
    #[error("cannot compile {}: {problem}", path.display())]
    Compile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// It exports nothing that could serve a request.
    #[error(
        "it is not a handler: it exports neither `handle` nor `_start` nor wasi:cli/run, but {0}"
    )]
    NoHandler(String),
    /// It would not work: each reason.
    #[error("it cannot be served: {}", all(.0))]
    NotServed(Vec<String>),
    /// A grant names something that is not there.
    #[error("{0}")]
    Grant(String),
    /// The engine refuses to start.
    #[error("the WebAssembly engine cannot be set up: {0:#}")]
    Engine(wasmtime::Error),
}

/// Reasons that are told of one file: a file can have as many imports as it is long.
pub(super) const MOST_REASONS: usize = 50;

impl LoadError {
    /// Each reason by itself.
    pub(crate) fn reasons(&self) -> Vec<String> {
        match self {
            LoadError::NotServed(reasons) => reasons.clone(),
            other => vec![other.to_string()],
        }
    }
}

fn all(reasons: &[String]) -> String {
    let and_more = match reasons.len() < MOST_REASONS {
        true => "",
        false => "; and perhaps more",
    };
    format!("{}{and_more}", reasons.join("; "))
}

/// Names for an error message: a few of them.
pub(super) fn names(all: impl Iterator<Item = String>) -> String {
    let mut all: Vec<_> = all.map(|name| quoted(&name)).collect();
    let more = all.len().saturating_sub(12);
    all.truncate(12);
    match (all.is_empty(), more) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => all.join(", "),
        (false, more) => format!("{} and {more} more", all.join(", ")),
    }
}
