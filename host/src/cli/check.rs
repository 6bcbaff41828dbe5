//! `sandsock check`: what a file is, what it asks for, and whether it would be served.

mod json;
mod measure;
mod text;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::HandlerArgs;
use super::compile::CompileProcess;
use super::log::{self, LogArgs};
use crate::config::{CoredumpOptions, ServiceOptions};
use crate::events;
use crate::handler::Examined;
use crate::harden::Harden;
use crate::text::Printable;
use measure::{Measured, Measuring};

const AFTER_HELP: &str = "\
Examples:
  sandsock check hello.wasm
  sandsock check --dir ./plans::/finger --measure finger.wasm
  sandsock check --json hello.wasm | jq '.imports[] | select(.status != \"given\")'";

/// Says what a file is, what it asks for, and whether `serve` would take it with the same options. Exits 0
/// only where it would.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    handler: HandlerArgs,
    /// One JSON object for programs
    #[arg(long)]
    json: bool,
    /// Serve so many requests without sockets, for a second at most, and say what one costs [default N: 1000]
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1000")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    measure: Option<u32>,
    /// What each of these requests reads [default: nothing]
    #[arg(long, value_name = "FILE", requires = "measure")]
    input: Option<PathBuf>,
}

/// All that is told of a file.
struct Report<'a> {
    args: &'a HandlerArgs,
    examined: &'a Examined,
    /// Why it would not be served.
    refused: &'a [String],
    measured: Option<&'a Measured>,
}

pub(super) fn main(args: CheckArgs) -> anyhow::Result<ExitCode> {
    log::start(&LogArgs::quiet());
    let input = args.input.as_deref().map(measure::input).transpose()?;
    let capacity = args
        .handler
        .capacity(&ServiceOptions::default(), &CoredumpOptions::default())?;
    if let Some(warning) = &capacity.warning {
        events::warning(warning);
    }
    let loader = args.handler.loader(capacity.max_in_flight)?;
    let compiler = CompileProcess::new(&args.handler.load, Harden::default());
    let path = loader.path.display().to_string();
    let (examined, handler) = loader
        .examine(&compiler)
        .with_context(|| format!("{path} would not be served"))?;
    let (measured, refused) = match (handler, args.measure) {
        (Ok(handler), Some(requests)) => {
            let measuring = Measuring {
                service: args.handler.service_name(),
                limits: args.handler.limits.limits(),
                requests,
                input: input.unwrap_or_default(),
            };
            (Some(measuring.run(Arc::new(handler))?), Vec::new())
        }
        (Ok(_), None) => (None, Vec::new()),
        (Err(reasons), _) => (None, reasons),
    };
    let report = Report {
        args: &args.handler,
        examined: &examined,
        refused: &refused,
        measured: measured.as_ref(),
    };
    let told = match args.json {
        true => report.json(),
        false => report.text(),
    };
    let mut stdout = std::io::stdout();
    stdout.write_all(told.as_bytes())?;
    stdout.flush()?;
    if refused.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut error = format!("error: {} would not be served", Printable(&path));
    for reason in &refused {
        error.push_str(&format!("\n  caused by: {}", Printable(reason)));
    }
    error.push('\n');
    // In one piece, and a reader that has gone learns it from the exit code.
    let _ = std::io::stderr().write_all(error.as_bytes());
    Ok(ExitCode::FAILURE)
}
