//! Compiled code, and how it goes from one process of this program to another.

#![expect(
    unsafe_code,
    reason = "machine code is taken from where only we can have put it"
)]

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use wasmtime::component::Component;
use wasmtime::{Engine, Module, Precompiled};

use super::snapshot::{Origin, Snapshot};
use super::symbols::{Symbols, without_names};

/// What is known of compiled code, and goes with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct About {
    /// Bytes of the handler's memories and tables at the start.
    pub(crate) initial_memory: u64,
    /// What became of its snapshot, and what that started from.
    pub(crate) snapshot: Snapshot,
    pub(crate) origin: Option<Origin>,
    /// The file's digest, in hexadecimal (SHA-256).
    pub(crate) digest: String,
}

/// Compiled code, as the engine writes it. Only what a process of this program has compiled, or what the
/// cache has found to be ours, becomes one.
pub(crate) struct Compiled {
    /// The lengths of what is known of the code, and of the code; both, the former as JSON. Then [`record`]s with tables
    /// of [`Symbols`], the last one the best: what makes them can end at any time, and what it had then is whole.
    bytes: Vec<u8>,
    was_cached: bool,
}

const LENGTH: usize = size_of::<u64>();

/// A table of symbols, as it stands behind the code.
pub(crate) fn record(table: &[u8]) -> Vec<u8> {
    [&(table.len() as u64).to_le_bytes()[..], table].concat()
}

impl Compiled {
    /// Compiles a file in the binary format; `about` goes with it. No names are in it: see [`Compiled::add_symbols`].
    ///
    /// # Errors
    ///
    /// What the compiler says.
    pub(crate) fn new(engine: &Engine, wasm: &[u8], about: &About) -> wasmtime::Result<Self> {
        let wasm = without_names(wasm);
        let code = match is_component(&wasm) {
            true => engine.precompile_component(&wasm)?,
            false => engine.precompile_module(&wasm)?,
        };
        let about = serde_json::to_vec(about)?;
        let lengths = [about.len(), code.len()].map(|length| (length as u64).to_le_bytes());
        Ok(Compiled {
            bytes: [lengths.as_flattened(), &about, &code].concat(),
            was_cached: false,
        })
    }

    /// Adds a table of [`Symbols`].
    pub(crate) fn add_symbols(&mut self, table: &[u8]) {
        self.bytes.extend(record(table));
    }

    /// What was kept of [`Compiled::bytes`]; `None` where it is too short to be that.
    pub(super) fn from_cache(bytes: Vec<u8>) -> Option<Self> {
        let compiled = Compiled {
            bytes,
            was_cached: true,
        };
        compiled.parts().is_some().then_some(compiled)
    }

    /// What is known of the code, the code, and what follows.
    fn parts(&self) -> Option<[&[u8]; 3]> {
        let (about, rest) = length(&self.bytes)?;
        let (code, rest) = length(rest)?;
        let (about, rest) = rest.split_at_checked(about)?;
        let (code, rest) = rest.split_at_checked(code)?;
        Some([about, code, rest])
    }

    /// Tables of symbols that are whole.
    fn tables(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.parts().map_or(&[][..], |[_, _, rest]| rest);
        std::iter::from_fn(move || {
            let (length, table) = length(rest)?;
            let (table, others) = table.split_at_checked(length)?;
            rest = others;
            Some(table)
        })
    }

    /// Where in its source a place in the code is.
    pub(crate) fn symbols(&self) -> Symbols {
        Symbols::new(self.tables().last().unwrap_or_default().to_vec())
    }

