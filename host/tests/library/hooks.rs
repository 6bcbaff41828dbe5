//! `verify_request`, `handle_error`, `service_actions`; the others are in `serve.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use sandsock::{Ended, Endpoint, Outcome, Request, Server, ServerHooks, ServerOptions, handler_fn};

use crate::client::{Client, Transport};
use crate::running::{CONCURRENCIES, Running, echo, told, with};

/// Refuses what its function says, and keeps who asked.
struct Verify {
    verdict: fn(usize) -> Result<bool, String>,
    asked: Mutex<Vec<String>>,
}

impl ServerHooks for Verify {
    fn verify_request(&self, request: &Request) -> Result<bool, String> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(request.client_address().to_string());
        let count = asked.len();
        drop(asked);
        (self.verdict)(count)
    }
}

#[test]
fn a_request_that_is_not_verified_is_closed_and_the_handler_hears_nothing_of_it() {
    let refusals: [fn(usize) -> Result<bool, String>; 3] = [
        |count| Ok(count > 1),
        |count| match count {
            1 => Err("cannot say".to_owned()),
            _ => Ok(true),
        },
        |count| {
            assert!(count > 1, "the first");
            Ok(true)
        },
    ];
    for transport in Transport::all() {
        for concurrency in CONCURRENCIES {
            for verdict in refusals {
                let hooks = Arc::new(Verify {
                    verdict,
                    asked: Mutex::default(),
                });
                let options = ServerOptions {
                    hooks: hooks.clone(),
                    ..with(concurrency)
                };
                let handled = Arc::new(AtomicUsize::new(0));
                let counted = handled.clone();
                let handler = handler_fn(move |request| {
                    counted.fetch_add(1, SeqCst);
                    std::io::copy(&mut request.rfile(), &mut request.wfile())?;
                    Ok(())
                });
                let running = Running::start(transport, handler, options);
                let mut refused = running.connect();
                if transport.is_datagram() {
                    refused.send("refused");
                } else {
                    assert_eq!(refused.receive_all(), b"");
                }
                let served = running.connect();
                let addresses = [refused.address(), served.address()];
                assert_eq!(served.ask("served"), b"served", "{transport:?}");
                running.stop();
                if transport.is_datagram() {
                    refused.has_received_nothing();
                }
                assert_eq!(*hooks.asked.lock().unwrap(), addresses);
                assert_eq!(handled.load(SeqCst), 1);
            }
        }
    }
}

/// Lets its own user in.
struct SameUser(Mutex<Vec<i32>>);

impl ServerHooks for SameUser {
    fn verify_request(&self, request: &Request) -> Result<bool, String> {
        let peer = request.peer_credentials().ok_or("nobody knows who it is")?;
        self.0.lock().unwrap().push(peer.pid);
        Ok(peer.uid == nix::unistd::geteuid().as_raw())
    }
}

#[test]
fn verify_request_can_look_who_is_at_the_other_end_of_a_unix_socket() {
    let hooks = Arc::new(SameUser(Mutex::default()));
    let options = ServerOptions {
        hooks: hooks.clone(),
        ..ServerOptions::default()
    };
    let running = Running::start(Transport::Unix, echo(), options);
    assert_eq!(running.ask("me"), b"me");
    running.stop();
    assert_eq!(*hooks.0.lock().unwrap(), [nix::unistd::getpid().as_raw()]);
}

#[test]
fn handle_error_is_told_what_failed_and_nothing_of_what_did_not() {
    for transport in Transport::all() {
        for concurrency in CONCURRENCIES {
            let (hooks, heard) = told();
            let options = ServerOptions {
                hooks,
                ..with(concurrency)
            };
            let handler = handler_fn(|request| {
                let mut word = String::new();
                std::io::Read::read_to_string(&mut request.rfile(), &mut word)?;
                match word.as_str() {
                    "fine" => Ok(()),
                    _ => Err(format!("no such word: {word}").into()),
                }
            });
            let running = Running::start(transport, handler, options);
            for word in ["fine", "wrong", "fine"] {
                let mut client = running.connect();
                client.send(word);
                client.finish_sending();
            }
            let failure = heard.failure();
            let expected = (Outcome::HandlerError, "no such word: wrong".to_owned());
            assert_eq!(failure, expected, "{transport:?}");
            drop(running.stop());
            assert_eq!(heard.rest(), (0, 0));
        }
    }
}

/// Its hooks panic where it says so.
struct Panics(&'static str);

impl ServerHooks for Panics {
    fn handle_error(&self, _request: &Request, _ended: &Ended) {
        assert_ne!(self.0, "handle_error");
    }

    fn service_actions(&self) {
        assert_ne!(self.0, "service_actions");
    }

    fn handle_timeout(&self) {
        assert_ne!(self.0, "handle_timeout");
    }
}

#[test]
fn a_panic_of_handle_error_is_ignored() {
    for concurrency in CONCURRENCIES {
        let options = ServerOptions {
            hooks: Arc::new(Panics("handle_error")),
            ..with(concurrency)
        };
        let handler = handler_fn(|request| {
            std::io::copy(&mut request.rfile(), &mut request.wfile())?;
            Err("always".into())
        });
        let running = Running::start(Transport::Tcp, handler, options);
        for _ in 0..3 {
            assert_eq!(running.ask("hello"), b"hello");
        }
        running.stop();
    }
}

#[test]
fn a_panic_of_service_actions_or_handle_timeout_is_the_callers_and_the_server_stays_whole() {
    for hook in ["service_actions", "handle_timeout"] {
        let mut server = Server::new("tcp://127.0.0.1:0", echo()).unwrap();
        server.options.hooks = Arc::new(Panics(hook));
        server.options.timeout = Some(std::time::Duration::ZERO);
        let mut client = Client::connect(server.server_address());
        client.send("hello");
        client.finish_sending();
        let called = catch_unwind(AssertUnwindSafe(|| match hook {
            "service_actions" => server.serve_forever(None),
            _ => {
                server.handle_request().unwrap();
                server.handle_request()
            }
        }));
        assert!(called.is_err(), "{hook}");
        assert_eq!(client.receive_all(), b"hello");
        // Nobody waits for a loop that has ended so.
        server.shutdown_handle().shutdown();
        server.server_close();
        assert!(matches!(
            Client::try_connect(server.server_address()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused
        ));
    }
}

#[test]
fn the_request_of_a_hook_says_where_it_came_to() {
    struct To(Mutex<Vec<Endpoint>>);
    impl ServerHooks for To {
        fn verify_request(&self, request: &Request) -> Result<bool, String> {
            self.0.lock().unwrap().push(request.server_address());
            Ok(true)
        }
    }
    let hooks = Arc::new(To(Mutex::default()));
    let options = ServerOptions {
        hooks: hooks.clone(),
        ..ServerOptions::default()
    };
    let running = Running::start(Transport::Tcp, echo(), options);
    assert_eq!(running.ask("hello"), b"hello");
    let server = running.stop();
    let to: Vec<_> = hooks
        .0
        .lock()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        vec![server.server_address()["tcp://".len()..].to_owned()],
        to
    );
}
