//! The program's own code and constants on huge pages, so that its children need not be given them piece by piece.
//!
//! A fork copies the page tables of memory that belongs to the process, and leaves out those of files: a child takes a
//! page fault for each piece of the program that it comes to, some sixty, and gives back a thousand pages when it ends.
//! Huge pages are memory, and the whole of a program is a handful of them.

#![expect(unsafe_code, reason = "what runs is put elsewhere")]

use std::num::NonZeroUsize;
use std::os::raw::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::slice;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{
    MRemapFlags, MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, mprotect, mremap, munmap,
};

/// A huge page of x86-64, and of AArch64 with pages of 4 KiB, in bytes.
const HUGE: usize = 2 << 20;

/// Linux 6.1 and later: huge pages now, or an error (`linux/mman.h`).
const MADV_COLLAPSE: c_int = 25;

/// A part of the program that is only read, or run.
struct Segment {
    start: usize,
    end: usize,
    is_code: bool,
}

/// Moves what of the program fills whole huge pages, and says how many bytes that is.
///
/// # Errors
///
/// The system has no huge pages for it: what was not moved is as it was. (Where it has them and runs out of memory for
/// the tables at that very moment, the process ends.)
///
/// # Safety
///
/// No other thread may run.
pub(super) unsafe fn move_program() -> nix::Result<usize> {
    let mut moved = 0;
    for segment in segments() {
        let start = segment.start.next_multiple_of(HUGE);
        let length = (segment.end / HUGE * HUGE).saturating_sub(start);
        if let Some(start) = NonNull::new(ptr::with_exposed_provenance_mut(start))
            && length > 0
        {
            // SAFETY: it is a part of this program, which is mapped for as long as it runs.
            unsafe { move_pages(start, length, segment.is_code)? };
            moved += length;
        }
    }
    Ok(moved)
}

/// # Safety
///
/// Both are whole huge pages of the program, which can be read and are never written; no other thread runs.
unsafe fn move_pages(start: NonNull<c_void>, length: usize, is_code: bool) -> nix::Result<()> {
    let room = NonZeroUsize::new(length + HUGE).ok_or(Errno::EINVAL)?;
    let writable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let readable = match is_code {
        true => ProtFlags::PROT_READ | ProtFlags::PROT_EXEC,
        false => ProtFlags::PROT_READ,
    };
    // SAFETY: the copy lies in new memory, of which nobody else knows. mremap(2) puts it in its place in one step:
    // whoever returns from there finds the same instructions. What is unmapped is the rest of the new memory.
    unsafe {
        let new = mmap_anonymous(None, room, writable, MapFlags::MAP_PRIVATE)?;
        let before = new.as_ptr().align_offset(HUGE);
        let copy = new.byte_add(before);
        // Then they are huge as they are written to, for the most part; what this does not do is done below.
        let _ = madvise(copy, length, MmapAdvise::MADV_HUGEPAGE);
        ptr::copy_nonoverlapping(start.cast::<u8>().as_ptr(), copy.cast().as_ptr(), length);
        let collapsed = Errno::result(libc::madvise(copy.as_ptr(), length, MADV_COLLAPSE));
        let moved = collapsed.and_then(|_| {
            mprotect(copy, length, readable)?;
            let how = MRemapFlags::MREMAP_MAYMOVE | MRemapFlags::MREMAP_FIXED;
            mremap(copy, length, length, how, Some(start))
        });
        if moved.is_err() {
            return munmap(new, room.get()).and(moved.map(drop));
        }
        if before > 0 {
            munmap(new, before)?;
        }
        munmap(copy.byte_add(length), HUGE - before)
    }
}

/// Of the program, without its libraries.
fn segments() -> Vec<Segment> {
    unsafe extern "C" fn look(
        object: *mut libc::dl_phdr_info,
        _size: usize,
        found: *mut c_void,
    ) -> c_int {
        // SAFETY: dl_iterate_phdr(3) calls this with an object that has so many headers, and with what it was handed.
        let (object, headers, found) = unsafe {
            let object = &*object;
            let headers = slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into());
            (object, headers, &mut *found.cast::<Vec<Segment>>())
        };
        let is_constant = |header: &&libc::Elf64_Phdr| {
            let rights = header.p_flags & (libc::PF_R | libc::PF_W);
            header.p_type == libc::PT_LOAD && rights == libc::PF_R
        };
        found.extend(headers.iter().filter(is_constant).map(|header| {
            let start = (object.dlpi_addr + header.p_vaddr) as usize;
            Segment {
                start,
                end: start + header.p_memsz as usize,
                is_code: header.p_flags & libc::PF_X != 0,
            }
        }));
        // The first object is the program: none of the others is wanted.
        1
    }
    let mut found: Vec<Segment> = Vec::new();
    // SAFETY: `look` takes what is handed over as what it is.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut found).cast()) };
    found
}
