//! What all instances of a handler have in common, whatever its kind.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use wasmtime::{Engine, Store};

use super::Handled;
use super::life::{self, ExitCode, StepError};
use crate::forked::is_child;
use crate::request::Request;
use crate::sandbox::{Guest, Profiler, Stdio, Symbols, Ticker, WasiGrants};

/// Makes the store of an instance, with its limits and grants.
pub(super) struct Instances {
    pub(super) engine: Engine,
    pub(super) ticker: Ticker,
    /// Bytes of memories and tables that there is room for.
    pub(super) memory_limit: u64,
    pub(super) grants: Arc<WasiGrants>,
    /// Of a command standard input and output are the connection, and an exit code is a report.
    pub(super) is_command: bool,
    /// Names for traps.
    pub(super) symbols: Arc<Symbols>,
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
        // Of an earlier request of this child, whose place in the pool this one needs.
        if let Some(left) = LEFT.take() {
            drop(ManuallyDrop::into_inner(left));
        }
        self.ticker.request(&self.engine);
        let mut store = Guest::store(
            &self.engine,
            request,
            self.memory_limit.min(request.memory_limit()),
            &self.grants,
            stdio,
        )?;
        if let Some(profiler) = &self.profiler {
            profiler.attach(&mut store, self.symbols.clone())?;
        }
        let result = run(&mut store);
        Ok(life::handled(store, result, exit_code, &self.symbols))
    }
}

thread_local! {
    /// What a child has not given back. Nothing is done with it at the end of the process.
    static LEFT: Cell<Option<ManuallyDrop<Store<Guest>>>> = const { Cell::new(None) };
}

/// The instance of a request that has ended. That of a forked child, which ends soon, only closes what it has open: to
/// reset its memory for another one would take a fault for each page of it.
pub(super) fn give_back(mut store: Store<Guest>) {
    if is_child() {
        store.data_mut().close();
        LEFT.set(Some(ManuallyDrop::new(store)));
    }
}
