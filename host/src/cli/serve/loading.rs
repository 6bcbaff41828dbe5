//! The thread that reads handlers: at the start, and again for each SIGHUP. A handler may take long to
//! compile, and a signal to end must not wait for it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender, SyncSender};
use std::thread;

use anyhow::{Context, bail};

use super::Message;
use crate::cli::HandlerArgs;
use crate::cli::compile::CompileProcess;
use crate::config::ConcurrencyKind;
use crate::events;
use crate::handler::{Loader, WasmHandler};
use crate::harden::Harden;
use crate::sandbox::{Handed, WasiGrants};

/// What was read, in the form that the concurrency of the service needs.
pub(super) enum Loaded {
    Handler(Arc<WasmHandler>),
    /// Compiled and checked, for processes that link it.
    Code(Shared),
}

/// What the processes of a service have of a handler.
pub(super) struct Shared {
    pub(super) code: OwnedFd,
    pub(super) grants: Handed,
}

/// The thread.
pub(super) struct Loading(SyncSender<()>);

impl Loading {
    /// Starts reading; each result is a message.
    pub(super) fn start(
        args: &HandlerArgs,
        coredumps: bool,
        concurrency: ConcurrencyKind,
        in_flight: u32,
        harden: Harden,
        messages: Sender<Message>,
    ) -> anyhow::Result<Self> {
        let mut loader = args.loader(in_flight)?;
        loader.coredumps = coredumps;
        let forks = concurrency == ConcurrencyKind::Fork;
        if forks {
            loader = loader.for_children();
        }
        let service = args.service_name();
        let compiler = CompileProcess::new(&args.load, harden);
        // One that waits is enough: what it will read is the newest.
        let (again, wanted) = mpsc::sync_channel(1);
        let loading = Loading(again);
        loading.again();
        thread::Builder::new()
            .name("loading".to_owned())
            .spawn(move || {
                let mut reload = Reload::new(harden);
                while wanted.recv().is_ok() {
                    let loaded = load(&loader, &compiler, &service, forks, &mut reload);
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
    reload: &mut Reload,
) -> anyhow::Result<Loaded> {
    let (handler, compiled) = WasmHandler::compiled_by(compiler, loader)
        .with_context(|| format!("cannot serve {}", loader.path.display()))
        .map_err(|error| reload.explain(error))?;
    reload.check(handler.grants())?;
    let info = handler.info();
    events::loaded(
        service,
        &loader.path.display().to_string(),
        handler.kind().as_str(),
        info.cached,
        info.took,
    );
    Ok(match forks {
        true => Loaded::Code(Shared {
            code: compiled
                .share()
                .context("compiled code cannot be shared with another process")?,
            grants: handler
                .grants()
                .hand_over()
                .context("no descriptor is left for granted folders: raise `ulimit -n`")?,
        }),
        false => Loaded::Handler(Arc::new(handler)),
    })
}

/// What reading a handler again has to bear in mind: a hardened program reaches what was there at its start.
struct Reload {
    is_hardened: bool,
    /// Of the first handler, once that was loaded.
    writable: Option<Vec<(u64, u64)>>,
}

const RESTART: &str =
    "what is reached was settled at the start (--harden): restart, or use --harden off";

impl Reload {
    fn new(harden: Harden) -> Self {
        Reload {
            is_hardened: harden != Harden::Off,
            writable: None,
        }
    }

    /// A folder in the place of another one would be there, but could not be written to.
    fn check(&mut self, grants: &WasiGrants) -> anyhow::Result<()> {
        let writable = grants.writable_folders();
        match &self.writable {
            Some(first) if self.is_hardened && *first != writable => bail!(
                "a folder of --dir that may be written to is another one than before, and {RESTART}"
            ),
            _ => self.writable = Some(writable),
        }
        Ok(())
    }

    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let is_refused = format!("{error:#}").contains("Permission denied");
        match self.is_hardened && self.writable.is_some() && is_refused {
            true => error.context(format!("it may be that {RESTART}")),
            false => error,
        }
    }
}
