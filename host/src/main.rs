//! The program `sandsock`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandsock::cli::main()
}
