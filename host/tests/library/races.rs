//! Starting and stopping at the same time, twenty times each: it always ends.

use std::thread;

use sandsock::{Server, ServerOptions};
use tempfile::TempDir;

use crate::client::{Client, Transport};
use crate::running::{CONCURRENCIES, echo, with};

const RACES: usize = 20;

#[test]
fn shutdown_while_the_loop_starts_ends_it() {
    for transport in Transport::all() {
        for concurrency in CONCURRENCIES {
            let dir = TempDir::new().unwrap();
            let address = transport.any_address(dir.path());
            let mut server = Server::with_options(&address, echo(), with(concurrency)).unwrap();
            let shutdown = server.shutdown_handle();
            for _ in 0..RACES {
                thread::scope(|scope| {
                    scope.spawn(|| server.serve_forever(None).unwrap());
                    scope.spawn(|| shutdown.shutdown());
                });
            }
        }
    }
}

/// Whether a request is served, cut or left to the next server: closing comes to an end.
#[test]
fn shutdown_while_requests_come_ends_it_and_so_does_closing() {
    for transport in Transport::all() {
        for concurrency in CONCURRENCIES {
            for daemon_threads in [false, true] {
                for race in 0..RACES {
                    let dir = TempDir::new().unwrap();
                    let address = transport.any_address(dir.path());
                    let options = ServerOptions {
                        daemon_threads,
                        ..with(concurrency)
                    };
                    let mut server = Server::with_options(&address, echo(), options).unwrap();
                    let shutdown = server.shutdown_handle();
                    let address = server.server_address().to_owned();
                    thread::scope(|scope| {
                        scope.spawn(|| server.serve_forever(None).unwrap());
                        scope.spawn(|| {
                            for _ in 0..race % 4 {
                                if let Ok(mut client) = Client::try_connect(&address) {
                                    client.send("hello");
                                    client.finish_sending();
                                }
                            }
                            shutdown.shutdown();
                        });
                    });
                    server.server_close();
                }
            }
        }
    }
}
