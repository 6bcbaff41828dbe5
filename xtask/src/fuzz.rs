//! Runs the fuzz targets of `host/fuzz` with cargo-fuzz.

use crate::layout::{crates, root, target};
use crate::run::{cargo, run, say};
use crate::tools::{Tool, with_tools};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const CARGO_FUZZ: Tool = Tool {
    name: "fuzz",
    version: "0.13.2",
};

/// Each target, or the one that is named, for so many minutes.
pub(crate) fn fuzz(wanted: Option<&str>, minutes: f64, sanitizer: &str) -> Result<()> {
    let folder = root().join("host/fuzz");
    let all = names_in(&folder.join("fuzz_targets"))?;
    let wanted: Vec<&String> = match wanted {
        None => all.iter().collect(),
        Some(name) => match all.iter().find(|known| *known == name) {
            Some(known) => vec![known],
            None => bail!("no fuzz target `{name}`; there are {}", all.join(", ")),
        },
    };
    CARGO_FUZZ.ensure()?;
    // Beside everything else that is built, and apart from it: cargo-fuzz builds for a named platform.
    let place = [
        "--fuzz-dir".into(),
        folder.clone(),
        "--target-dir".into(),
        target()?,
    ];
    run(cargo_fuzz("build", sanitizer).args(&place))?;
    for name in wanted {
        let corpus = folder.join("corpus").join(name);
        fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
        match name.as_str() {
            "mutate" => add_handlers(&corpus)?,
            "symbols" => add_lines(&corpus)?,
            _ => {}
        }
        let mut command = cargo_fuzz("run", sanitizer);
        command
            .args(&place)
            .arg(name)
            // What is found goes into the first, which is not committed.
            .args([&corpus, &folder.join("seeds").join(name)])
            .arg("--")
            .arg(format!("-max_total_time={}", (minutes * 60.0).ceil()))
            // An input that takes seconds is a finding, and so is memory that grows from one to the next.
            .args(["-timeout=20", "-rss_limit_mb=3000", "-print_final_stats=1"]);
        match name.as_str() {
            "mutate" => drop(command.arg("-max_len=200000")),
            "symbols" => drop(command.arg("-max_len=2200000")),
            _ => {}
        }
        run(&mut command)?;
    }
    say(format!(
        "{minutes} minutes of each target, and nothing was found"
    ));
    Ok(())
}

/// Real handlers to begin with, where they were built.
fn add_handlers(corpus: &Path) -> Result<()> {
    for folder in crates("handlers")? {
        let Some(name) = folder.file_name() else {
            continue;
        };
        let built = crate::layout::handler(&name.to_string_lossy())?;
        if built.exists() {
            let copy = corpus.join(name).with_extension("wasm");
            fs::copy(&built, &copy).with_context(|| format!("cannot make {}", copy.display()))?;
        }
    }
    Ok(())
}

/// A real handler with debug information to begin with, where it was built.
fn add_lines(corpus: &Path) -> Result<()> {
    let built = crate::layout::handler("weekday")?;
    if built.exists() {
        // The target takes what begins so as a file.
        let input = [vec![0; 4], fs::read(&built)?].concat();
        let copy = corpus.join("weekday");
        fs::write(&copy, input).with_context(|| format!("cannot make {}", copy.display()))?;
    }
    Ok(())
}

fn names_in(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    let stem = |path: PathBuf| Some(path.file_stem()?.to_string_lossy().into_owned());
    let mut names: Vec<_> = entries
        .filter_map(|entry| stem(entry.ok()?.path()))
        .collect();
    names.sort();
    Ok(names)
}

fn cargo_fuzz(verb: &str, sanitizer: &str) -> Command {
    let mut command = with_tools(cargo());
    command.args(["fuzz", verb, "--sanitizer", sanitizer]);
    command
}
