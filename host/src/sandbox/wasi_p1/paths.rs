//! Preview 1's calls that open a name in a granted folder, see [`opening`].
//!
//! wasmtime-wasi alone can give a file a number. So it opens what cannot block, `/dev/null` for a file, and its entry is
//! then given the file that was opened here.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::sync::Arc;

use rustix::fs::{Timespec, UTIME_NOW, UTIME_OMIT};
use wasmtime::component::Resource;
use wasmtime::{Caller, Linker};
use wasmtime_wasi::filesystem::{Descriptor, Dir};
use wasmtime_wasi::p1::types::Errno;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as p1;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wiggle::GuestMemory;

use super::super::guest::{Guest, guest_memory, slice, slice_mut};
use super::super::opening::{self, Wanted};
use super::super::wait::{self, trap};
use super::{MODULE, errno, load_u32, names, number};
use crate::events::host_call_of_several;

/// `lookupflags`
const FOLLOW: i32 = 1;

/// `oflags`
const CREATE: i32 = 1;
const DIRECTORY: i32 = 2;
const EXCLUSIVE: i32 = 4;
const TRUNCATE: i32 = 8;

/// `rights`
const READ: i64 = 1 << 1;
const WRITE: i64 = 1 << 6;

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "path_open", path_open)?;
    linker.func_wrap(MODULE, "path_filestat_set_times", path_filestat_set_times)?;
    Ok(())
}

/// What `path_open` is called with, but for the name.
#[derive(Clone, Copy)]
struct Open {
    fd: i32,
    lookup: i32,
    oflags: i32,
    rights: i64,
    inheriting: i64,
    fdflags: i32,
}

impl Open {
    fn wanted(self) -> Wanted {
        Wanted {
            follow: self.lookup & FOLLOW != 0,
            create: self.oflags & CREATE != 0,
            exclusive: self.oflags & EXCLUSIVE != 0,
            truncate: self.oflags & TRUNCATE != 0,
            folder: self.oflags & DIRECTORY != 0,
            read: self.rights & READ != 0,
            write: self.rights & WRITE != 0,
        }
    }
}

/// As preview 1's, for regular files and folders, and for names that are not there yet.
#[expect(clippy::too_many_arguments, reason = "preview 1 has them")]
fn path_open(
    mut caller: Caller<'_, Guest>,
    fd: i32,
    lookup: i32,
    path: i32,
    path_len: i32,
    oflags: i32,
    rights: i64,
    inheriting: i64,
    fdflags: i32,
    opened: i32,
) -> wasmtime::Result<i32> {
    let _called = host_call_of_several(MODULE, "path_open");
    let (memory, guest) = guest_memory(&mut caller)?;
    if names::is_too_long(path_len) {
        return Ok(errno::NAMETOOLONG);
    }
    let name = slice(memory, path, path_len)?.to_vec();
    let result = slice_mut(memory, opened, 4)?;
    if !guest.open_files.has_room() {
        return Ok(errno::MFILE);
    }
    guest.note_granted_folders()?;
    let how = Open {
        fd,
        lookup,
        oflags,
        rights,
        inheriting,
        fdflags,
    };
    let opened = match guest.open(how, &name)? {
        Ok(opened) => opened,
        Err(errno) => return Ok(errno),
    };
    result.copy_from_slice(&opened.to_le_bytes());
    guest.open_files.number_opened();
    guest.note_opened(opened);
    if guest.request.journal().is_some() {
        guest.record_opened(fd, &name, opened);
    }
    Ok(errno::SUCCESS)
}

