//! The Wasm targets of the compiler, which a fresh machine has not got.

use crate::run::{line, run, say};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// Builds core modules.
pub(crate) const MODULE: &str = "wasm32-wasip1";
/// Builds components.
pub(crate) const COMPONENT: &str = "wasm32-wasip2";

/// Adds what is missing.
pub(crate) fn ensure() -> Result<()> {
    let missing = missing()?;
    if missing.is_empty() {
        return Ok(());
    }
    say(format!(
        "the Rust compiler has no {}: adding",
        missing.join(" and no ")
    ));
    let mut rustup = Command::new("rustup");
    // In the workspace's folder, so that the toolchain is the one that builds it.
    rustup
        .current_dir(crate::layout::root())
        .args(["target", "add"])
        .args(&missing);
    run(&mut rustup).with_context(|| {
        format!(
            "the Wasm targets cannot be added: run `{}` on a machine with a network, or install \
             them as your distribution has them",
            line(&rustup)
        )
    })
}

/// The compiler's own folder says what it can build for, whoever installed it.
fn missing() -> Result<Vec<&'static str>> {
    let output = Command::new("rustc")
        .current_dir(crate::layout::root())
        .args(["--print", "sysroot"])
        .output()
        .context("cannot start `rustc`: install Rust (https://rustup.rs)")?;
    if !output.status.success() {
        bail!(
            "`rustc --print sysroot`: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let is_there = |target: &&str| {
        sysroot
            .join("lib/rustlib")
            .join(target)
            .join("lib")
            .is_dir()
    };
    Ok([MODULE, COMPONENT]
        .into_iter()
        .filter(|target| !is_there(target))
        .collect())
}
