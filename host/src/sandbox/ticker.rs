//! What moves an engine's epoch, so that guest code is asked whether its time is over.

#![expect(unsafe_code, reason = "a signal handler, and the timer that calls it")]

use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use nix::libc;
use signal_hook::low_level;
use wasmtime::Engine;

/// How often guest code is asked: what a CPU limit is exact to.
const TICK: Duration = Duration::from_millis(10);

/// Who moves the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ticker {
    /// A thread, for as long as the engine lives.
    #[default]
    Thread,
    /// In each forked child a timer that runs while the child does: threads do not survive a fork.
    Child,
}

/// The engine of this child, for the signal handler: null, or leaked.
static ENGINE: AtomicPtr<Engine> = AtomicPtr::new(ptr::null_mut());

impl Ticker {
    /// # Errors
    ///
    /// No thread is to be had, or no signal handler.
    pub(super) fn start(self, engine: &Engine) -> wasmtime::Result<()> {
        match self {
            Ticker::Thread => start_thread(engine),
            Ticker::Child => {
                // The stack for signals, which each child inherits instead of making its own.
                Engine::tls_eager_initialize();
                handle_timer()
            }
        }
    }

    /// A request begins to run guest code.
    pub(crate) fn request(self, engine: &Engine) {
        if self == Ticker::Child {
            // SAFETY: null, or what was leaked here.
            let known = unsafe { ENGINE.load(Relaxed).as_ref() };
            if !known.is_some_and(|known| Engine::same(known, engine)) {
                // It must live for as long as the timer, which is as long as the process: a child's, as a
                // rule, but whoever embeds us may run its handler wherever it likes.
                ENGINE.store(Box::leak(Box::new(engine.clone())), Relaxed);
            }
            start_timer();
        }
    }
}

fn start_thread(engine: &Engine) -> wasmtime::Result<()> {
    let engine = engine.weak();
    thread::Builder::new()
        .name("ticker".to_owned())
        .stack_size(64 << 10)
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        })?;
    Ok(())
}

/// One handler for the process and for the children that inherit it.
fn handle_timer() -> wasmtime::Result<()> {
    static HANDLED: Once = Once::new();
    let mut result = Ok(());
    HANDLED.call_once(|| {
        let tick = || {
            // SAFETY: null, or leaked.
            if let Some(engine) = unsafe { ENGINE.load(Relaxed).as_ref() } {
                engine.increment_epoch();
            }
        };
        // SAFETY: the handler changes one atomic: `increment_epoch` is documented to be signal-safe.
        result = unsafe { low_level::register(libc::SIGPROF, tick) }.map(drop);
    });
    Ok(result?)
}

/// A timer of the process's CPU time (setitimer(2), `ITIMER_PROF`): while it is blocked, and host calls
/// see to the clocks themselves, nothing wakes it.
fn start_timer() {
    let tick = libc::timeval {
        tv_sec: 0,
        tv_usec: libc::suseconds_t::from(TICK.subsec_micros().cast_signed()),
    };
    let timer = libc::itimerval {
        it_interval: tick,
        it_value: tick,
    };
    // SAFETY: it reads the one struct that it is handed, and fails only for values that are none.
    unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const timer, ptr::null_mut()) };
}
