//! The whole of a server, its loops, threads and end, led through thousands of schedules: whatever the order in
//! which its threads come to run, each request is served once, and nothing is left waiting for ever.
//!
//! `cargo test --release -p sandsock --features schedules --lib schedules::`. A schedule that fails is printed,
//! and `shuttle::replay` goes through it again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use nix::sys::eventfd::EventFd;

use super::{Accepted, BaseServer, Control, DefaultHooks, Incoming, Listener, Quota, Service};
use crate::address::{Endpoint, Transport};
use crate::concurrency::{Concurrency, Process, Serial, Threads};
use crate::config::Limits;
use crate::handler::{Ended, Handled, RequestHandler};
use crate::outcome::Outcome;
use crate::request::{InMemory, Request};
use crate::sync::thread;

/// Schedules of each test: at random, and again with few changes of who runs, which finds what hides deeper.
const SCHEDULES: usize = 1500;
const CHANGES: usize = 3;

/// Requests that wait at one listener.
const REQUESTS: u32 = 3;

fn explore(body: impl Fn() + Clone + Send + Sync + 'static) {
    shuttle::check_random(body.clone(), SCHEDULES);
    shuttle::check_pct(body, SCHEDULES, CHANGES);
}

/// What has become of the requests of one exploration.
#[derive(Default)]
struct Counts {
    taken: AtomicU32,
    begun: AtomicU32,
    ok: AtomicU32,
    cut: AtomicU32,
}

impl Counts {
    fn ended(&self) -> u32 {
        self.ok.load(SeqCst) + self.cut.load(SeqCst)
    }
}

/// Readable; has some requests, and then none.
struct Waiting {
    readable: EventFd,
    left: Arc<AtomicU32>,
    counts: Arc<Counts>,
}

impl Listener for Waiting {
    fn transport(&self) -> Transport {
        Transport::Tcp
    }

    fn server_address(&self) -> String {
        "waiting".to_owned()
    }

    fn fileno(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }

    fn get_request(&self) -> io::Result<Incoming> {
        thread::yield_now();
        let one = self
            .left
            .try_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        if one.is_err() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.counts.taken.fetch_add(1, SeqCst);
        Ok(Incoming::Request(Accepted {
            client_address: Endpoint::Unnamed,
            connection: Box::new(InMemory::default()),
        }))
    }
}

/// How long a request takes.
#[derive(Clone, Copy, PartialEq)]
enum Takes {
    AWhile,
    /// Until another one has begun that comes after it, or before it.
    Two,
    /// All the time that it is given.
    UntilCut,
}

struct Handler {
    takes: Takes,
    counts: Arc<Counts>,
}

impl RequestHandler for Handler {
    fn finish_request(&self, request: &Arc<Request>) -> Handled {
        let begun = self.counts.begun.fetch_add(1, SeqCst) + 1;
        thread::yield_now();
        let is_over = || match self.takes {
            Takes::AWhile => true,
            Takes::Two => self.counts.begun.load(SeqCst) >= begun.next_multiple_of(2),
            Takes::UntilCut => request.write(b".").is_err(),
        };
        while !is_over() {
            thread::yield_now();
        }
        Handled {
            result: Ok(()),
            memory_peak: 0,
            coredump: None,
        }
    }
}

type MakeConcurrency = fn(Arc<Process>) -> Arc<dyn Concurrency>;

struct Servers {
    /// Requests that wait at each.
    left: Vec<Arc<AtomicU32>>,
    counts: Arc<Counts>,
    concurrency: Arc<dyn Concurrency>,
    servers: Vec<Arc<BaseServer>>,
}

/// As many listeners, which share a service as those of a name with two addresses do.
fn servers(
    listeners: usize,
    takes: Takes,
    quota: Option<u32>,
    concurrency: MakeConcurrency,
) -> Servers {
    let counts = Arc::<Counts>::default();
    let service = Arc::new(Service::new(
        "explored",
        Arc::new(Handler {
            takes,
            counts: counts.clone(),
        }),
        Limits {
            output: None,
            ..Limits::default()
        },
        Duration::ZERO,
        Arc::new(DefaultHooks),
    ));
    let (serving, counting) = (service.clone(), counts.clone());
    let concurrency = concurrency(Arc::new(move |request, told| {
        let Ended { outcome, .. } = serving.process_request_thread(request, told);
        let counter = match outcome {
            Outcome::Ok => &counting.ok,
            Outcome::Cut => &counting.cut,
            other => panic!("{other:?}"),
        };
        counter.fetch_add(1, SeqCst);
    }));
    let quota = Arc::new(Quota::new(quota));
    let left: Vec<_> = (0..listeners)
        .map(|_| Arc::new(AtomicU32::new(REQUESTS)))
        .collect();
    let server = |left: &Arc<AtomicU32>| {
        let listener = Waiting {
            readable: EventFd::from_value(1).expect("a descriptor"),
            left: left.clone(),
            counts: counts.clone(),
        };
        Arc::new(BaseServer::new(
            Box::new(listener),
            service.clone(),
            concurrency.clone(),
            quota.clone(),
            Arc::new(Control::new().expect("a descriptor")),
        ))
    };
    Servers {
        servers: left.iter().map(server).collect(),
        left,
        concurrency,
        counts,
    }
}

