//! `cargo xtask VERB`: builds, shows and tests the project. What it runs, it says, and what that prints
//! passes through.

#![forbid(unsafe_code)]

mod audit;
mod bench;
mod build;
mod calls;
mod demo;
mod fuzz;
mod languages;
mod layout;
mod run;
mod soak;
mod targets;
mod test;
mod toolchains;
mod tools;
#[cfg(test)]
mod unsafe_code;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Builds, shows and tests sandsock.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Looks at the licences, sources and known vulnerabilities of all dependencies (deny.toml).
    Audit,
    /// Measures sandsock side by side with native servers, Python's and tcpserver: twenty minutes.
    ///
    /// What is to be fast is in the report's first table, with what came of it.
    #[command(args_conflicts_with_subcommands = true)]
    Bench(bench::Bench),
    /// Builds the program and the handlers, each as a module and as a component.
    ///
    /// They lie in target/release/sandsock, target/handlers/NAME.wasm and
    /// target/handlers/NAME.component.wasm.
    Build,
    /// Looks for system calls that the program makes and is not allowed: its tests, under `--harden log`.
    ///
    /// It reads the kernel's log, which is for root.
    Calls {
        /// For the test runner: names of tests.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Serves the handler `hello` and says what to type in another terminal.
    Demo {
        /// The port on 127.0.0.1.
        #[arg(long, default_value_t = 9999)]
        port: u16,
    },
    /// Fuzzes the parsers, the module ABI, and handlers that are made up or changed (host/fuzz).
    ///
    /// Without a sanitizer it runs on the stable toolchain; with one (`cargo +nightly xtask fuzz
    /// --sanitizer address`) it needs nightly.
    Fuzz {
        /// One target, instead of all.
        target: Option<String>,
        /// How long each target runs.
        #[arg(long, default_value_t = 1.0)]
        minutes: f64,
        /// What else looks for mistakes: none, address, …
        #[arg(long, default_value = "none")]
        sanitizer: String,
    },
    /// Serves good and hostile clients over all transports and concurrencies, with faults in between.
    ///
    /// The report, with pictures, goes to target/soak; it fails where anything grew.
    Soak {
        /// How long.
        #[arg(long, default_value_t = 1.0)]
        minutes: f64,
    },
    /// Brings the compilers of the languages beside Rust, from PyPI and npm, into target/toolchains.
    ///
    /// They are some 1.2 GB there. Versions and checksums are in xtask/toolchains.
    Toolchains,
    /// Builds everything and runs all tests.
    Test {
        /// For `cargo test`: the name of a test, `--test main`, `-- --nocapture`, …
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Audit => audit::audit(),
        Verb::Bench(arguments) => bench::bench(&arguments),
        Verb::Build => build::program().and_then(|_| build::handlers()),
        Verb::Calls { arguments } => calls::calls(&arguments),
        Verb::Demo { port } => demo::demo(port),
        Verb::Fuzz {
            target,
            minutes,
            sanitizer,
        } => fuzz::fuzz(target.as_deref(), minutes, &sanitizer),
        Verb::Soak { minutes } => soak::soak(minutes),
        Verb::Toolchains => toolchains::toolchains(),
        Verb::Test { arguments } => test::test(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
