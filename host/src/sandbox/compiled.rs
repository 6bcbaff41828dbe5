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
    /// The length of what is known of the code, which follows as JSON, and then the code.
    bytes: Vec<u8>,
    was_cached: bool,
}

impl Compiled {
    /// Compiles a file in the binary format; `about` goes with it.
    ///
    /// # Errors
    ///
    /// What the compiler says.
    pub(crate) fn new(engine: &Engine, wasm: &[u8], about: &About) -> wasmtime::Result<Self> {
        let code = match is_component(wasm) {
            true => engine.precompile_component(wasm)?,
            false => engine.precompile_module(wasm)?,
        };
        let about = serde_json::to_vec(about)?;
        let length = (about.len() as u64).to_le_bytes();
        Ok(Compiled {
            bytes: [&length[..], &about, &code].concat(),
            was_cached: false,
        })
    }

    /// What was kept of [`Compiled::bytes`]; `None` where it is too short to be that.
    pub(super) fn from_cache(bytes: Vec<u8>) -> Option<Self> {
        let compiled = Compiled {
            bytes,
            was_cached: true,
        };
        compiled.parts().is_some().then_some(compiled)
    }

    fn parts(&self) -> Option<(&[u8], &[u8])> {
        let (length, rest) = self.bytes.split_first_chunk()?;
        rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What is known of it.
    pub(crate) fn about(&self) -> About {
        let about = self
            .parts()
            .and_then(|(about, _)| serde_json::from_slice(about).ok());
        about.unwrap_or_default()
    }

    fn code(&self) -> &[u8] {
        self.parts().map_or(&[], |(_, code)| code)
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
