//! `sandsock serve`: bind, load, accept, and end in good order.

mod channel;
mod children;
mod in_process;
mod loading;
mod loop_process;
mod notify;
mod orphans;
mod said;
mod sockets;
mod supervisor;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use sd_notify::NotifyState;

use super::hardening::HardenArgs;
use super::log::{self, LogArgs};
use super::signals::{self, Signal};
use super::{COREDUMPS, HandlerArgs, Usage};
use crate::address::{ListenAddress, Transport};
use crate::apart;
use crate::config::{
    AdmissionOptions, ConcurrencyKind, CoredumpOptions, Overload, RECORDED, RecordOptions,
    ServiceOptions,
};
use crate::coredump::Coredumps;
use crate::events;
use crate::handler::WasmHandler;
use crate::harden::Harden;
use crate::recording::{Keeper, OfService, Recorder, Sink, prepare_folder};
use crate::sandbox::capacity::Capacity;
use crate::server::BindOptions;

use in_process::InProcess;
use loading::{Loaded, Loading};
use notify::notify;
use sockets::Sockets;
pub(super) use sockets::client_has_stderr;
use supervisor::Supervisor;

const AFTER_HELP: &str = "\
Sockets that somebody else has opened:
  fd://N     descriptor N. A connection is one request (inetd style): its client
             receives the handler's bytes and nothing else. What listens, or takes
             datagrams, is served until a signal ends it
  fd://NAME  all sockets of this name that systemd hands over (LISTEN_FDNAMES)

With NOTIFY_SOCKET (systemd's Type=notify and notify-reload) the manager is told
when all listeners accept, when the handler is read again, and when it ends.

Examples:
  sandsock serve udp://[::]:7 echo.wasm
  sandsock serve --socket-mode 660 --socket-owner :www-data unix:///run/echo echo.wasm
  tcpsvd 127.0.0.1 9999 sandsock serve fd://0 echo.wasm
  systemd-socket-activate -l 9999 --fdname=echo sandsock serve fd://echo echo.wasm

As a line of inetd.conf:
  9999 stream tcp nowait nobody /usr/bin/sandsock sandsock serve fd://0 /srv/echo.wasm";

/// Serves a handler on an address until a signal ends it.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ServeArgs {
    /// Where to listen: tcp://HOST:PORT, udp://HOST:PORT, unix:///PATH, unixgram:///PATH, or a socket
    /// that was handed over: fd://N, fd://NAME
    address: String,
    #[command(flatten)]
    pub(super) handler: HandlerArgs,
    #[command(flatten)]
    pub(super) service: ServiceOptions,
    #[command(flatten)]
    pub(super) admission: AdmissionOptions,
    #[command(flatten)]
    pub(super) record: RecordOptions,
    #[command(flatten)]
    pub(super) coredump: CoredumpOptions,
    #[command(flatten)]
    pub(super) harden: HardenArgs,
    #[command(flatten)]
    pub(super) log: LogArgs,
}

/// What the program waits for.
enum Message {
    Signal(Signal),
    /// The handler was read: for the first time, or again.
    Loaded(anyhow::Result<Loaded>),
    /// A loop accepts; its number.
    Accepting(u64),
    /// A loop is not heard any more, and lives; its number.
    Silenced(u64),
    /// A loop has ended by itself.
    LoopEnded(Ended),
}

/// Why a loop has ended by itself.
enum Ended {
    /// The quota of requests is used up, and the last of them has ended.
    Quota,
    /// It panicked, and nobody would serve its port.
    Panic,
}

/// The loops of a service: in this process, or each in one of its own.
enum Running {
    InProcess(InProcess),
    Forking(Box<Supervisor>),
}

impl ServeArgs {
    /// Where to listen.
    pub(super) fn address(&self) -> Result<ListenAddress, Usage> {
        let address = self.address.parse();
        address.map_err(|error: crate::AddressError| Usage(error.to_string()))
    }

