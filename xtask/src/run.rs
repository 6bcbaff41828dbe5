//! Other programs: said before they run, and an error when they fail.

use anyhow::{Context, Result, bail};
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

/// A line about what happens next.
pub(crate) fn say(what: impl AsRef<str>) {
    eprintln!("==> {}", what.as_ref());
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo.current_dir(crate::layout::root());
    cargo
}

/// Says and runs it; its output passes through.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    say(&line);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status}); what it printed above says why");
    }
    Ok(())
}

/// A command as one would type it, but for a PATH that was made longer.
pub(crate) fn line(command: &Command) -> String {
    let text = |word: &OsStr| word.to_string_lossy().into_owned();
    let variables = command
        .get_envs()
        .filter(|(name, _)| *name != "PATH")
        .filter_map(|(name, value)| Some(format!("{}={}", text(name), text(value?))));
    let program = Path::new(command.get_program()).file_name();
    let words = variables
        .chain(program.map(text))
        .chain(command.get_args().map(text));
    words.collect::<Vec<_>>().join(" ")
}
