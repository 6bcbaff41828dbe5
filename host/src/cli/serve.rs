//! `sandsock serve`: bind, load, accept, and end in good order.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::log::{self, LogArgs};
use super::signals::{self, Signal};
use super::{HandlerArgs, Usage};
use crate::address::{ListenAddress, Place};
use crate::concurrency::{Concurrency, Process, Serial, Threads};
use crate::config::{ConcurrencyKind, ServiceOptions};
use crate::events;
use crate::handler::{Loader, WasmHandler};
use crate::sandbox::THREAD_STACK;
use crate::server::{
    BindOptions, DefaultHooks, Listener, Quota, Server, Service, ShutdownHandle, bind_and_activate,
};

/// Serves a handler on an address until a signal ends it.
#[derive(Args)]
pub(super) struct ServeArgs {
    /// Where to listen: tcp://HOST:PORT, udp://HOST:PORT, unix:///PATH, unixgram:///PATH
    address: String,
    #[command(flatten)]
    handler: HandlerArgs,
    #[command(flatten)]
    service: ServiceOptions,
    #[command(flatten)]
    log: LogArgs,
}

/// How long requests that were cut may take to notice: a tick of the clock, and what a file call takes.
const AFTER_CUT: Duration = Duration::from_secs(1);

/// What the program waits for.
enum Message {
    Signal(Signal),
    /// A loop has ended by itself: the quota of requests is used up.
    LoopEnded,
}

pub(super) fn main(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let address: ListenAddress = args
        .address
        .parse()
        .map_err(|error: crate::AddressError| Usage(error.to_string()))?;
    if args.service.reuse_port && matches!(address.place, Place::Path(_)) {
        let problem = "--reuse-port is for TCP and UDP: a Unix socket has one server";
        return Err(Usage(problem.to_owned()).into());
    }
    log::start(&args.log);
    let in_flight = args.handler.capacity(&args.service)?;
    // A name that is taken is said before a large handler is compiled for nothing.
    let options = BindOptions::new(&args.service, &args.handler.limits.limits());
    let listeners = bind_and_activate(&address, &options)?;
    let name = args.handler.service_name();
    let loader = args.handler.loader(in_flight)?;
    let service = Arc::new(Service::new(
        &name,
        Arc::new(load(&loader, &name)?),
        loader.limits.clone(),
        args.service.linger.into(),
        Box::new(DefaultHooks),
    ));
    let (sender, messages) = mpsc::channel();
    let signals = sender.clone();
    // Where nobody receives any more the program is at its end. Until here a signal just ends it.
    let pass_on = move |signal| drop(signals.send(Message::Signal(signal)));
    signals::listen(pass_on).context("signals cannot be listened for")?;
    let running = Running::start(&args.service, in_flight, listeners, &service, sender)?;
    let reason = running.wait(&messages, &Arc::new(loader), &service);
    running.stop(reason, args.service.shutdown_grace.into());
    Ok(ExitCode::SUCCESS)
}

/// SIGHUP: whatever does not load leaves the old handler in service. A thread of its own, since a
/// handler may take long to compile and a signal to end must not wait for it.
fn reload(loader: &Arc<Loader>, service: &Arc<Service>) {
    let (loader, serving) = (loader.clone(), service.clone());
    let reload = move || match load(&loader, serving.name()) {
        Ok(handler) => serving.replace_handler(Arc::new(handler)),
        Err(error) => events::reload_failed(serving.name(), &format!("{error:#}")),
    };
    let thread = thread::Builder::new().name("reload".to_owned());
    if let Err(error) = thread.spawn(reload) {
        events::reload_failed(service.name(), &error.to_string());
    }
}

fn load(loader: &Loader, service: &str) -> anyhow::Result<WasmHandler> {
    let handler = WasmHandler::load(loader)
        .with_context(|| format!("cannot serve {}", loader.path.display()))?;
    let info = handler.info();
    events::loaded(
        service,
        &loader.path.display().to_string(),
        handler.kind().as_str(),
        info.cached,
        info.took,
    );
    Ok(handler)
}

/// Loops that accept.
struct Running {
    concurrency: Arc<dyn Concurrency>,
    loops: Vec<JoinHandle<()>>,
    shutdown: Vec<ShutdownHandle>,
}

impl Running {
    fn start(
        options: &ServiceOptions,
        in_flight: u32,
        listeners: Vec<Box<dyn Listener>>,
        service: &Arc<Service>,
        messages: mpsc::Sender<Message>,
    ) -> anyhow::Result<Self> {
        let serving = service.clone();
        let process: Arc<Process> = Arc::new(move |request| {
            serving.process_request_thread(request);
        });
        let concurrency: Arc<dyn Concurrency> = match options.concurrency {
            ConcurrencyKind::Serial => Arc::new(Serial::new(process)),
            ConcurrencyKind::Threads => Arc::new(Threads::new(in_flight as usize, process)),
        };
        let requests = if options.once {
            Some(1)
        } else {
            options.max_requests
        };
        let quota = Arc::new(Quota::new(requests));
        let mut running = Running {
            concurrency: concurrency.clone(),
            loops: Vec::new(),
            shutdown: Vec::new(),
        };
        let mut stdout = io::stdout();
        for listener in listeners {
            let address = listener.server_address();
            let server = Server::new(
                listener,
                service.clone(),
                concurrency.clone(),
                quota.clone(),
            )
            .context("no descriptor is left for the server's loop: raise `ulimit -n`")?;
            running.shutdown.push(server.shutdown_handle());
            let messages = messages.clone();
            let handle = thread::Builder::new()
                .name("MainThread".to_owned())
                // With `serial` handlers run on it.
                .stack_size(THREAD_STACK)
                .spawn(move || {
                    // A loop that panics is the end of the program, not a port that nobody serves.
                    let _ = catch_unwind(AssertUnwindSafe(|| server.serve_forever(None)));
                    // Nobody waits for it where the program is ending already.
                    let _ = messages.send(Message::LoopEnded);
                })
                .context("no thread is to be had for the server's loop")?;
            running.loops.push(handle);
            events::listening(service.name(), &address);
            // Whoever has closed standard output does not want to know.
            let _ = writeln!(stdout, "listening {address}").and_then(|()| stdout.flush());
        }
        Ok(running)
    }

    /// Until something ends the service; says what.
    fn wait(
        &self,
        messages: &Receiver<Message>,
        loader: &Arc<Loader>,
        service: &Arc<Service>,
    ) -> &'static str {
        loop {
            match messages.recv() {
                Ok(Message::Signal(Signal::Stop(signal))) => return signal,
                Ok(Message::Signal(Signal::Reload)) => reload(loader, service),
                Ok(Message::LoopEnded) | Err(_) => return "max-requests",
            }
        }
    }

    /// No new requests; those in flight have `grace` to end, then they are cut.
    fn stop(self, reason: &str, grace: Duration) {
        for handle in &self.shutdown {
            handle.request();
        }
        let in_flight = self.concurrency.in_flight();
        events::shutting_down(reason, in_flight.count(), grace);
        let mut cut = 0;
        if !in_flight.join(grace) {
            cut = in_flight.cut();
            in_flight.join(AFTER_CUT);
        }
        // A loop that does not end serves a request that cannot be ended; the process ends it.
        if in_flight.count() == 0 {
            for handle in self.loops {
                let _ = handle.join();
            }
        }
        events::stopped(cut);
    }
}
