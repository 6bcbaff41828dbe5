//! `wasi_snapshot_preview1` for core modules.
//!
//! wasmtime-wasi's own, but for what can block or is on the fast path: descriptors 0 to 2 are straight
//! on the connection and the log, sleeping and polling end with the request, and a granted folder
//! opens regular files and folders only.

/// Calls wasmtime-wasi's function of the same name.
macro_rules! wasmtime_wasi {
    ($caller:ident . $name:ident ( $($arg:expr),* )) => {{
        let (memory, guest) = guest_memory(&mut $caller)?;
        let request = guest.request.clone();
        let mut memory = GuestMemory::Unshared(memory);
        let call = p1::$name(guest.preview1(), &mut memory, $($arg),*);
        wait::block_on(&request, 0, call).map_err(trap)?
    }};
}

mod names;
mod paths;
mod poll;

use rand::TryRng;
use wasmtime::{Caller, Linker};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as p1, WasiSnapshotPreview1};
use wiggle::GuestMemory;

use super::guest::{Guest, guest_memory, hostcall_fuel, slice, slice_mut};
use super::listing::fd_readdir;
use super::wait::{self, trap};
use super::wasi::Descriptor;
use crate::events::host_call;
use crate::recording::Clock;
use crate::request::IoError;

const MODULE: &str = "wasi_snapshot_preview1";

/// Preview 1's errno values that this file returns.
pub(crate) mod errno {
    pub(crate) const SUCCESS: i32 = 0;
    pub(crate) const ACCES: i32 = 2;
    pub(crate) const BADF: i32 = 8;
    pub(crate) const CONNRESET: i32 = 15;
    pub(crate) const INVAL: i32 = 28;
    pub(crate) const IO: i32 = 29;
    pub(super) const ILSEQ: i32 = 25;
    pub(super) const MFILE: i32 = 33;
    pub(crate) const MSGSIZE: i32 = 35;
    pub(super) const NAMETOOLONG: i32 = 37;
    pub(crate) const NOENT: i32 = 44;
    pub(crate) const NOTCONN: i32 = 53;
    pub(crate) const PIPE: i32 = 64;
    pub(crate) const TIMEDOUT: i32 = 73;
}

/// What preview 1 calls an error of `rfile` or `wfile`.
///
/// # Errors
///
/// The request was ended: a trap.
pub(crate) fn errno_of(error: IoError) -> wasmtime::Result<i32> {
    Ok(match error {
        IoError::TimedOut => errno::TIMEDOUT,
        IoError::BrokenPipe => errno::PIPE,
        IoError::ConnectionReset => errno::CONNRESET,
        IoError::MessageTooLong | IoError::Amplifies => errno::MSGSIZE,
        IoError::NotConnected
        | IoError::NotTheSenders
        | IoError::UnknownSender
        | IoError::NoProc => errno::NOTCONN,
        IoError::Other(_) => errno::IO,
        IoError::Ended => return Err(trap(error)),
    })
}

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p1::add_to_linker_sync(linker, Guest::wasi)?;
    linker.allow_shadowing(true);
    linker.func_wrap(MODULE, "fd_read", fd_read)?;
    linker.func_wrap(MODULE, "fd_write", fd_write)?;
    linker.func_wrap(MODULE, "fd_close", fd_close)?;
    linker.func_wrap(MODULE, "fd_renumber", fd_renumber)?;
    linker.func_wrap(MODULE, "fd_readdir", fd_readdir)?;
    paths::add_to_linker(linker)?;
    names::bound(linker)?;
    linker.func_wrap(MODULE, "poll_oneoff", poll::poll_oneoff)?;
    linker.func_wrap(MODULE, "clock_time_get", clock_time_get)?;
    linker.func_wrap(MODULE, "random_get", random_get)?;
    linker.func_wrap(MODULE, "proc_exit", proc_exit)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl Guest {
    /// What is called directly: wasmtime-wasi's linker would set anew for each call how much the host
    /// may copy for it.
    fn preview1(&mut self) -> &mut WasiP1Ctx {
        let fuel = hostcall_fuel(self.memory.limit());
        let wasi = self.wasi();
        wasi.set_hostcall_fuel(fuel);
        wasi
    }

    /// Lets wasmtime-wasi number what was granted, which it does at the first call.
    pub(super) fn begin_preview1(&mut self) -> wasmtime::Result<()> {
        let mut scratch = [0; 8];
        let mut memory = GuestMemory::Unshared(&mut scratch);
        p1::fd_prestat_get(self.preview1(), &mut memory, 3, 0)?;
        Ok(())
    }

    /// What was ours is wasmtime-wasi's again; what was a file makes room for another.
    fn closed(&mut self, number: u32) {
        self.places.closed(number);
        self.note_closed(number);
        if self.descriptors.get(number).is_some() {
            self.descriptors.close(number);
        } else {
            self.open_files.number_closed();
        }
    }
}

fn number(fd: i32) -> u32 {
    fd.cast_unsigned()
}

/// The next of an array of `(pointer, length)` pairs that is not empty.
fn vectors(memory: &[u8], iovs: i32, count: i32) -> wasmtime::Result<Vec<(i32, i32)>> {
    // POSIX's IOV_MAX. A shorter read or write is one that the guest must reckon with.
    let count = number(count).min(1024);
    let table = slice(memory, iovs, (count * 8).cast_signed())?;
    let int = |bytes: &[u8]| i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    Ok(table
        .chunks_exact(8)
        .map(|pair| (int(&pair[..4]), int(&pair[4..])))
        .filter(|(_, len)| *len != 0)
        .collect())
}

