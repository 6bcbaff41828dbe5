//! `cargo xtask bench` starts this, once all is built.

#![forbid(unsafe_code)]

use anyhow::Result;
use clap::{Parser, Subcommand};
use sandsock_bench::world::{Amount, World};
use sandsock_bench::{counts, report, run, sections};
use std::path::PathBuf;
use std::process::ExitCode;

/// sandsock side by side with what a user would take instead.
#[derive(Parser)]
struct Arguments {
    /// The workspace
    #[arg(long)]
    root: PathBuf,
    /// The program that is measured
    #[arg(long)]
    sandsock: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Measures
    Run {
        /// All of it once, with so little of each that it shows only that it works
        #[arg(long)]
        short: bool,
        /// Where the report goes
        #[arg(long, value_name = "DIR")]
        report: Option<PathBuf>,
        /// How often everything is measured
        #[arg(long, value_name = "N")]
        rounds: Option<usize>,
        /// One section, by its name; can be given again
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
    },
    /// Counts what a request needs that does not depend on the machine's speed
    Counts {
        /// Writes what is counted down as what is known
        #[arg(long)]
        update: bool,
    },
}

fn main() -> ExitCode {
    match measure(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: Arguments) -> Result<()> {
    let world = World::look(arguments.root, arguments.sandsock)?;
    match arguments.verb {
        Verb::Counts { update } => counts::counts(&world, update),
        Verb::Run {
            short,
            report,
            rounds,
            only,
        } => {
            let mut amount = match short {
                true => Amount::SHORT,
                false => Amount::LONG,
            };
            amount.rounds = rounds.unwrap_or(amount.rounds).max(1);
            let mut sections = sections::all(&world, &amount);
            let known: Vec<_> = sections.iter().map(|section| section.key).collect();
            if let Some(unknown) = only.iter().find(|name| !known.contains(&name.as_str())) {
                anyhow::bail!("no section `{unknown}`: there are {}", known.join(", "));
            }
            sections
                .retain(|section| only.is_empty() || only.iter().any(|name| name == section.key));
            let results = run::run(&world, &amount, &sections)?;
            if short {
                println!(
                    "Everything runs. The short form's figures say little: `cargo xtask bench` measures."
                );
            } else {
                println!("{}", report::targets(&sections, &results));
            }
            if let Some(folder) = report {
                report::write(&folder, &world, &amount, &sections, &results)?;
                eprintln!("==> the report is {}", folder.join("report.md").display());
            }
            Ok(())
        }
    }
}
