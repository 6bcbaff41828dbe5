//! Native handlers: `setup`, `handle`, `finish`, and how each of them can fail.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sandsock::config::Limits;
use sandsock::{
    BaseRequestHandler, HandlerError, Outcome, Request, ServerOptions, handler_fn, native,
};

use crate::client::Transport;
use crate::running::{CONCURRENCIES, Running, told, with};

/// Writes the first letter of each step, and fails where its client wants it.
#[derive(Default)]
struct Steps(String);

impl Steps {
    fn step(&self, request: &Request, name: &str) -> Result<(), HandlerError> {
        request.wfile().write_all(&name.as_bytes()[..1])?;
        match self.0.split_once(' ') {
            Some((step, "error")) if step == name => Err(format!("error in {name}").into()),
            Some((step, "panic")) if step == name => panic!("panic in {name}"),
            _ => Ok(()),
        }
    }
}

impl BaseRequestHandler for Steps {
    fn setup(&mut self, request: &Request) -> Result<(), HandlerError> {
        request.rfile().read_to_string(&mut self.0)?;
        self.step(request, "setup")
    }

    fn handle(&mut self, request: &Request) -> Result<(), HandlerError> {
        self.step(request, "handle")
    }

    fn finish(&mut self, request: &Request) -> Result<(), HandlerError> {
        self.step(request, "finish")
    }
}

#[test]
fn the_steps_run_in_pythons_order_whatever_fails() {
    use Outcome::{HandlerError, Trap};
    let cases = [
        ("nothing", "shf", None),
        ("setup error", "s", Some(HandlerError)),
        ("handle error", "shf", Some(HandlerError)),
        ("finish error", "shf", Some(HandlerError)),
        ("setup panic", "s", Some(Trap)),
        ("handle panic", "sh", Some(Trap)),
        ("finish panic", "shf", Some(Trap)),
    ];
    for transport in Transport::all() {
        for concurrency in CONCURRENCIES {
            let (hooks, heard) = told();
            let options = ServerOptions {
                hooks,
                ..with(concurrency)
            };
            let running = Running::start(transport, native(Steps::default), options);
            for (wish, written, outcome) in cases {
                let mut client = running.connect();
                client.send(wish);
                client.finish_sending();
                // Of a packet's reply nothing is sent after a panic: it may be half a reply.
                if transport.is_datagram() && outcome == Some(Trap) {
                    assert!(heard.failure().1.contains(wish.split_once(' ').unwrap().0));
                    client.has_received_nothing();
                    continue;
                }
                assert_eq!(
                    client.receive_all(),
                    written.as_bytes(),
                    "{transport:?} {wish}"
                );
                if let Some(outcome) = outcome {
                    let (how, detail) = heard.failure();
                    assert_eq!(how, outcome, "{wish}");
                    let (step, end) = wish.split_once(' ').unwrap();
                    assert!(detail.contains(&format!("{end} in {step}")), "{detail}");
                }
            }
            running.stop();
            assert_eq!(heard.rest(), (0, 0));
        }
    }
}

#[test]
fn each_request_has_a_handler_of_its_own() {
    let made = Arc::new(AtomicUsize::new(0));
    let counted = made.clone();
    let handler = native(move || {
        counted.fetch_add(1, SeqCst);
        Steps::default()
    });
    let running = Running::start(Transport::Tcp, handler, ServerOptions::default());
    for n in 1..=3 {
        assert_eq!(running.ask("nothing"), b"shf");
        assert_eq!(made.load(SeqCst), n);
    }
    running.stop();
}

#[test]
fn limits_end_what_waits_through_its_request() {
    let cases = [
        (
            Limits {
                idle_timeout: Some(Duration::from_millis(50)),
                ..Limits::default()
            },
            Outcome::IdleTimeout,
        ),
        (
            Limits {
                deadline: Some(Duration::from_millis(50)),
                ..Limits::default()
            },
            Outcome::Deadline,
        ),
    ];
    for (limits, outcome) in cases {
        for transport in [Transport::Tcp, Transport::Unix] {
            let (hooks, heard) = told();
            let options = ServerOptions {
                hooks,
                limits: limits.clone(),
                ..ServerOptions::default()
            };
            let handler = handler_fn(|request| {
                request.rfile().read_exact(&mut [0])?;
                Ok(())
            });
            let running = Running::start(transport, handler, options);
            assert_eq!(running.connect().receive_all(), b"");
            assert_eq!(heard.failure().0, outcome, "{transport:?}");
            running.stop();
        }
    }
}

#[test]
fn a_handler_may_set_a_timeout_of_its_own_and_go_on() {
    let handler = handler_fn(|request| {
        request.set_timeout(20);
        let late = request.rfile().read(&mut [0]).unwrap_err();
        Ok(write!(request.wfile(), "{:?}", late.kind())?)
    });
    let running = Running::start(Transport::Tcp, handler, ServerOptions::default());
    assert_eq!(running.connect().receive_all(), b"TimedOut");
    running.stop();
}
