//! `sandsock run`: one request, offline.

use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::HandlerArgs;
use super::log::{self, LogArgs};
use crate::address::{Endpoint, Transport};
use crate::outcome::Outcome;
use crate::request::Offline;
use crate::sandbox::THREAD_STACK;
use crate::server::{Accepted, DefaultHooks, Service};

/// Serves one request offline: standard input is rfile, standard output is wfile. Exits 0 only where
/// the handler succeeded.
#[derive(Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    handler: HandlerArgs,
    #[command(flatten)]
    log: LogArgs,
}

pub(super) fn main(args: RunArgs) -> anyhow::Result<ExitCode> {
    log::start(&args.log);
    let loader = args.handler.loader(1)?;
    let (handler, _) = args
        .handler
        .load(&loader)
        .with_context(|| format!("cannot run {}", loader.path.display()))?;
    let service = Service::new(
        &args.handler.service_name(),
        Arc::new(handler),
        args.handler.limits.limits(),
        Duration::ZERO,
        Arc::new(DefaultHooks),
    );
    let input = io::stdin().as_fd().try_clone_to_owned();
    let output = io::stdout().as_fd().try_clone_to_owned();
    let connection = Offline::new(
        input.context("standard input is closed")?,
        output.context("standard output is closed")?,
    );
    let request = service.request(
        Transport::Tcp,
        Accepted {
            client_address: Endpoint::Unnamed,
            connection: Box::new(connection),
        },
    );
    // The main thread's stack is whatever the shell's limit says; guest code needs a known one.
    let ended = thread::Builder::new()
        .name("MainThread".to_owned())
        .stack_size(THREAD_STACK)
        .spawn(move || service.process_request_thread(Arc::new(request), &mut |_| ()))
        .context("no thread is to be had")?
        .join()
        .map_err(|_| anyhow::anyhow!("the request's thread panicked"))?;
    Ok(match ended.outcome {
        Outcome::Ok => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
