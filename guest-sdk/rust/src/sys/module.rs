//! The host of a module: the imports of the module ABI, version 1.

#![expect(unsafe_code, reason = "the imports of a module")]

use std::{fmt, io, ptr, slice};

use crate::error::message_too_long;
use crate::{Result, Transport};

mod abi {
    #[link(wasm_import_module = "rfile")]
    unsafe extern "C" {
        pub(super) fn read(buf: *mut u8, len: usize) -> i32;
    }

    #[link(wasm_import_module = "wfile")]
    unsafe extern "C" {
        pub(super) fn write(buf: *const u8, len: usize) -> i32;
        pub(super) safe fn flush() -> i32;
    }

    #[link(wasm_import_module = "request")]
    unsafe extern "C" {
        pub(super) fn client_address(buf: *mut u8, len: usize) -> i32;
        pub(super) fn server_address(buf: *mut u8, len: usize) -> i32;
        pub(super) safe fn transport() -> i32;
        pub(super) safe fn id() -> i64;
        pub(super) safe fn set_timeout(millis: i64) -> i32;
        pub(super) safe fn set_nodelay(on: i32) -> i32;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub(super) fn fd_write(
            fd: i32,
            pieces: *const Piece,
            count: usize,
            written: *mut usize,
        ) -> i32;
    }

    /// WASI's `ciovec`.
    #[repr(C)]
    pub(super) struct Piece {
        pub(super) buf: *const u8,
        pub(super) len: usize,
    }

    unsafe extern "C" {
        /// Made by the linker: runs the constructors of the C library, such as the one that fetches
        /// the environment for a handler that reads it.
        pub(super) fn __wasm_call_ctors();
    }
}

/// What a client that sends little fits into: a fresh instance touches one or two pages for it.
const SMALL: usize = 4096;

/// What a client that filled the small buffer is read into from then on: a page of Wasm.
const LARGE: usize = 64 * 1024;

/// `rfile`, and the bytes that were received ahead of the handler's reads.
///
/// All of it is zeroes at the start, so that the file carries none of it, and no page of it is
/// touched before bytes are received into it.
pub(crate) struct Input {
    small: [u8; SMALL],
    large: Option<&'static mut [u8]>,
    bulk: bool,
}

impl Input {
    pub(crate) const fn new() -> Self {
        Self {
            small: [0; SMALL],
            large: None,
            bulk: false,
        }
    }

    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the host writes at most `len` bytes from the pointer on, all within the slice.
        count(unsafe { abi::read(into.as_mut_ptr(), into.len()) })
    }

    /// Receives anew, over what was held.
    pub(crate) fn refill(&mut self) -> io::Result<usize> {
        if self.bulk && self.large.is_none() {
            self.large = new_page();
        }
        let held = match &mut self.large {
            Some(large) => &mut **large,
            None => &mut self.small,
        };
        // SAFETY: the host writes at most `len` bytes from the pointer on, all within the slice.
        let count = count(unsafe { abi::read(held.as_mut_ptr(), held.len()) })?;
        self.bulk = count >= SMALL;
        Ok(count)
    }

    pub(crate) fn held(&self) -> &[u8] {
        self.large.as_deref().unwrap_or(&self.small)
    }
}

/// A page of memory of this handler's own; none where the memory limit has been reached.
///
/// Not from the allocator, whose code is larger than a small handler, and which would clear the page
/// once more.
fn new_page() -> Option<&'static mut [u8]> {
    let page = std::arch::wasm32::memory_grow::<0>(1);
    if page == usize::MAX {
        return None;
    }
    // SAFETY: the page is new, so that nothing else refers to it; it is zeroed, never shrinks away,
    // and allocators take only what they have grown themselves.
    Some(unsafe {
        slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut(page * LARGE), LARGE)
    })
}

/// `wfile`.
pub(crate) struct Output;

impl Output {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // SAFETY: the host reads `len` bytes from the pointer on, which is the slice.
        count(unsafe { abi::write(bytes.as_ptr(), bytes.len()) }).map(drop)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        count(abi::flush()).map(drop)
    }
}

/// What the host knows of the request.
pub(crate) struct About;

impl About {
    pub(crate) fn client_address(&self) -> String {
        // SAFETY: `text` passes the start and length of a buffer of its own.
        text(|buf, len| unsafe { abi::client_address(buf, len) })
    }

    pub(crate) fn server_address(&self) -> String {
        // SAFETY: `text` passes the start and length of a buffer of its own.
        text(|buf, len| unsafe { abi::server_address(buf, len) })
    }

    pub(crate) fn transport(&self) -> Transport {
        Transport::from_number(abi::transport())
    }

    pub(crate) fn id(&self) -> u64 {
        abi::id().cast_unsigned()
    }

    pub(crate) fn set_timeout(&mut self, millis: u64) {
        abi::set_timeout(millis.cast_signed());
    }

    pub(crate) fn set_nodelay(&mut self, on: bool) {
        abi::set_nodelay(on.into());
    }
}

/// A text of the host, which returns its full length and copies what fits.
fn text(copy: impl Fn(*mut u8, usize) -> i32) -> String {
    // Room for the longest path of a Unix socket (108 bytes), so that one call is enough.
    let mut bytes = vec![0; 112];
    loop {
        let len = usize::try_from(copy(bytes.as_mut_ptr(), bytes.len())).unwrap_or(0);
        let fits = len <= bytes.len();
        bytes.resize(len, 0);
        if fits {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}

/// A result of the ABI: a count, or a negated errno of WASI preview 1.
///
/// The errors that a handler may want to tell apart are made of their kinds, so that a handler
/// meets the same ones in each build.
fn count(result: i32) -> io::Result<usize> {
    match usize::try_from(result) {
        Ok(count) => Ok(count),
        Err(_) => Err(match -result {
            15 => io::ErrorKind::ConnectionReset.into(),
            35 => message_too_long(),
            64 => io::ErrorKind::BrokenPipe.into(),
            73 => io::ErrorKind::TimedOut.into(),
            errno => io::Error::from_raw_os_error(errno),
        }),
    }
}

/// Runs once in an instance, before all else.
///
/// That it is called here by name keeps the linker from wrapping each export in a call of its own,
/// which would run the constructors anew at each step.
pub(crate) fn initialize() {
    // SAFETY: called once, as the first thing that happens in the instance.
    unsafe { abi::__wasm_call_ctors() }
}

/// What an export returns.
pub type Outcome = i32;

/// 0, or 1 and a line in the log.
pub(crate) fn outcome(result: Result) -> Outcome {
    let Err(error) = result else { return 0 };
    // A log that cannot be written leaves nobody to tell.
    let _ = fmt::write(&mut Log, format_args!("{error}\n"));
    // The instance is over within one step: to free it would only bring code for it into the file.
    std::mem::forget(error);
    1
}

/// Standard error, without the locks of the standard library's.
struct Log;

impl fmt::Write for Log {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let piece = abi::Piece {
            buf: text.as_ptr(),
            len: text.len(),
        };
        let mut written = 0;
        // SAFETY: the host reads one piece, which is the text, and writes one number.
        match unsafe { abi::fd_write(2, &raw const piece, 1, &raw mut written) } {
            0 => Ok(()),
            _ => Err(fmt::Error),
        }
    }
}
