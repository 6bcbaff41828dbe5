//! sandsock side by side with what a user would take instead (`benches/`).

use crate::build;
use crate::languages;
use crate::layout::{root, target};
use crate::run::{cargo, run};
use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::Command;

/// What is measured, and where it goes.
#[derive(Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    instead: Option<Instead>,
    /// All of it once, with so little of each that it shows only that it works: about a minute.
    #[arg(long)]
    short: bool,
    /// Write a report with pictures, into `bench` where no folder is named. It measures the program as it is
    /// deployed (the profile `dist`).
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "bench")]
    report: Option<PathBuf>,
    /// How often everything is measured, in turn [default: 5; with --short 1].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// One section (`short-threads`, `bulk`, …), instead of all; can be given again.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

#[derive(Subcommand)]
enum Instead {
    /// Counts what a request needs whatever the machine's speed is: system calls, instructions, allocations.
    ///
    /// It fails where one has grown by more than a fifth over what benches/counts.txt says.
    Counts {
        /// Write what is counted into that file.
        #[arg(long)]
        update: bool,
    },
    /// Times the parts of a request, by criterion: instances of each kind and language, calls of the host, admission,
    /// the hand-over to a thread.
    Parts,
}

/// Builds what takes part, and measures or counts. Languages take part whose compilers are there.
pub(crate) fn bench(arguments: &Bench) -> Result<()> {
    let sandsock = match arguments.report {
        Some(_) => build::deployed()?,
        None => build::program()?,
    };
    build::handlers()?;
    build::ends()?;
    languages::build()?;
    if let Some(Instead::Parts) = &arguments.instead {
        return run(cargo().args(["bench", "--package", "sandsock", "--features", "parts"]));
    }
    run(cargo().args(["build", "--release", "--package", "sandsock-bench"]))?;
    let mut bench = Command::new(target()?.join("release/sandsock-bench"));
    bench.arg("--root").arg(root());
    bench.arg("--sandsock").arg(sandsock);
    if let Some(Instead::Counts { update }) = &arguments.instead {
        bench.arg("counts");
        if *update {
            bench.arg("--update");
        }
        return run(&mut bench);
    }
    bench.arg("run");
    if arguments.short {
        bench.arg("--short");
    }
    if let Some(folder) = &arguments.report {
        bench.arg("--report").arg(folder);
    }
    if let Some(rounds) = arguments.rounds {
        bench.arg("--rounds").arg(rounds.to_string());
    }
    for name in &arguments.only {
        bench.arg("--only").arg(name);
    }
    run(&mut bench)
}
