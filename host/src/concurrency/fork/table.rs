//! What all processes of one service share: who serves what, and the counters that go on when one of
//! them is started again. It lies in memory that is mapped into each of them.

#![expect(unsafe_code, reason = "memory that processes share")]

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicI32, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
};

use crate::admission::Source;
use crate::harden;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// What goes on counting when a loop is started again, and what several listeners count together.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Counters {
    /// The number of the last request.
    pub(crate) ids: AtomicU64,
    /// Tickets of `--max-requests` that are out or used up, and those that are used up.
    pub(crate) tickets_out: AtomicU32,
    pub(crate) tickets_used: AtomicU32,
    /// Requests that were ended by shutdown.
    pub(crate) cut: AtomicU32,
    /// Lines of the log that could not be handed over.
    pub(crate) lines_lost: AtomicU64,
    /// Core dumps that were not put together, since another one was.
    pub(crate) dumps_lost: AtomicU64,
    /// The entry whose child puts a core dump together, and 1; 0 for none.
    dumping: AtomicU32,
}

/// Counters of this process alone, or of all that share a table.
pub(crate) enum Counting {
    Alone(Counters),
    Shared(Arc<Table>),
}

impl Counting {
    pub(crate) fn get(&self) -> &Counters {
        match self {
            Counting::Alone(counters) => counters,
            Counting::Shared(table) => table.counters(),
        }
    }
}

impl Default for Counting {
    fn default() -> Self {
        Counting::Alone(Counters::default())
    }
}

/// One request of one child.
#[derive(Debug, Default)]
#[repr(C)]
struct Entry {
    state: AtomicU32,
    /// The child; 0 until it is forked.
    pid: AtomicI32,
    /// The process whose child it is.
    parent: AtomicI32,
    id: AtomicU64,
    /// The [`Source`] that it is counted for, or [`NO_SOURCE`].
    source: AtomicU64,
    /// The system call for which the child was ended, and 1; 0 for none.
    violation: AtomicU32,
}

/// No source is this one.
const NO_SOURCE: u64 = u64::MAX;

/// No request has the entry; one is being served; its event was told; its connection has ended, and its child puts a
/// core dump together.
const FREE: u32 = 0;
const RUNNING: u32 = 1;
const TOLD: u32 = 2;
const DUMPING: u32 = 3;

impl Entry {
    /// Whether it counts as a request in flight.
    fn is_in_flight(&self) -> bool {
        ![FREE, DUMPING].contains(&self.state.load(SeqCst))
    }
}

/// The shared memory.
pub(crate) struct Table {
    memory: OwnedFd,
    start: NonNull<Counters>,
    entries: NonNull<Entry>,
    max: usize,
    /// Requests that may be in flight: fewer than there are entries where one more child may put a core dump together.
    max_in_flight: usize,
    /// The process that has mapped it, and takes entries: asked for once, and not for each request.
    process: i32,
}

// SAFETY: what the pointers lead to are atomics, and it stays mapped for as long as the value lives.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

/// Where the entries begin, in bytes: behind the counters, on a cache line of their own.
const ENTRIES: usize = 64;

impl Table {
    /// Room for `max_in_flight` requests at one time, and for `spare` children that put core dumps together.
    ///
    /// # Errors
    ///
    /// The system has no memory or no descriptor left.
    pub(crate) fn create(max_in_flight: usize, spare: usize) -> io::Result<Arc<Self>> {
        let max = max_in_flight.saturating_add(spare);
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = File::from(memfd_create(c"sandsock-table", flags)?);
        file.set_len(length(max).get() as u64)?;
        // Whoever made it shorter would end all that have it mapped, by SIGBUS.
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        // Zeros are counters at their start and free entries.
        Table::map(file.into(), max, spare)
    }

    /// The table that another process has made.
    ///
    /// # Errors
    ///
    /// It is not one, or cannot be mapped.
    pub(crate) fn open(memory: OwnedFd, spare: usize) -> io::Result<Arc<Self>> {
        let file = File::from(memory);
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        let entries = length
            .checked_sub(ENTRIES)
            .ok_or(io::ErrorKind::InvalidData)?;
        Table::map(file.into(), entries / size_of::<Entry>(), spare)
    }

    fn map(memory: OwnedFd, max: usize, spare: usize) -> io::Result<Arc<Self>> {
        const { assert!(size_of::<Counters>() <= ENTRIES) };
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice, as long as the file.
        let start = unsafe { mmap(None, length(max), access, MapFlags::MAP_SHARED, &memory, 0)? };
        // SAFETY: the mapping is longer than this.
        let entries = unsafe { start.byte_add(ENTRIES) };
        Ok(Arc::new(Table {
            memory,
            start: start.cast(),
            entries: entries.cast(),
            max,
            max_in_flight: max.saturating_sub(spare),
            process: nix::unistd::getpid().as_raw(),
        }))
    }

    pub(crate) fn counters(&self) -> &Counters {
        // SAFETY: it is mapped, aligned to a page, and made of atomics, for which every bit pattern is
        // a value.
        unsafe { self.start.as_ref() }
    }

    fn entries(&self) -> &[Entry] {
        // SAFETY: as for the counters; the mapping has room for so many.
        unsafe { std::slice::from_raw_parts(self.entries.as_ptr(), self.max) }
    }

    /// Requests that are being served.
    pub(crate) fn count(&self) -> usize {
        let in_flight = |entry: &&Entry| entry.is_in_flight();
        self.entries().iter().filter(in_flight).count()
    }