    pub(super) fn bind_options(&self) -> BindOptions {
        let limits = self.handler.limits.limits();
        BindOptions {
            max_amplification: self.admission.max_amplification.get(),
            deny_source_ports: self.admission.deny_source_ports.0.clone(),
            ..BindOptions::new(&self.service, &limits)
        }
    }

    /// What records the requests of this service, if that is wanted; recordings go where `sink` says.
    pub(super) fn recorder(
        &self,
        handler: &WasmHandler,
        sink: impl FnOnce() -> Arc<dyn Sink>,
    ) -> Option<Recorder> {
        self.record.record.as_ref()?;
        let args = &self.handler;
        let handler = handler.as_recorded(&args.handler);
        let service = OfService::new(&args.service_name(), handler, &args.limits.limits());
        let when = self.record.record_when;
        Some(Recorder::new(when, RECORDED, service, sink()))
    }

    /// Writes recordings, if they are wanted.
    fn keeper(&self) -> anyhow::Result<Option<Arc<Keeper>>> {
        let Some(folder) = &self.record.record else {
            return Ok(None);
        };
        let keeper = Keeper::start(folder, &self.record);
        keeper
            .map(|keeper| Some(Arc::new(keeper)))
            .with_context(|| format!("cannot keep recordings in {}", folder.display()))
    }

    /// What this service writes, and where it listens, lies apart from what its handler may reach.
    fn lives_apart(&self, address: &ListenAddress) -> Result<(), Usage> {
        let grants = &self.handler.grants.dir;
        let recordings = self.record.record.iter();
        let recordings = recordings.map(|folder| (folder, "the folder of recordings (--record)"));
        let coredumps = self.coredump.coredump.iter();
        for (folder, what) in recordings.chain(coredumps.map(|folder| (folder, COREDUMPS))) {
            apart::is_closed(grants, folder, what).map_err(Usage)?;
        }
        match address {
            ListenAddress::Unix { path, .. } if !path.to_string_lossy().starts_with('@') => {
                apart::is_unchangeable(grants, path, "the socket").map_err(Usage)
            }
            _ => Ok(()),
        }
    }

    /// What can be seen to be wrong before anything is started.
    fn check(&self, address: &ListenAddress) -> Result<(), Usage> {
        let service = &self.service;
        let is_path = matches!(address, ListenAddress::Unix { path, .. } if !path.to_string_lossy().starts_with('@'));
        let problem = if service.reuse_port && matches!(address, ListenAddress::Unix { .. }) {
            "--reuse-port is for TCP and UDP: a Unix socket has one server"
        } else if (service.socket_mode.is_some() || service.socket_owner.is_some()) && !is_path {
            "--socket-mode and --socket-owner are for Unix sockets with a path"
        } else if self.admission.max_amplification.get().is_some()
            && matches!(
                address,
                ListenAddress::Inet {
                    transport: Transport::Tcp,
                    ..
                }
            )
        {
            "--max-amplification is for UDP: a TCP client has shown that its address is its own"
        } else if self.admission.is_asked_for() && matches!(address, ListenAddress::Unix { .. }) {
            "--allow, --deny, --max-per-source, --rate-per-source and --max-amplification are for TCP and UDP: who may reach a Unix socket is for --socket-mode and --socket-owner to say"
        } else if service.concurrency == ConcurrencyKind::Serial && service.max_in_flight.is_some()
        {
            "--max-in-flight is for threads and fork: serial serves one request at a time"
        } else if service.concurrency == ConcurrencyKind::Serial
            && (self.admission.overload == Overload::Close
                || self.admission.max_per_source.get().is_some())
        {
            "--overload close and --max-per-source are for threads and fork: serial serves one request at a time, and nobody is there to send others away meanwhile"
        } else {
            return Ok(());
        };
        Err(Usage(problem.to_owned()))
    }
}

