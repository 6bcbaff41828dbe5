//! `cargo xtask VERB`: builds, shows and tests the project. What it runs, it says, and what that prints
//! passes through.

mod build;
mod demo;
mod layout;
mod run;
mod targets;
mod test;

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
    /// Builds the program and the handlers, each as a module and as a component.
    ///
    /// They lie in target/release/sandsock, target/handlers/NAME.wasm and
    /// target/handlers/NAME.component.wasm.
    Build,
    /// Serves the handler `hello` and says what to type in another terminal.
    Demo {
        /// The port on 127.0.0.1.
        #[arg(long, default_value_t = 9999)]
        port: u16,
    },
    /// Builds everything and runs all tests.
    Test {
        /// For `cargo test`: the name of a test, `--test main`, `-- --nocapture`, …
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Build => build::program().and_then(|()| build::handlers()),
        Verb::Demo { port } => demo::demo(port),
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
