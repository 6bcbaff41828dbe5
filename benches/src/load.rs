//! The clients. One thread makes all of them, unless it is asked for more: on two cores every thread that the
//! clients take is one that the server has not. It waits in epoll(7), and reads only when all is there.

pub mod bulk;
pub mod connections;
pub mod datagrams;
pub mod held;

use nix::time::ClockId;
use std::time::Duration;

/// How long a client waits for a server that should answer at once.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What the clients saw of a server in a time.
#[derive(Debug, Default)]
pub struct Load {
    /// Of every request that was answered: how long it took, from before connecting to the end.
    pub latencies: Vec<Duration>,
    /// Requests that were not answered in time, or broke off.
    pub failed: u64,
    /// From the first request to the last reply.
    pub wall: Duration,
    /// CPU time of the clients.
    pub cpu: Duration,
}

impl Load {
    /// Requests answered in a second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    /// The latency below which so many of a thousand requests stay.
    pub fn per_mille(&mut self, which: usize) -> Duration {
        self.latencies.sort_unstable();
        let last = self.latencies.len().saturating_sub(1);
        // The nearest rank, rounded up: with few requests p99.9 is the worst of them.
        let rank = (last * which).div_ceil(1000);
        self.latencies.get(rank).copied().unwrap_or_default()
    }

    /// Two at the same time.
    fn beside(mut self, other: Load) -> Load {
        self.latencies.extend(other.latencies);
        Load {
            latencies: self.latencies,
            failed: self.failed + other.failed,
            wall: self.wall.max(other.wall),
            cpu: self.cpu + other.cpu,
        }
    }
}

/// CPU time of the calling thread.
fn own_cpu() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID
        .now()
        .map(Duration::from)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_those_that_were_answered() {
        let mut load = Load {
            latencies: (0..=1000).rev().map(Duration::from_micros).collect(),
            wall: Duration::from_secs(1),
            ..Load::default()
        };
        assert_eq!(load.per_mille(500), Duration::from_micros(500));
        assert_eq!(load.per_mille(999), Duration::from_micros(999));
        assert_eq!(load.per_mille(1000), Duration::from_micros(1000));
        assert_eq!(Load::default().per_mille(500), Duration::ZERO);
    }
}