impl Guest {
    /// The number of what was opened, or an errno.
    fn open(&mut self, how: Open, name: &[u8]) -> wasmtime::Result<Result<u32, i32>> {
        // What wasmtime-wasi says of the arguments: it comes as far as looking for a name that nothing has.
        match self.open_by_wasmtime(how, b"")? {
            Err(errno::NOENT) => {}
            other => return Ok(other),
        }
        let Ok(name) = str::from_utf8(name) else {
            return Ok(Err(errno::ILSEQ));
        };
        let Some((handle, folder)) = self.folder_of(how.fd) else {
            return Ok(Err(errno::BADF));
        };
        let opened = match opening::open(&folder, name, how.wanted()) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return self.look_and_open(how, name.as_bytes());
            }
            Err(error) => return Ok(Err(errno_of_system(error))),
        };
        let (stand_in, name) = match (&opened, self.grants.devices()) {
            (Descriptor::Dir(opened), _) => (opened.dir.clone(), &b"."[..]),
            (Descriptor::File(_), Some(devices)) => (devices, &b"null"[..]),
            (Descriptor::File(_), None) => return Ok(Err(errno::IO)),
        };
        let read = Open {
            oflags: 0,
            rights: READ,
            ..how
        };
        self.put_folder(&handle, stand_in)?;
        let number = self.open_by_wasmtime(read, name);
        self.put_folder(&handle, folder.dir)?;
        let number = match number? {
            Ok(number) => number,
            Err(errno) => return Ok(Err(errno)),
        };
        if let Descriptor::File(_) = opened {
            self.put_file(opened)?;
        }
        Ok(Ok(number))
    }

    fn open_by_wasmtime(&mut self, how: Open, name: &[u8]) -> wasmtime::Result<Result<u32, i32>> {
        // The call takes guest memory: here a buffer with the result in front of the name.
        const RESULT: usize = 4;
        let mut scratch = [&[0; RESULT], name].concat();
        let len = i32::try_from(name.len())?;
        let request = self.request.clone();
        let mut memory = GuestMemory::Unshared(&mut scratch);
        let call = p1::path_open(
            self.preview1(),
            &mut memory,
            how.fd,
            how.lookup,
            RESULT as i32,
            len,
            how.oflags,
            how.rights,
            how.inheriting,
            how.fdflags,
            0,
        );
        let result = wait::block_on(&request, 0, call).map_err(trap)??;
        Ok(match result {
            errno::SUCCESS => Ok(load_u32(&scratch, 0)?),
            errno => Err(errno),
        })
    }

    /// For systems without openat2(2): what is not opened is what is a FIFO already.
    fn look_and_open(&mut self, how: Open, name: &[u8]) -> wasmtime::Result<Result<u32, i32>> {
        match self.is_openable(how.fd, how.lookup, name)? {
            true => self.open_by_wasmtime(how, name),
            false => Ok(Err(errno::ACCES)),
        }
    }

    /// Whether a name in a folder is a regular file, a folder, a link that is not followed, or nothing.
    fn is_openable(&mut self, fd: i32, lookup: i32, name: &[u8]) -> wasmtime::Result<bool> {
        const STAT: usize = 64;
        const FILETYPE: usize = 16;
        let mut scratch = [&[0; STAT], name].concat();
        let len = i32::try_from(name.len())?;
        let request = self.request.clone();
        let mut memory = GuestMemory::Unshared(&mut scratch);
        let call = p1::path_filestat_get(
            self.preview1(),
            &mut memory,
            fd,
            lookup,
            STAT as i32,
            len,
            0,
        );
        let result = wait::block_on(&request, 0, call).map_err(trap)??;
        // Preview 1's filetype: 3 is a directory, 4 a regular file, 7 a symbolic link.
        Ok(result != errno::SUCCESS || matches!(scratch[FILETYPE], 3 | 4 | 7))
    }

    /// An open folder, and the handle that wasmtime-wasi has of it.
    fn folder_of(&mut self, fd: i32) -> Option<(Resource<Descriptor>, Dir)> {
        let wanted = self.folder(number(fd))?;
        self.find(|descriptor| match descriptor {
            Descriptor::Dir(folder) if Arc::ptr_eq(&folder.dir, &wanted) => Some(folder.clone()),
            _ => None,
        })
    }

    fn put_folder(&mut self, at: &Resource<Descriptor>, put: Arc<File>) -> wasmtime::Result<()> {
        if let Descriptor::Dir(folder) = self.table().get_mut(at)? {
            folder.dir = put;
        }
        Ok(())
    }

    /// In the place of the stand-in, which is the only device that it has open.
    fn put_file(&mut self, file: Descriptor) -> wasmtime::Result<()> {
        let stand_in = self.find(|descriptor| match descriptor {
            Descriptor::File(file) => {
                let found = file.file.metadata().ok()?;
                found.file_type().is_char_device().then_some(())
            }
            Descriptor::Dir(_) => None,
        });
        let (handle, ()) = stand_in.ok_or_else(|| wasmtime::Error::msg("an open file is lost"))?;
        *self.table().get_mut(&handle)? = file;
        Ok(())
    }

    /// For the request's journal: what is there, and under which number.
    fn record_opened(&mut self, fd: i32, name: &[u8], opened: u32) {
        let Some(place) = self.places.beneath(number(fd), name) else {
            self.request
                .not_recorded("a file of a folder that was renumbered");
            return;
        };
        self.grants.record(&self.request, &place);
        self.places.opened(opened, place);
    }
}

/// What preview 1 calls an error of the system's.
fn errno_of_system(error: io::Error) -> i32 {
    i32::from(u16::from(Errno::from(ErrorCode::from(error))))
}

/// As preview 1's, which opens a file for it.
#[expect(clippy::too_many_arguments, reason = "preview 1 has them")]
fn path_filestat_set_times(
    mut caller: Caller<'_, Guest>,
    fd: i32,
    lookup: i32,
    path: i32,
    path_len: i32,
    atim: i64,
    mtim: i64,
    fst: i32,
) -> wasmtime::Result<i32> {
    let _called = host_call_of_several(MODULE, "path_filestat_set_times");
    if names::is_too_long(path_len) {
        return Ok(errno::NAMETOOLONG);
    }
    if lookup & FOLLOW == 0 {
        return wasmtime_wasi!(
            caller.path_filestat_set_times(fd, lookup, path, path_len, atim, mtim, fst)
        );
    }
    let (memory, _) = guest_memory(&mut caller)?;
    let name = slice(memory, path, path_len)?.to_vec();
    // As in `open`.
    let call = wasmtime_wasi!(caller.path_filestat_set_times(fd, lookup, path, 0, atim, mtim, fst));
    match call? {
        errno::NOENT => {}
        other => return Ok(other),
    }
    let guest = caller.data_mut();
    guest.note_granted_folders()?;
    let Ok(name) = str::from_utf8(&name) else {
        return Ok(errno::ILSEQ);
    };
    let Some((_, folder)) = guest.folder_of(fd) else {
        return Ok(errno::BADF);
    };
    let times = [time(atim, fst & 1, fst & 2), time(mtim, fst & 4, fst & 8)];
    Ok(match opening::set_times(&folder, name, &times) {
        Ok(()) => errno::SUCCESS,
        Err(error) => errno_of_system(error),
    })
}

/// Nanoseconds where they are to be set, the time of day, or what it is.
fn time(nanos: i64, is_set: i32, is_now: i32) -> Timespec {
    let nanos = nanos.cast_unsigned();
    let (tv_sec, tv_nsec) = match (is_set, is_now) {
        (0, 0) => (0, UTIME_OMIT),
        (0, _) => (0, UTIME_NOW),
        _ => (
            (nanos / 1_000_000_000).cast_signed(),
            (nanos % 1_000_000_000).cast_signed(),
        ),
    };
    Timespec { tv_sec, tv_nsec }
}
