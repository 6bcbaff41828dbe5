//! Calls of 0.2 that open a name in a granted folder, see [`opening`].

use std::io;

use rustix::fs::{Timespec, UTIME_NOW, UTIME_OMIT};
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::FsError;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, ErrorCode, HostDescriptor, NewTimestamp,
};

use super::super::guest::Guest;
use super::super::open_files;
use super::super::opening::{self, Wanted};
use super::super::recorded_files::Place;
use super::super::wait::{self, trap};
use crate::events::host_call;
use crate::request::Request;

pub(super) fn add_to_linker(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap("[method]descriptor.open-at", open_at)?;
    types.func_wrap("[method]descriptor.set-times-at", set_times_at)
}

/// What is opened, for the request's journal.
fn place(
    guest: &mut Guest,
    folder: &Resource<types::Descriptor>,
    path: &str,
) -> wasmtime::Result<Option<Place>> {
    if guest.request.journal().is_none() {
        return Ok(None);
    }
    let grants = guest.grants.clone();
    Ok(match guest.table().get(folder)? {
        Descriptor::Dir(folder) => grants.place_of(&folder.dir).map(|place| Place {
            path: place.path.join(path),
            ..place
        }),
        Descriptor::File(_) => None,
    })
}

/// As `open-at`, for regular files and folders, and for names that are not there yet.
fn open_at(
    mut store: StoreContextMut<'_, Guest>,
    (folder, path_flags, path, open_flags, flags): (
        Resource<types::Descriptor>,
        types::PathFlags,
        String,
        types::OpenFlags,
        types::DescriptorFlags,
    ),
) -> wasmtime::Result<(Result<Resource<types::Descriptor>, ErrorCode>,)> {
    host_call("types", "[method]descriptor.open-at");
    let request = store.data().request.clone();
    if !store.data_mut().open_files.has_room() {
        // 0.2 has no name of its own for EMFILE.
        return Ok((Err(ErrorCode::Quota),));
    }
    let place = place(store.data_mut(), &folder, &path)?;
    let how = (path_flags, open_flags, flags);
    let opened = open(store.data_mut(), &request, folder, path, how)?;
    match opened {
        Ok(descriptor) => {
            let guest = store.data_mut();
            let file = open_files::watch(guest.table().get(&descriptor)?);
            guest.open_files.opened(file);
            if let Some(place) = place {
                guest.grants.record(&request, &place);
            }
            Ok((Ok(descriptor),))
        }
        Err(error) => {
            let mut view = store.data_mut().filesystem();
            Ok((Err(types::Host::convert_error_code(&mut view, error)?),))
        }
    }
}

type Opened = Result<Resource<types::Descriptor>, FsError>;

fn open(
    guest: &mut Guest,
    request: &Request,
    folder: Resource<types::Descriptor>,
    path: String,
    (path_flags, open_flags, flags): (types::PathFlags, types::OpenFlags, types::DescriptorFlags),
) -> wasmtime::Result<Opened> {
    let same = || Resource::new_borrow(folder.rep());
    // What wasmtime-wasi says of the arguments: it comes as far as looking for a name that nothing has.
    let mut view = guest.filesystem();
    let looked = HostDescriptor::open_at(
        &mut view,
        same(),
        path_flags,
        String::new(),
        open_flags,
        flags,
    );
    match wait::block_on(request, 0, looked).map_err(trap)? {
        Err(error) if is_no_entry(&error) => {}
        other => return Ok(other),
    }
    let found = match guest.table().get(&folder)? {
        Descriptor::Dir(folder) => folder.clone(),
        Descriptor::File(_) => return Ok(Err(ErrorCode::NotDirectory.into())),
    };
    let wanted = Wanted {
        follow: path_flags.contains(types::PathFlags::SYMLINK_FOLLOW),
        create: open_flags.contains(types::OpenFlags::CREATE),
        exclusive: open_flags.contains(types::OpenFlags::EXCLUSIVE),
        truncate: open_flags.contains(types::OpenFlags::TRUNCATE),
        folder: open_flags.contains(types::OpenFlags::DIRECTORY),
        read: flags.contains(types::DescriptorFlags::READ),
        write: flags.contains(types::DescriptorFlags::WRITE),
    };
    match opening::open(&found, &path, wanted) {
        Ok(opened) => Ok(Ok(guest.table().push(opened)?)),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            let mut view = guest.filesystem();
            let opened = async {
                let found = HostDescriptor::stat_at(&mut view, same(), path_flags, path.clone());
                use types::DescriptorType::{Directory, RegularFile, SymbolicLink};
                // For systems without openat2(2): what is not opened is what is a FIFO already.
                match found.await {
                    Ok(found) if !matches!(found.type_, Directory | RegularFile | SymbolicLink) => {
                        Err(ErrorCode::Access.into())
                    }
                    _ => {
                        HostDescriptor::open_at(
                            &mut view,
                            same(),
                            path_flags,
                            path,
                            open_flags,
                            flags,
                        )
                        .await
                    }
                }
            };
            wait::block_on(request, 0, opened).map_err(trap)
        }
        Err(error) => Ok(Err(ErrorCode::from(error).into())),
    }
}

fn is_no_entry(error: &FsError) -> bool {
    matches!(error.downcast_ref(), Some(ErrorCode::NoEntry))
}

type NewTimes = (
    Resource<types::Descriptor>,
    types::PathFlags,
    String,
    NewTimestamp,
    NewTimestamp,
);

/// As `set-times-at`, which opens a file for it where a link is followed.
fn set_times_at(
    mut store: StoreContextMut<'_, Guest>,
    (folder, path_flags, path, accessed, modified): NewTimes,
) -> wasmtime::Result<(Result<(), ErrorCode>,)> {
    host_call("types", "[method]descriptor.set-times-at");
    let request = store.data().request.clone();
    let is_followed = path_flags.contains(types::PathFlags::SYMLINK_FOLLOW);
    let name = match is_followed {
        // As in `open`.
        true => String::new(),
        false => path.clone(),
    };
    let mut view = store.data_mut().filesystem();
    let same = Resource::new_borrow(folder.rep());
    let set = HostDescriptor::set_times_at(&mut view, same, path_flags, name, accessed, modified);
    let set = match wait::block_on(&request, 0, set).map_err(trap)? {
        Err(error) if is_followed && is_no_entry(&error) => {
            match store.data_mut().table().get(&folder)? {
                Descriptor::Dir(folder) => {
                    let times = [time(accessed), time(modified)];
                    opening::set_times(folder, &path, &times).map_err(FsError::from)
                }
                Descriptor::File(_) => Err(ErrorCode::NotDirectory.into()),
            }
        }
        other => other,
    };
    match set {
        Ok(()) => Ok((Ok(()),)),
        Err(error) => {
            let mut view = store.data_mut().filesystem();
            Ok((Err(types::Host::convert_error_code(&mut view, error)?),))
        }
    }
}

fn time(new: NewTimestamp) -> Timespec {
    let (tv_sec, tv_nsec) = match new {
        NewTimestamp::NoChange => (0, UTIME_OMIT),
        NewTimestamp::Now => (0, UTIME_NOW),
        NewTimestamp::Timestamp(time) => (time.seconds.cast_signed(), time.nanoseconds.into()),
    };
    Timespec { tv_sec, tv_nsec }
}
