//! What lies in a granted folder: told in pieces, from the position that the guest has come to. wasmtime-wasi's own reads
//! the whole folder for each call, and looks at each file in it.

use std::collections::VecDeque;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Weak};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, RawDirEntry, SeekFrom};
use wasmtime::component::{LinkerInstance, Resource, ResourceType};
use wasmtime::{Caller, StoreContextMut};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{self, DescriptorType, ErrorCode};

use super::guest::{Guest, guest_memory, slice_mut};
use super::open_files::OPEN_FILES;
use super::wait::trap;
use super::wasi_p1::errno;
use crate::events::host_call;
use crate::request::Request;

/// What is asked of the system at one time, and kept of its answer, in bytes.
const PIECE: usize = 4 << 10;

/// What a request is charged for beginning at a position, and for a name, in bytes that could be copied in the time.
const START_COSTS: usize = 4 << 10;
const NAME_COSTS: usize = 1 << 10;

/// Calls `take` with each name from this position on, for as long as it says so. The position of a folder's start is 0,
/// and otherwise that behind a name.
fn names(
    folder: &File,
    position: u64,
    mut take: impl FnMut(&RawDirEntry<'_>) -> bool,
) -> io::Result<()> {
    // A descriptor of its own: others read the same folder from elsewhere.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = rustix::fs::openat(folder, c".", flags, Mode::empty())?;
    if position > 0 {
        rustix::fs::seek(&opened, SeekFrom::Start(position))?;
    }
    let mut buffer = [MaybeUninit::uninit(); PIECE];
    let mut entries = RawDir::new(&opened, &mut buffer);
    while let Some(entry) = entries.next() {
        if !take(&entry?) {
            break;
        }
    }
    Ok(())
}

/// Some file systems do not say it with the name (readdir(3)).
fn type_of(folder: &File, entry: &RawDirEntry<'_>) -> FileType {
    match entry.file_type() {
        FileType::Unknown => {
            rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                .map_or(FileType::Unknown, |found| {
                    FileType::from_raw_mode(found.st_mode)
                })
        }
        known => known,
    }
}

/// The number of a file, as wasmtime-wasi makes it: preview 1's `fd_filestat_get` has the same.
fn inode(device: u64, inode: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (device, inode).hash(&mut hasher);
    hasher.finish()
}

/// Folders that preview 1 has open, by their numbers: wasmtime-wasi keeps those to itself.
#[derive(Default)]
pub(super) struct Folders {
    has_granted: bool,
    open: Vec<(u32, Weak<File>)>,
}

/// Preview 1's first number behind standard input, output and error.
const FIRST: u32 = 3;

impl Folders {
    fn closed(&mut self, number: u32) {
        self.open.retain(|(open, _)| *open != number);
    }

    pub(super) fn renumbered(&mut self, from: u32, to: u32) {
        for (number, _) in &mut self.open {
            if *number == from {
                *number = to;
            }
        }
    }
}

impl Guest {
    /// Takes note of the granted folders, before one of them is closed or another folder opened.
    pub(super) fn note_granted_folders(&mut self) -> wasmtime::Result<()> {
        if self.folders.has_granted || !self.grants.has_folders() {
            return Ok(());
        }
        self.folders.has_granted = true;
        self.begin_preview1()?;
        for (number, folder) in (FIRST..).zip(self.new_folders()) {
            self.folders.open.push((number, folder));
        }
        Ok(())
    }

    /// Takes note of what was opened under this number, if it is a folder.
    pub(super) fn note_opened(&mut self, number: u32) {
        for folder in self.new_folders() {
            self.folders.open.push((number, folder));
        }
    }

    pub(super) fn note_closed(&mut self, number: u32) {
        self.folders.closed(number);
    }

    /// Folders that preview 1 has, in the order in which it has got them, and that are not known yet.
    fn new_folders(&mut self) -> Vec<Weak<File>> {
        let known: Vec<_> = self.folders.open.iter().map(|(_, f)| f.as_ptr()).collect();
        let all = self.descriptors_of_preview1();
        all.filter_map(|(_, descriptor)| match descriptor {
            Descriptor::Dir(folder) => Some(Arc::downgrade(&folder.dir)),
            Descriptor::File(_) => None,
        })
        .filter(|folder| !known.contains(&folder.as_ptr()))
        .collect()
    }

    /// What preview 1 has open, with the handles that wasmtime-wasi has of it.
    fn descriptors_of_preview1(
        &mut self,
    ) -> impl Iterator<Item = (Resource<Descriptor>, &Descriptor)> {
        let most = FIRST as usize + self.grants.folders() + OPEN_FILES;
        let table = self.table();
        // Its entries have the lowest numbers that are free; standard streams take three.
        let all = 0..u32::try_from(2 * most).unwrap_or(u32::MAX);
        all.filter_map(|number| {
            let descriptor = table.get(&Resource::new_borrow(number)).ok()?;
            Some((Resource::new_borrow(number), descriptor))
        })
    }

    /// The first of what preview 1 has open that is what is looked for.
    pub(super) fn find<T>(
        &mut self,
        is_it: impl Fn(&Descriptor) -> Option<T>,
    ) -> Option<(Resource<Descriptor>, T)> {
        self.descriptors_of_preview1()
            .find_map(|(handle, descriptor)| Some((handle, is_it(descriptor)?)))
    }

    pub(super) fn folder(&self, number: u32) -> Option<Arc<File>> {
        let mut open = self.folders.open.iter();
        open.find(|(open, _)| *open == number)?.1.upgrade()
    }
}

/// Preview 1's `dirent`: where the next one is, the file's number, the length of its name, its type.
const DIRENT: usize = 24;

/// As preview 1 says: names, each behind its head, until the buffer is full; the last one may be cut. Whoever asks again
/// says behind which name.
pub(super) fn fd_readdir(
    mut caller: Caller<'_, Guest>,
    fd: i32,
    ptr: i32,
    len: i32,
    position: i64,
    used: i32,
) -> wasmtime::Result<i32> {
    host_call("wasi_snapshot_preview1", "fd_readdir");
    caller.data_mut().note_granted_folders()?;
    let (memory, guest) = guest_memory(&mut caller)?;
    let Some(folder) = guest.folder(fd.cast_unsigned()) else {
        return Ok(errno::BADF);
    };
    let request = guest.request.clone();
    let room = slice_mut(memory, ptr, len)?;
    let (full, mut filled) = (room.len(), 0);
    let mut ended = request.charge(START_COSTS).err();
    let Ok(device) = folder.metadata().map(|found| found.dev()) else {
        return Ok(errno::IO);
    };
    let listed = names(&folder, position.cast_unsigned(), |entry| {
        if let Err(error) = request.charge(NAME_COSTS) {
            ended = Some(error);
        }
        if ended.is_some() || filled == full {
            return false;
        }
        let name = entry.file_name().to_bytes();
        let mut dirent = [0; DIRENT];
        dirent[..8].copy_from_slice(&entry.next_entry_cookie().to_le_bytes());
        dirent[8..16].copy_from_slice(&inode(device, entry.ino()).to_le_bytes());
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        dirent[16..20].copy_from_slice(&length.to_le_bytes());
        dirent[20] = preview1_type(type_of(&folder, entry));
        for bytes in [&dirent[..], name] {
            let count = bytes.len().min(full - filled);
            room[filled..filled + count].copy_from_slice(&bytes[..count]);
            filled += count;
        }
        true
    });
    if let Some(error) = ended {
        return Err(trap(error));
    }
    if let Err(error) = listed {
        return Ok(match error.raw_os_error() {
            Some(nix::libc::EINVAL) => errno::INVAL,
            Some(nix::libc::ENOENT) => errno::NOENT,
            Some(nix::libc::EACCES) => errno::ACCES,
            _ => errno::IO,
        });
    }
    let filled = u32::try_from(filled).unwrap_or(u32::MAX);
    slice_mut(memory, used, 4)?.copy_from_slice(&filled.to_le_bytes());
    Ok(errno::SUCCESS)
}

/// Preview 1's `filetype`. It has none for a FIFO, and two for sockets, of which the system does not say the one.
fn preview1_type(file_type: FileType) -> u8 {
    match file_type {
        FileType::BlockDevice => 1,
        FileType::CharacterDevice => 2,
        FileType::Directory => 3,
        FileType::RegularFile => 4,
        FileType::Symlink => 7,
        _ => 0,
    }
}

/// 0.2's `directory-entry-stream`.
struct Listing {
    folder: Arc<File>,
    /// Behind the last name that was asked of the system.
    position: u64,
    piece: VecDeque<types::DirectoryEntry>,
    is_at_end: bool,
}

impl Listing {
    fn next(
        &mut self,
        request: &Request,
    ) -> wasmtime::Result<Result<Option<types::DirectoryEntry>, ErrorCode>> {
        while self.piece.is_empty() && !self.is_at_end {
            if let Err(error) = self.ask(request)? {
                return Ok(Err(error.into()));
            }
        }
        Ok(Ok(self.piece.pop_front()))
    }

    /// Asks for the next piece.
    fn ask(&mut self, request: &Request) -> wasmtime::Result<io::Result<()>> {
        let mut ended = request.charge(START_COSTS).err();
        let mut kept = 0;
        self.is_at_end = true;
        let listed = names(&self.folder, self.position, |entry| {
            if let Err(error) = request.charge(NAME_COSTS) {
                ended = Some(error);
            }
            if ended.is_some() || kept >= PIECE {
                self.is_at_end = false;
                return false;
            }
            self.position = entry.next_entry_cookie();
            // 0.2 has no other names than Unicode's: what it could not open is left out.
            if let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                kept += name.len() + size_of::<types::DirectoryEntry>();
                self.piece.push_back(types::DirectoryEntry {
                    type_: preview2_type(type_of(&self.folder, entry)),
                    name: name.to_owned(),
                });
            }
            true
        });
        match ended {
            Some(error) => Err(trap(error)),
            None => Ok(listed),
        }
    }
}

