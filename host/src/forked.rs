//! Whether this process is a child of `--concurrency fork`, which ends with its request.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// The process was forked, for one request.
pub(crate) fn become_child() {
    IS_CHILD.store(true, Relaxed);
}

/// The system takes back all that a child has, at once: what is tidied up in it is tidied up for nobody.
pub(crate) fn is_child() -> bool {
    IS_CHILD.load(Relaxed)
}
