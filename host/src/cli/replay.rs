//! `sandsock replay`: recorded requests again, offline, with the same results of the host.

mod suite;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use super::compile::CompileProcess;
use super::log::{self, LogArgs};
use super::{LoadArgs, Usage};
use crate::address::{Endpoint, Transport};
use crate::config::{DirGrant, EnvGrant, Grants, Limits};
use crate::handler::{Loader, WasmHandler};
use crate::harden::Harden;
use crate::recording::{
    HandlerFile, Journal, OfService, Recording, differences, recording, restore,
};
use crate::request::{Replaying, Request, lock};
use crate::sandbox::THREAD_STACK;
use crate::server::{DefaultHooks, Service};

pub(super) use suite::{TestArgs, main as test};

/// Runs recorded requests again, offline: the handler gets what it got then, from its client, clocks and random
/// numbers. Says where it differs. Exits 0 only where it does the same.
#[derive(Args)]
pub(super) struct ReplayArgs {
    /// A file that `serve --record` has written
    record: PathBuf,
    /// The handler [default: the one that was recorded, if it is where it was]
    handler: Option<PathBuf>,
    /// Of a file of many requests only the one with this number
    #[arg(long, value_name = "N")]
    id: Option<u64>,
    /// Show what it sends and prints as well
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    load: LoadArgs,
}

pub(super) fn main(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    log::start(&LogArgs::quiet());
    let mut recordings = read(&args.record)?;
    if let Some(id) = args.id {
        recordings.retain(|recording| recording.header.request.id == id);
        if recordings.is_empty() {
            return Err(Usage(format!("{} has no request {id}", args.record.display())).into());
        }
    }
    let player = Player::new(&args.load, 1);
    let mut are_same = true;
    let mut stdout = io::stdout();
    for recorded in &recordings {
        let file = &recorded.header.service.handler.file;
        let path = args.handler.clone().unwrap_or_else(|| file.into());
        let replayed = player.play(recorded, &path)?;
        are_same &= replayed.is_same();
        writeln!(
            stdout,
            "request {}: {}",
            recorded.header.request.id,
            replayed.report()
        )?;
        if args.verbose {
            stdout.write_all(&replayed.recording.to_bytes())?;
        }
    }
    Ok(match are_same {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn read(path: &Path) -> anyhow::Result<Vec<Recording>> {
    let what = || format!("{} is no recording", path.display());
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Recording::read_all(BufReader::new(file)).with_context(what)
}

/// What has become of a recording that was played.
struct Replayed {
    recording: Recording,
    differences: Vec<String>,
    /// What a reader of differences should know.
    notes: Vec<String>,
    /// What the recording does not have: to be known also where what it has is the same.
    lacks: Vec<String>,
}

impl Replayed {
    fn is_same(&self) -> bool {
        self.differences.is_empty()
    }

    /// One line; a line for each difference and note behind it.
    fn report(&self) -> String {
        let end = self.recording.end();
        let outcome = end.map_or("none", |end| &end.outcome);
        let (verdict, notes) = match self.is_same() {
            true => (format!("the same: {outcome}"), &[][..]),
            false => ("differs".to_owned(), &self.notes[..]),
        };
        let lines = self.differences.iter().chain(notes).chain(&self.lacks);
        lines.fold(verdict, |report, line| format!("{report}\n  {line}"))
    }
}

/// Plays recordings with handlers that it loads once.
struct Player {
    load: LoadArgs,
    /// At one time.
    instances: u32,
    loaded: Mutex<BTreeMap<String, Arc<WasmHandler>>>,
}

impl Player {
    fn new(load: &LoadArgs, instances: u32) -> Self {
        Player {
            load: load.clone(),
            instances,
            loaded: Mutex::default(),
        }
    }

    /// With what the service had: the limits, arguments and environment that are in the recording.
    fn handler(
        &self,
        recorded: &Recording,
        path: &Path,
        dir: Vec<DirGrant>,
    ) -> anyhow::Result<Arc<WasmHandler>> {
        let header = &recorded.header;
        let limits = Limits::from(&header.service.limits);
        let HandlerFile {
            args,
            env,
            snapshot,
            ..
        } = &header.service.handler;
        let key = format!(
            "{path:?} {:?} {args:?} {env:?} {dir:?} {snapshot:?}",
            limits.memory
        );
        let mut loaded = lock(&self.loaded);
        if let Some(handler) = loaded.get(&key) {
            return Ok(handler.clone());
        }
        let env = env.iter().map(|(key, value)| EnvGrant {
            key: key.clone(),
            value: value.clone(),
        });
        let loader = Loader {
            max_size: self
                .load
                .options
                .max_handler_size
                .get()
                .map_or(u64::MAX, |s| s.0),
            memory_limit: limits.memory,
            cache: self.load.cache()?,
            grants: Grants {
                env: env.collect(),
                args: args.iter().skip(1).cloned().collect(),
                dir,
                ..Grants::default()
            },
            instances: self.instances,
            ..Loader::new(path)
        };
        let compiler = CompileProcess::new(&self.load.options, Harden::default());
        let handler = WasmHandler::as_it_was(&compiler, &loader, snapshot.clone())
            .with_context(|| format!("cannot replay with {}", path.display()))?;
        let handler = Arc::new(handler);
        loaded.insert(key, handler.clone());
        Ok(handler)
    }

    fn play(&self, recorded: &Recording, path: &Path) -> anyhow::Result<Replayed> {
        let (_home, folders) =
            restore(recorded).context("the granted folders cannot be restored")?;
        let handler = self.handler(recorded, path, folders)?;
        let header = &recorded.header;
        let Some(transport) = Transport::by_scheme(&header.request.transport) else {
            bail!(
                "the recording has transport {:?}: there is none",
                header.request.transport
            );
        };
        let limits = Limits::from(&header.service.limits);
        let service = Service::new(
            &header.service.name,
            handler.clone(),
            limits.clone(),
            Duration::ZERO,
            Arc::new(DefaultHooks),
        );
        let request = Request::new(
            header.request.id,
            header.service.name.clone().into(),
            transport,
            Endpoint::from_text(&header.request.client),
            Box::new(Replaying::new(
                Endpoint::from_text(&header.request.server),
                header.request.peer.map(Into::into),
            )),
            // A handler that computes for ever now is ended by what would have ended it then.
            &Limits {
                cpu: limits.cpu.or(limits.deadline),
                ..limits.clone()
            },
        );
        let request = Arc::new(request.journaled(Some(Journal::playing(recorded))));
        let ended = {
            let request = request.clone();
            // As in `run`: guest code needs a stack of a known size.
            thread::Builder::new()
                .stack_size(THREAD_STACK)
                .spawn(move || service.process_request_thread(request, &mut |_| ()))
                .context("no thread is to be had")?
                .join()
                .map_err(|_| anyhow::anyhow!("the request's thread panicked"))?
        };
        let Some(journal) = request.journal() else {
            bail!("the request has lost its journal");
        };
        let mut notes: Vec<_> = journal
            .missed()
            .into_iter()
            .map(|missed| format!("note: {missed}"))
            .collect();
        let handler = handler.as_recorded(path);
        if handler.sha256 != header.service.handler.sha256 {
            notes.push("note: the handler is not the one that was recorded".to_owned());
        }
        let service = OfService::new(&header.service.name, handler, &limits);
        let replayed = recording(journal, service, &request, &ended);
        Ok(Replayed {
            differences: differences(recorded, &replayed),
            recording: replayed,
            notes,
            lacks: recorded.not_replayed(),
        })
    }
}