fn preview2_type(file_type: FileType) -> DescriptorType {
    match file_type {
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::Directory => DescriptorType::Directory,
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::Socket => DescriptorType::Socket,
        FileType::Unknown => DescriptorType::Unknown,
    }
}

/// What the host holds for a listing, in bytes.
const HELD: usize = PIECE + size_of::<Listing>();

/// In place of those of `wasi:filesystem/types`.
pub(super) fn add_to_linker(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let resource = ResourceType::host::<Listing>();
    types.resource("directory-entry-stream", resource, |mut store, number| {
        let guest = store.data_mut();
        guest.table().delete(Resource::<Listing>::new_own(number))?;
        guest.memory.let_go(HELD);
        Ok(())
    })?;
    types.func_wrap("[method]descriptor.read-directory", read_directory)?;
    types.func_wrap(
        "[method]directory-entry-stream.read-directory-entry",
        read_directory_entry,
    )
}

fn read_directory(
    mut store: StoreContextMut<'_, Guest>,
    (descriptor,): (Resource<types::Descriptor>,),
) -> wasmtime::Result<(Result<Resource<Listing>, ErrorCode>,)> {
    host_call("types", "[method]descriptor.read-directory");
    let guest = store.data_mut();
    let folder = match guest.table().get(&descriptor)? {
        Descriptor::Dir(folder) => folder.dir.clone(),
        Descriptor::File(_) => return Ok((Err(ErrorCode::NotDirectory),)),
    };
    guest.memory.hold(HELD)?;
    let listing = Listing {
        folder,
        position: 0,
        piece: VecDeque::new(),
        is_at_end: false,
    };
    Ok((Ok(guest.table().push(listing)?),))
}

fn read_directory_entry(
    mut store: StoreContextMut<'_, Guest>,
    (listing,): (Resource<Listing>,),
) -> wasmtime::Result<(Result<Option<types::DirectoryEntry>, ErrorCode>,)> {
    host_call(
        "types",
        "[method]directory-entry-stream.read-directory-entry",
    );
    let guest = store.data_mut();
    let request = guest.request.clone();
    Ok((guest.table().get_mut(&listing)?.next(&request)?,))
}
