//! The thread that reads handlers: at the start, and again for each SIGHUP. A handler may take long to
//! compile, and a signal to end must not wait for it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender, SyncSender};
use std::thread;

use anyhow::Context;

use super::Message;
use crate::cli::HandlerArgs;
use crate::cli::compile::CompileProcess;
use crate::config::ConcurrencyKind;
use crate::events;
use crate::handler::{Loader, WasmHandler};

/// What was read, in the form that the concurrency of the service needs.
pub(super) enum Loaded {
    Handler(Arc<WasmHandler>),
    /// Compiled and checked, for processes that link it.
    Code(OwnedFd),
}

/// The thread.
pub(super) struct Loading(SyncSender<()>);

impl Loading {
    /// Starts reading; each result is a message.
    pub(super) fn start(
        args: &HandlerArgs,
        concurrency: ConcurrencyKind,
        in_flight: u32,
        messages: Sender<Message>,
    ) -> anyhow::Result<Self> {
        let mut loader = args.loader(in_flight)?;
        let forks = concurrency == ConcurrencyKind::Fork;
        if forks {
            loader = loader.for_children();
        }
        let service = args.service_name();
        let compiler = CompileProcess::new(&args.load);
        // One that waits is enough: what it will read is the newest.
        let (again, wanted) = mpsc::sync_channel(1);
        let loading = Loading(again);
        loading.again();
        thread::Builder::new()
            .name("loading".to_owned())
            .spawn(move || {
                while wanted.recv().is_ok() {
                    let loaded = load(&loader, &compiler, &service, forks);
                    // Nobody receives where the program is at its end.
                    let _ = messages.send(Message::Loaded(loaded));
                }
            })
            .context("no thread is to be had for reading the handler")?;
        Ok(loading)
    }

    /// Reads the handler once more.
    pub(super) fn again(&self) {
        // Full where it is going to be read anyhow.
        let _ = self.0.try_send(());
    }
}

fn load(
    loader: &Loader,
    compiler: &CompileProcess,
    service: &str,
    forks: bool,
) -> anyhow::Result<Loaded> {
    let (handler, compiled) = WasmHandler::compiled_by(compiler, loader)
        .with_context(|| format!("cannot serve {}", loader.path.display()))?;
    let info = handler.info();
    events::loaded(
        service,
        &loader.path.display().to_string(),
        handler.kind().as_str(),
        info.cached,
        info.took,
    );
    Ok(match forks {
        true => Loaded::Code(
            compiled
                .share()
                .context("compiled code cannot be shared with another process")?,
        ),
        false => Loaded::Handler(Arc::new(handler)),
    })
}
