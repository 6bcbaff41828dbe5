//! The component worlds, version 1: `socketserver:handler`'s interfaces as the host implements them.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower, WasmList};

use crate::address::Transport;
use crate::events::host_call;
use crate::request::{IoError, Request};
use crate::sandbox::{Guest, trap};

/// What the package's interfaces are called.
const TYPES: &str = "socketserver:handler/types@1.0.0";
const RFILE: &str = "socketserver:handler/rfile@1.0.0";
const WFILE: &str = "socketserver:handler/wfile@1.0.0";
const REQUEST: &str = "socketserver:handler/request@1.0.0";

/// One read gives at most so many bytes: the list is made in the host first.
const LONGEST_READ: usize = 64 << 10;

/// `variant io-error`.
#[derive(ComponentType, Lower)]
#[component(variant)]
enum WitIoError {
    #[component(name = "timed-out")]
    TimedOut,
    #[component(name = "broken-pipe")]
    BrokenPipe,
    #[component(name = "connection-reset")]
    ConnectionReset,
    #[component(name = "message-too-long")]
    MessageTooLong,
    #[component(name = "other")]
    Other(String),
}

/// `enum transport`.
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
enum WitTransport {
    #[component(name = "tcp")]
    Tcp,
    #[component(name = "udp")]
    Udp,
    #[component(name = "unix-stream")]
    UnixStream,
    #[component(name = "unix-datagram")]
    UnixDatagram,
}

/// A result as the interfaces have it; a request that was ended is a trap instead.
type WitResult<T> = wasmtime::Result<(Result<T, WitIoError>,)>;

fn wit<T>(result: Result<T, IoError>) -> WitResult<T> {
    let error = match result {
        Ok(value) => return Ok((Ok(value),)),
        Err(error) => error,
    };
    Ok((Err(match error {
        IoError::TimedOut => WitIoError::TimedOut,
        IoError::BrokenPipe => WitIoError::BrokenPipe,
        IoError::ConnectionReset => WitIoError::ConnectionReset,
        IoError::MessageTooLong | IoError::Amplifies => WitIoError::MessageTooLong,
        IoError::NotConnected
        | IoError::NotTheSenders
        | IoError::UnknownSender
        | IoError::NoProc
        | IoError::Other(_) => WitIoError::Other(error.to_string()),
        IoError::Ended => return Err(trap(error)),
    }),))
}

/// The store as a host function has it.
type Store<'a> = StoreContextMut<'a, Guest>;

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.instance(TYPES)?;
    let mut rfile = linker.instance(RFILE)?;
    rfile.func_wrap("read", |store: Store<'_>, (len,): (u32,)| {
        host_call("rfile", "read");
        wit(read(&store.data().request, len))
    })?;
    rfile.func_wrap("read-line", |mut store: Store<'_>, (len,): (u32,)| {
        host_call("rfile", "read-line");
        wit(read_line(store.data_mut(), len)?)
    })?;
    let mut wfile = linker.instance(WFILE)?;
    wfile.func_wrap("write", |store: Store<'_>, (bytes,): (WasmList<u8>,)| {
        host_call("wfile", "write");
        // The bytes stay where they are in the guest's memory.
        let bytes = bytes.as_le_slice(&store);
        wit(store.data().request.write(bytes))
    })?;
    wfile.func_wrap("flush", |store: Store<'_>, (): ()| {
        host_call("wfile", "flush");
        wit(store.data().request.flush())
    })?;
    let mut request = linker.instance(REQUEST)?;
    request.func_wrap("client-address", |store: Store<'_>, (): ()| {
        host_call("request", "client-address");
        Ok((store.data().request.client_address().to_string(),))
    })?;
    request.func_wrap("server-address", |store: Store<'_>, (): ()| {
        host_call("request", "server-address");
        Ok((store.data().request.server_address().to_string(),))
    })?;
    request.func_wrap("transport", |store: Store<'_>, (): ()| {
        host_call("request", "transport");
        Ok((match store.data().request.transport() {
            Transport::Tcp => WitTransport::Tcp,
            Transport::Udp => WitTransport::Udp,
            Transport::UnixStream => WitTransport::UnixStream,
            Transport::UnixDatagram => WitTransport::UnixDatagram,
        },))
    })?;
    request.func_wrap("id", |store: Store<'_>, (): ()| {
        host_call("request", "id");
        Ok((store.data().request.id(),))
    })?;
    request.func_wrap("set-timeout", |store: Store<'_>, (millis,): (u64,)| {
        host_call("request", "set-timeout");
        store.data().request.set_timeout(millis);
        Ok(())
    })?;
    request.func_wrap("set-nodelay", |store: Store<'_>, (on,): (bool,)| {
        host_call("request", "set-nodelay");
        // The interface has no error for it: a connection that has gone shows at the next write.
        let _ = store.data().request.set_nodelay(on);
        Ok(())
    })?;
    Ok(())
}

fn read(request: &Request, len: u32) -> Result<Vec<u8>, IoError> {
    let mut bytes = vec![0; (len as usize).min(LONGEST_READ)];
    let count = request.read(&mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// A long line is put together from pieces, so that the host holds no more than has come. What it has beyond one piece
/// counts against the memory limit until the next line is read, since the guest makes room for its copy after this call.
///
/// # Errors
///
/// The memory limit does not allow the line.
fn read_line(guest: &mut Guest, len: u32) -> wasmtime::Result<Result<Vec<u8>, IoError>> {
    let mut line = Vec::new();
    loop {
        let start = line.len();
        let room = (len as usize - start).min(LONGEST_READ);
        guest.hold_line(start)?;
        // No more than is counted.
        line.reserve_exact(room);
        line.resize(start + room, 0);
        let count = match guest.request.read_line(&mut line[start..]) {
            Ok(count) => count,
            Err(error) => {
                guest.hold_line(0)?;
                return Ok(Err(error));
            }
        };
        line.truncate(start + count);
        if count < room || line.ends_with(b"\n") || line.len() == len as usize {
            return Ok(Ok(line));
        }
    }
}
