//! Whether this process has one thread, without which it must not fork.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use nix::libc;

/// The threads of this process, each a folder in `/proc/self/task` (proc_pid_task(5)). It stays open: no path
/// has to be looked up for each request.
pub(super) struct Tasks(File);

impl Tasks {
    pub(super) fn open() -> io::Result<Self> {
        let mut options = File::options();
        // Nothing is read there, which Landlock would refuse.
        options.read(true).custom_flags(libc::O_PATH);
        options.open("/proc/self/task").map(Tasks)
    }

    /// A forked child has one thread: whatever another one held in its parent, a lock of the allocator
    /// among it, is held for ever.
    pub(super) fn check_single_threaded(&self) -> io::Result<()> {
        // Each folder is one more link.
        let links = self.0.metadata()?.nlink();
        match links.saturating_sub(2) {
            1 => Ok(()),
            threads => Err(io::Error::other(format!(
                "a process that forks must have one thread, this one has {threads}: start no thread before it (a `.wasm` is loaded for children), or use `threads`"
            ))),
        }
    }
}

impl AsFd for Tasks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
