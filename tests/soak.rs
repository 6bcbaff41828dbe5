//! A hundred thousand hostile requests, of handlers and of clients, mixed: at the end everything is as it was
//! at the beginning, and not one neighbour had to wait in vain.

use crate::harness::{Client, Serve, Server, Taken, Transport, guest};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// Attacks that end at once: those that spend a limit's time are elsewhere.
const ORDERS: [&str; 9] = [
    "panic\n",
    "exit\n",
    "abort\n",
    "grow-at-once\n",
    "fail-at-length\n",
    "forge-the-log\n",
    "print-empty-lines\n",
    "recurse\n",
    "no-such-order\n",
];

const UNDER_THREADS: u64 = 70_000;
const UNDER_FORK: u64 = 30_000;

/// Of each service as many at a time.
const CLIENTS: u64 = 4;

fn serve(concurrency: &str) -> Server {
    Serve::new(guest("hostile"))
        .on(Transport::Tcp)
        .with("-q --cpu-limit 1s --idle-timeout 5s --memory-limit 8MiB --log-limit 1KiB --concurrency")
        .arg(concurrency)
        .start()
}

/// One hostile request, of a handler or of a client.
fn attack(server: &Server, n: u64) {
    let mut client = server.connect();
    match n % 16 {
        9 => drop(client),
        10 => client.reset(),
        11 => client.finish_sending(),
        12 => {
            client.send("gre");
            client.reset();
        }
        13 => {
            client.send([0xff; 300]);
            client.finish_sending();
            client.is_closed_without_a_word();
        }
        14 => {
            client.send("greet\n");
            client.reset();
        }
        15 => {
            client.send("write\n");
            client.reset();
        }
        order => {
            client.send(ORDERS[order as usize]);
            client.finish_sending();
            client.is_closed_without_a_word();
        }
    }
}

fn attacks(server: &Server, count: u64) {
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Relaxed);
                    if n >= count {
                        return;
                    }
                    attack(server, n);
                }
            });
        }
    });
}

fn greeted(server: &Server) {
    let client = Client::connect_from("127.0.0.7", &server.address());
    assert_eq!(client.ask("greet\n"), b"hello");
}

fn soak(concurrency: &str, count: u64) {
    let server = serve(concurrency);
    attacks(&server, count / 20);
    thread::sleep(Duration::from_millis(200));
    let before = Taken::by(&server);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(Relaxed) {
                greeted(&server);
                count += 1;
                thread::sleep(Duration::from_millis(1000 / 32));
            }
            count
        });
        attacks(&server, count);
        is_over.store(true, Relaxed);
        assert!(neighbour.join().expect("each neighbour is served") > 10);
    });
    before.comes_back(&server, CLIENTS as usize);
}

#[test]
fn a_hundred_thousand_hostile_requests() {
    thread::scope(|scope| {
        scope.spawn(|| soak("threads", UNDER_THREADS));
        scope.spawn(|| soak("fork", UNDER_FORK));
    });
}
