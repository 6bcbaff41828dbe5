//! All transports and concurrencies side by side under good and hostile load, with faults in between, for as long
//! as one likes: `cargo xtask soak --minutes N`. At the end everything is as it was at the beginning, and a
//! report says what it was meanwhile.

mod report;

use crate::harness::{CONCURRENCIES, Client, Serve, Server, Taken, Transport, guest, signal};
use report::{Report, Sample};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long it runs, in minutes; without it there is nothing to do.
const MINUTES: &str = "SANDSOCK_SOAK_MINUTES";
/// The folder for the report.
const FOLDER: &str = "SANDSOCK_SOAK_REPORT";

/// A neighbour's requests, and an attacker's, of each service in a second.
const GOOD_A_SECOND: u32 = 20;
const HOSTILE_A_SECOND: u32 = 10;

const BETWEEN_FAULTS: Duration = Duration::from_secs(1);

/// Threads that a service may keep.
const KEPT: usize = 8;

/// What a hostile client orders; those that take a limit's time come less often.
const ORDERS: [&str; 12] = [
    "panic\n",
    "exit\n",
    "abort\n",
    "grow-at-once\n",
    "forge-the-log\n",
    "recurse\n",
    "no-such-order\n",
    "print\n",
    "write\n",
    "fail-at-length\n",
    "spin\n",
    "sleep\n",
];

/// One service.
struct Cell {
    transport: Transport,
    concurrency: &'static str,
    server: Server,
    address: String,
    events: Arc<Mutex<BTreeMap<String, u64>>>,
    /// Of requests that should be answered: how long each took, and how many were not.
    latencies: Mutex<Vec<Duration>>,
    failed: AtomicU64,
    /// Faults that cost a request each.
    hits: AtomicU64,
}

impl Cell {
    fn start(transport: Transport, concurrency: &'static str) -> Self {
        let (log, writer) = std::io::pipe().expect("a pipe");
        // Long enough for neighbours on a machine that is busy for a moment. With `serial` everybody waits for
        // whoever uses them up.
        let limits = match concurrency {
            "serial" => "--cpu-limit 100ms --deadline 300ms --idle-timeout 200ms",
            _ => "--cpu-limit 200ms --deadline 3s --idle-timeout 1s",
        };
        let server = Serve::new(guest("hostile"))
            .on(transport)
            .with("--linger 100ms")
            .with(limits)
            .with("--memory-limit 8MiB --max-output 256KiB --log-limit 1KiB --concurrency")
            .arg(concurrency)
            .hand_over(2, writer)
            .start();
        let events = Arc::<Mutex<BTreeMap<String, u64>>>::default();
        let counted = events.clone();
        thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                *counted.lock().unwrap().entry(name_of(&line)).or_default() += 1;
            }
        });
        Cell {
            transport,
            concurrency,
            address: server.address(),
            server,
            events,
            latencies: Mutex::default(),
            failed: AtomicU64::new(0),
            hits: AtomicU64::new(0),
        }
    }

    /// A request that should be answered.
    fn good(&self) {
        let began = Instant::now();
        let ask = || {
            let client = Client::try_connect(&self.address)?;
            // Nobody waits for so long; a packet that is lost, with a process that was killed, is not waited for
            // for ever.
            client.set_patience(Duration::from_secs(5));
            client.try_ask(b"greet\n")
        };
        match ask() {
            Ok(reply) if reply == b"hello" => self.latencies.lock().unwrap().push(began.elapsed()),
            _ => drop(self.failed.fetch_add(1, Relaxed)),
        }
    }

    /// A request that should harm nobody. What becomes of it is not looked at here.
    fn hostile(&self, n: u64) {
        let Ok(mut client) = Client::try_connect(&self.address) else {
            return;
        };
        client.set_patience(Duration::from_secs(1));
        match n % 16 {
            0 => drop(client),
            1 => client.reset(),
            2 => {
                let _ = client.try_ask(&[0xff; 300]);
            }
            3 => {
                let _ = client.try_ask(b"");
            }
            // Half a request, and then nothing: the idle timeout's business.
            4 if !self.transport.is_datagram() => {
                client.send("gre");
                thread::sleep(Duration::from_millis(1050));
            }
            5 if !self.transport.is_datagram() => {
                client.send("write\n");
                client.reset();
            }
            _ => {
                let order = ORDERS[usize::try_from(n / 16 % ORDERS.len() as u64).expect("small")];
                let _ = client.try_ask(order.as_bytes());
            }
        }
    }

    /// Something that the system or an operator does.
    fn fault(&self, n: u64) {
        match (n % 4, self.concurrency) {
            (0, _) => self.server.process().signal(signal::HUP),
            (1 | 3, "fork") => {
                let Some(the_loop) = self.server.loops().first().copied() else {
                    return;
                };
                let victim = match n % 4 {
                    1 => the_loop.children().first().copied(),
                    _ => Some(the_loop),
                };
                if victim.is_some_and(|victim| victim.hit(signal::KILL)) {
                    self.hits.fetch_add(1, Relaxed);
                }
            }
            _ => {
                // No descriptors for a while.
                let acceptor = self.server.acceptor();
                let (before, _) = acceptor.descriptor_limit();
                acceptor.limit_descriptors(acceptor.lowest_free_descriptor());
                thread::sleep(Duration::from_millis(300));
                // A loop may have died meanwhile by itself.
                if acceptor.is_running() {
                    acceptor.limit_descriptors(before);
                }
            }
        }
    }
}

