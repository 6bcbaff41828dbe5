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
        let mut dump = error
            .is::<WasmCoreDump>()
            .then_some(CoreDump { store, error })?;
        // No code of it runs again, and its files and connections are no part of the dump.
        dump.store.data_mut().close();
        Some(dump)
    }

    /// Bytes that the dump has at most, and what is needed to put it together beside them: of memories all that is in
    /// them, of which zeros are left out; of globals, instances and modules their entries, and the tables in which the
    /// engine looks them up.
    pub fn size(&self) -> u64 {
        let Some(dump) = self.dump() else {
            return 0;
        };
        let memories = dump.memories().iter().map(|memory| {
            let size = memory.data_size(&self.store) as u64;
            size.saturating_add(size.div_ceil(CHUNK) * OF_A_CHUNK)
        });
        let names = dump.modules().iter().filter_map(|module| module.name());
        let names = names.map(|name| name.len() as u64);
        let entries = [
            dump.modules().len(),
            dump.instances().len(),
            dump.globals().len(),
            dump.frames().len(),
        ];
        let entries = entries.iter().map(|count| *count as u64 * OF_AN_ENTRY);
        memories
            .chain(names)
            .chain(entries)
            .fold(0, u64::saturating_add)
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

/// The engine divides memories into pieces of so many bytes, each with a head of at most so many.
const CHUNK: u64 = 4096;
const OF_A_CHUNK: u64 = 16;

/// A global, an instance, a module or a frame, in the dump and in the tables that are made for it, in bytes.
const OF_AN_ENTRY: u64 = 128;

impl fmt::Debug for CoreDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoreDump").finish_non_exhaustive()
    }
}
