//! What a request costs: some are served one after the other, without sockets and without a log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::address::{Endpoint, Transport};
use crate::config::Limits;
use crate::handler::WasmHandler;
use crate::outcome::Outcome;
use crate::request::Connection;
use crate::sandbox::THREAD_STACK;
use crate::server::{Accepted, DefaultHooks, Service};

/// After this time no further request is begun.
const LONGEST: Duration = Duration::from_secs(1);

/// The deadline of each request is this, where it is not nearer: one that sleeps or loops must not hold up
/// whoever waits for the numbers.
const DEADLINE: Duration = Duration::from_secs(10);

/// The longest input that is read, in bytes.
const LONGEST_INPUT: u64 = 64 << 20;

/// What is served.
pub(super) struct Measuring {
    pub(super) service: String,
    pub(super) limits: Limits,
    /// At most so many.
    pub(super) requests: u32,
    /// What each of them reads.
    pub(super) input: Vec<u8>,
}

/// What was seen.
pub(super) struct Measured {
    pub(super) requests: usize,
    /// All of them.
    pub(super) took: Duration,
    /// Bytes that each could read.
    pub(super) input: u64,
    /// From before an instance is set up until it is torn down, as the log's `duration_us`.
    pub(super) wall: Spread,
    /// Of the thread, as the log's `cpu_us`.
    pub(super) cpu: Spread,
    /// Bytes of memories and tables at their largest.
    pub(super) memory_peak: u64,
    pub(super) outcomes: BTreeMap<Outcome, u32>,
    /// What the first that failed said.
    pub(super) first_failure: Option<String>,
}

/// The middle, and what one in a hundred exceeds.
pub(super) struct Spread {
    pub(super) median: Duration,
    pub(super) p99: Duration,
}

impl Spread {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        // The nearest rank: a value that was measured.
        let rank = |percent: usize| (all.len() * percent).div_ceil(100).saturating_sub(1);
        let at = |percent| all.get(rank(percent)).copied().unwrap_or_default();
        Spread {
            median: at(50),
            p99: at(99),
        }
    }
}

/// A file that requests read.
///
/// # Errors
///
/// It cannot be read, or is too long.
pub(super) fn input(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot read --input {shown}"))?;
    let mut bytes = Vec::new();
    file.take(LONGEST_INPUT + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read --input {shown}"))?;
    if bytes.len() as u64 > LONGEST_INPUT {
        bail!("--input {shown} has more than {LONGEST_INPUT} bytes: measure with less");
    }
    Ok(bytes)
}

impl Measuring {
    /// Serves them.
    ///
    /// # Errors
    ///
    /// No thread is to be had, or it panicked.
    pub(super) fn run(mut self, handler: Arc<WasmHandler>) -> anyhow::Result<Measured> {
        let deadline = self.limits.deadline.unwrap_or(DEADLINE);
        self.limits.deadline = Some(deadline.min(DEADLINE));
        // Guest code needs a stack of a known size.
        thread::Builder::new()
            .name("measure".to_owned())
            .stack_size(THREAD_STACK)
            .spawn(move || self.serve(handler))
            .context("no thread is to be had")?
            .join()
            .map_err(|_| anyhow::anyhow!("the requests' thread panicked"))
    }

    fn serve(self, handler: Arc<WasmHandler>) -> Measured {
        let hooks = Arc::new(DefaultHooks);
        let service = Service::new(&self.service, handler, self.limits, Duration::ZERO, hooks);
        let input: Arc<[u8]> = self.input.into();
        let (mut wall, mut cpu) = (Vec::new(), Vec::new());
        let mut memory_peak = 0;
        let mut outcomes = BTreeMap::new();
        let mut first_failure = None;
        let started = Instant::now();
        for _ in 0..self.requests {
            let connection = Canned {
                input: input.clone(),
                read: AtomicUsize::new(0),
            };
            let request = service.request(
                Transport::Tcp,
                Accepted {
                    client_address: Endpoint::Unnamed,
                    connection: Box::new(connection),
                },
            );
            let ended = service.process_request_thread(Arc::new(request), &mut |_| ());
            wall.push(ended.duration);
            cpu.push(ended.cpu);
            memory_peak = memory_peak.max(ended.memory_peak);
            *outcomes.entry(ended.outcome).or_insert(0) += 1;
            if first_failure.is_none() && ended.outcome != Outcome::Ok {
                first_failure = ended.detail;
            }
            if started.elapsed() >= LONGEST {
                break;
            }
        }
        Measured {
            requests: wall.len(),
            took: started.elapsed(),
            input: input.len() as u64,
            wall: Spread::of(wall),
            cpu: Spread::of(cpu),
            memory_peak,
            outcomes,
            first_failure,
        }
    }
}

/// A client that has sent everything, and throws away what it is sent: a handler may write without end.
struct Canned {
    input: Arc<[u8]>,
    read: AtomicUsize,
}

impl Connection for Canned {
    fn recv(&self, buf: &mut [u8], _timeout: Option<Duration>) -> io::Result<usize> {
        // One thread reads.
        let rest = &self.input[self.read.load(Relaxed)..];
        let count = buf.len().min(rest.len());
        buf[..count].copy_from_slice(&rest[..count]);
        self.read.fetch_add(count, Relaxed);
        Ok(count)
    }

    fn send(&self, buf: &[u8], _timeout: Option<Duration>) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn input(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn server_address(&self) -> Endpoint {
        Endpoint::Unnamed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_p99_are_values_that_were_measured() {
        let all: Vec<_> = (1..=1000).map(Duration::from_micros).collect();
        let spread = Spread::of(all);
        assert_eq!(Duration::from_micros(500), spread.median);
        assert_eq!(Duration::from_micros(990), spread.p99);
        let one = Spread::of(vec![Duration::from_micros(7)]);
        assert_eq!(
            (one.median, one.p99),
            (Duration::from_micros(7), Duration::from_micros(7))
        );
    }
}
