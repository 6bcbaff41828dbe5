//! What a guest has opened in granted folders and of the network, counted: a request must not take the process's
//! descriptors from all others.

use std::any::Any;
use std::fs::File;
use std::sync::{Arc, Weak};

use wasmtime_wasi::filesystem::Descriptor;

/// Files, folders and sockets that a guest may have open at one time: each is a descriptor of the process.
pub(super) const OPEN_FILES: usize = 32;

/// The open files of one instance.
#[derive(Default)]
pub(super) struct OpenFiles {
    /// Of preview 1: a file is open for as long as its number is.
    numbers: usize,
    /// Of 0.2: a stream keeps a file open when its descriptor has gone.
    files: Vec<Weak<dyn Any + Send + Sync>>,
}

impl OpenFiles {
    /// Whether there may be one more.
    pub(super) fn has_room(&mut self) -> bool {
        self.files.retain(|file| file.strong_count() > 0);
        self.numbers + self.files.len() < OPEN_FILES
    }

    /// Preview 1 has opened one.
    pub(super) fn number_opened(&mut self) {
        self.numbers += 1;
    }

    /// Preview 1 has closed one, or a granted folder.
    pub(super) fn number_closed(&mut self) {
        self.numbers = self.numbers.saturating_sub(1);
    }

    /// 0.2 has opened one: what [`watch`] made of it, or a socket.
    pub(super) fn opened<T: Any + Send + Sync>(&mut self, file: Weak<T>) {
        self.files.push(file);
    }
}

/// What tells whether a file is still open, without keeping it so.
pub(super) fn watch(descriptor: &Descriptor) -> Weak<File> {
    match descriptor {
        Descriptor::File(file) => Arc::downgrade(&file.file),
        Descriptor::Dir(folder) => Arc::downgrade(&folder.dir),
    }
}
