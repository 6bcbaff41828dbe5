//! Loops in threads of this program: `serial` and `threads`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use sd_notify::NotifyState;

use super::notify::notify;
use super::sockets::Sockets;
use super::{Ended, Message, ServeArgs, listening};
use crate::concurrency::{Concurrency, Process, Serial, Threads};
use crate::config::ConcurrencyKind;
use crate::coredump::Coredumps;
use crate::handler::WasmHandler;
use crate::recording::Keeper;
use crate::sandbox::THREAD_STACK;
use crate::server::{BaseServer, Control, DefaultHooks, Quota, Service, ShutdownHandle};

/// Loops that accept.
pub(super) struct InProcess {
    service: Arc<Service>,
    concurrency: Arc<dyn Concurrency>,
    loops: Vec<JoinHandle<()>>,
    shutdown: Vec<ShutdownHandle>,
}

impl InProcess {
    pub(super) fn start(
        args: &ServeArgs,
        concurrency: ConcurrencyKind,
        in_flight: u32,
        sockets: Sockets,
        handler: Arc<WasmHandler>,
        keeper: Option<&Arc<Keeper>>,
        messages: &Sender<Message>,
    ) -> anyhow::Result<Self> {
        let name = args.handler.service_name();
        let recorder = keeper.and_then(|keeper| args.recorder(&handler, || keeper.clone()));
        let service = Service::new(
            &name,
            handler,
            args.handler.limits.limits(),
            args.service.linger.into(),
            Arc::new(DefaultHooks),
        );
        let coredumps = Coredumps::open(&args.coredump)?.map(Coredumps::by_a_thread);
        let service = service.admitting(&args.admission);
        let service = Arc::new(service.recorded_by(recorder).keeping(coredumps));
        let serving = service.clone();
        let process: Arc<Process> = Arc::new(move |request, told| {
            serving.process_request_thread(request, told);
        });
        let concurrency: Arc<dyn Concurrency> = match concurrency {
            ConcurrencyKind::Serial => Arc::new(Serial::new(process)),
            _ => Arc::new(Threads::new(in_flight as usize, process)),
        };
        let quota = match sockets.is_connection {
            true => Some(1),
            false => args.service.quota(),
        };
        let quota = Arc::new(Quota::new(quota));
        let mut running = InProcess {
            service: service.clone(),
            concurrency: concurrency.clone(),
            loops: Vec::new(),
            shutdown: Vec::new(),
        };
        for listener in sockets.listeners {
            let address = listener.server_address();
            let control = Control::new()
                .context("no descriptor is left for the server's loop: raise `ulimit -n`")?;
            let server = BaseServer::new(
                listener,
                service.clone(),
                concurrency.clone(),
                quota.clone(),
                Arc::new(control),
            );
            running.shutdown.push(server.shutdown_handle());
            let (messages, concurrency) = (messages.clone(), concurrency.clone());
            let handle = thread::Builder::new()
                .name("MainThread".to_owned())
                // With `serial` handlers run on it.
                .stack_size(THREAD_STACK)
                .spawn(move || {
                    let served = catch_unwind(AssertUnwindSafe(|| server.serve_forever(None)));
                    // The last requests have their own time, unlike those that a signal meets.
                    drop(server);
                    let ended = match served {
                        Ok(()) => {
                            concurrency.join();
                            Ended::Quota
                        }
                        Err(_) => Ended::Panic,
                    };
                    // Nobody waits for it where the program is ending already.
                    let _ = messages.send(Message::LoopEnded(ended));
                })
                .context("no thread is to be had for the server's loop")?;
            running.loops.push(handle);
            if !sockets.is_connection {
                listening(&name, &address);
            }
        }
        notify(&[NotifyState::Ready]);
        Ok(running)
    }

    pub(super) fn count(&self) -> usize {
        self.concurrency.count()
    }

    pub(super) fn replace_handler(&self, handler: Arc<WasmHandler>) {
        self.service.replace_handler(handler);
    }

    /// No new requests; those in flight have `grace` to end, then they are cut. Says how many were.
    pub(super) fn stop(self, grace: Duration) -> usize {
        for handle in &self.shutdown {
            handle.request();
        }
        let end = Instant::now().checked_add(grace);
        let cut = self.concurrency.close(grace);
        self.service.wait_for_coredumps(end);
        // A loop that does not end serves a request that cannot be ended; the process ends it.
        if self.concurrency.count() == 0 {
            for handle in self.loops {
                let _ = handle.join();
            }
        }
        cut
    }
}
