//! Folders and files that nobody else may read, or write, or both: of compiled code, recordings and core dumps.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// Makes a folder, for its owner alone, where it is not there. Whether it is ours, and others have none of these
/// `rights` in it, as in chmod(2).
///
/// # Errors
///
/// It cannot be made.
pub(crate) fn make_private(folder: &Path, rights: u32) -> io::Result<bool> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    Ok(is_private(&fs::metadata(folder)?, rights))
}

/// Ours, and others have none of these rights.
pub(crate) fn is_private(found: &fs::Metadata, rights: u32) -> bool {
    found.uid() == nix::unistd::geteuid().as_raw() && found.mode() & rights == 0
}