fn store_u32(memory: &mut [u8], ptr: i32, value: usize) -> wasmtime::Result<()> {
    let value = u32::try_from(value).unwrap_or(u32::MAX);
    slice_mut(memory, ptr, 4)?.copy_from_slice(&value.to_le_bytes());
    Ok(())
}

fn load_u32(memory: &[u8], ptr: i32) -> wasmtime::Result<u32> {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(slice(memory, ptr, 4)?);
    Ok(u32::from_le_bytes(bytes))
}

fn fd_read(
    mut caller: Caller<'_, Guest>,
    fd: i32,
    iovs: i32,
    count: i32,
    read: i32,
) -> wasmtime::Result<i32> {
    let Some(descriptor) = caller.data().descriptors.get(number(fd)) else {
        return wasmtime_wasi!(caller.fd_read(fd, iovs, count, read));
    };
    host_call(MODULE, "fd_read");
    let (memory, guest) = guest_memory(&mut caller)?;
    let first = vectors(memory, iovs, count)?.first().copied();
    let (ptr, len) = first.unwrap_or((0, 0));
    let room = slice_mut(memory, ptr, len)?;
    let got = match descriptor {
        Descriptor::Empty => 0,
        Descriptor::Rfile => match guest.request.read(room) {
            Ok(got) => got,
            Err(error) => return errno_of(error),
        },
        Descriptor::Wfile | Descriptor::Log(_) => return Ok(errno::BADF),
    };
    store_u32(memory, read, got)?;
    Ok(errno::SUCCESS)
}

fn fd_write(
    mut caller: Caller<'_, Guest>,
    fd: i32,
    iovs: i32,
    count: i32,
    written: i32,
) -> wasmtime::Result<i32> {
    let Some(descriptor) = caller.data().descriptors.get(number(fd)) else {
        return wasmtime_wasi!(caller.fd_write(fd, iovs, count, written));
    };
    host_call(MODULE, "fd_write");
    let (memory, guest) = guest_memory(&mut caller)?;
    let mut total = 0;
    for (ptr, len) in vectors(memory, iovs, count)? {
        let bytes = slice(memory, ptr, len)?;
        match descriptor {
            Descriptor::Wfile => {
                if let Err(error) = guest.request.write(bytes) {
                    return errno_of(error);
                }
            }
            Descriptor::Log(stream) => {
                guest.request.print(stream, bytes).map_err(trap)?;
            }
            Descriptor::Empty | Descriptor::Rfile => return Ok(errno::BADF),
        }
        total += bytes.len();
    }
    store_u32(memory, written, total)?;
    Ok(errno::SUCCESS)
}

fn fd_close(mut caller: Caller<'_, Guest>, fd: i32) -> wasmtime::Result<i32> {
    caller.data_mut().note_granted_folders()?;
    let result = wasmtime_wasi!(caller.fd_close(fd))?;
    if result == errno::SUCCESS {
        caller.data_mut().closed(number(fd));
    }
    Ok(result)
}

fn fd_renumber(mut caller: Caller<'_, Guest>, from: i32, to: i32) -> wasmtime::Result<i32> {
    caller.data_mut().note_granted_folders()?;
    let result = wasmtime_wasi!(caller.fd_renumber(from, to))?;
    if result == errno::SUCCESS && from != to {
        let guest = caller.data_mut();
        guest.closed(number(to));
        guest.descriptors.renumber(number(from), number(to));
        guest.places.renumbered(number(from), number(to));
        guest.folders.renumbered(number(from), number(to));
    }
    Ok(result)
}

/// Nanoseconds: 0 is the time of day, 1 runs from the request's start. Others are not there.
fn clock_time_get(
    mut caller: Caller<'_, Guest>,
    clock: i32,
    _precision: i64,
    time: i32,
) -> wasmtime::Result<i32> {
    host_call(MODULE, "clock_time_get");
    let (memory, guest) = guest_memory(&mut caller)?;
    let Some(now) = clock_now(guest, clock) else {
        return Ok(errno::INVAL);
    };
    slice_mut(memory, time, 8)?.copy_from_slice(&now.to_le_bytes());
    Ok(errno::SUCCESS)
}

/// A clock's reading in nanoseconds.
fn clock_now(guest: &Guest, clock: i32) -> Option<u64> {
    let clock = match clock {
        0 => Clock::Wall,
        1 => Clock::Monotonic,
        _ => return None,
    };
    Some(guest.request.now(clock))
}

/// Asks the kernel each time: a generator in this process would be the same in a forked child.
fn random_get(mut caller: Caller<'_, Guest>, ptr: i32, len: i32) -> wasmtime::Result<i32> {
    host_call(MODULE, "random_get");
    let (memory, guest) = guest_memory(&mut caller)?;
    for piece in slice_mut(memory, ptr, len)?.chunks_mut(64 << 10) {
        // A byte of randomness is some ten times the work of a byte that is copied.
        guest.request.charge(10 * piece.len()).map_err(trap)?;
        let fill = |bytes: &mut [u8]| rand::rngs::SysRng.try_fill_bytes(bytes);
        if guest.request.random(piece, fill).is_err() {
            return Ok(errno::IO);
        }
    }
    Ok(errno::SUCCESS)
}

fn proc_exit(_caller: Caller<'_, Guest>, code: i32) -> wasmtime::Result<()> {
    host_call(MODULE, "proc_exit");
    Err(I32Exit(code).into())
}
