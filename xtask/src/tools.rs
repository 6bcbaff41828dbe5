//! Subcommands of cargo that others have written.

use crate::layout::target;
use crate::run::{cargo, run, say};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// `cargo NAME`.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

impl Tool {
    /// Installs it into the target folder, where it is not there yet: nothing changes outside of the build.
    pub(crate) fn ensure(&self) -> Result<()> {
        let mut trial = with_tools(cargo());
        let trial = trial
            .args([self.name, "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if trial.is_ok_and(|status| status.success()) {
            return Ok(());
        }
        let package = format!("cargo-{}", self.name);
        say(format!(
            "{package} is not installed: installing it into the target folder"
        ));
        let mut install = cargo();
        install
            .args(["install", &package, "--version", self.version, "--locked"])
            .arg("--root")
            .arg(folder()?);
        run(&mut install)
            .with_context(|| format!("{package} cannot be installed: it needs a network, once"))
    }
}

/// Cargo finds its subcommands along the PATH.
pub(crate) fn with_tools(mut command: Command) -> Command {
    if let Ok(tools) = folder() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([tools.join("bin")]);
        if let Ok(path) = std::env::join_paths(folders) {
            command.env("PATH", path);
        }
    }
    command
}

fn folder() -> Result<PathBuf> {
    Ok(target()?.join("tools"))
}
