//! What becomes of a child that makes a call which is not allowed to it: its event names the call.

#![expect(unsafe_code, reason = "a signal handler that knows the call")]

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

use nix::libc::{self, c_int, c_void};

use super::{HardenError, failed};

/// Where a child notes the call for which it was ended; null in its parent.
pub(crate) static VIOLATION: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// What `SIGSYS` comes with (sigaction(2), `_sigsys`).
#[repr(C)]
struct SysInfo {
    signal: c_int,
    error: c_int,
    code: c_int,
    address: *const c_void,
    call: c_int,
    arch: u32,
}

pub(super) fn handle_violations() -> Result<(), HardenError> {
    // SAFETY: all bit patterns are an action, and this one is filled in below.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_violation as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the handler does only what signal-safety(7) allows.
    match unsafe { libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(failed(std::io::Error::last_os_error())),
    }
}

/// In a signal handler: an atomic, write(2) and _exit(2).
extern "C" fn on_violation(_signal: c_int, info: *const SysInfo, _context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel hands a signal over with what it comes with.
    let call = unsafe { (*info).call }.cast_unsigned();
    // SAFETY: null, or this child's own entry, which is mapped for as long as the process lives.
    match unsafe { VIOLATION.load(Relaxed).as_ref() } {
        // 0 is a call, too.
        Some(noted) => noted.store(call + 1, Relaxed),
        None => say(call),
    }
    // SAFETY: _exit(2) takes a number and does not return.
    unsafe { libc::_exit(128 + libc::SIGSYS) }
}

/// As [`on_violation`]; nothing is allocated.
fn say(call: u32) {
    let mut text = *b"seccomp has ended the process: system call .....\n";
    let mut left = call;
    for digit in text.iter_mut().rev().skip(1).take(5) {
        *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
    }
    // SAFETY: it writes from an array of that length.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
}
