//! From a file to a handler: read once, bounded; recognised; compiled, or taken from the cache;
//! checked completely; linked.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::Component;
use wasmtime::{Engine, Module, ResourcesRequired};

use super::compile::{Compiler, Source};
use super::component::ComponentHandler;
use super::instances::Instances;
use super::load_error::LoadError;
use super::module::ModuleHandler;
use crate::apart;
use crate::config::{ConcurrencyKind, Grants, Limits, LoadOptions};
use crate::events;
use crate::sandbox::capacity::check_instances;
use crate::sandbox::compiled::About;
use crate::sandbox::snapshot::{Origin, Surroundings, may_want_snapshot};
use crate::sandbox::{Cache, Compiled, Engines, Snapshot, Ticker, WasiGrants, largest_state};

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
///
/// ```no_run
/// use sandsock::{Loader, WasmHandler};
///
/// let loader = Loader {
///     memory_limit: Some(16 << 20),
///     ..Loader::new("target/handlers/echo.wasm")
/// };
/// let handler = WasmHandler::load(&loader)?;
/// # Ok::<(), sandsock::LoadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Loader {
    /// The file.
    pub path: PathBuf,
    /// Largest file that is read, in bytes.
    pub max_size: u64,
    /// Where compiled code is kept.
    pub cache: Option<Cache>,
    /// Bytes of an instance's memories and tables together; `None` for what 32 bits can address. What else
    /// bounds a request is the server's.
    pub memory_limit: Option<u64>,
    /// What a handler may see.
    pub grants: Grants,
    /// Instances at one time, for all servers that share the handler: as many as there can be requests in
    /// flight, or some of these fail. With [`Ticker::Child`] in one process.
    pub instances: u32,
    /// Who asks guest code whether its time is over: [`Loader::for_children`] sets it.
    pub ticker: Ticker,
    /// Whether a trap leaves a [`crate::CoreDump`].
    pub coredumps: bool,
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
    /// The digest of the file, in hexadecimal (SHA-256).
    pub digest: String,
    /// Whether requests start from what its initialisation has left.
    pub snapshot: Snapshot,
    /// What that started from.
    pub(crate) origin: Option<Origin>,
}

