//! What all instances of a handler have in common, whatever its kind.

use std::sync::Arc;

use wasmtime::{Engine, Store};

use super::Handled;
use super::life::{self, ExitCode, StepError};
use crate::request::Request;
use crate::sandbox::{Guest, Profiler, Stdio, Ticker, WasiGrants};

/// Makes the store of an instance, with its limits and grants.
pub(super) struct Instances {
    pub(super) engine: Engine,
    pub(super) ticker: Ticker,
    /// Bytes of memories and tables that there is room for.
    pub(super) memory_limit: u64,
    pub(super) grants: Arc<WasiGrants>,
    /// Of a command standard input and output are the connection, and an exit code is a report.
    pub(super) is_command: bool,
    /// Of `run`, which serves one request.
    pub(super) profiler: Option<Arc<Profiler>>,
}

impl Instances {
    /// Serves one request: `run` instantiates and calls.
    ///
    /// # Errors
    ///
    /// The host could not make a store.
    pub(super) fn serve(
        &self,
        request: &Arc<Request>,
        run: impl FnOnce(&mut Store<Guest>) -> Result<(), StepError>,
    ) -> wasmtime::Result<Handled> {
        let (stdio, exit_code) = match self.is_command {
            true => (Stdio::Connection, ExitCode::Reported),
            false => (Stdio::Log, ExitCode::Trap),
        };
        self.ticker.request(&self.engine);
        let mut store = Guest::store(
            &self.engine,
            request,
            self.memory_limit.min(request.memory_limit()),
            &self.grants,
            stdio,
        )?;
        if let Some(profiler) = &self.profiler {
            profiler.attach(&mut store)?;
        }
        let result = run(&mut store);
        Ok(life::handled(store, result, exit_code))
    }
}