/// What an event is counted as.
fn name_of(line: &str) -> String {
    let Ok(event) = serde_json::from_str::<Value>(line) else {
        return "no event".to_owned();
    };
    let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
    match text("event").as_str() {
        "request" => format!("request {}", text("outcome")),
        name => name.to_owned(),
    }
}

/// Calls it so often, in even steps, until it is over.
fn at_a_rate(a_second: u32, is_over: &AtomicBool, mut each: impl FnMut(u64)) {
    let step = Duration::from_secs(1) / a_second;
    let mut next = Instant::now();
    for n in 0.. {
        if is_over.load(Relaxed) {
            return;
        }
        each(n);
        // What was late is not made up for.
        next = (next + step).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn load(cells: &[Cell], time: Duration, with_faults: bool, mut each_second: impl FnMut(Duration)) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for (number, cell) in cells.iter().enumerate() {
            let is_over = &is_over;
            scope.spawn(move || at_a_rate(GOOD_A_SECOND, is_over, |_| cell.good()));
            scope.spawn(move || {
                let begin = number as u64 * 5;
                at_a_rate(HOSTILE_A_SECOND, is_over, |n| cell.hostile(begin + n));
            });
        }
        if with_faults {
            scope.spawn(|| {
                let mut n = 0;
                while !is_over.load(Relaxed) {
                    thread::sleep(BETWEEN_FAULTS);
                    let cell = n as usize * 7 % cells.len();
                    // Each service has each of them in turn.
                    cells[cell].fault(n / cells.len() as u64);
                    n += 1;
                }
            });
        }
        let began = Instant::now();
        while began.elapsed() < time {
            thread::sleep(Duration::from_secs(1).min(time));
            each_second(began.elapsed());
        }
        is_over.store(true, Relaxed);
    });
}

#[test]
#[ignore = "it takes minutes: `cargo xtask soak --minutes N`"]
fn of_all_services_for_minutes() {
    let Some(minutes) = std::env::var(MINUTES)
        .ok()
        .and_then(|text| text.parse::<f64>().ok())
    else {
        panic!("{MINUTES} says for how long");
    };
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("a folder for the report"));
    let time = Duration::from_secs_f64(60.0 * minutes);
    let cells: Vec<_> = Transport::all()
        .into_iter()
        .flat_map(|transport| CONCURRENCIES.map(|concurrency| Cell::start(transport, concurrency)))
        .collect();
    // Until what is kept is there.
    load(
        &cells,
        (time / 10).min(Duration::from_secs(30)),
        false,
        |_| (),
    );
    thread::sleep(Duration::from_secs(1));
    let before: Vec<_> = cells.iter().map(|cell| Taken::by(&cell.server)).collect();
    cells
        .iter()
        .for_each(|cell| cell.latencies.lock().unwrap().clear());
    let mut samples: Vec<Sample> = Vec::new();
    load(&cells, time, true, |at| {
        for concurrency in CONCURRENCIES {
            let cells = cells.iter().filter(|cell| cell.concurrency == concurrency);
            samples.push(Sample::of(concurrency, at, cells));
        }
    });
    let report = Report::new(time, &cells, &samples);
    report.write_into(&folder);
    println!("{report}");
    for (cell, before) in cells.iter().zip(&before) {
        before.comes_back(&cell.server, KEPT);
        let hits = cell.hits.load(Relaxed);
        let failed = cell.failed.load(Relaxed);
        let what = format!("{:?} {}", cell.transport, cell.concurrency);
        assert!(
            failed <= 2 * hits,
            "{what}: {failed} failed for {hits} hits"
        );
        let events = cell.events.lock().unwrap();
        let count = |name: &str| events.get(name).copied().unwrap_or_default();
        assert!(count("request host-error") <= hits, "{what}: {events:?}");
        for never in ["panic", "no event", "fork-failed", "reload-failed"] {
            assert_eq!(count(never), 0, "{what}: {events:?}");
        }
        assert!(count("request ok") > 0, "{what}: {events:?}");
    }
    report.has_not_grown();
}