impl Loader {
    /// With the defaults of `sandsock serve`, but without a cache.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let max_size = LoadOptions::default().max_handler_size.get();
        Loader {
            path: path.into(),
            max_size: max_size.map_or(u64::MAX, |size| size.0),
            cache: None,
            memory_limit: Limits::default().memory,
            grants: Grants::default(),
            instances: ConcurrencyKind::Threads.default_max_in_flight(),
            ticker: Ticker::default(),
            coredumps: false,
        }
    }

    /// For a server with [`ConcurrencyKind::Fork`]: instances run in forked children, of which each has one,
    /// and a process that forks must have one thread, so none is started for compiling or for the clock.
    #[must_use]
    pub fn for_children(self) -> Self {
        Loader {
            instances: 1,
            ticker: Ticker::Child,
            ..self
        }
    }

    /// Reads, lets `compiler` compile, checks and links. What was compiled is for [`Loader::link`] in
    /// another process. A snapshot starts from `origin`, where it has to be the one of a recording.
    pub(super) fn load(
        &self,
        compiler: &dyn Compiler,
        origin: Option<Origin>,
    ) -> Result<(Loaded, Compiled), LoadError> {
        let started = Instant::now();
        let file = read(&self.path, self.max_size)?;
        self.load_bytes(&file, compiler, origin, started)
    }

    /// As [`Loader::load`], of a file that was read.
    pub(super) fn load_bytes(
        &self,
        file: &[u8],
        compiler: &dyn Compiler,
        origin: Option<Origin>,
        started: Instant,
    ) -> Result<(Loaded, Compiled), LoadError> {
        if file.len() as u64 > self.max_size {
            return Err(LoadError::TooLarge {
                path: self.path.clone(),
                limit: self.max_size,
            });
        }
        let grants = self.grants()?;
        let compiling = Engines::compiling(self.ticker).map_err(LoadError::Engine)?;
        let surroundings = grants.surroundings().map(|surroundings| Surroundings {
            origin,
            ..surroundings
        });
        let compiled = self.compiled(surroundings, &compiling, file, compiler)?;
        let loaded = self.checked(grants, &compiling, &compiled, file.len() as u64, started)?;
        Ok((loaded, compiled))
    }

    /// From the cache, or compiled now.
    pub(super) fn compiled(
        &self,
        surroundings: Option<Surroundings>,
        compiling: &Engine,
        file: &[u8],
        compiler: &dyn Compiler,
    ) -> Result<Compiled, LoadError> {
        let source = Source {
            file,
            path: &self.path,
            surroundings,
            ticker: self.ticker,
        };
        let compile = || compiler.compile(compiling, &source);
        // A snapshot has what the handler's environment says in its memory, which may be secret: it is not kept.
        let sees_environment = source
            .surroundings
            .as_ref()
            .is_some_and(|seen| !seen.env.is_empty());
        let is_kept = !(sees_environment && may_want_snapshot(file));
        match self.cache.as_ref().filter(|_| is_kept) {
            Some(cache) => {
                let surroundings = source.surroundings.as_ref();
                cache.get_or_compile(compiling, file, surroundings, compile)
            }
            None => compile(),
        }
    }

    /// Checks and links what was compiled.
    pub(super) fn checked(
        &self,
        grants: Arc<WasiGrants>,
        compiling: &Engine,
        compiled: &Compiled,
        size: u64,
        started: Instant,
    ) -> Result<Loaded, LoadError> {
        let About {
            initial_memory,
            snapshot,
            origin,
            digest,
        } = compiled.about();
        self.check_initial_memory(initial_memory)?;
        if let Snapshot::Refused(why) = &snapshot {
            events::warning(&format!(
                "{}: no snapshot is taken of its initialisation, which each request runs instead: {why}",
                self.path.display()
            ));
        }
        let mut loaded = self.instances(grants, compiling, compiled)?;
        loaded.info = LoadInfo {
            size,
            cached: compiled.was_cached(),
            took: started.elapsed(),
            initial_memory,
            digest,
            snapshot,
            origin,
        };
        Ok(loaded)
    }

    /// Links what another process has read, compiled and checked.
    pub(super) fn link(&self, compiled: &Compiled) -> Result<Loaded, LoadError> {
        let compiling = Engines::compiling(self.ticker).map_err(LoadError::Engine)?;
        self.instances(self.granted()?, &compiling, compiled)
    }

    /// What was granted, where it lies apart from what the server itself lives from.
    pub(super) fn grants(&self) -> Result<Arc<WasiGrants>, LoadError> {
        let folders = &self.grants.dir;
        apart::grants_agree(folders)
            .and_then(|()| apart::is_unchangeable(folders, &self.path, "the handler's file"))
            .and_then(|()| match &self.cache {
                Some(cache) => apart::is_closed(
                    folders,
                    cache.folder(),
                    "the cache of compiled code (--cache)",
                ),
                None => Ok(()),
            })
            .map_err(LoadError::Grant)?;
        self.granted()
    }

    fn granted(&self) -> Result<Arc<WasiGrants>, LoadError> {
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
        let required = self.required(compiling, compiled)?;
        let memory_limit = self.memory_limit.unwrap_or(u64::MAX);
        let engine = Engines::serving(
            &required,
            self.pooled(),
            memory_limit,
            self.ticker,
            self.coredumps,
        )
        .map_err(LoadError::Engine)?;
        // The engine for compiling has taken the code: what this one refuses is too large for its pool.
        let too_large = |error: wasmtime::Error| {
            let error = error.root_cause().to_string();
            // The rest says it in the engine's words.
            let needs = error.split(" which exceeds").next().unwrap_or(&error);
            let most = largest_state(memory_limit);
            LoadError::NotServed(vec![format!(
                "{needs}, at most {most} are allowed: raise --memory-limit, or build the handler with fewer globals, functions and core instances"
            )])
        };
        let wasm = if compiled.is_component() {
            let component = compiled.component(&engine).map_err(too_large)?;
            // Otherwise the first request would make it, and with `fork` each.
            component
                .initialize_copy_on_write_image()
                .map_err(LoadError::Engine)?;
            Wasm::Component(ComponentHandler::new(&component)?)
        } else {
            check_network(&grants)?;
            let module = compiled.module(&engine).map_err(too_large)?;
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
            symbols: Arc::new(compiled.symbols()),
            profiler: None,
        };
        let about = compiled.about();
        Ok(Loaded {
            wasm,
            instances,
            info: LoadInfo {
                digest: about.digest,
                origin: about.origin,
                ..LoadInfo::default()
            },
        })
    }

    /// Instances that the pool has room for. A thread puts a core dump together while another request has its place; a
    /// child ends with its own.
    fn pooled(&self) -> u32 {
        let dumping = self.coredumps && self.ticker == Ticker::Thread;
        self.instances.saturating_add(u32::from(dumping))
    }

    /// What the pool has to have room for.
    pub(super) fn required(
        &self,
        compiling: &Engine,
        compiled: &Compiled,
    ) -> Result<ResourcesRequired, LoadError> {
        let required = required(compiling, compiled)?;
        check_instances(self.pooled(), required.num_memories, required.num_tables)
            .map_err(|problem| LoadError::NotServed(vec![problem]))?;
        Ok(required)
    }

    pub(super) fn check_initial_memory(&self, needed: u64) -> Result<(), LoadError> {
        match self.memory_limit {
            Some(limit) if needed > limit => Err(LoadError::NotServed(vec![format!(
                "it needs {needed} bytes of memory from the start, --memory-limit is {limit}: raise it, or build the handler with less"
            )])),
            _ => Ok(()),
        }
    }
}

/// Of a core module.
pub(super) fn check_network(grants: &WasiGrants) -> Result<(), LoadError> {
    match grants.has_network() {
        false => Ok(()),
        true => Err(LoadError::Grant(
            "--allow-connect: a core module has no sockets; build the handler as a component, or leave the option out".to_owned(),
        )),
    }
}

/// Reads no more than `max` bytes, however the file grows meanwhile.
pub(super) fn read(path: &Path, max: u64) -> Result<Vec<u8>, LoadError> {
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
    Ok(bytes)
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
