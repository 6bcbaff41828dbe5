//! A handler from a `.wasm` file, whatever its kind.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::compile::{Compiler, InProcess};
use super::load::{Kind, LoadInfo, Loaded, Loader, Wasm};
use super::load_error::LoadError;
use super::{Failure, Handled, RequestHandler};
use crate::recording::HandlerFile;
use crate::request::Request;
use crate::sandbox::snapshot::{Origin, Surroundings};
use crate::sandbox::{Compiled, Profiler, WasiGrants, enter_runtime};

/// A compiled, checked and linked handler. Every request gets an instance of its own, on the stack of the
/// thread that serves it, which needs 2 MiB: what Rust's threads have, and most main threads.
///
/// ```
/// use std::sync::Arc;
/// use sandsock::config::Limits;
/// use sandsock::{InMemory, Loader, Request, RequestHandler, WasmHandler};
///
/// // A file's bytes, here in the text format: writes back up to 64 bytes.
/// let file = br#"(module
///   (import "rfile" "read" (func $read (param i32 i32) (result i32)))
///   (import "wfile" "write" (func $write (param i32 i32) (result i32)))
///   (memory (export "memory") 1)
///   (func (export "handle")
///     (drop (call $write (i32.const 0) (call $read (i32.const 0) (i32.const 64))))))"#;
/// let handler = WasmHandler::from_bytes(&Loader::new("echo.wat"), file)?;
///
/// let connection = InMemory::new("hello");
/// let request = Request::in_memory(connection.clone(), &Limits::default());
/// assert!(handler.finish_request(&Arc::new(request)).result.is_ok());
/// assert_eq!(b"hello", &*connection.output());
/// # Ok::<(), sandsock::LoadError>(())
/// ```
pub struct WasmHandler(Loaded);

impl WasmHandler {
    /// Reads, compiles, checks and links a handler, in this process and with no bound on what the compiler
    /// takes.
    ///
    /// # Errors
    ///
    /// [`LoadError`]: what is wrong with the file, or why it would not be served.
    pub fn load(loader: &Loader) -> Result<Self, LoadError> {
        Ok(WasmHandler(loader.load(&InProcess, None)?.0))
    }

    /// As [`WasmHandler::load`], of a file that is in memory already; messages, and the handler's own
    /// arguments, call it [`Loader::path`].
    ///
    /// # Errors
    ///
    /// [`LoadError`].
    pub fn from_bytes(loader: &Loader, file: &[u8]) -> Result<Self, LoadError> {
        let (loaded, _) = loader.load_bytes(file, &InProcess, None, Instant::now())?;
        Ok(WasmHandler(loaded))
    }

    /// As [`WasmHandler::load`], compiled by `compiler`; what was compiled is for [`WasmHandler::link`]
    /// in another process.
    ///
    /// # Errors
    ///
    /// [`LoadError`].
    pub(crate) fn compiled_by(
        compiler: &dyn Compiler,
        loader: &Loader,
    ) -> Result<(Self, Compiled), LoadError> {
        let (loaded, compiled) = loader.load(compiler, None)?;
        Ok((WasmHandler(loaded), compiled))
    }

    /// As it was when a request was recorded: a snapshot starts from the same origin.
    ///
    /// # Errors
    ///
    /// [`LoadError`].
    pub(crate) fn as_it_was(
        compiler: &dyn Compiler,
        loader: &Loader,
        origin: Option<Origin>,
    ) -> Result<Self, LoadError> {
        Ok(WasmHandler(loader.load(compiler, origin)?.0))
    }

    /// What a look at a file has loaded.
    pub(super) fn of(loaded: Loaded) -> Self {
        WasmHandler(loaded)
    }

    /// A handler that another process has loaded.
    pub(crate) fn link(loader: &Loader, compiled: &Compiled) -> Result<Self, LoadError> {
        loader.link(compiled).map(WasmHandler)
    }

    /// What the file is.
    pub fn kind(&self) -> Kind {
        match &self.0.wasm {
            _ if self.0.instances.is_command => Kind::Command,
            Wasm::Module(_) => Kind::Module,
            Wasm::Component(_) => Kind::Component,
        }
    }

    /// What it was granted, as it was found when the handler was loaded.
    pub(crate) fn grants(&self) -> &WasiGrants {
        &self.0.instances.grants
    }

    /// What recordings say of it; it was read from `file`.
    pub(crate) fn as_recorded(&self, file: &Path) -> HandlerFile {
        let Surroundings { args, env, .. } = self.grants().arguments_and_environment();
        HandlerFile {
            file: file.display().to_string(),
            sha256: self.0.info.digest.clone(),
            args,
            env,
            dirs: self.grants().folders_as_recorded(),
            snapshot: self.0.info.origin.clone(),
        }
    }

    /// From now on the stack of what runs is looked at.
    pub(crate) fn profile(&mut self, profiler: Arc<Profiler>) {
        self.0.instances.profiler = Some(profiler);
    }

    /// How it was loaded.
    pub fn info(&self) -> &LoadInfo {
        &self.0.info
    }
}

impl RequestHandler for WasmHandler {
    fn digest(&self) -> &str {
        &self.0.info.digest
    }

    fn finish_request(&self, request: &Arc<Request>) -> Handled {
        let _runtime = enter_runtime();
        let handled = self.0.instances.serve(request, |store| match &self.0.wasm {
            Wasm::Module(handler) => handler.run(store),
            Wasm::Component(handler) => handler.run(store),
        });
        handled.unwrap_or_else(|error| Handled {
            result: Err(Failure::Host(format!("{error:#}"))),
            memory_peak: 0,
            coredump: None,
        })
    }
}
