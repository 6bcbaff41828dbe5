//! `serve_forever`, `handle_request`, `shutdown`, `timeout`, `fileno`.

use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sandsock::config::ConcurrencyKind;
use sandsock::{Ended, Request, Server, ServerHooks, ServerOptions, ShutdownHandle, handler_fn};
use tempfile::TempDir;

use crate::PATIENCE;
use crate::client::{Client, Transport};
use crate::running::{CONCURRENCIES, Running, echo, told, with};

#[test]
fn shutdown_from_another_thread_ends_the_loop_which_can_be_started_again() {
    for transport in Transport::all() {
        for concurrency in CONCURRENCIES {
            let mut running = Running::start(transport, echo(), with(concurrency));
            for _ in 0..3 {
                assert_eq!(running.ask("hello"), b"hello", "{transport:?}");
                running = running.stop().again();
            }
            running.stop();
        }
    }
}

#[test]
fn who_comes_between_two_loops_is_served_by_the_second() {
    for transport in Transport::all() {
        let stopped = Running::start(transport, echo(), Default::default()).stop();
        let mut client = Client::connect(stopped.server_address());
        client.send("waiting");
        client.finish_sending();
        let running = stopped.again();
        assert_eq!(client.receive_all(), b"waiting", "{transport:?}");
        running.stop();
    }
}

#[test]
fn shutdown_before_a_loop_returns_and_is_for_the_next_one() {
    let mut server = Server::new("tcp://127.0.0.1:0", echo()).unwrap();
    server.shutdown_handle().shutdown();
    server.serve_forever(None).unwrap();
    server.shutdown_handle().shutdown();
    server.handle_request().unwrap();
    let running = Running::serve(server, TempDir::new().unwrap());
    assert_eq!(running.ask("hello"), b"hello");
    running.stop();
}

#[test]
fn a_shutdown_handle_outlives_its_server() {
    let server = Server::new("tcp://127.0.0.1:0", echo()).unwrap();
    let shutdown = server.shutdown_handle();
    drop(server);
    shutdown.shutdown();
}

/// Shuts the server down from the hook of this name.
struct FromHook {
    hook: &'static str,
    shutdown: OnceLock<ShutdownHandle>,
}

impl FromHook {
    fn call(&self, hook: &str) {
        if hook == self.hook {
            self.shutdown.get().unwrap().shutdown();
        }
    }
}

impl ServerHooks for FromHook {
    fn verify_request(&self, _request: &Request) -> Result<bool, String> {
        self.call("verify_request");
        Ok(true)
    }

    fn handle_error(&self, _request: &Request, _ended: &Ended) {
        self.call("handle_error");
    }

    fn handle_timeout(&self) {
        self.call("handle_timeout");
    }

    fn service_actions(&self) {
        self.call("service_actions");
    }
}

fn fails_after_its_reply(request: &Request) -> Result<(), sandsock::HandlerError> {
    std::io::copy(&mut request.rfile(), &mut request.wfile())?;
    Err("that is all".into())
}

#[test]
fn shutdown_from_a_hook_ends_the_loop_and_the_request_at_hand_is_served() {
    for transport in Transport::all() {
        for concurrency in CONCURRENCIES {
            for hook in ["verify_request", "handle_error", "service_actions"] {
                let hooks = Arc::new(FromHook {
                    hook,
                    shutdown: OnceLock::new(),
                });
                let options = ServerOptions {
                    hooks: hooks.clone(),
                    ..with(concurrency)
                };
                let dir = TempDir::new().unwrap();
                let address = transport.any_address(dir.path());
                let handler = handler_fn(fails_after_its_reply);
                let server = Server::with_options(&address, handler, options).unwrap();
                hooks.shutdown.set(server.shutdown_handle()).ok().unwrap();
                let running = Running::serve(server, dir);
                assert_eq!(running.ask("hello"), b"hello", "{transport:?} {hook}");
                running.ended();
            }
        }
    }
}

#[test]
fn shutdown_from_handle_timeout_is_not_waited_for() {
    let hooks = Arc::new(FromHook {
        hook: "handle_timeout",
        shutdown: OnceLock::new(),
    });
    let mut server = Server::new("tcp://127.0.0.1:0", echo()).unwrap();
    hooks.shutdown.set(server.shutdown_handle()).ok().unwrap();
    server.options.hooks = hooks;
    server.options.timeout = Some(Duration::ZERO);
    server.handle_request().unwrap();
}

#[test]
fn shutdown_from_a_handler_ends_the_loop() {
    for concurrency in CONCURRENCIES {
        let shutdown = Arc::new(OnceLock::<ShutdownHandle>::new());
        let used = shutdown.clone();
        let handler = handler_fn(move |_| {
            used.get().unwrap().shutdown();
            Ok(())
        });
        let server = Server::with_options("tcp://127.0.0.1:0", handler, with(concurrency)).unwrap();
        shutdown.set(server.shutdown_handle()).ok().unwrap();
        let running = Running::serve(server, TempDir::new().unwrap());
        assert_eq!(running.ask(""), b"");
        running.ended();
    }
}

