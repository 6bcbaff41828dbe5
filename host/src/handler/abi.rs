//! The module ABI, version 1: `rfile`, `wfile` and `request` for core modules. Names are for ever.

use wasmtime::{Caller, Linker};

use crate::events::host_call;
use crate::sandbox::{Guest, errno, errno_of, guest_memory, slice, slice_mut};

/// The modules of the ABI, as a person would name them.
pub(super) const OFFERED: &str = "rfile, wfile, request and wasi_snapshot_preview1";

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("rfile", "read", read)?;
    linker.func_wrap("rfile", "read_line", read_line)?;
    linker.func_wrap("wfile", "write", write)?;
    linker.func_wrap("wfile", "flush", flush)?;
    linker.func_wrap("request", "client_address", client_address)?;
    linker.func_wrap("request", "server_address", server_address)?;
    linker.func_wrap("request", "transport", transport)?;
    linker.func_wrap("request", "id", id)?;
    linker.func_wrap("request", "set_timeout", set_timeout)?;
    linker.func_wrap("request", "set_nodelay", set_nodelay)?;
    Ok(())
}

/// A count, or a negated errno.
fn count(result: Result<usize, crate::request::IoError>) -> wasmtime::Result<i32> {
    match result {
        Ok(count) => Ok(i32::try_from(count).unwrap_or(i32::MAX)),
        Err(error) => Ok(-errno_of(error)?),
    }
}

fn read(mut caller: Caller<'_, Guest>, buf: i32, len: i32) -> wasmtime::Result<i32> {
    host_call("rfile", "read");
    let (memory, guest) = guest_memory(&mut caller)?;
    let room = countable(slice_mut(memory, buf, len)?);
    count(guest.request.read(room))
}

fn read_line(mut caller: Caller<'_, Guest>, buf: i32, len: i32) -> wasmtime::Result<i32> {
    host_call("rfile", "read_line");
    let (memory, guest) = guest_memory(&mut caller)?;
    let room = countable(slice_mut(memory, buf, len)?);
    count(guest.request.read_line(room))
}

/// No more than a result can tell.
fn countable(room: &mut [u8]) -> &mut [u8] {
    let most = room.len().min(i32::MAX as usize);
    &mut room[..most]
}

fn write(mut caller: Caller<'_, Guest>, buf: i32, len: i32) -> wasmtime::Result<i32> {
    host_call("wfile", "write");
    let (memory, guest) = guest_memory(&mut caller)?;
    let bytes = slice(memory, buf, len)?;
    if len < 0 {
        // More than 2 GiB: the result could not tell it from an error.
        return Ok(-errno::INVAL);
    }
    count(guest.request.write(bytes).map(|()| bytes.len()))
}

fn flush(caller: Caller<'_, Guest>) -> wasmtime::Result<i32> {
    host_call("wfile", "flush");
    count(caller.data().request.flush().map(|()| 0))
}

fn client_address(mut caller: Caller<'_, Guest>, buf: i32, len: i32) -> wasmtime::Result<i32> {
    host_call("request", "client_address");
    let text = caller.data().request.client_address().to_string();
    copy(&mut caller, &text, buf, len)
}

fn server_address(mut caller: Caller<'_, Guest>, buf: i32, len: i32) -> wasmtime::Result<i32> {
    host_call("request", "server_address");
    let text = caller.data().request.server_address().to_string();
    copy(&mut caller, &text, buf, len)
}

/// Copies what fits, returns the full length.
fn copy(caller: &mut Caller<'_, Guest>, text: &str, buf: i32, len: i32) -> wasmtime::Result<i32> {
    let (memory, _) = guest_memory(caller)?;
    let room = slice_mut(memory, buf, len)?;
    let fits = room.len().min(text.len());
    room[..fits].copy_from_slice(&text.as_bytes()[..fits]);
    count(Ok(text.len()))
}

fn transport(caller: Caller<'_, Guest>) -> i32 {
    host_call("request", "transport");
    caller.data().request.transport().number()
}

fn id(caller: Caller<'_, Guest>) -> i64 {
    host_call("request", "id");
    caller.data().request.id().cast_signed()
}

fn set_timeout(caller: Caller<'_, Guest>, millis: i64) -> i32 {
    host_call("request", "set_timeout");
    match u64::try_from(millis) {
        Ok(millis) => {
            caller.data().request.set_timeout(millis);
            errno::SUCCESS
        }
        Err(_) => -errno::INVAL,
    }
}

fn set_nodelay(caller: Caller<'_, Guest>, on: i32) -> wasmtime::Result<i32> {
    host_call("request", "set_nodelay");
    count(caller.data().request.set_nodelay(on != 0).map(|()| 0))
}