fn serve(server: &Arc<BaseServer>) -> thread::JoinHandle<()> {
    let server = server.clone();
    thread::spawn(move || server.serve_forever(None))
}

fn serial(process: Arc<Process>) -> Arc<dyn Concurrency> {
    Arc::new(Serial::new(process))
}

/// More requests than there is room for, so that loops wait for it.
fn threads(process: Arc<Process>) -> Arc<dyn Concurrency> {
    Arc::new(Threads::new(2, process))
}

const BOTH: [MakeConcurrency; 2] = [serial, threads];

/// At the end nobody may wait for ever: the explorer fails where a thread does, those that are kept included.
#[test]
fn each_request_is_served_once_and_threads_end_with_their_server() {
    for concurrency in BOTH {
        explore(move || {
            let all = servers(2, Takes::AWhile, None, concurrency);
            let loops: Vec<_> = all.servers.iter().map(serve).collect();
            while all.counts.ended() < 2 * REQUESTS {
                thread::yield_now();
            }
            for server in &all.servers {
                server.shutdown_handle().shutdown();
            }
            assert_eq!(all.concurrency.close(Duration::MAX), 0);
            assert_eq!(all.counts.begun.load(SeqCst), 2 * REQUESTS);
            assert_eq!(all.concurrency.count(), 0);
            loops
                .into_iter()
                .for_each(|one| one.join().expect("a loop"));
        });
    }
}

#[test]
fn what_is_taken_before_a_stop_is_served_and_nothing_is_taken_after_it() {
    for concurrency in BOTH {
        explore(move || {
            let all = servers(1, Takes::AWhile, None, concurrency);
            let serving = serve(&all.servers[0]);
            // As `serve` does: it does not wait for the loop.
            all.servers[0].shutdown_handle().request();
            assert_eq!(all.concurrency.close(Duration::MAX), 0);
            let served = all.counts.ended();
            serving.join().expect("a loop");
            assert_eq!(all.counts.ended(), served, "one came later");
            assert_eq!(all.counts.taken.load(SeqCst), served);
        });
    }
}

#[test]
fn at_the_end_of_the_grace_every_request_is_cut_and_counted() {
    for concurrency in BOTH {
        explore(move || {
            let all = servers(2, Takes::UntilCut, None, concurrency);
            let loops: Vec<_> = all.servers.iter().map(serve).collect();
            thread::yield_now();
            for server in &all.servers {
                server.shutdown_handle().request();
            }
            let cut = all.concurrency.close(Duration::ZERO);
            // The explorer's time may be over at once: who was cut may still be on the way out.
            all.concurrency.join();
            loops
                .into_iter()
                .for_each(|one| one.join().expect("a loop"));
            assert_eq!(all.counts.ok.load(SeqCst), 0);
            assert_eq!(all.counts.cut.load(SeqCst) as usize, cut);
            assert_eq!(all.counts.taken.load(SeqCst) as usize, cut);
        });
    }
}

#[test]
fn a_quota_is_served_to_the_last_and_not_beyond() {
    for concurrency in BOTH {
        explore(move || {
            let all = servers(2, Takes::AWhile, Some(4), concurrency);
            let loops: Vec<_> = all.servers.iter().map(serve).collect();
            loops
                .into_iter()
                .for_each(|one| one.join().expect("a loop"));
            all.concurrency.join();
            assert_eq!(all.counts.ended(), 4);
            assert_eq!(all.counts.taken.load(SeqCst), 4);
        });
    }
}

/// A request that waited for a thread that serves another would wait for ever.
#[test]
fn as_many_requests_are_served_at_one_time_as_there_is_room_for() {
    explore(|| {
        let all = servers(2, Takes::Two, None, threads);
        let loops: Vec<_> = all.servers.iter().map(serve).collect();
        while all.counts.ended() < 2 * REQUESTS {
            thread::yield_now();
        }
        for server in &all.servers {
            server.shutdown_handle().shutdown();
        }
        loops
            .into_iter()
            .for_each(|one| one.join().expect("a loop"));
    });
}

#[test]
fn a_loop_that_was_shut_down_serves_when_it_is_started_again() {
    for concurrency in BOTH {
        explore(move || {
            let all = servers(1, Takes::AWhile, None, concurrency);
            for round in 1..=3 {
                all.left[0].store(1, SeqCst);
                let serving = serve(&all.servers[0]);
                while all.counts.ended() < round {
                    thread::yield_now();
                }
                all.servers[0].shutdown_handle().shutdown();
                serving.join().expect("a loop");
            }
        });
    }
}

#[test]
fn shutdown_from_many_threads_ends_the_loop_and_returns() {
    explore(|| {
        let all = servers(1, Takes::AWhile, None, threads);
        let serving = serve(&all.servers[0]);
        let stop = || {
            let handle = all.servers[0].shutdown_handle();
            thread::spawn(move || handle.shutdown())
        };
        let stopping = [stop(), stop()];
        stopping
            .into_iter()
            .for_each(|one| one.join().expect("shutdown"));
        serving.join().expect("a loop");
        all.concurrency.close(Duration::MAX);
    });
}
