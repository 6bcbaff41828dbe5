//! A server that serves on a thread of its own until it is stopped.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use sandsock::config::ConcurrencyKind;
use sandsock::{
    Ended, Outcome, Request, RequestHandler, Server, ServerHooks, ServerOptions, ShutdownHandle,
    handler_fn,
};
use tempfile::TempDir;

use crate::PATIENCE;
use crate::client::{Client, Transport};

/// What can run beside other tests: a process that forks has one thread.
pub(crate) const CONCURRENCIES: [ConcurrencyKind; 2] =
    [ConcurrencyKind::Serial, ConcurrencyKind::Threads];

/// Options with this concurrency.
pub(crate) fn with(concurrency: ConcurrencyKind) -> ServerOptions {
    ServerOptions {
        concurrency,
        ..ServerOptions::default()
    }
}

/// Sends back all that comes.
pub(crate) fn echo() -> impl RequestHandler {
    handler_fn(|request| {
        std::io::copy(&mut request.rfile(), &mut request.wfile())?;
        Ok(())
    })
}

pub(crate) struct Running {
    pub(crate) address: String,
    pub(crate) shutdown: ShutdownHandle,
    thread: JoinHandle<Server>,
    dir: TempDir,
}

/// A server whose loop has ended; closed with its end.
pub(crate) struct Stopped {
    server: Server,
    dir: TempDir,
}

impl Stopped {
    /// Another loop.
    pub(crate) fn again(self) -> Running {
        Running::serve(self.server, self.dir)
    }
}

impl Deref for Stopped {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Stopped {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

impl Running {
    pub(crate) fn start(
        transport: Transport,
        handler: impl RequestHandler + 'static,
        options: ServerOptions,
    ) -> Self {
        let dir = TempDir::new().unwrap();
        let address = transport.any_address(dir.path());
        let server = Server::with_options(&address, handler, options).unwrap();
        Self::serve(server, dir)
    }

    pub(crate) fn serve(mut server: Server, dir: TempDir) -> Self {
        Running {
            address: server.server_address().to_owned(),
            shutdown: server.shutdown_handle(),
            thread: thread::spawn(move || {
                server.serve_forever(None).unwrap();
                server
            }),
            dir,
        }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.address)
    }

    pub(crate) fn ask(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        self.connect().ask(bytes)
    }

    /// Shuts it down from here.
    pub(crate) fn stop(self) -> Stopped {
        self.shutdown.shutdown();
        self.ended()
    }

    /// Waits for a loop that somebody else ends.
    pub(crate) fn ended(self) -> Stopped {
        Stopped {
            server: self.thread.join().unwrap(),
            dir: self.dir,
        }
    }
}

/// Hooks that tell what they were called with.
pub(crate) struct Told {
    failures: Mutex<Sender<(Outcome, String)>>,
    timeouts: Mutex<Sender<()>>,
    turns: AtomicUsize,
}

/// What they tell.
pub(crate) struct Heard {
    failures: Receiver<(Outcome, String)>,
    timeouts: Receiver<()>,
    hooks: Arc<Told>,
}

pub(crate) fn told() -> (Arc<Told>, Heard) {
    let (failures, heard_failures) = mpsc::channel();
    let (timeouts, heard_timeouts) = mpsc::channel();
    let hooks = Arc::new(Told {
        failures: failures.into(),
        timeouts: timeouts.into(),
        turns: AtomicUsize::new(0),
    });
    let heard = Heard {
        failures: heard_failures,
        timeouts: heard_timeouts,
        hooks: hooks.clone(),
    };
    (hooks, heard)
}

impl Heard {
    /// The next request that failed.
    pub(crate) fn failure(&self) -> (Outcome, String) {
        self.failures.recv_timeout(PATIENCE).expect("a failure")
    }

    /// Failures and timeouts that nobody has asked for so far.
    pub(crate) fn rest(&self) -> (usize, usize) {
        (
            self.failures.try_iter().count(),
            self.timeouts.try_iter().count(),
        )
    }

    /// How often `service_actions` was called.
    pub(crate) fn turns(&self) -> usize {
        self.hooks.turns.load(SeqCst)
    }
}

impl ServerHooks for Told {
    fn handle_error(&self, _request: &Request, ended: &Ended) {
        let detail = ended.detail.clone().unwrap_or_default();
        self.failures
            .lock()
            .unwrap()
            .send((ended.outcome, detail))
            .unwrap();
    }

    fn handle_timeout(&self) {
        self.timeouts.lock().unwrap().send(()).unwrap();
    }

    fn service_actions(&self) {
        self.turns.fetch_add(1, SeqCst);
    }
}
