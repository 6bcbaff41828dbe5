//! From a file to a handler: read once, bounded; recognised; compiled, or taken from the cache;
//! checked completely; linked.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmparser::{Parser, Payload};
use wasmtime::component::Component;
use wasmtime::{Engine, Module, ResourcesRequired};

use super::component::ComponentHandler;
use super::instances::Instances;
use super::load_error::LoadError;
use super::module::ModuleHandler;
use crate::config::{ConcurrencyKind, Grants, Limits, LoadOptions};
use crate::sandbox::{Cache, Compiled, Engines, Ticker, WasiGrants};

/// What a handler is (the contract's three kinds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A core module that exports `handle`.
    Module,
    /// A component that exports `handle`.
    Component,
    /// A WASI program: it exports `_start`, or `wasi:cli/run`.
    Command,
}

impl Kind {
    /// The word in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Module => "module",
            Kind::Component => "component",
            Kind::Command => "command",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is loaded, and how.
#[derive(Clone, Debug)]
pub struct Loader {
    /// The file.
    pub path: PathBuf,
    /// Largest file that is read, in bytes.
    pub max_size: u64,
    /// Where compiled code is kept.
    pub cache: Option<Cache>,
    /// What bounds a request.
    pub limits: Limits,
    /// What a handler may see.
    pub grants: Grants,
    /// Instances at one time; with [`Ticker::Child`] in one process.
    pub instances: u32,
    /// Who asks guest code whether its time is over.
    pub ticker: Ticker,
}

/// A linked handler of either form.
pub(super) enum Wasm {
    Module(ModuleHandler),
    Component(ComponentHandler),
}

/// What [`Loader::load`] makes of a file.
pub(super) struct Loaded {
    pub(super) wasm: Wasm,
    pub(super) instances: Instances,
    pub(super) info: LoadInfo,
}

/// How a handler was loaded.
#[derive(Clone, Debug, Default)]
pub struct LoadInfo {
    /// Bytes of the file.
    pub size: u64,
    /// Whether its code came from the cache.
    pub cached: bool,
    /// From opening the file to here.
    pub took: Duration,
    /// Bytes of its memories and tables at the start.
    pub initial_memory: u64,
}

impl Loader {
    /// With the defaults of `sandsock serve`, but without a cache.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let max_size = LoadOptions::default().max_handler_size.get();
        Loader {
            path: path.into(),
            max_size: max_size.map_or(u64::MAX, |size| size.0),
            cache: None,
            limits: Limits::default(),
            grants: Grants::default(),
            instances: ConcurrencyKind::Threads.default_max_in_flight(),
            ticker: Ticker::default(),
        }
    }

    /// Reads, compiles, checks and links. What was compiled is for [`Loader::link`] in another process.
    pub(super) fn load(&self) -> Result<(Loaded, Compiled), LoadError> {
        let started = Instant::now();
        let grants = self.grants()?;
        let file = read(&self.path, self.max_size)?;
        let wasm = self.binary(&file)?;
        let is_component = is_component(&wasm);
        let compiling = Engines::compiling().map_err(LoadError::Engine)?;
        let compiled = match &self.cache {
            Some(cache) => cache.get_or_compile(&compiling, &wasm, is_component),
            None => Compiled::new(&compiling, &wasm, is_component),
        }
        .map_err(|error| LoadError::Invalid {
            path: self.path.clone(),
            problem: format!("{error:#}"),
        })?;
        let initial_memory = self.check_initial_size(&wasm)?;
        let mut loaded = self.instances(grants, &compiling, &compiled)?;
        loaded.info = LoadInfo {
            size: file.len() as u64,
            cached: compiled.was_cached(),
            took: started.elapsed(),
            initial_memory,
        };
        Ok((loaded, compiled))
    }

    /// Links what another process has read, compiled and checked.
    pub(super) fn link(&self, compiled: &Compiled) -> Result<Loaded, LoadError> {
        let compiling = Engines::compiling().map_err(LoadError::Engine)?;
        self.instances(self.grants()?, &compiling, compiled)
    }

