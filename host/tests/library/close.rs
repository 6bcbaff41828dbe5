//! `server_close`, `block_on_close`, `daemon_threads`, `max_children`: what becomes of requests in flight.

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sandsock::config::ConcurrencyKind;
use sandsock::{Outcome, RequestHandler, Server, ServerOptions, handler_fn};
use tempfile::TempDir;

use crate::PATIENCE;
use crate::client::{Client, Transport};
use crate::running::{CONCURRENCIES, Running, Stopped, echo, told, with};

/// Tells when it has begun, waits for the end of its input, and answers.
fn patient() -> (impl RequestHandler, Receiver<()>) {
    let (begun, has_begun) = mpsc::channel();
    let begun = Mutex::new(begun);
    let handler = handler_fn(move |request| {
        begun.lock().unwrap().send(())?;
        request.rfile().read_to_end(&mut Vec::new())?;
        Ok(request.wfile().write_all(b"whole")?)
    });
    (handler, has_begun)
}

/// A server whose loop has ended and which still has a request in flight, and its client.
fn in_flight(transport: Transport, options: ServerOptions) -> (Stopped, Client) {
    let (handler, has_begun) = patient();
    let running = Running::start(transport, handler, options);
    let client = running.connect();
    has_begun.recv_timeout(PATIENCE).unwrap();
    (running.stop(), client)
}

const STREAMS: [Transport; 2] = [Transport::Tcp, Transport::Unix];

#[test]
fn server_close_can_be_called_again_and_the_server_can_be_bound_again() {
    for transport in Transport::all() {
        for concurrency in CONCURRENCIES {
            let dir = TempDir::new().unwrap();
            let address = transport.any_address(dir.path());
            let mut server = Server::unbound(&address, echo()).unwrap();
            server.options = with(concurrency);
            server.server_close();
            server.server_bind().unwrap();
            server.server_activate().unwrap();
            server.server_close();
            server.server_close();
            assert!(server.fileno().is_none());
            let was = server.server_address().to_owned();
            if !transport.is_datagram() {
                assert!(Client::try_connect(&was).is_err());
            }
            assert_eq!(
                server.handle_request().unwrap_err().kind(),
                ErrorKind::NotConnected
            );
            server.server_bind().unwrap();
            server.server_activate().unwrap();
            let running = Running::serve(server, dir);
            assert_eq!(running.ask("again"), b"again", "{transport:?}");
            running.stop().server_close();
        }
    }
}

#[test]
fn closing_refuses_connections_and_waits_for_requests_in_flight() {
    for transport in STREAMS {
        let (mut server, mut client) = in_flight(transport, ServerOptions::default());
        let address = server.server_address().to_owned();
        let closed = Arc::new(AtomicUsize::new(0));
        let seen = closed.clone();
        let asking = thread::spawn(move || {
            // The listener is closed first, and the request is still there.
            while Client::try_connect(&address).is_ok() {}
            assert_eq!(seen.load(SeqCst), 0);
            client.finish_sending();
            client.receive_all()
        });
        server.server_close();
        closed.store(1, SeqCst);
        assert_eq!(asking.join().unwrap(), b"whole", "{transport:?}");
    }
}

#[test]
fn what_has_not_ended_when_the_grace_is_over_is_cut() {
    for transport in STREAMS {
        let (hooks, heard) = told();
        let options = ServerOptions {
            hooks,
            shutdown_grace: Duration::from_millis(50),
            ..ServerOptions::default()
        };
        let (server, mut client) = in_flight(transport, options);
        drop(server);
        assert_eq!(client.receive_all(), b"", "{transport:?}");
        assert_eq!(heard.failure().0, Outcome::Cut);
    }
}

#[test]
fn with_daemon_threads_requests_in_flight_are_cut_at_once() {
    for transport in STREAMS {
        let (hooks, heard) = told();
        let options = ServerOptions {
            hooks,
            daemon_threads: true,
            // It would be waited for, and with it this test.
            shutdown_grace: Duration::from_secs(3600),
            ..ServerOptions::default()
        };
        let (mut server, mut client) = in_flight(transport, options);
        server.server_close();
        assert_eq!(heard.failure().0, Outcome::Cut);
        assert_eq!(client.receive_all(), b"", "{transport:?}");
    }
}

#[test]
fn without_block_on_close_requests_in_flight_are_left_to_themselves() {
    for transport in STREAMS {
        let options = ServerOptions {
            block_on_close: false,
            ..ServerOptions::default()
        };
        let (mut server, mut client) = in_flight(transport, options);
        server.server_close();
        drop(server);
        client.finish_sending();
        assert_eq!(client.receive_all(), b"whole", "{transport:?}");
    }
}

/// The first `most` meet, so that they are served at one time; more than that never are.
#[test]
fn at_max_children_accepting_waits() {
    for (concurrency, max_children, most) in [
        (ConcurrencyKind::Threads, Some(3), 3),
        (ConcurrencyKind::Serial, None, 1),
        (ConcurrencyKind::Serial, Some(3), 1),
    ] {
        for transport in Transport::all() {
            let (now, peak) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
            let (highest, meeting) = (peak.clone(), Barrier::new(most));
            let handler = handler_fn(move |request| {
                highest.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                meeting.wait();
                std::io::copy(&mut request.rfile(), &mut request.wfile())?;
                now.fetch_sub(1, SeqCst);
                Ok(())
            });
            let options = ServerOptions {
                max_children,
                ..with(concurrency)
            };
            let running = Running::start(transport, handler, options);
            thread::scope(|scope| {
                for _ in 0..12 {
                    scope.spawn(|| assert_eq!(running.ask("hello"), b"hello"));
                }
            });
            running.stop();
            assert_eq!(peak.load(SeqCst), most, "{concurrency:?} {transport:?}");
        }
    }
}

#[test]
fn kept_threads_end_with_their_server_and_let_go_of_the_handler() {
    let held = Arc::new(());
    let weak = Arc::downgrade(&held);
    let handler = handler_fn(move |request| {
        let _held = &held;
        std::io::copy(&mut request.rfile(), &mut request.wfile())?;
        Ok(())
    });
    let running = Running::start(Transport::Tcp, handler, ServerOptions::default());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(running.ask("hello"), b"hello"));
        }
    });
    drop(running.stop());
    // Idle threads are kept for half a minute where the server is still there.
    let until = Instant::now() + Duration::from_secs(10);
    while weak.strong_count() > 0 {
        assert!(Instant::now() < until, "a thread still has the handler");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn fork_in_a_process_with_several_threads_is_an_error_and_another_concurrency_is_not() {
    let options = with(ConcurrencyKind::Fork);
    let mut server = Server::with_options("tcp://127.0.0.1:0", echo(), options).unwrap();
    for error in [server.serve_forever(None), server.handle_request()] {
        let error = error.unwrap_err();
        assert!(error.to_string().contains("one thread"), "{error}");
    }
    server.options.concurrency = ConcurrencyKind::Threads;
    let running = Running::serve(server, TempDir::new().unwrap());
    assert_eq!(running.ask("hello"), b"hello");
    running.stop();
}
