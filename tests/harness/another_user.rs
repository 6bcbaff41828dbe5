//! `--user`: a server that becomes somebody without rights, and what it writes to.

use super::{Serve, Server};
use nix::unistd::geteuid;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// A user and group without rights, by number: the overflow user, which every Linux has.
pub(crate) const NOBODY: &str = "65534";

/// What only root can show.
pub(crate) fn is_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        eprintln!("SKIPPED: who is not root cannot become somebody else");
    }
    is_root
}

/// Serves as `NOBODY`, with an option that names `folder`, in a folder of root's. Before that it is refused: in these
/// words as long as it would have to be made, and as long as it is not its user's.
#[track_caller]
pub(crate) fn once_it_is_nobodys(
    folder: &Path,
    words: &[&str],
    serve: impl Fn() -> Serve,
) -> Server {
    let serve = || serve().with("--user").arg(NOBODY);
    let above = folder.parent().expect("a folder of root's");
    fs::set_permissions(above, Permissions::from_mode(0o755)).unwrap();
    serve().run_to_end().is_an_error(1, words);
    fs::create_dir(folder).unwrap();
    fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
    // Root's own is not its user's, whatever root may do.
    serve().run_to_end().is_an_error(1, &["chown"]);
    let nobody = NOBODY.parse().ok();
    chown(folder, nobody, nobody).unwrap();
    serve().start()
}
