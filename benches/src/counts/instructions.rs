//! Instructions of a request in memory, by valgrind's callgrind: it runs the program on a processor of its own,
//! which counts the same on every machine that has the same libraries.

use super::{Counts, HANDLERS};
use crate::world::{World, installed};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// The difference of two runs is the requests' alone.
const FEW: u32 = 100;
const MANY: u32 = 1100;
/// `bench-instance` warms with a tenth more.
const DIFFERENCE: f64 = 1100.0;

/// Some processors clear and copy memory by one instruction, of which valgrind counts every byte, others by a loop:
/// here all of them by the loop (glibc's tunables).
const NO_STRING_INSTRUCTIONS: &str = "glibc.cpu.x86_rep_stosb_threshold=0x7fffffff:\
                                      glibc.cpu.x86_rep_movsb_threshold=0x7fffffff";

/// Why they cannot be counted here, if so.
pub(super) fn count(world: &World, found: &mut Counts) -> Result<Option<String>> {
    if installed("valgrind").is_none() {
        return Ok(Some("valgrind is not installed".to_owned()));
    }
    for (name, handler) in HANDLERS {
        let path = world.handler(handler).context("`cargo xtask build`")?;
        let few = of(world, &path, FEW)?;
        let many = of(world, &path, MANY)?;
        let each = many.saturating_sub(few) as f64 / DIFFERENCE;
        found.insert(format!("in memory, {name}: instructions"), each);
    }
    Ok(None)
}

fn of(world: &World, handler: &Path, requests: u32) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        // Code is made while it runs.
        .arg("--smc-check=all-non-file")
        .arg(world.program("bench-instance"))
        .arg(handler)
        .arg(requests.to_string())
        .env("GLIBC_TUNABLES", NO_STRING_INSTRUCTIONS)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    match collected {
        Some(count) if output.status.success() => Ok(count),
        _ => bail!("valgrind bench-instance {}: {said}", handler.display()),
    }
}
