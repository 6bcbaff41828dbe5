//! `sandsock run`: one request, offline.

mod calls;
mod client;
mod input;
mod summary;
mod watch;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::log::{self, LogArgs};
use super::{COREDUMPS, HandlerArgs, Usage};
use crate::address::Transport;
use crate::apart;
use crate::config::{CoredumpOptions, Limit, ServiceOptions, Size, bounded_size};
use crate::coredump::Coredumps;
use crate::outcome::Outcome;
use crate::request::{Connection, Offline, OfflineDatagram, Request, Sent, lock};
use crate::sandbox::{Profiler, THREAD_STACK};
use crate::server::{Accepted, DefaultHooks, Service};

use calls::{Calls, OfCalls};
use client::Client;
use input::Input;
use summary::Summary;
use tracing_subscriber::Layer;

const AFTER_HELP: &str = "\
Of a datagram, each packet that the handler sends is written to standard output by one
call, as it is: nothing stands between two of them, and the summary says how long each is.

Examples:
  printf 'hello\\n' | sandsock run hello.wasm > reply
  sandsock run --watch --input question.txt hello.wasm
  sandsock run --datagram --client 192.0.2.7:4711 --input packet.bin dns.wasm
  sandsock run --profile slow.json slow.wasm < question.txt
      (open slow.json on https://profiler.firefox.com: it stays in your browser)";

/// Serves one request offline: standard input is rfile, standard output is wfile. Exits 0 only where
/// the handler succeeded.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct RunArgs {
    #[command(flatten)]
    handler: HandlerArgs,
    /// Read rfile from this file instead of standard input
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The input is one packet, and so is what is written up to a flush or the end
    #[arg(long)]
    datagram: bool,
    /// Longest packet; a longer one is not served
    #[arg(long, value_name = "SIZE", default_value_t = ServiceOptions::default().max_packet, value_parser = bounded_size, requires = "datagram")]
    max_packet: Limit<Size>,
    /// The client's address, as the handler sees it: 127.0.0.1:4711, [::1]:4711, /run/peer.sock, @name, with the
    /// scheme of a transport before it or without [default: none]
    #[arg(long, value_name = "ADDR")]
    client: Option<Client>,
    /// Run again whenever the handler's file or the input's changes, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Look at the stack every millisecond, and write what is seen for the Firefox Profiler. It takes time of its own,
    /// which the limits count
    #[arg(long, value_name = "FILE", help_heading = "Seeing why")]
    profile: Option<PathBuf>,
    #[command(flatten)]
    coredump: CoredumpOptions,
    #[command(flatten)]
    log: LogArgs,
}

pub(super) fn main(args: RunArgs) -> anyhow::Result<ExitCode> {
    let transport = Client::transport(args.client.as_ref(), args.datagram).map_err(Usage)?;
    let calls = Calls::default();
    // Nobody waits for lines but who reads them: they need no queue, and the summary comes after them.
    let counting = calls.clone().with_filter(OfCalls);
    log::start_beside(&args.log, io::stderr, counting);
    let input = Input::new(args.input.as_deref(), args.watch)?;
    let mut run = Run {
        args,
        transport,
        calls,
        input,
        request: Arc::default(),
    };
    match run.args.watch {
        true => watch::main(&mut run),
        false => Ok(match run.once()? {
            Outcome::Ok => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }),
    }
}

/// What is run, once or again.
struct Run {
    args: RunArgs,
    transport: Transport,
    calls: Calls,
    input: Input,
    /// The request that is being served.
    request: Arc<Mutex<Option<Arc<Request>>>>,
}

impl Run {
    /// Loads the handler and serves one request.
    fn once(&mut self) -> anyhow::Result<Outcome> {
        let args = &self.args;
        let coredumps = Coredumps::open(&args.coredump)?;
        if let Some(folder) = &args.coredump.coredump {
            apart::is_closed(&args.handler.grants.dir, folder, COREDUMPS).map_err(Usage)?;
        }
        let mut loader = args.handler.loader(1)?;
        loader.coredumps = coredumps.is_some();
        let (mut handler, _) = args
            .handler
            .load(&loader)
            .with_context(|| format!("cannot run {}", loader.path.display()))?;
        let name = args.handler.service_name();
        // What cannot be written is said before the handler has run for nothing.
        let profile = match &args.profile {
            Some(path) => {
                let file = File::create(path)
                    .with_context(|| format!("--profile: cannot write {}", path.display()))?;
                let profiler = Profiler::new(&name);
                handler.profile(profiler.clone());
                Some((profiler, path, file))
            }
            None => None,
        };
        let service = Service::new(
            &name,
            Arc::new(handler),
            args.handler.limits.limits(),
            Duration::ZERO,
            Arc::new(DefaultHooks),
        )
        .keeping(coredumps);
        let sent = Sent::default();
        let client = args.client.as_ref().map(|client| client.address.clone());
        let request = Arc::new(service.request(
            self.transport,
            Accepted {
                client_address: client.unwrap_or_default(),
                connection: self.connection(&sent)?,
            },
        ));
        *lock(&self.request) = Some(request.clone());
        self.calls.take();
        let serving = request.clone();
        // The main thread's stack is whatever the shell's limit says; guest code needs a known one.
        let ended = thread::Builder::new()
            .name("MainThread".to_owned())
            .stack_size(THREAD_STACK)
            .spawn(move || service.process_request_thread(serving, &mut |_| ()))
            .context("no thread is to be had")?
            .join()
            .map_err(|_| anyhow::anyhow!("the request's thread panicked"));
        *lock(&self.request) = None;
        let ended = ended?;
        let profile = match profile {
            Some((profiler, path, file)) => {
                let samples = profiler
                    .write(file)
                    .with_context(|| format!("--profile: cannot write {}", path.display()))?;
                Some((path.as_path(), samples))
            }
            None => None,
        };
        let summary = Summary {
            ended: &ended,
            bytes_in: request.bytes_in(),
            bytes_out: request.bytes_out(),
            calls: self.calls.take(),
            datagrams: args.datagram.then(|| sent.lengths()),
            profile,
        };
        summary.tell(&args.log);
        Ok(ended.outcome)
    }

    fn connection(&self, sent: &Sent) -> anyhow::Result<Box<dyn Connection>> {
        let output = io::stdout().as_fd().try_clone_to_owned();
        let output = output.context("standard output is closed")?;
        if self.args.datagram {
            let longest = self.args.max_packet.get().map_or(u64::MAX, |size| size.0);
            let packet = self.input.packet(longest)?;
            return Ok(Box::new(OfflineDatagram::new(packet, output, sent.clone())));
        }
        Ok(Box::new(Offline::new(self.input.stream()?, output)))
    }
}
