//! Where things lie.

use anyhow::{Context, Result};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The workspace's root. What cargo says now counts, not what it said when this was built: a clone may
/// have been moved, or share its target folder with another.
pub(crate) fn root() -> PathBuf {
    let own =
        env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(own)
        .parent()
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

/// Where cargo builds. This very program lies there, in `release`: so `CARGO_TARGET_DIR` and cargo's
/// configuration need not be read again.
pub(crate) fn target() -> Result<PathBuf> {
    let program = env::current_exe().context("where does this program lie?")?;
    let target = program.parent().and_then(Path::parent);
    Ok(target
        .context("this program does not lie in a target folder: run `cargo xtask`")?
        .into())
}

/// The program.
pub(crate) fn program() -> Result<PathBuf> {
    Ok(target()?.join("release/sandsock"))
}

/// A built handler, as a module.
pub(crate) fn handler(name: &str) -> Result<PathBuf> {
    Ok(target()?.join("handlers").join(format!("{name}.wasm")))
}

/// As a person in the workspace's folder would type it.
pub(crate) fn shown(path: &Path) -> String {
    let here = env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// The folders of crates in a folder of the workspace, by name.
pub(crate) fn crates(folder: &str) -> Result<Vec<PathBuf>> {
    let folder = root().join(folder);
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut crates: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("Cargo.toml").is_file())
        .collect();
    crates.sort();
    Ok(crates)
}
