//! What others have written and is part of this: may it be, with cargo-deny and `deny.toml`.

use crate::run::{cargo, run, say};
use crate::tools::{Tool, with_tools};
use anyhow::Result;
use std::process::Command;

const CARGO_DENY: Tool = Tool {
    name: "deny",
    version: "0.20.2",
};

/// Licences, sources, second versions; and known vulnerabilities, where their database can be had.
pub(crate) fn audit() -> Result<()> {
    CARGO_DENY.ensure()?;
    run(deny().args(["check", "bans", "licenses", "sources"]))?;
    // Without a network that is no reason to fail; with one, what it says is.
    if let Err(error) = run(deny().args(["fetch", "db"])) {
        say(format!(
            "SKIPPED: known vulnerabilities are not looked for, since their database cannot be had: {error:#}"
        ));
        return Ok(());
    }
    run(deny().args(["check", "--disable-fetch", "advisories"]))
}

fn deny() -> Command {
    let mut command = with_tools(cargo());
    command.arg("deny");
    command
}
