//! Names of files that preview 1's calls have.

use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as p1};
use wiggle::GuestMemory;

use super::super::guest::{Guest, guest_memory};
use super::super::wait::{self, trap};
use super::{MODULE, errno};

/// Linux's PATH_MAX, in bytes.
const PATH_MAX: usize = 4096;

/// Calls of wasmtime-wasi's that copy a name: not one that no system takes.
pub(super) fn bound(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    macro_rules! bound {
        ($($name:ident($($arg:ident: $ty:ty),*) by $($len:ident),*;)*) => {$(
            linker.func_wrap(
                MODULE,
                stringify!($name),
                |mut caller: Caller<'_, Guest>, $($arg: $ty),*| -> wasmtime::Result<i32> {
                    if [$($len),*].into_iter().any(is_too_long) {
                        return Ok(errno::NAMETOOLONG);
                    }
                    wasmtime_wasi!(caller.$name($($arg),*))
                },
            )?;
        )*};
    }
    bound! {
        path_create_directory(fd: i32, path: i32, len: i32) by len;
        path_filestat_get(fd: i32, flags: i32, path: i32, len: i32, buf: i32) by len;
        path_link(fd: i32, flags: i32, path: i32, len: i32, to: i32, name: i32, name_len: i32) by len, name_len;
        path_readlink(fd: i32, path: i32, len: i32, buf: i32, buf_len: i32, used: i32) by len;
        path_remove_directory(fd: i32, path: i32, len: i32) by len;
        path_rename(fd: i32, path: i32, len: i32, to: i32, name: i32, name_len: i32) by len, name_len;
        path_symlink(path: i32, len: i32, fd: i32, name: i32, name_len: i32) by len, name_len;
        path_unlink_file(fd: i32, path: i32, len: i32) by len;
    }
    Ok(())
}

pub(super) fn is_too_long(len: i32) -> bool {
    len.cast_unsigned() as usize > PATH_MAX
}
