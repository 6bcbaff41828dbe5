//! What a forked child does, from fork to exit, and the signals that it acts on.

#![expect(unsafe_code, reason = "signal handlers, and the end of a child")]

use std::io;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering::Relaxed};

use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};
use signal_hook::SigId;
use signal_hook::low_level;

use super::{Fork, Slot};
use crate::forked::become_child;
use crate::harden;
use crate::outcome::Outcome;
use crate::request::{Request, lock};

/// Ends the request of the child that it is sent to.
pub(crate) const CUT: Signal = Signal::SIGUSR1;

/// Sent by the system to the children of a process that has died (`PR_SET_PDEATHSIG`).
const PARENT_DIED: Signal = Signal::SIGUSR2;

/// The process that forks; a signal that reaches it is not meant for a child.
static FORKER: AtomicI32 = AtomicI32::new(0);

/// Who takes over the children of a forker that has died; 0 for nobody.
static SUPERVISOR: AtomicI32 = AtomicI32::new(0);

/// The request of this child.
static REQUEST: AtomicPtr<Request> = AtomicPtr::new(ptr::null_mut());

/// Sets up what children inherit.
pub(super) fn handle_signals(supervisor: Option<Pid>) -> io::Result<Vec<SigId>> {
    FORKER.store(getpid().as_raw(), Relaxed);
    SUPERVISOR.store(supervisor.map_or(0, Pid::as_raw), Relaxed);
    // SAFETY: both call only what signal-safety(7) allows, see there.
    unsafe {
        Ok(vec![
            low_level::register(CUT as i32, on_cut)?,
            low_level::register(PARENT_DIED as i32, on_parent_died)?,
        ])
    }
}

/// In a signal handler: getpid(2), atomics, and shutdown(2).
fn on_cut() {
    if getpid().as_raw() == FORKER.load(Relaxed) {
        return;
    }
    // SAFETY: null, or the request that this child keeps until it exits.
    if let Some(request) = unsafe { REQUEST.load(Relaxed).as_ref() } {
        request.cut_by_signal();
    }
}

/// In a signal handler: getpid(2), getppid(2) and _exit(2).
fn on_parent_died() {
    if getpid().as_raw() != FORKER.load(Relaxed) && is_orphan() {
        exit(1);
    }
}

/// Nobody is left who would wait for this child, or end it.
fn is_orphan() -> bool {
    let parent = getppid().as_raw();
    parent != FORKER.load(Relaxed) && parent != SUPERVISOR.load(Relaxed)
}

/// Ends the process without a look at what it has inherited from its parent.
fn exit(code: i32) -> ! {
    // SAFETY: _exit(2) takes a number and does not return; nothing of ours has to be undone.
    unsafe { libc::_exit(code) }
}

/// The request of the child that is about to be forked: its signals may come at once.
pub(super) fn set_request(request: &Arc<Request>) {
    REQUEST.store(Arc::as_ptr(request).cast_mut(), Relaxed);
}

pub(super) fn forget_request() {
    REQUEST.store(ptr::null_mut(), Relaxed);
}

impl Fork {
    /// Serves the request, and exits.
    pub(super) fn child(&self, slot: Slot, request: Arc<Request>) -> ! {
        // They are the parent's: to give them back is not for us.
        let slot = ManuallyDrop::new(slot);
        let _kept_for_signals = ManuallyDrop::new(request.clone());
        let pid = getpid();
        slot.set_pid(pid.as_raw());
        become_child();
        let is_told_of_death = prctl::set_pdeathsig(PARENT_DIED).is_ok();
        if !is_told_of_death || is_orphan() {
            exit(1);
        }
        for listener in lock(&self.not_for_children).drain(..) {
            // SAFETY: the parent's listener keeps its own descriptor; in this process nobody uses it.
            unsafe { libc::close(listener) };
        }
        harden::VIOLATION.store(ptr::from_ref(slot.violation()).cast_mut(), Relaxed);
        if harden::confine_child(pid).is_err() || self.lifetime.bound_cpu().is_err() {
            exit(1);
        }
        let mut told = |outcome| {
            if outcome == Outcome::Cut {
                slot.counters().cut.fetch_add(1, Relaxed);
            }
            slot.set_told();
        };
        let served = catch_unwind(AssertUnwindSafe(|| (self.process)(request, &mut told)));
        exit(i32::from(served.is_err()));
    }
}
