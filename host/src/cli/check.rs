//! `sandsock check`: what a file is, and whether it would be served.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::HandlerArgs;
use super::log::{self, LogArgs};
use crate::config::ServiceOptions;
use crate::events;

/// Says what a file is and whether `serve` would take it with the same options. Exits 0 only where it
/// would.
#[derive(Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    handler: HandlerArgs,
    /// One JSON object for programs
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: CheckArgs) -> anyhow::Result<ExitCode> {
    log::start(&LogArgs::default());
    let capacity = args.handler.capacity(&ServiceOptions::default())?;
    if let Some(warning) = &capacity.warning {
        events::warning(warning);
    }
    let loader = args.handler.loader(capacity.max_in_flight)?;
    let (handler, _) = args
        .handler
        .load(&loader)
        .with_context(|| format!("{} would not be served", loader.path.display()))?;
    let info = handler.info();
    let mut stdout = std::io::stdout();
    if args.json {
        let found = serde_json::json!({
            "handler": loader.path,
            "kind": handler.kind().as_str(),
            "size": info.size,
            "initial_memory": info.initial_memory,
            "served": true,
        });
        writeln!(stdout, "{found}")?;
    } else {
        writeln!(
            stdout,
            "{}: {}, {} bytes, {} KiB of memory at the start; it would be served",
            loader.path.display(),
            handler.kind(),
            info.size,
            info.initial_memory >> 10,
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
