//! What `run` reads: standard input, or a file.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// What of standard input is kept for `--watch`, which reads it again for each run, in bytes.
const KEPT: u64 = 64 << 20;

/// Where the bytes come from.
pub(super) enum Input {
    File(PathBuf),
    Stdin,
    /// What standard input had, in a file without a name.
    Kept(File),
}

impl Input {
    /// # Errors
    ///
    /// Standard input cannot be kept.
    pub(super) fn new(file: Option<&Path>, again: bool) -> anyhow::Result<Self> {
        match file {
            Some(file) => Ok(Input::File(file.to_owned())),
            None if again => {
                let mut kept = tempfile::tempfile().context("standard input cannot be kept")?;
                let stdin = io::stdin().lock();
                let count = io::copy(&mut stdin.take(KEPT + 1), &mut kept)
                    .context("standard input cannot be kept")?;
                if count > KEPT {
                    bail!(
                        "--watch keeps up to {} MiB of standard input, and there is more: name a file with --input",
                        KEPT >> 20
                    );
                }
                Ok(Input::Kept(kept))
            }
            None => Ok(Input::Stdin),
        }
    }

    /// The file that may change.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Input::File(file) => Some(file),
            _ => None,
        }
    }

    /// For a stream, from its beginning.
    pub(super) fn stream(&self) -> anyhow::Result<OwnedFd> {
        match self {
            Input::File(path) => Ok(File::open(path)
                .with_context(|| format!("--input: cannot read {}", path.display()))?
                .into()),
            Input::Stdin => {
                let stdin = io::stdin().as_fd().try_clone_to_owned();
                stdin.context("standard input is closed")
            }
            Input::Kept(file) => {
                let mut file = file.try_clone()?;
                file.rewind()?;
                Ok(file.into())
            }
        }
    }

    /// All of it, for a datagram.
    ///
    /// # Errors
    ///
    /// It is longer than a packet may be, or cannot be read.
    pub(super) fn packet(&self, longest: u64) -> anyhow::Result<Vec<u8>> {
        let mut packet = Vec::new();
        File::from(self.stream()?)
            .take(longest.saturating_add(1))
            .read_to_end(&mut packet)
            .context("the packet cannot be read")?;
        if packet.len() as u64 > longest {
            bail!(
                "the input is longer than a packet of {longest} bytes, which `serve` would drop: shorten it, or raise --max-packet"
            );
        }
        Ok(packet)
    }
}