    fn grants(&self) -> Result<Arc<WasiGrants>, LoadError> {
        let program = self.path.file_name().unwrap_or_default().to_string_lossy();
        let grants = WasiGrants::new(&self.grants, &program).map_err(LoadError::Grant)?;
        Ok(Arc::new(grants))
    }

    fn instances(
        &self,
        grants: Arc<WasiGrants>,
        compiling: &Engine,
        compiled: &Compiled,
    ) -> Result<Loaded, LoadError> {
        let required = required(compiling, compiled)?;
        let memory_limit = self.limits.memory.unwrap_or(u64::MAX);
        let engine = Engines::serving(&required, self.instances, memory_limit, self.ticker)
            .map_err(LoadError::Engine)?;
        let wasm = if compiled.is_component() {
            let component = compiled.component(&engine).map_err(LoadError::Engine)?;
            // Otherwise the first request would make it, and with `fork` each.
            component
                .initialize_copy_on_write_image()
                .map_err(LoadError::Engine)?;
            Wasm::Component(ComponentHandler::new(&component)?)
        } else {
            let module = compiled.module(&engine).map_err(LoadError::Engine)?;
            module
                .initialize_copy_on_write_image()
                .map_err(LoadError::Engine)?;
            Wasm::Module(ModuleHandler::new(&module)?)
        };
        let instances = Instances {
            engine,
            ticker: self.ticker,
            memory_limit,
            grants,
            is_command: match &wasm {
                Wasm::Module(handler) => handler.is_command(),
                Wasm::Component(handler) => handler.is_command(),
            },
        };
        Ok(Loaded {
            wasm,
            instances,
            info: LoadInfo::default(),
        })
    }

    /// The binary format of what was read.
    fn binary<'a>(&self, file: &'a [u8]) -> Result<std::borrow::Cow<'a, [u8]>, LoadError> {
        let starts_as_text =
            file.trim_ascii_start().starts_with(b"(") || file.trim_ascii_start().starts_with(b";;");
        let is_named_text = self.path.extension().is_some_and(|name| name == "wat");
        if !file.starts_with(b"\0asm") && !starts_as_text && !is_named_text {
            return Err(LoadError::NotWasm(self.path.clone()));
        }
        wat::parse_bytes(file).map_err(|mut error| {
            error.set_path(&self.path);
            LoadError::Invalid {
                path: self.path.clone(),
                problem: one_line(&error.to_string()),
            }
        })
    }

    fn check_initial_size(&self, wasm: &[u8]) -> Result<u64, LoadError> {
        let needed = initial_memory(wasm).map_err(|error| LoadError::Invalid {
            path: self.path.clone(),
            problem: error.to_string(),
        })?;
        match self.limits.memory {
            Some(limit) if needed > limit => Err(LoadError::NotServed(vec![format!(
                "it needs {needed} bytes of memory from the start, --memory-limit is {limit}: raise it, or build the handler with less"
            )])),
            _ => Ok(needed),
        }
    }
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

/// Reads no more than `max` bytes, however the file grows meanwhile.
fn read(path: &Path, max: u64) -> Result<Vec<u8>, LoadError> {
    let fail = |error| LoadError::Read {
        path: path.to_owned(),
        error,
    };
    let too_large = || LoadError::TooLarge {
        path: path.to_owned(),
        limit: max,
    };
    // Opening a FIFO would wait for its writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)
        .map_err(fail)?;
    let found = file.metadata().map_err(fail)?;
    if !found.is_file() {
        return Err(fail(io::Error::other("it is not a regular file")));
    }
    if found.len() > max {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    if bytes.len() as u64 > max {
        return Err(too_large());
    }
    Ok(bytes)
}

/// The binary format's layer: 0 in a core module, 1 in a component.
fn is_component(wasm: &[u8]) -> bool {
    wasm.get(6..8) == Some(&[1, 0])
}

fn required(engine: &Engine, compiled: &Compiled) -> Result<ResourcesRequired, LoadError> {
    if let Ok(module) = compiled.module(engine) {
        return Ok(Module::resources_required(&module));
    }
    let component = compiled.component(engine).map_err(LoadError::Engine)?;
    Component::resources_required(&component).ok_or_else(|| {
        LoadError::NotServed(vec![
            "it imports core modules or components, which the host has none of".to_owned(),
        ])
    })
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
