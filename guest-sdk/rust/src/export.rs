//! What the host calls: the steps of the handler, on the one request of this instance.
//!
//! But for the flush, nothing here or in a module's `sys` needs the allocator or can panic: of a
//! handler that does without them, neither is in the file.

use std::cell::RefCell;
use std::io::{self, Write};
use std::thread::LocalKey;

use crate::{Handler, Request, Result, sys};

thread_local! {
    static REQUEST: RefCell<Request> = const { RefCell::new(Request::of_the_host()) };
}

/// Where the handler lives from its first step to its last.
pub struct Slot<H>(RefCell<Option<H>>);

impl<H> Slot<H> {
    /// Before the first step.
    pub const fn empty() -> Self {
        Self(RefCell::new(None))
    }
}

/// The export `setup`: the first call of an instance, because `handler!` always exports it.
pub fn setup<H: Handler>(slot: &'static LocalKey<Slot<H>>) -> sys::Outcome {
    sys::initialize();
    step(slot, H::setup, Result::is_err)
}

/// The export `handle`.
pub fn handle<H: Handler>(slot: &'static LocalKey<Slot<H>>) -> sys::Outcome {
    step(slot, H::handle, |_| false)
}

/// The export `finish`.
pub fn finish<H: Handler>(slot: &'static LocalKey<Slot<H>>) -> sys::Outcome {
    step(slot, H::finish, |_| true)
}

#[inline]
fn step<H: Handler>(
    slot: &'static LocalKey<Slot<H>>,
    call: fn(&mut H, &mut Request) -> Result,
    is_last: fn(&Result) -> bool,
) -> sys::Outcome {
    let result = slot.try_with(|slot| {
        REQUEST.try_with(|request| {
            let mut handler = slot.0.try_borrow_mut().ok()?;
            let mut request = request.try_borrow_mut().ok()?;
            let result = call(handler.get_or_insert_with(H::default), &mut request);
            if is_last(&result) {
                *handler = None;
            }
            Some(result)
        })
    });
    let Ok(Ok(Some(result))) = result else {
        // A step within a step, or after the end: the host calls one after the other.
        std::arch::wasm32::unreachable()
    };
    if H::PRINTS {
        // A log that cannot be written is no reason to fail the request.
        let _ = io::stdout().flush();
    }
    sys::outcome(result)
}