    /// An entry for a request of this process.
    pub(super) fn reserve(self: &Arc<Self>) -> Option<Slot> {
        let index = self.entries().iter().position(|entry| {
            entry
                .state
                .compare_exchange(FREE, RUNNING, SeqCst, Relaxed)
                .is_ok()
        })?;
        let slot = Slot {
            table: self.clone(),
            index,
        };
        // Counted after it was taken: of two processes at once none overlooks the other.
        if self.max_in_flight < self.max && self.count() > self.max_in_flight {
            return None;
        }
        slot.entry().pid.store(0, Relaxed);
        slot.entry().source.store(NO_SOURCE, Relaxed);
        slot.entry().violation.store(0, Relaxed);
        slot.entry().parent.store(self.process, Release);
        Some(slot)
    }

    /// Whether the child of this number may put a core dump together: one at a time may. It gives its turn back with
    /// its slot, whatever ends it.
    pub(crate) fn take_turn(&self, pid: u32) -> bool {
        let turn = &self.counters().dumping;
        self.entry_of(pid).is_some_and(|(index, _)| {
            let index = u32::try_from(index + 1).unwrap_or(u32::MAX);
            turn.compare_exchange(0, index, AcqRel, Relaxed).is_ok()
        })
    }

    /// Another child may put one together, while this one ends.
    pub(crate) fn give_turn_back(&self, pid: u32) {
        if let Some((index, _)) = self.entry_of(pid) {
            self.end_turn(index);
        }
    }

    fn end_turn(&self, index: usize) {
        let turn = u32::try_from(index + 1).unwrap_or(u32::MAX);
        // Where it is another one's that fails.
        let _ = (self.counters().dumping).compare_exchange(turn, 0, AcqRel, Relaxed);
    }

    /// The connection of this child has ended, and what is left is its core dump: it is in nobody's way.
    pub(crate) fn set_dumping(&self, pid: u32) {
        if let Some((_, entry)) = self.entry_of(pid) {
            entry.state.store(DUMPING, Release);
        }
    }

    fn entry_of(&self, pid: u32) -> Option<(usize, &Entry)> {
        let pid = pid.cast_signed();
        let mut entries = self.entries().iter().enumerate();
        entries
            .find(|(_, entry)| entry.state.load(Acquire) != FREE && entry.pid.load(Acquire) == pid)
    }

    /// Takes over the children of a process that has ended: their slots, processes and requests. What
    /// had no child yet is free again.
    pub(crate) fn orphans_of(self: &Arc<Self>, parent: i32) -> Vec<(i32, u64, Slot)> {
        let theirs = self.entries().iter().enumerate().filter(|(_, entry)| {
            entry.state.load(Acquire) != FREE && entry.parent.load(Acquire) == parent
        });
        theirs
            .map(|(index, entry)| {
                let slot = Slot {
                    table: self.clone(),
                    index,
                };
                (entry.pid.load(Acquire), entry.id.load(Acquire), slot)
            })
            .filter(|(pid, _, _)| *pid != 0)
            .collect()
    }
}

impl AsFd for Table {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nothing borrows from it any more.
        let _ = unsafe { munmap(self.start.cast(), length(self.max).get()) };
    }
}

fn length(max: usize) -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(ENTRIES + max * size_of::<Entry>() - 1)
}

/// An entry of the table, for as long as it is a request's.
pub(crate) struct Slot {
    table: Arc<Table>,
    index: usize,
}

impl Slot {
    fn entry(&self) -> &Entry {
        &self.table.entries()[self.index]
    }

    /// Counts it for a source; `false` where that has `max` without it.
    pub(crate) fn count_for(&self, source: Source, max: u32) -> bool {
        // Said before it is looked at: of two processes at once none overlooks the other.
        self.entry().source.store(source.to_bits(), SeqCst);
        let is_theirs =
            |entry: &&Entry| entry.is_in_flight() && entry.source.load(SeqCst) == source.to_bits();
        let count = self.table.entries().iter().filter(is_theirs).count();
        let has_room = u32::try_from(count).is_ok_and(|count| count <= max);
        if !has_room {
            self.entry().source.store(NO_SOURCE, SeqCst);
        }
        has_room
    }

    /// The request that is served.
    pub(crate) fn attach(&self, id: u64) {
        self.entry().id.store(id, Release);
    }

    /// The child that serves it.
    pub(super) fn set_pid(&self, pid: i32) {
        self.entry().pid.store(pid, Release);
    }

    /// The child has told the request's event.
    pub(super) fn set_told(&self) {
        self.entry().state.store(TOLD, Release);
    }

    /// Where a child that makes a system call that it may not make notes which.
    pub(super) fn violation(&self) -> &AtomicU32 {
        &self.entry().violation
    }

    /// Why its child has ended, where a system call was why.
    pub(crate) fn forbidden_call(&self) -> Option<String> {
        let call = self.violation().load(Relaxed).checked_sub(1)?;
        let name = harden::call_name(call);
        Some(format!(
            "it called {name}, which is not allowed to it: its process was ended by seccomp"
        ))
    }

    pub(crate) fn is_told(&self) -> bool {
        [TOLD, DUMPING].contains(&self.entry().state.load(Acquire))
    }

    /// Whether its child puts a core dump together, and does nothing else any more.
    pub(crate) fn is_dumping(&self) -> bool {
        self.entry().state.load(Acquire) == DUMPING
    }

    pub(crate) fn counters(&self) -> &Counters {
        self.table.counters()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.table.end_turn(self.index);
        self.entry().state.store(FREE, Release);
    }
}

#[cfg(test)]
mod tests;
