//! The process of a service that forks: this program once more, with one thread, a listener that it
//! inherits, and nothing that could be lost in a child.
//!
//! It is started by `serve`, with the same options, and acts on no signal but its supervisor's: the
//! first says that no more requests are taken, [`CUT`] that those in flight are to end now.

#![expect(unsafe_code, reason = "signal handlers")]

mod huge_pages;
mod recordings;
mod words;

use std::fmt;
use std::io;
use std::net::{AddrParseError, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use nix::unistd::{getpid, getppid};
use signal_hook::low_level;

pub(super) use self::recordings::Pieces;
use self::recordings::ToSupervisor;
pub(super) use self::words::{ACCEPTING, EVENT, LINE, PIECE};
use self::words::{Lines, tell};
use super::hardening::needs_of_requests;
use super::log;
use super::serve::ServeArgs;
use super::this_program::take;
use crate::address::ListenAddress;
use crate::concurrency::{CUT, Concurrency, Counting, Fork, Process, Table, bound_data};
use crate::coredump::Coredumps;
use crate::handler::WasmHandler;
use crate::harden::confine_forker;
use crate::sandbox::{Compiled, Handed, THREAD_STACK};
use crate::server::{BaseServer, Control, DefaultHooks, Quota, Service, handed_over, inherited};

/// The supervisor asks the loop to take no more requests.
pub(super) const STOP: Signal = Signal::SIGUSR2;

/// Serves one listener of `serve --concurrency fork`, which starts it.
#[derive(Args)]
pub(super) struct ForkLoopArgs {
    /// What was inherited
    #[arg(long)]
    inherited: Inherited,
    /// Granted folders, open, in the order of `--dir`
    #[arg(long, value_delimiter = ',')]
    folder: Vec<RawFd>,
    /// The addresses of each host of `--allow-connect`, in their order
    #[arg(long, value_parser = addresses)]
    reachable: Vec<Addresses>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Descriptors of the supervisor's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inherited {
    pub(super) listener: RawFd,
    pub(super) code: RawFd,
    pub(super) table: RawFd,
    pub(super) channel: RawFd,
}

impl Inherited {
    pub(super) fn descriptors(self) -> [RawFd; 4] {
        [self.listener, self.code, self.table, self.channel]
    }
}

impl fmt::Display for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [listener, code, table, channel] = self.descriptors();
        write!(f, "{listener},{code},{table},{channel}")
    }
}

impl FromStr for Inherited {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<RawFd>, _> = text.split(',').map(str::parse).collect();
        match numbers.as_deref() {
            Ok([listener, code, table, channel]) => Ok(Inherited {
                listener: *listener,
                code: *code,
                table: *table,
                channel: *channel,
            }),
            _ => Err("it is for `serve` to say what was inherited".to_owned()),
        }
    }
}

/// Those of one host.
type Addresses = Vec<SocketAddr>;

fn addresses(text: &str) -> Result<Addresses, AddrParseError> {
    let words = text.split(',').filter(|word| !word.is_empty());
    words.map(str::parse).collect()
}

/// For the line of a loop's process.
pub(super) fn grant_arguments(grants: &Handed) -> Vec<String> {
    let mut arguments = Vec::new();
    for folder in &grants.folders {
        arguments.extend(["--folder".to_owned(), folder.as_raw_fd().to_string()]);
    }
    for host in &grants.addresses {
        let addresses: Vec<_> = host.iter().map(ToString::to_string).collect();
        arguments.extend(["--reachable".to_owned(), addresses.join(",")]);
    }
    arguments
}

/// How long a message may wait for a supervisor that is busy; then it is lost, and counted.
const BUSY: Duration = Duration::from_secs(1);