pub(super) fn main(mut args: ServeArgs) -> anyhow::Result<ExitCode> {
    let address = args.address()?;
    // Before anything of ours is opened: what was handed over is told by its number.
    let handed_over = sockets::take(&address)?;
    args.check(&address)?;
    if args.harden.harden != Harden::Off {
        sockets::close_others(&handed_over);
    }
    notify::connect();
    let taken = signals::take().context("signals cannot be listened for")?;
    // A name that is taken is said before a large handler is compiled for nothing.
    let sockets = Sockets::open(&address, handed_over, &args.bind_options())?;
    let mut concurrency = args.service.concurrency;
    if sockets.is_connection {
        // One request, for which the program is a process of its own already.
        concurrency = ConcurrencyKind::Threads;
    }
    args.harden.become_user()?;
    if args.harden.user.is_some() && args.handler.load.cache.is_none() {
        // The folder of who has started the program is not the new user's.
        args.handler.load.cache = Some("off".into());
    }
    // A folder that cannot be used is said before a large handler is compiled for nothing.
    let coredumps = Coredumps::open(&args.coredump)?;
    let capacity = match sockets.is_connection {
        true => Capacity::of_one(),
        false => args.handler.capacity(&args.service, &args.coredump)?,
    };
    if let Some(folder) = &args.record.record {
        prepare_folder(folder)?;
    }
    args.lives_apart(&address)?;
    // Threads that there are already would give nothing up.
    let hardened = args
        .harden
        .give_up(&args.handler, &args.record, &args.coredump, &address)?;
    log::start(&args.log);
    let keeper = args.keeper()?;
    if let Some(hardened) = &hardened {
        events::hardened(&hardened.capabilities, &hardened.in_force);
    }
    let warnings = [
        capacity.warning.as_deref(),
        args.harden.warning(&args.handler),
    ];
    for warning in warnings.into_iter().flatten() {
        events::warning(warning);
    }
    let in_flight = capacity.max_in_flight;
    let (sender, messages) = mpsc::channel();
    let signals = sender.clone();
    // Where nobody receives any more the program is at its end.
    let pass_on = move |signal| drop(signals.send(Message::Signal(signal)));
    signals::listen(taken, pass_on).context("signals cannot be listened for")?;
    let loading = Loading::start(
        &args.handler,
        coredumps.is_some(),
        concurrency,
        in_flight,
        args.harden.harden,
        sender.clone(),
    )?;
    let Some(loaded) = wait_for_handler(&messages, &loading)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let name = args.handler.service_name();
    let mut running = match loaded {
        Loaded::Handler(handler) => Running::InProcess(InProcess::start(
            &args,
            concurrency,
            in_flight,
            sockets,
            handler,
            keeper.as_ref(),
            &sender,
        )?),
        Loaded::Code(code) => Running::Forking(Box::new(Supervisor::start(
            &args.handler,
            args.table(in_flight)?,
            args.lifetime(),
            sockets,
            code,
            keeper.clone(),
            sender,
        )?)),
    };
    let reason = wait(&mut running, &messages, &loading, &name)?;
    let grace = args.service.shutdown_grace.into();
    events::shutting_down(reason.as_str(), running.count(), grace);
    notify(&[NotifyState::Stopping]);
    let cut = match running {
        Running::InProcess(loops) => loops.stop(grace),
        Running::Forking(supervisor) => supervisor.stop(&messages, grace),
    };
    if let Some(keeper) = keeper {
        keeper.finish();
    }
    events::stopped(cut);
    match reason {
        Reason::Panic => {
            bail!("a loop of the server panicked: this is a bug; the log has its text")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Why the service ends.
enum Reason {
    Signal(&'static str),
    Quota,
    Panic,
}

impl Reason {
    fn as_str(&self) -> &'static str {
        match self {
            Reason::Signal(name) => name,
            Reason::Quota => "max-requests",
            Reason::Panic => "panic",
        }
    }
}

/// The handler, or `None` where a signal ends the program before it serves.
fn wait_for_handler(
    messages: &Receiver<Message>,
    loading: &Loading,
) -> anyhow::Result<Option<Loaded>> {
    loop {
        match messages.recv()? {
            Message::Loaded(loaded) => return loaded.map(Some),
            Message::Signal(Signal::Stop(_)) => return Ok(None),
            Message::Signal(Signal::Reload) => loading.again(),
            _ => {}
        }
    }
}

/// Until something ends the service; says what.
fn wait(
    running: &mut Running,
    messages: &Receiver<Message>,
    loading: &Loading,
    service: &str,
) -> anyhow::Result<Reason> {
    loop {
        let message = match running.next_due() {
            None => messages.recv()?,
            Some(due) => match receive_until(messages, due) {
                Some(message) => message,
                None => {
                    running.due()?;
                    continue;
                }
            },
        };
        match message {
            Message::Signal(Signal::Stop(signal)) => return Ok(Reason::Signal(signal)),
            Message::Signal(Signal::Reload) => {
                notify::reloading();
                loading.again();
            }
            Message::Signal(Signal::Child) => {
                if let Some(reason) = running.child_changed()? {
                    return Ok(reason);
                }
            }
            Message::Loaded(loaded) => {
                match loaded {
                    Ok(loaded) => running.replace_handler(loaded)?,
                    // Whatever does not load leaves the old handler in service.
                    Err(error) => events::reload_failed(service, &format!("{error:#}")),
                }
                notify(&[NotifyState::Ready]);
            }
            Message::Accepting(number) => running.accepting(number),
            Message::Silenced(number) => running.silenced(number),
            Message::LoopEnded(Ended::Quota) => return Ok(Reason::Quota),
            Message::LoopEnded(Ended::Panic) => return Ok(Reason::Panic),
        }
    }
}

/// The next message, or `None` at `due`.
fn receive_until(messages: &Receiver<Message>, due: Instant) -> Option<Message> {
    let left = due.saturating_duration_since(Instant::now());
    messages.recv_timeout(left).ok()
}

impl Running {
    fn count(&self) -> usize {
        match self {
            Running::InProcess(loops) => loops.count(),
            Running::Forking(supervisor) => supervisor.count(),
        }
    }

    fn replace_handler(&mut self, loaded: Loaded) -> anyhow::Result<()> {
        match (self, loaded) {
            (Running::InProcess(loops), Loaded::Handler(handler)) => loops.replace_handler(handler),
            (Running::Forking(supervisor), Loaded::Code(code)) => {
                supervisor.replace_handler(code)?
            }
            // The concurrency of a service does not change, and with it what is loaded.
            _ => {}
        }
        Ok(())
    }

    fn accepting(&mut self, number: u64) {
        if let Running::Forking(supervisor) = self {
            supervisor.accepting(number);
        }
    }

    fn silenced(&mut self, number: u64) {
        if let Running::Forking(supervisor) = self {
            supervisor.silenced(number);
        }
    }

    fn child_changed(&mut self) -> anyhow::Result<Option<Reason>> {
        match self {
            Running::InProcess(_) => Ok(None),
            Running::Forking(supervisor) => supervisor.child_changed(),
        }
    }

    /// When [`Running::due`] is to be called.
    fn next_due(&self) -> Option<Instant> {
        match self {
            Running::InProcess(_) => None,
            Running::Forking(supervisor) => supervisor.next_due(),
        }
    }

    fn due(&mut self) -> anyhow::Result<()> {
        match self {
            Running::InProcess(_) => Ok(()),
            Running::Forking(supervisor) => supervisor.due(),
        }
    }
}

/// A listener accepts: the line that scripts wait for.
fn listening(service: &str, address: &str) {
    events::listening(service, address);
    let mut stdout = io::stdout();
    // Whoever has closed standard output does not want to know.
    let _ = writeln!(stdout, "listening {address}").and_then(|()| stdout.flush());
}

/// How long a process or thread may take to end after it was told to.
const PATIENCE: Duration = Duration::from_secs(3);
