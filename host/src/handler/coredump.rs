//! What a trap has left of an instance: a core dump, as WebAssembly's tools read it
//! (<https://github.com/WebAssembly/tool-conventions/blob/main/Coredump.md>).

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmtime::{Store, WasmCoreDump};

use crate::sandbox::Guest;

/// An instance that has trapped, with all that is in its memory: a client's data, and whatever else the handler had.
/// No code of it runs again. Its place is taken until this is dropped.
pub struct CoreDump {
    store: Store<Guest>,
    /// It carries the dump.
    error: wasmtime::Error,
}

impl CoreDump {
    /// `None` where the engine was not asked to make one.
    pub(super) fn new(store: Store<Guest>, error: wasmtime::Error) -> Option<Self> {
        error
            .is::<WasmCoreDump>()
            .then_some(CoreDump { store, error })
    }

    /// Bytes of its memories: the dump has what in them is not zero.
    pub fn memory_size(&self) -> u64 {
        let memories = self.dump().map(WasmCoreDump::memories).unwrap_or_default();
        let sizes = memories.iter().map(|memory| memory.data_size(&self.store));
        sizes.fold(0, |sum, size| sum.saturating_add(size as u64))
    }

    /// The dump's bytes; `name` is what tools show. `None` where the engine cannot put it together.
    pub fn to_bytes(&mut self, name: &str) -> Option<Vec<u8>> {
        let dump = self.error.downcast_ref::<WasmCoreDump>()?;
        let store = &mut self.store;
        // What is wrong with a dump is no reason to end the thread that serves.
        catch_unwind(AssertUnwindSafe(|| dump.serialize(store, name))).ok()
    }

    fn dump(&self) -> Option<&WasmCoreDump> {
        self.error.downcast_ref()
    }
}

impl fmt::Debug for CoreDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoreDump").finish_non_exhaustive()
    }
}