    /// What a process has compiled that may have ended before it was done, with the best table of symbols that it came to;
    /// `None` where the code is not whole. With it comes how many tables it had.
    ///
    /// # Errors
    ///
    /// Those of [`Compiled::shared`].
    pub(crate) fn of_process(memory: OwnedFd) -> io::Result<Option<(Self, usize)>> {
        let all = Compiled::shared(memory)?;
        let Some([about, code, _]) = all.parts() else {
            return Ok(None);
        };
        let count = all.tables().count();
        let table = all.tables().last().map(record).unwrap_or_default();
        let kept = 2 * LENGTH + about.len() + code.len();
        let mut bytes = all.bytes;
        bytes.truncate(kept);
        bytes.extend(table);
        let compiled = Compiled {
            bytes,
            was_cached: false,
        };
        Ok(Some((compiled, count)))
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What is known of it.
    pub(crate) fn about(&self) -> About {
        let about = self
            .parts()
            .and_then(|[about, ..]| serde_json::from_slice(about).ok());
        about.unwrap_or_default()
    }

    fn code(&self) -> &[u8] {
        self.parts().map_or(&[], |[_, code, _]| code)
    }

    /// Whether it is a component's.
    pub(crate) fn is_component(&self) -> bool {
        matches!(
            Engine::detect_precompiled(self.code()),
            Some(Precompiled::Component)
        )
    }

    pub(crate) fn was_cached(&self) -> bool {
        self.was_cached
    }

    /// # Errors
    ///
    /// The code is not a module's, or not for this engine.
    pub(crate) fn module(&self, engine: &Engine) -> wasmtime::Result<Module> {
        // SAFETY: the type's invariant: the code is from our compiler and was written by nobody else.
        unsafe { Module::deserialize(engine, self.code()) }
    }

    /// # Errors
    ///
    /// The code is not a component's, or not for this engine.
    pub(crate) fn component(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: as for a module.
        unsafe { Component::deserialize(engine, self.code()) }
    }

    /// A descriptor from which another process of this program can take the code; nobody can change
    /// what is in it any more.
    ///
    /// # Errors
    ///
    /// The system has no memory or no descriptor left.
    pub(crate) fn share(&self) -> io::Result<OwnedFd> {
        share(&self.bytes)
    }

    /// What [`Compiled::share`] has put into a descriptor.
    ///
    /// # Errors
    ///
    /// It cannot be read, or it is not sealed: somebody else's.
    pub(crate) fn shared(memory: OwnedFd) -> io::Result<Self> {
        let bytes = shared(memory)?;
        Ok(Compiled {
            bytes,
            was_cached: false,
        })
    }
}

/// The length at the start of these bytes, and what follows.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u64::from_le_bytes(*length)).ok()?, rest))
}

/// The binary format's layer: 0 in a core module, 1 in a component.
fn is_component(wasm: &[u8]) -> bool {
    wasm.get(6..8) == Some(&[1, 0])
}

/// Sealed memory with these bytes in it, for another process.
///
/// # Errors
///
/// The system has no memory or no descriptor left.
pub(crate) fn share(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = fs::File::from(shareable()?);
    file.write_all(bytes)?;
    seal(&file)?;
    Ok(file.into())
}

/// Memory that can be sealed (memfd_create(2)).
///
/// # Errors
///
/// The system has no memory or no descriptor left.
pub(crate) fn shareable() -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    Ok(memfd_create(c"sandsock-code", flags)?)
}

/// From now on nobody can change what is in it.
///
/// # Errors
///
/// Somebody could still write, or it was sealed already.
pub(crate) fn seal(memory: &impl std::os::fd::AsFd) -> io::Result<()> {
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
    fcntl(memory, FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_SEAL))?;
    Ok(())
}

/// The bytes in sealed memory.
///
/// # Errors
///
/// It cannot be read, or it is not sealed: somebody could change it meanwhile.
pub(crate) fn shared(memory: OwnedFd) -> io::Result<Vec<u8>> {
    let seals = SealFlag::from_bits_truncate(fcntl(&memory, FcntlArg::F_GET_SEALS)?);
    if !seals.contains(SealFlag::F_SEAL_WRITE) {
        return Err(io::Error::other("shared memory that is not sealed"));
    }
    let file = fs::File::from(memory);
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
