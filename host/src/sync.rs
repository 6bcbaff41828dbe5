//! Locks, conditions and threads, as handing requests over uses them: the system's; or, with the feature
//! `schedules`, those of an explorer that leads the same code through thousands of schedules
//! (`server/schedules.rs`).

use std::sync::PoisonError;
use std::time::Duration;

#[cfg(not(feature = "schedules"))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, atomic::AtomicBool},
    thread,
};

#[cfg(feature = "schedules")]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, atomic::AtomicBool},
    thread,
};

#[cfg(not(feature = "schedules"))]
pub(crate) use crate::request::lock;

#[cfg(feature = "schedules")]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits to be notified, for at most `timeout`; whether that has passed. `mutex` is the guard's.
#[cfg(not(feature = "schedules"))]
pub(crate) fn wait_timeout<'a, T>(
    condition: &Condvar,
    _mutex: &'a Mutex<T>,
    guard: MutexGuard<'a, T>,
    timeout: Duration,
) -> (MutexGuard<'a, T>, bool) {
    let (guard, waited) = condition
        .wait_timeout(guard, timeout)
        .unwrap_or_else(PoisonError::into_inner);
    (guard, waited.timed_out())
}

/// The explorer's own never times out: here the time has passed as often as not, and whatever others do before
/// the lock is had again, they have done.
#[cfg(feature = "schedules")]
pub(crate) fn wait_timeout<'a, T>(
    condition: &Condvar,
    mutex: &'a Mutex<T>,
    guard: MutexGuard<'a, T>,
    timeout: Duration,
) -> (MutexGuard<'a, T>, bool) {
    use shuttle::rand::{Rng, thread_rng};
    if timeout == Duration::MAX || thread_rng().r#gen() {
        let guard = condition.wait(guard);
        return (guard.unwrap_or_else(PoisonError::into_inner), false);
    }
    drop(guard);
    thread::yield_now();
    (lock(mutex), true)
}
