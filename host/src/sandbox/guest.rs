//! What belongs to one instance: the data of its store.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{Caller, Engine, Extern, Memory, Store, Trap, UpdateDeadline};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{WasiCtxView, WasiView};

use super::listing::Folders;
use super::memory::MemoryLimiter;
use super::network::Network;
use super::open_files::OpenFiles;
use super::recorded_files::Places;
use super::wasi::{Descriptors, Stdio, WasiGrants};
use crate::request::Request;

/// Handles of resources that a component may hold. The engine's default is made for a trusted program.
const COMPONENT_HANDLES: usize = 10_000;

/// The most that a guest may have the host copy in one call, in bytes.
const MOST_FUEL: u64 = 64 << 20;

/// What a call may have beside one buffer: names, and where its pieces lie.
const SMALL_PARTS: u64 = 1 << 20;

/// Bytes that a guest may have the host copy in one call: no buffer is larger than the guest.
pub(super) fn hostcall_fuel(memory_limit: u64) -> usize {
    let most = memory_limit.saturating_add(SMALL_PARTS).min(MOST_FUEL);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// One instance's request, limits and descriptors.
pub(crate) struct Guest {
    pub(crate) request: Arc<Request>,
    pub(crate) memory: MemoryLimiter,
    /// Bytes of the last line that the host read for it, as far as they are counted.
    line: usize,
    /// A core module's exported memory, looked up once.
    linear_memory: Option<Memory>,
    /// Where 0, 1 and 2 lead, for as long as the guest has not closed or renumbered them.
    pub(super) descriptors: Descriptors,
    pub(super) open_files: OpenFiles,
    pub(super) folders: Folders,
    /// Where preview 1's folders are, for the request's journal.
    pub(super) places: Places,
    pub(super) grants: Arc<WasiGrants>,
    stdio: Stdio,
    /// Made at the first use: most handlers need nothing of it.
    wasi: Option<Box<WasiP1Ctx>>,
}

impl Guest {
    /// A store with the limits in place: a start function is guest code, too.
    ///
    /// # Errors
    ///
    /// A granted folder cannot be opened any more.
    pub(crate) fn store(
        engine: &Engine,
        request: &Arc<Request>,
        memory_limit: u64,
        grants: &Arc<WasiGrants>,
        stdio: Stdio,
    ) -> wasmtime::Result<Store<Guest>> {
        let mut guest = Guest {
            request: request.clone(),
            memory: MemoryLimiter::new(memory_limit),
            line: 0,
            linear_memory: None,
            descriptors: Descriptors::new(stdio),
            open_files: OpenFiles::default(),
            folders: Folders::default(),
            places: Places::default(),
            grants: grants.clone(),
            stdio,
            wasi: None,
        };
        if grants.has_folders() {
            let wasi = grants.open(request, stdio)?;
            guest.wasi = Some(Box::new(wasi));
            if request.journal().is_some() {
                guest.places = Places::of(grants.folders());
            }
        }
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            Ok(if store.data().request.is_over() {
                UpdateDeadline::Interrupt
            } else {
                UpdateDeadline::Continue(1)
            })
        });
        store.set_hostcall_fuel(hostcall_fuel(memory_limit));
        store.set_max_component_handles(COMPONENT_HANDLES);
        Ok(store)
    }

    /// The host holds so many bytes of a line for it, in place of those that it held before.
    ///
    /// # Errors
    ///
    /// The memory limit does not allow them.
    pub(crate) fn hold_line(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.memory.let_go(std::mem::take(&mut self.line));
        self.memory.hold(bytes)?;
        self.line = bytes;
        Ok(())
    }

    /// Closes its files and connections.
    pub(crate) fn close(&mut self) {
        self.wasi = None;
    }

    /// WASI as wasmtime-wasi has it, with this request's grants.
    pub(super) fn wasi(&mut self) -> &mut WasiP1Ctx {
        self.wasi
            .get_or_insert_with(|| Box::new(self.grants.without_folders(&self.request, self.stdio)))
    }

    /// Its resources, by their handles.
    pub(super) fn table(&mut self) -> &mut ResourceTable {
        self.ctx().table
    }

    /// What it reaches of the network.
    pub(super) fn network(&mut self) -> Network<'_> {
        let wasi = self.wasi.get_or_insert_with(|| {
            Box::new(self.grants.without_folders(&self.request, self.stdio))
        });
        Network {
            table: wasi.ctx().table,
            open_files: &mut self.open_files,
            reachable: self.grants.reachable(),
            request: &self.request,
        }
    }

    pub(crate) fn set_linear_memory(&mut self, memory: Memory) {
        self.linear_memory = Some(memory);
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi().ctx()
    }
}

/// The calling module's memory and the rest of its store.
///
/// # Errors
///
/// It has none: only a start function can call before that was checked.
pub(crate) fn guest_memory<'a>(
    caller: &'a mut Caller<'_, Guest>,
) -> wasmtime::Result<(&'a mut [u8], &'a mut Guest)> {
    let memory = match caller.data().linear_memory {
        Some(memory) => memory,
        None => match caller.get_export("memory") {
            Some(Extern::Memory(memory)) => memory,
            _ => return Err(Trap::MemoryOutOfBounds.into()),
        },
    };
    Ok(memory.data_and_store_mut(caller))
}

/// `len` bytes at `ptr`, both as the guest passed them.
///
/// # Errors
///
/// The range is outside memory: a trap, before anything was allocated or copied.
pub(crate) fn slice_mut(memory: &mut [u8], ptr: i32, len: i32) -> wasmtime::Result<&mut [u8]> {
    range(ptr, len)
        .and_then(|range| memory.get_mut(range))
        .ok_or_else(|| Trap::MemoryOutOfBounds.into())
}

/// As [`slice_mut`], for reading.
///
/// # Errors
///
/// The range is outside memory.
pub(crate) fn slice(memory: &[u8], ptr: i32, len: i32) -> wasmtime::Result<&[u8]> {
    range(ptr, len)
        .and_then(|range| memory.get(range))
        .ok_or_else(|| Trap::MemoryOutOfBounds.into())
}

fn range(ptr: i32, len: i32) -> Option<std::ops::Range<usize>> {
    // Wasm's i32 has no sign of its own: an address is unsigned.
    let start = ptr.cast_unsigned() as usize;
    Some(start..start.checked_add(len.cast_unsigned() as usize)?)
}