#[test]
fn poll_interval_is_the_beat_of_service_actions_and_shutdown_does_not_wait_for_it() {
    /// Tells each call.
    struct Beat(std::sync::Mutex<mpsc::Sender<Instant>>);
    impl ServerHooks for Beat {
        fn service_actions(&self) {
            let _ = self.0.lock().unwrap().send(Instant::now());
        }
    }
    let (sender, beats) = mpsc::channel();
    let mut server = Server::new("tcp://127.0.0.1:0", echo()).unwrap();
    server.options.hooks = Arc::new(Beat(sender.into()));
    let shutdown = server.shutdown_handle();
    let interval = Duration::from_millis(20);
    let started = Instant::now();
    let serving = thread::spawn(move || {
        server.serve_forever(Some(interval)).unwrap();
        server
    });
    for n in 1..=3 {
        let beat = beats.recv_timeout(PATIENCE).unwrap();
        assert!(beat >= started + interval * n, "too early");
    }
    shutdown.shutdown();
    let mut server = serving.join().unwrap();

    let hour = Duration::from_secs(3600);
    let serving = thread::spawn(move || server.serve_forever(Some(hour)));
    shutdown.shutdown();
    serving.join().unwrap().unwrap();
}

#[test]
fn handle_request_serves_one_and_leaves_the_next_and_the_turns_to_others() {
    for transport in Transport::all() {
        let (hooks, heard) = told();
        let dir = TempDir::new().unwrap();
        let options = ServerOptions {
            hooks,
            ..with(ConcurrencyKind::Serial)
        };
        let address = transport.any_address(dir.path());
        let mut server = Server::with_options(&address, echo(), options).unwrap();
        let mut clients = ["first", "second"].map(|word| {
            let mut client = Client::connect(server.server_address());
            client.send(word);
            client.finish_sending();
            client
        });
        server.handle_request().unwrap();
        assert_eq!(clients[0].receive_all(), b"first", "{transport:?}");
        clients[1].has_received_nothing();
        server.handle_request().unwrap();
        assert_eq!(clients[1].receive_all(), b"second", "{transport:?}");
        assert_eq!((heard.rest(), heard.turns()), ((0, 0), 0));
    }
}

#[test]
fn handle_request_without_one_ends_in_handle_timeout_or_by_shutdown() {
    for transport in Transport::all() {
        let (hooks, heard) = told();
        let dir = TempDir::new().unwrap();
        let address = transport.any_address(dir.path());
        let mut server = Server::new(&address, echo()).unwrap();
        server.options.hooks = hooks;
        for timeout in [Duration::ZERO, Duration::from_millis(30)] {
            server.options.timeout = Some(timeout);
            let started = Instant::now();
            server.handle_request().unwrap();
            assert!(started.elapsed() >= timeout);
            assert_eq!(heard.rest(), (0, 1), "{transport:?}");
        }
        server.options.timeout = None;
        let shutdown = server.shutdown_handle();
        thread::scope(|scope| {
            let serving = scope.spawn(|| server.handle_request());
            shutdown.shutdown();
            serving.join().unwrap().unwrap();
        });
        assert_eq!(heard.rest(), (0, 0));
    }
}

#[test]
fn fileno_stands_in_a_loop_of_the_embedders_own() {
    let dir = TempDir::new().unwrap();
    let mut servers: Vec<Server> = [Transport::Tcp, Transport::Udp, Transport::Unixgram]
        .iter()
        .map(|transport| {
            let options = ServerOptions {
                timeout: Some(Duration::ZERO),
                ..with(ConcurrencyKind::Serial)
            };
            let address = transport.any_address(dir.path());
            Server::with_options(&address, echo(), options).unwrap()
        })
        .collect();
    let addresses: Vec<_> = servers
        .iter()
        .map(|server| server.server_address().to_owned())
        .collect();
    let asking = thread::spawn(move || {
        for address in addresses.iter().chain(&addresses) {
            assert_eq!(Client::connect(address).ask("hello"), b"hello");
        }
    });
    for _ in 0..6 {
        let ready: Vec<bool> = {
            let mut fds: Vec<PollFd> = servers
                .iter()
                .map(|server| PollFd::new(server.fileno().unwrap(), PollFlags::POLLIN))
                .collect();
            let timeout = PollTimeout::try_from(PATIENCE).unwrap();
            assert!(poll(&mut fds, timeout).unwrap() > 0);
            fds.iter().map(|fd| fd.any().unwrap()).collect()
        };
        for (server, is_ready) in servers.iter_mut().zip(ready) {
            if is_ready {
                server.handle_request().unwrap();
            }
        }
    }
    asking.join().unwrap();
}