pub(super) fn main(mut args: ForkLoopArgs) -> anyhow::Result<ExitCode> {
    let [listener, code, table, channel] = args.inherited.descriptors().map(take);
    let dumping = args.serve.coredump.at_one_time() as usize;
    let table = Table::open(table?, dumping).context("the table of requests cannot be mapped")?;
    let channel = Arc::new(channel?);
    setsockopt(
        &channel,
        sockopt::SendTimeout,
        &TimeVal::new(BUSY.as_secs().cast_signed(), 0),
    )?;
    let (lines, counts) = (channel.clone(), table.clone());
    log::start_for_supervisor(&args.serve.log, Lines::new(lines, counts));
    reserve_stack()?;
    // What was found when the handler was loaded, and not what is there now.
    let grants = &mut args.serve.handler.grants;
    let folders = args.folder.iter().map(|number| take(*number));
    let folders: Vec<_> = folders.collect::<anyhow::Result<_>>()?;
    for (dir, folder) in grants.dir.iter_mut().zip(&folders) {
        dir.host = format!("/proc/self/fd/{}", folder.as_raw_fd()).into();
    }
    grants.addresses = Some(args.reachable);
    let serve = &args.serve;
    let mut loader = serve.handler.loader_without_cache(1).for_children();
    let coredumps = Coredumps::open(&serve.coredump)?;
    let coredumps = coredumps.map(|kept| kept.by_children(table.clone()));
    loader.coredumps = coredumps.is_some();
    let compiled = Compiled::shared(code?).context("the compiled handler cannot be read")?;
    let handler = WasmHandler::link(&loader, &compiled).context("the handler cannot be linked")?;
    drop(compiled);

    let options = serve.bind_options();
    let address = serve.address()?;
    let listener = match address {
        ListenAddress::HandedOver(_) => handed_over(listener?, "", &options),
        _ => inherited(listener?, &options),
    };
    let listener = listener.context("the listener is none")?;
    let recorder = serve.recorder(&handler, || {
        Arc::new(ToSupervisor {
            channel: channel.clone(),
            table: table.clone(),
        })
    });
    let service = Service::new(
        &serve.handler.service_name(),
        Arc::new(handler),
        serve.handler.limits.limits(),
        serve.service.linger.into(),
        Arc::new(DefaultHooks),
    );
    let service = service
        .counted_in(Counting::Shared(table.clone()))
        .admitting(&serve.admission)
        .recorded_by(recorder)
        .keeping(coredumps);
    let service = Arc::new(service);
    let quota = Quota::counted_in(serve.service.quota(), Counting::Shared(table.clone()));
    let (serving, losing) = (service.clone(), service.clone());
    let process: Arc<Process> = Arc::new(move |request, told| {
        serving.process_request_thread(request, told);
    });
    let control = Arc::new(Control::new()?);
    let fork = Arc::new(Fork::new(
        table,
        Some(getppid()),
        control.waker().clone(),
        process,
        Arc::new(move |lost| losing.lost(&lost)),
        serve.lifetime(),
    )?);
    let server = BaseServer::new(listener, service, fork.clone(), Arc::new(quota), control);
    obey(&server, &fork)?;
    // Where the system has none, each child takes some more page faults, and all else is the same.
    // SAFETY: this process has one thread.
    let _ = unsafe { huge_pages::move_program() };
    if let Some(bytes) = serve.largest_data() {
        bound_data(bytes).context("the memory of requests cannot be bounded (RLIMIT_DATA)")?;
    }
    // What is open stays; nothing else is needed.
    let mut needs = needs_of_requests(&serve.handler.grants, &serve.coredump, &address);
    needs.calls.clone_from(&serve.harden.allow_call);
    confine_forker(serve.harden.harden, &needs)?;
    // The supervisor has the listener, too: it accepts from the moment that it listens.
    tell(&channel, &[&[ACCEPTING]])?;
    server.serve_forever(None);
    // Clients are refused while requests in flight end.
    drop(server);
    fork.close(Duration::MAX);
    Ok(ExitCode::SUCCESS)
}

/// Handlers run on the main thread's stack, which grows up to a limit: it has to be what a thread of
/// ours would have.
fn reserve_stack() -> anyhow::Result<()> {
    let wanted = THREAD_STACK as u64;
    let (soft, hard) = getrlimit(Resource::RLIMIT_STACK)?;
    if soft != RLIM_INFINITY && soft < wanted {
        setrlimit(Resource::RLIMIT_STACK, wanted, hard).with_context(|| {
            format!("a handler needs a stack of {wanted} bytes: raise `ulimit -s`")
        })?;
    }
    Ok(())
}

fn obey(server: &BaseServer, fork: &Arc<Fork>) -> io::Result<()> {
    let this = getpid();
    let stop = server.shutdown_handle();
    let (end, fork) = (server.shutdown_handle(), fork.clone());
    // Children inherit the handlers; what these signals mean to them is said elsewhere.
    // SAFETY: getpid(2), atomics and write(2): signal-safety(7) allows all of them.
    unsafe {
        low_level::register(STOP as i32, move || {
            if getpid() == this {
                stop.request();
            }
        })?;
        low_level::register(CUT as i32, move || {
            if getpid() == this {
                end.request();
                fork.hurry();
            }
        })?;
    }
    Ok(())
}

/// For a process that is about to become the loop: a signal to the whole group is the supervisor's
/// business, and without one the loop has none.
pub(super) fn ignore_signals() -> io::Result<()> {
    for ignored in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        // SAFETY: no handler is replaced that anything in this process would still rely on.
        unsafe { signal(ignored, SigHandler::SigIgn)? };
    }
    Ok(())
}
