//! Processes of the program are killed, crash and are stopped, again and again, under load: what they served
//! is lost, and nothing else; the service is back within a second.

use crate::harness::{
    CONCURRENCIES, Client, Op, PATIENCE, Process, Serve, Server, script, signal, wat,
};
use Op::{Sleep, Write};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const KILLS: usize = 100;

/// How soon a service is back: within a second, and on a machine that has ten other things to do in ten.
const SOON: Duration = Duration::from_secs(10);

/// Clients at one time.
const CLIENTS: usize = 4;

/// How long a request takes, so that there is one to be hit.
const TAKES: Duration = Duration::from_millis(10);

/// One request; whether it was answered in full.
fn is_answered(address: &str) -> bool {
    let order = script(&[Sleep(TAKES), Write("whole")]);
    let ask = || Client::try_connect(address)?.try_ask(&order);
    ask().is_ok_and(|reply| reply == b"whole")
}

/// What clients saw while something else went on.
struct Load {
    answered: usize,
    failed: usize,
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn under_load(address: &str, meanwhile: impl FnOnce()) -> Load {
    let is_over = AtomicBool::new(false);
    let (answered, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    let counter = if is_answered(address) {
                        &answered
                    } else {
                        &failed
                    };
                    counter.fetch_add(1, Relaxed);
                }
            });
        }
        // Also where what goes on meanwhile fails: the clients would never end.
        let _end = End(&is_over);
        meanwhile();
    });
    Load {
        answered: answered.into_inner(),
        failed: failed.into_inner(),
    }
}

/// The process that takes requests now; waits for it.
fn the_loop(server: &Server) -> Process {
    let until = Instant::now() + PATIENCE;
    loop {
        if let [process, ..] = server.loops()[..] {
            return process;
        }
        assert!(Instant::now() < until, "no loop is there");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Signals a process that serves a request; waits for one.
fn hit_a_child(server: &Server, number: i32) {
    let until = Instant::now() + PATIENCE;
    while !the_loop(server)
        .children()
        .first()
        .is_some_and(|child| child.hit(number))
    {
        assert!(Instant::now() < until, "no child is there");
    }
}

fn outcomes(server: &Server, wanted: &str) -> Vec<Value> {
    let mut events = server.log().events();
    events.retain(|e| e["event"] == "request" && e["outcome"] == wanted);
    events
}

#[test]
fn a_hundred_kills_under_load_cost_what_they_hit_and_nothing_else() {
    let server = Serve::new(wat("script")).with("--concurrency fork").start();
    let address = server.address();
    let (mut children, mut loops) = (0, 0);
    let mut slowest = Duration::ZERO;
    let load = under_load(&address, || {
        for n in 0..KILLS {
            let number = [signal::KILL, signal::STOP, signal::ABRT, signal::SEGV][n % 4];
            if n % 5 == 4 && number != signal::SEGV {
                loops += usize::from(the_loop(&server).hit(number));
            } else {
                hit_a_child(&server, number);
                children += 1;
            }
            let began = Instant::now();
            while !is_answered(&address) {
                assert!(began.elapsed() < PATIENCE, "it does not come back");
            }
            slowest = slowest.max(began.elapsed());
            thread::sleep(Duration::from_millis(n as u64 * 37 % 29));
        }
    });
    println!(
        "{} answered, {} failed; {children} children and {loops} loops hit; back within {slowest:?}",
        load.answered, load.failed
    );
    assert!(
        children > KILLS / 2 && loops > KILLS / 10,
        "{children}, {loops}"
    );
    assert!(slowest < SOON, "back after {slowest:?}");
    // A loop can be hit between accepting and forking; whoever waits in the queue is served by the next.
    assert!(load.failed <= children + loops, "{} failed", load.failed);
    assert!(load.answered > 10 * load.failed);
    // Each child that was hit is one event, and so is each loop.
    let until = Instant::now() + PATIENCE;
    let died = || {
        server
            .log()
            .events()
            .iter()
            .filter(|e| e["event"] == "fork-died")
            .count()
    };
    while died() < loops {
        assert!(Instant::now() < until, "{} of {loops} are told", died());
        thread::sleep(Duration::from_millis(2));
    }
    let lost = outcomes(&server, "host-error");
    assert!(lost.len() <= children, "{} of {children}", lost.len());
    assert!(
        lost.iter()
            .all(|e| e["detail"].to_string().contains("process")),
        "{lost:?}"
    );
    assert!(outcomes(&server, "ok").len() >= load.answered);
    // Nothing is left of it: no child, and no slot of the 40.
    let until = Instant::now() + PATIENCE;
    while server.process().tree().len() > 2 {
        assert!(Instant::now() < until, "{:?}", server.process().tree());
        thread::sleep(Duration::from_millis(2));
    }
    thread::scope(|scope| {
        let all: Vec<_> = (0..40)
            .map(|_| scope.spawn(|| is_answered(&address)))
            .collect();
        assert!(all.into_iter().all(|one| one.join().expect("an answer")));
    });
}

#[test]
fn who_is_killed_as_a_whole_leaves_nothing_and_serves_again_at_the_same_address() {
    for concurrency in CONCURRENCIES {
        let serve = |address: &str| {
            Serve::new(wat("script"))
                .at(address)
                .with("--concurrency")
                .arg(concurrency)
                .start()
        };
        let mut server = serve("tcp://127.0.0.1:0");
        let address = server.address();
        let load = under_load(&address, || {
            for _ in 0..5 {
                while !is_answered(&address) {}
                let all = server.process().tree();
                server.process().signal(signal::KILL);
                server.wait();
                let began = Instant::now();
                server = serve(&address);
                while !is_answered(&address) {}
                assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
                let until = Instant::now() + PATIENCE;
                while let Some(left) = all.iter().find(|process| process.is_running()) {
                    assert!(Instant::now() < until, "{left:?} is left");
                    thread::sleep(Duration::from_millis(2));
                }
            }
        });
        assert!(load.answered > 0);
    }
}
