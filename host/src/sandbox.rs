//! How an instance is held: the one place that configures the Wasm engine, and what an instance may
//! use, see and wait for.

mod cache;
pub(crate) mod capacity;
pub(crate) mod compiled;
mod engine;
mod file_streams;
mod guest;
mod listing;
mod memory;
mod network;
mod open_files;
mod opening;
mod profile;
mod random;
mod recorded_files;
pub(crate) mod snapshot;
mod streams;
pub(crate) mod symbols;
mod ticker;
mod wait;
mod wasi;
mod wasi_p1;
mod wasi_p2;

pub use cache::{Cache, CacheError};
pub(crate) use compiled::Compiled;
pub(crate) use engine::{Engines, THREAD_STACK, enter_runtime, largest_state};
pub(crate) use guest::{Guest, guest_memory, slice, slice_mut};
pub(crate) use profile::Profiler;
pub use snapshot::Snapshot;
pub(crate) use symbols::Symbols;
pub use ticker::Ticker;
pub(crate) use wait::trap;
pub(crate) use wasi::{Handed, Stdio, WasiGrants};
pub(crate) use wasi_p1::{errno, errno_of};

use wasmtime::{Linker, component};

/// Gives core modules `wasi_snapshot_preview1`.
pub(crate) fn link_preview1(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasi_p1::add_to_linker(linker)
}

/// Gives components `wasi:cli/imports@0.2`.
pub(crate) fn link_preview2(linker: &mut component::Linker<Guest>) -> wasmtime::Result<()> {
    wasi_p2::add_to_linker(linker)
}
