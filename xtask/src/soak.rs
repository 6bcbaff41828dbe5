//! The endurance test of `tests/endurance.rs`, for as long as is wanted.

use crate::build;
use crate::layout::{shown, target};
use crate::run::{cargo, run, say};
use anyhow::Result;

/// So many minutes.
pub(crate) fn soak(minutes: f64) -> Result<()> {
    build::program()?;
    build::handlers()?;
    build::test_guests()?;
    let folder = target()?.join("soak");
    let mut test = cargo();
    test.args([
        "test",
        "--release",
        "--package",
        "sandsock-tests",
        "--test",
        "main",
        "--",
    ])
    .args(["--ignored", "--exact", "--nocapture"])
    .arg("endurance::of_all_services_for_minutes")
    .env("SANDSOCK_SOAK_MINUTES", minutes.to_string())
    .env("SANDSOCK_SOAK_REPORT", &folder);
    run(&mut test)?;
    say(format!(
        "the report is {}",
        shown(&folder.join("report.md"))
    ));
    Ok(())
}
