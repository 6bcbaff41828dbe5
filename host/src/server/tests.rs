//! The loop against listeners that a test can make fail as the system seldom does.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::eventfd::EventFd;

use super::{
    Accepted, BaseServer, Control, DefaultHooks, Incoming, Listener, Quota, ServerHooks, Service,
    ShutdownHandle,
};
use crate::address::{Endpoint, Transport};
use crate::admission::Refusal;
use crate::concurrency::{Concurrency, Permit, Process, Serial, Threads};
use crate::config::Limits;
use crate::handler::{Ended, Handled, RequestHandler};
use crate::outcome::Outcome;
use crate::poll::Waker;
use crate::request::{InMemory, Request};

/// Always readable; answers what its script says, then that nothing waits.
struct Flaky {
    readable: EventFd,
    script: Mutex<VecDeque<io::Result<Option<()>>>>,
    calls: Arc<AtomicU32>,
}

impl Flaky {
    fn new(
        script: impl IntoIterator<Item = io::Result<Option<()>>>,
    ) -> (Box<Self>, Arc<AtomicU32>) {
        let calls = Arc::new(AtomicU32::new(0));
        let flaky = Flaky {
            readable: EventFd::from_value(1).unwrap(),
            script: Mutex::new(script.into_iter().collect()),
            calls: calls.clone(),
        };
        (Box::new(flaky), calls)
    }
}

impl Listener for Flaky {
    fn transport(&self) -> Transport {
        Transport::Tcp
    }

    fn server_address(&self) -> String {
        "flaky".to_owned()
    }

    fn fileno(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }

    fn get_request(&self) -> io::Result<Incoming> {
        self.calls.fetch_add(1, SeqCst);
        let next = self.script.lock().unwrap().pop_front();
        let next = next.unwrap_or_else(|| {
            // Nothing waits any more: the descriptor must not stay readable.
            let _ = self.readable.read();
            Err(io::ErrorKind::WouldBlock.into())
        });
        Ok(match next? {
            Some(()) => Incoming::Request(Accepted {
                client_address: Endpoint::Unnamed,
                connection: Box::new(InMemory::default()),
            }),
            None => Incoming::Dropped(Refusal::TooLong, Endpoint::Unnamed),
        })
    }
}

/// Panics on every second request.
struct Handler(AtomicU32);

impl RequestHandler for Handler {
    fn finish_request(&self, _request: &Arc<Request>) -> Handled {
        assert!(
            self.0.fetch_add(1, SeqCst).is_multiple_of(2),
            "every second one"
        );
        Handled {
            result: Ok(()),
            memory_peak: 0,
            coredump: None,
        }
    }
}

struct Running {
    shutdown: ShutdownHandle,
    server: Arc<BaseServer>,
    outcomes: Receiver<Outcome>,
}

fn server(
    listener: Box<dyn Listener>,
    hooks: impl ServerHooks + 'static,
    quota: Option<u32>,
    concurrency: impl FnOnce(Arc<Process>) -> Arc<dyn Concurrency>,
) -> Running {
    let (sender, outcomes): (Sender<Outcome>, _) = mpsc::channel();
    let service = Arc::new(Service::new(
        "test",
        Arc::new(Handler(AtomicU32::new(0))),
        Limits::default(),
        Duration::ZERO,
        Arc::new(hooks),
    ));
    let serving = service.clone();
    let concurrency = concurrency(Arc::new(move |request, told| {
        let Ended { outcome, .. } = serving.process_request_thread(request, told);
        let _ = sender.send(outcome);
    }));
    let quota = Arc::new(Quota::new(quota));
    let control = Arc::new(Control::new().unwrap());
    let server = Arc::new(BaseServer::new(
        listener,
        service,
        concurrency,
        quota,
        control,
    ));
    Running {
        shutdown: server.shutdown_handle(),
        server,
        outcomes,
    }
}

fn serial(process: Arc<Process>) -> Arc<dyn Concurrency> {
    Arc::new(Serial::new(process))
}

fn error(code: i32) -> io::Result<Option<()>> {
    Err(io::Error::from_raw_os_error(code))
}

const SOON: Duration = Duration::from_secs(10);

#[test]
fn errors_neither_end_the_loop_nor_make_it_spin() {
    let transient = [
        libc::ECONNABORTED,
        libc::EPROTO,
        libc::EINTR,
        libc::ENETDOWN,
    ];
    let lasting = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EBADF];
    let script = transient
        .into_iter()
        .chain(lasting)
        .map(error)
        .chain([Ok(Some(()))]);
    let (listener, calls) = Flaky::new(script);
    let running = server(listener, DefaultHooks, Some(1), serial);
    let started = Instant::now();
    running.server.serve_forever(None);
    assert_eq!(Outcome::Ok, running.outcomes.recv_timeout(SOON).unwrap());
    // Each was tried once, the lasting ones after pauses of 100, 200, 400 and 800 ms.
    assert_eq!(9, calls.load(SeqCst));
    assert!(started.elapsed() >= Duration::from_millis(1400));
}

#[test]
fn a_packet_that_is_too_long_is_not_a_request() {
    let (listener, calls) = Flaky::new([Ok(None), Ok(Some(()))]);
    let running = server(listener, DefaultHooks, Some(1), serial);
    running.server.serve_forever(None);
    assert_eq!(2, calls.load(SeqCst));
    assert_eq!(1, running.outcomes.try_iter().count());
}

