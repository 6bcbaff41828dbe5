//! Streams of files in granted folders: read and written on the request's own thread, when it asks.
//! wasmtime-wasi's start threads, which nothing of the request's bounds.

#![expect(unsafe_code, reason = "one system call that no crate wraps")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use nix::libc;
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource};
use wasmtime_wasi::FsPerms;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{self, ErrorCode};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

use super::guest::Guest;
use crate::events::host_call;

/// The most that is read or written in one call, in bytes.
const CHUNK: usize = 64 << 10;

type Offset = u64;
type Opened<T> = wasmtime::Result<(Result<Resource<T>, ErrorCode>,)>;

/// In place of those of `wasi:filesystem/types`.
pub(super) fn add_to_linker(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap("[method]descriptor.read-via-stream", read_via_stream)?;
    types.func_wrap("[method]descriptor.write-via-stream", write_via_stream)?;
    types.func_wrap("[method]descriptor.append-via-stream", append_via_stream)
}

fn read_via_stream(
    mut store: StoreContextMut<'_, Guest>,
    (descriptor, offset): (Resource<types::Descriptor>, Offset),
) -> Opened<DynInputStream> {
    host_call("types", "[method]descriptor.read-via-stream");
    let table = store.data_mut().table();
    let file = match table.get(&descriptor)? {
        Descriptor::File(file) => file.file.clone(),
        Descriptor::Dir(_) => return Ok((Err(ErrorCode::IsDirectory),)),
    };
    let stream: DynInputStream = Box::new(Reader { file, offset });
    Ok((Ok(table.push(stream)?),))
}

fn write_via_stream(
    store: StoreContextMut<'_, Guest>,
    (descriptor, offset): (Resource<types::Descriptor>, Offset),
) -> Opened<DynOutputStream> {
    host_call("types", "[method]descriptor.write-via-stream");
    writer(store, &descriptor, Some(offset))
}

fn append_via_stream(
    store: StoreContextMut<'_, Guest>,
    (descriptor,): (Resource<types::Descriptor>,),
) -> Opened<DynOutputStream> {
    host_call("types", "[method]descriptor.append-via-stream");
    writer(store, &descriptor, None)
}

fn writer(
    mut store: StoreContextMut<'_, Guest>,
    descriptor: &Resource<types::Descriptor>,
    offset: Option<Offset>,
) -> Opened<DynOutputStream> {
    let table = store.data_mut().table();
    let file = match table.get(descriptor)? {
        Descriptor::File(file) if matches!(file.perms, FsPerms::ReadWrite) => file.file.clone(),
        Descriptor::File(_) => return Ok((Err(ErrorCode::NotPermitted),)),
        Descriptor::Dir(_) => return Ok((Err(ErrorCode::BadDescriptor),)),
    };
    let stream: DynOutputStream = Box::new(Writer { file, offset });
    Ok((Ok(table.push(stream)?),))
}

struct Reader {
    file: Arc<File>,
    offset: Offset,
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut buf = vec![0; size.min(CHUNK)];
        let count = again(|| self.file.read_at(&mut buf, self.offset))?;
        if count == 0 {
            return Err(StreamError::Closed);
        }
        self.offset += count as u64;
        buf.truncate(count);
        Ok(buf.into())
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {}
}

struct Writer {
    file: Arc<File>,
    /// `None` for the file's end, wherever that is.
    offset: Option<Offset>,
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut left = &bytes[..];
        while !left.is_empty() {
            let count = match &mut self.offset {
                Some(offset) => {
                    let count = again(|| self.file.write_at(left, *offset))?;
                    *offset += count as u64;
                    count
                }
                None => again(|| append(&self.file, left))?,
            };
            left = &left[count..];
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

/// Once more where a signal has come between.
fn again(mut operation: impl FnMut() -> io::Result<usize>) -> StreamResult<usize> {
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(count) => return Ok(count),
            Err(error) => return Err(StreamError::LastOperationFailed(error.into())),
        }
    }
}

/// pwritev2(2), `RWF_APPEND`: at the file's end in one step, also where others append.
fn append(file: &File, bytes: &[u8]) -> io::Result<usize> {
    let piece = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: it reads one iovec, and from the bytes that this one describes.
    let count =
        unsafe { libc::pwritev2(file.as_raw_fd(), &raw const piece, 1, 0, libc::RWF_APPEND) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}
