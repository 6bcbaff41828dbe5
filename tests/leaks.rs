//! Ten thousand requests leave descriptors, threads, children and memory as they were, whatever the
//! concurrency and the transport.

use crate::harness::{Op, PATIENCE, Serve, Server, Taken, Transport, script, wat};
use Op::{Fail, Return, Trap, Write};
use std::thread;
use std::time::{Duration, Instant};

const REQUESTS: usize = 10_000;

/// Before anything is counted: pools, caches and kept threads are filled.
const WARM_UP: usize = 2_000;

/// So often, where not all of what is kept was there yet: a leak goes on, and what is kept is there some time.
const ROUNDS: usize = 5;

/// What memory may grow by in a round that leaves all as it was, in KiB: six bytes a request.
const NOISE: u64 = 64;

/// Clients at one time; four times as many while it warms up, so that all that is kept is there.
const CLIENTS: usize = 4;

/// Requests, some of which fail. A packet whose handler traps has no reply to wait for.
fn load(server: &Server, transport: Transport, clients: usize, requests: usize) {
    let last = if transport.is_datagram() { Fail } else { Trap };
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                for n in 0..requests / clients {
                    let end = [Return, Fail, last, Return][n % 4];
                    assert_eq!(server.ask(script(&[Return, Write("x"), end])), b"x");
                }
            });
        }
    });
}

/// Once there are so many processes and `is_settled`: what is being closed still counts.
fn settled(server: &Server, processes: usize, mut is_settled: impl FnMut(&Taken) -> bool) -> Taken {
    let until = Instant::now() + PATIENCE;
    loop {
        let taken = Taken::by(server);
        if taken.processes == processes && is_settled(&taken) {
            return taken;
        }
        assert!(Instant::now() < until, "{taken:?}, {processes} processes");
        thread::sleep(Duration::from_millis(50));
    }
}

fn leave_all_as_it_was(concurrency: &str) {
    for transport in Transport::all() {
        let server = Serve::new(wat("script"))
            .on(transport)
            .with("-q --concurrency")
            .arg(concurrency)
            .start();
        let processes = server.process().tree().len();
        load(&server, transport, 4 * CLIENTS, WARM_UP);
        let mut last = 0;
        let before = settled(&server, processes, |taken| {
            std::mem::replace(&mut last, taken.descriptors) == taken.descriptors
        });
        let mut rounds = vec![before];
        loop {
            let before = rounds.last().expect("a round");
            load(&server, transport, CLIENTS, REQUESTS);
            let after = settled(&server, processes, |taken| {
                taken.descriptors <= before.descriptors
            });
            let is_as_before = after.threads <= before.threads && after.kib <= before.kib + NOISE;
            rounds.push(after);
            if is_as_before {
                break;
            }
            assert!(rounds.len() <= ROUNDS, "{transport:?}: {rounds:#?}");
        }
    }
}

#[test]
fn of_requests_one_after_the_other() {
    leave_all_as_it_was("serial");
}

#[test]
fn of_requests_in_threads() {
    leave_all_as_it_was("threads");
}

#[test]
fn of_requests_in_processes() {
    leave_all_as_it_was("fork");
}