#[test]
fn a_panic_costs_one_request() {
    for concurrency in [
        serial as fn(Arc<Process>) -> Arc<dyn Concurrency>,
        |process| Arc::new(Threads::new(1, process)),
    ] {
        let (listener, _) = Flaky::new((0..4).map(|_| Ok(Some(()))));
        let running = server(listener, DefaultHooks, Some(4), concurrency);
        running.server.serve_forever(None);
        let outcomes: Vec<_> = (0..4)
            .map(|_| running.outcomes.recv_timeout(SOON).unwrap())
            .collect();
        let (ok, lost) = (Outcome::Ok, Outcome::HostError);
        assert_eq!(vec![ok, lost, ok, lost], outcomes);
    }
}

#[test]
fn shutdown_wakes_an_idle_loop_and_it_can_be_started_again() {
    let (listener, _) = Flaky::new([]);
    let running = server(listener, DefaultHooks, None, serial);
    for _ in 0..20 {
        let server = running.server.clone();
        let (begun, has_begun) = mpsc::channel();
        let serving = thread::spawn(move || {
            begun.send(()).unwrap();
            server.serve_forever(None);
        });
        has_begun.recv_timeout(SOON).unwrap();
        // Before the loop has started or after: it ends either way.
        running.shutdown.shutdown();
        serving.join().unwrap();
    }
}

#[test]
fn shutdown_before_the_loop_starts_ends_it_at_once() {
    let (listener, calls) = Flaky::new([Ok(Some(()))]);
    let running = server(listener, DefaultHooks, None, serial);
    running.shutdown.shutdown();
    running.server.serve_forever(None);
    assert_eq!(0, calls.load(SeqCst));
}

/// Shuts its own server down, and refuses or fails to decide.
#[derive(Default)]
struct Hooks {
    shutdown: Mutex<Option<ShutdownHandle>>,
    verified: AtomicU32,
    timeouts: AtomicU32,
}

impl ServerHooks for Arc<Hooks> {
    fn verify_request(&self, _request: &Request) -> Result<bool, String> {
        match self.verified.fetch_add(1, SeqCst) {
            0 => Ok(false),
            1 => Err("cannot decide".to_owned()),
            _ => Ok(true),
        }
    }

    fn handle_timeout(&self) {
        self.timeouts.fetch_add(1, SeqCst);
    }

    fn service_actions(&self) {
        if self.verified.load(SeqCst) == 3
            && let Some(shutdown) = &*self.shutdown.lock().unwrap()
        {
            shutdown.shutdown();
        }
    }
}

#[test]
fn a_hook_that_refuses_or_fails_costs_that_request_and_may_shut_the_server_down() {
    let hooks = Arc::new(Hooks::default());
    let (listener, _) = Flaky::new((0..3).map(|_| Ok(Some(()))));
    let running = server(listener, hooks.clone(), None, serial);
    *hooks.shutdown.lock().unwrap() = Some(running.shutdown.clone());
    running.server.serve_forever(None);
    assert_eq!(3, hooks.verified.load(SeqCst));
    assert_eq!(
        vec![Outcome::Ok],
        running.outcomes.try_iter().collect::<Vec<_>>()
    );
}

#[test]
fn handle_request_serves_one_or_times_out() {
    let hooks = Arc::new(Hooks::default());
    hooks.verified.store(2, SeqCst);
    let (listener, _) = Flaky::new([Ok(Some(()))]);
    let running = server(listener, hooks.clone(), None, serial);
    let timeout = Some(Duration::from_millis(20));
    running.server.handle_request(timeout);
    assert_eq!(1, running.outcomes.try_iter().count());
    running.server.handle_request(timeout);
    assert_eq!(1, hooks.timeouts.load(SeqCst));
}

/// Another thread stops the server just when room for a request was found.
struct StoppedMeanwhile {
    serial: Serial,
    shutdown: Mutex<Option<ShutdownHandle>>,
}

impl Concurrency for Arc<StoppedMeanwhile> {
    fn reserve(&self, waker: &Arc<Waker>) -> Option<Permit> {
        let permit = self.serial.reserve(waker);
        if let Some(shutdown) = &*self.shutdown.lock().unwrap() {
            shutdown.request();
        }
        permit
    }

    fn process_request(&self, permit: Permit, request: Arc<Request>) -> io::Result<()> {
        self.serial.process_request(permit, request)
    }

    fn join(&self) {
        self.serial.join();
    }

    fn count(&self) -> usize {
        self.serial.count()
    }

    fn close(&self, grace: Duration) -> usize {
        self.serial.close(grace)
    }
}

#[test]
fn a_request_is_not_taken_after_a_stop_that_found_none_in_flight() {
    let mut stopped = None;
    let (listener, calls) = Flaky::new([Ok(Some(()))]);
    let running = server(listener, DefaultHooks, None, |process| {
        let concurrency = Arc::new(StoppedMeanwhile {
            serial: Serial::new(process),
            shutdown: Mutex::new(None),
        });
        stopped = Some(concurrency.clone());
        Arc::new(concurrency)
    });
    let stopped = stopped.unwrap();
    *stopped.shutdown.lock().unwrap() = Some(running.shutdown.clone());
    running.server.serve_forever(None);
    assert_eq!(0, calls.load(SeqCst));
    assert_eq!(0, stopped.count());
}
