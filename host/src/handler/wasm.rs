//! A handler from a `.wasm` file, whatever its kind.

use std::sync::Arc;

use super::compile::{Compiler, InProcess};
use super::load::{Kind, LoadInfo, Loaded, Loader, Wasm};
use super::load_error::LoadError;
use super::{Failure, Handled, RequestHandler};
use crate::request::Request;
use crate::sandbox::{Compiled, enter_runtime};

/// A compiled, checked and linked handler. Every request gets an instance of its own.
pub struct WasmHandler(Loaded);

impl WasmHandler {
    /// Reads, compiles, checks and links a handler.
    ///
    /// # Errors
    ///
    /// [`LoadError`]: what is wrong with the file, or why it would not be served.
    pub fn load(loader: &Loader) -> Result<Self, LoadError> {
        Ok(WasmHandler(loader.load(&InProcess)?.0))
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
        let (loaded, compiled) = loader.load(compiler)?;
        Ok((WasmHandler(loaded), compiled))
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

    /// How it was loaded.
    pub fn info(&self) -> &LoadInfo {
        &self.0.info
    }
}

impl RequestHandler for WasmHandler {
    fn finish_request(&self, request: &Arc<Request>) -> Handled {
        let _runtime = enter_runtime();
        let handled = self.0.instances.serve(request, |store| match &self.0.wasm {
            Wasm::Module(handler) => handler.run(store),
            Wasm::Component(handler) => handler.run(store),
        });
        handled.unwrap_or_else(|error| Handled {
            result: Err(Failure::Host(format!("{error:#}"))),
            memory_peak: 0,
        })
    }
}
