//! Preview 1's `poll_oneoff`, which is sleeping, too: it ends at the request's deadline.

use std::time::Duration;

use wasmtime::Caller;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as p1;
use wiggle::GuestMemory;

use super::super::guest::{Guest, guest_memory, slice, slice_mut};
use super::super::wait::{self, trap};
use super::super::wasi::Descriptor;
use super::{MODULE, clock_now, errno};
use crate::events::host_call_of_several;
use crate::request::{IoError, Request};

/// Sizes of preview 1's `subscription` and `event`, in bytes.
const SUBSCRIPTION: usize = 48;
const EVENT: usize = 32;

/// More subscriptions than a handler can have descriptors are a mistake.
const MOST: u32 = 1024;

/// Preview 1's `eventtype`.
const CLOCK: u8 = 0;
const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;

struct Subscription {
    userdata: [u8; 8],
    kind: u8,
    waits: Waits,
}

enum Waits {
    /// For this long.
    Time(Duration),
    /// Until `rfile` is readable.
    Input,
    /// It is ready.
    Ready,
    /// It cannot be waited for: the event says why.
    Failed(i32),
}

pub(super) fn poll_oneoff(
    mut caller: Caller<'_, Guest>,
    subscriptions: i32,
    events: i32,
    count: i32,
    stored: i32,
) -> wasmtime::Result<i32> {
    let _called = host_call_of_several(MODULE, "poll_oneoff");
    let count = count.cast_unsigned();
    if count == 0 || count > MOST {
        return Ok(errno::INVAL);
    }
    let (memory, guest) = guest_memory(&mut caller)?;
    let table = slice(
        memory,
        subscriptions,
        (count * SUBSCRIPTION as u32).cast_signed(),
    )?;
    let subscriptions = table
        .chunks_exact(SUBSCRIPTION)
        .map(|bytes| parse(guest, bytes))
        .collect::<wasmtime::Result<Vec<_>>>()?;
    // The room for the events is looked at before anything is waited for.
    slice_mut(memory, events, (count * EVENT as u32).cast_signed())?;
    let request = guest.request.clone();
    let there = request
        .waited(|| wait_for_one(&request, &subscriptions))
        .map_err(trap)?;
    let mut ready = 0;
    // Of a recording that a person has changed a number can be any.
    for subscription in there
        .iter()
        .filter_map(|at| subscriptions.get(*at as usize))
    {
        let error = match subscription.waits {
            Waits::Failed(error) => error,
            _ => errno::SUCCESS,
        };
        let at = events.wrapping_add((ready * EVENT) as i32);
        let event = slice_mut(memory, at, EVENT as i32)?;
        event.fill(0);
        event[..8].copy_from_slice(&subscription.userdata);
        event[8..10].copy_from_slice(&(error as u16).to_le_bytes());
        event[10] = subscription.kind;
        // How many bytes are there is not known without reading them: at least one.
        event[16] = u8::from(subscription.kind != CLOCK);
        ready += 1;
    }
    slice_mut(memory, stored, 4)?.copy_from_slice(&(ready as u32).to_le_bytes());
    Ok(errno::SUCCESS)
}

/// Waits for the nearest of the subscriptions; the numbers of all that are there then.
fn wait_for_one(request: &Request, subscriptions: &[Subscription]) -> Result<Vec<u32>, IoError> {
    let started = request.started().elapsed();
    let input_is_ready = wait_for_nearest(request, subscriptions)?;
    let passed = request.started().elapsed() - started;
    let is_there = |subscription: &Subscription| match subscription.waits {
        Waits::Time(time) => time <= passed,
        Waits::Input => input_is_ready,
        Waits::Ready | Waits::Failed(_) => true,
    };
    let numbered = (0..).zip(subscriptions);
    Ok(numbered
        .filter(|(_, subscription)| is_there(subscription))
        .map(|(number, _)| number)
        .collect())
}

/// `true` where `rfile` is readable.
fn wait_for_nearest(request: &Request, subscriptions: &[Subscription]) -> Result<bool, IoError> {
    let mut nearest = None::<Duration>;
    let mut input = false;
    for subscription in subscriptions {
        let time = match subscription.waits {
            Waits::Time(time) => time,
            Waits::Ready | Waits::Failed(_) => Duration::ZERO,
            Waits::Input => {
                input = true;
                continue;
            }
        };
        nearest = Some(nearest.map_or(time, |nearest| nearest.min(time)));
    }
    if input {
        return request.wait_readable(nearest);
    }
    request.sleep(nearest)?;
    Ok(false)
}

fn parse(guest: &mut Guest, bytes: &[u8]) -> wasmtime::Result<Subscription> {
    let int =
        |at: usize| i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let long = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(eight)
    };
    let mut userdata = [0; 8];
    userdata.copy_from_slice(&bytes[..8]);
    let kind = bytes[8];
    let waits = match kind {
        CLOCK => {
            let (clock, timeout) = (int(16), long(24));
            let is_absolute = bytes[40] & 1 != 0;
            match clock_now(guest, clock) {
                None => Waits::Failed(errno::INVAL),
                Some(now) if is_absolute => {
                    Waits::Time(Duration::from_nanos(timeout.saturating_sub(now)))
                }
                Some(_) => Waits::Time(Duration::from_nanos(timeout)),
            }
        }
        FD_READ | FD_WRITE => descriptor(guest, int(16), kind)?,
        _ => Waits::Failed(errno::INVAL),
    };
    Ok(Subscription {
        userdata,
        kind,
        waits,
    })
}

fn descriptor(guest: &mut Guest, fd: i32, kind: u8) -> wasmtime::Result<Waits> {
    Ok(match guest.descriptors.get(fd.cast_unsigned()) {
        Some(Descriptor::Rfile) if kind == FD_READ => Waits::Input,
        Some(Descriptor::Empty) if kind == FD_READ => Waits::Ready,
        // A write waits by itself, and no longer than the limits let it.
        Some(Descriptor::Wfile | Descriptor::Log(_)) if kind == FD_WRITE => Waits::Ready,
        Some(_) => Waits::Failed(errno::BADF),
        // A file is always ready, where the descriptor is one.
        None => {
            let mut scratch = [0; 24];
            let request = guest.request.clone();
            let mut memory = GuestMemory::Unshared(&mut scratch);
            let call = p1::fd_fdstat_get(guest.preview1(), &mut memory, fd, 0);
            match wait::block_on(&request, 0, call).map_err(trap)?? {
                errno::SUCCESS => Waits::Ready,
                error => Waits::Failed(error),
            }
        }
    })
}
