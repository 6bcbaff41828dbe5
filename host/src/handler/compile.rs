//! From a file to compiled code: recognised, text turned into binary, compiled.

use std::borrow::Cow;
use std::path::Path;

use sha2::{Digest, Sha256};
use wasmparser::{Parser, Payload};
use wasmtime::Engine;

use super::load_error::LoadError;
use crate::sandbox::compiled::About;
use crate::sandbox::snapshot::{Surroundings, initialised};
use crate::sandbox::{Compiled, Ticker, symbols};

/// Who compiles.
pub(crate) trait Compiler {
    /// Compiles for engines like `engine`.
    ///
    /// # Errors
    ///
    /// [`LoadError::NotWasm`], [`LoadError::Invalid`], or why it could not be done.
    fn compile(&self, engine: &Engine, source: &Source<'_>) -> Result<Compiled, LoadError>;
}

/// What is compiled.
pub(crate) struct Source<'a> {
    pub(crate) file: &'a [u8],
    /// Where it was read, for messages.
    pub(crate) path: &'a Path,
    /// What its initialisation sees; `None` where that could change from request to request.
    pub(crate) surroundings: Option<Surroundings>,
    /// Of the process that compiles: with [`Ticker::Child`] it is going to fork, and no thread may be left.
    pub(crate) ticker: Ticker,
}

/// This process: it takes the time and the memory that it takes. Names of C++ stay as they are in the file.
pub(crate) struct InProcess;

impl Compiler for InProcess {
    fn compile(&self, engine: &Engine, source: &Source<'_>) -> Result<Compiled, LoadError> {
        let (mut compiled, wasm) = code(engine, source)?;
        compiled.add_symbols(&symbols::lines(&wasm, false));
        Ok(compiled)
    }
}

/// Compiled code, without symbols, and what they can be read from: the file, initialised where it is to be.
///
/// # Errors
///
/// [`LoadError::NotWasm`], [`LoadError::Invalid`].
pub(crate) fn code<'a>(
    engine: &Engine,
    source: &Source<'a>,
) -> Result<(Compiled, Cow<'a, [u8]>), LoadError> {
    let invalid = |problem: String| LoadError::Invalid {
        path: source.path.to_owned(),
        problem: one_line(&problem),
    };
    let wasm = binary(source.file, source.path)?;
    let (snapshot, initialised) = initialised(&wasm, source.surroundings.as_ref(), source.ticker);
    let (origin, wasm) = match initialised {
        Some((origin, wasm)) => (Some(origin), Cow::Owned(wasm)),
        None => (None, wasm),
    };
    let initial_memory = initial_memory(&wasm).map_err(|error| invalid(error.to_string()))?;
    let about = About {
        initial_memory,
        snapshot,
        origin,
        digest: digest(source.file),
    };
    let compiled =
        Compiled::new(engine, &wasm, &about).map_err(|error| invalid(format!("{error:#}")))?;
    Ok((compiled, wasm))
}

fn digest(file: &[u8]) -> String {
    let digest = Sha256::digest(file);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a file could be WebAssembly, or its text format.
pub(crate) fn looks_like_wasm(file: &[u8], path: &Path) -> bool {
    let start = file.trim_ascii_start();
    let is_text = start.starts_with(b"(") || start.starts_with(b";;");
    let is_named_text = path.extension().is_some_and(|name| name == "wat");
    file.starts_with(b"\0asm") || is_text || is_named_text
}

/// The binary format of what was read.
pub(super) fn binary<'a>(file: &'a [u8], path: &Path) -> Result<Cow<'a, [u8]>, LoadError> {
    if !looks_like_wasm(file, path) {
        return Err(LoadError::NotWasm(path.to_owned()));
    }
    wat::parse_bytes(file).map_err(|mut error| {
        error.set_path(path);
        LoadError::Invalid {
            path: path.to_owned(),
            problem: one_line(&error.to_string()),
        }
    })
}

/// What the memories and tables of all modules in a file take from the start, in bytes.
fn initial_memory(wasm: &[u8]) -> Result<u64, wasmparser::BinaryReaderError> {
    const PAGE: u64 = 64 << 10;
    const ELEMENT: u64 = size_of::<usize>() as u64;
    let mut bytes: u64 = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::MemorySection(memories) => {
                for memory in memories {
                    bytes = bytes.saturating_add(memory?.initial.saturating_mul(PAGE));
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    bytes = bytes.saturating_add(table?.ty.initial.saturating_mul(ELEMENT));
                }
            }
            _ => {}
        }
    }
    Ok(bytes)
}

/// A message that spans lines, in one; it can quote a line of the file, however long.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 400;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
