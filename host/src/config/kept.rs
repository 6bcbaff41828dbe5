//! What is kept of requests, for whoever wants to see why: recordings and core dumps.

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::values::{bounded_size, positive_count};
use super::{Limit, Limits, Size};

/// Which requests are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordWhen {
    /// Those that did not end with `ok`.
    #[default]
    Fail,
    /// All of them.
    All,
    /// One in so many, by their number.
    OneIn(NonZeroU64),
}

impl FromStr for RecordWhen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "fail" => Ok(RecordWhen::Fail),
            "all" => Ok(RecordWhen::All),
            _ => text
                .strip_prefix("1/")
                .and_then(|n| n.parse().ok())
                .map(RecordWhen::OneIn)
                .ok_or_else(|| "write fail, all, or 1/N, as in 1/100".to_owned()),
        }
    }
}

impl fmt::Display for RecordWhen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordWhen::Fail => f.write_str("fail"),
            RecordWhen::All => f.write_str("all"),
            RecordWhen::OneIn(n) => write!(f, "1/{n}"),
        }
    }
}

/// What is kept of requests.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Recordings of requests, for `sandsock replay`")]
pub struct RecordOptions {
    /// Keep recordings in this private folder; they hold what clients send
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Which requests: those that fail, all, or one in N
    #[arg(
        long,
        value_name = "fail|all|1/N",
        default_value_t,
        requires = "record"
    )]
    pub record_when: RecordWhen,
    /// Files that are kept; the oldest go first
    #[arg(long, value_name = "N", default_value_t = Self::default().record_max, value_parser = positive_count, requires = "record")]
    pub record_max: u32,
    /// Size of all of them together
    #[arg(long, value_name = "SIZE", default_value_t = Self::default().record_size, value_parser = bounded_size, requires = "record")]
    pub record_size: Limit<Size>,
}

impl Default for RecordOptions {
    fn default() -> Self {
        RecordOptions {
            record: None,
            record_when: RecordWhen::default(),
            record_max: 1000,
            record_size: Limit::at(Size(256 << 20)),
        }
    }
}

/// What is kept of a handler that traps.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Seeing why")]
pub struct CoredumpOptions {
    /// Keep a core dump of each instance that traps in this private folder; it holds what the client has sent
    #[arg(long, value_name = "DIR")]
    pub coredump: Option<PathBuf>,
    /// Core dumps that are kept; the oldest go first
    #[arg(long, value_name = "N", default_value_t = Self::default().coredump_files, value_parser = positive_count, requires = "coredump")]
    pub coredump_files: u32,
    /// What they may have together
    #[arg(long, value_name = "SIZE", default_value_t = Self::default().coredump_size, value_parser = bounded_size, requires = "coredump")]
    pub coredump_size: Limit<Size>,
}

impl CoredumpOptions {
    /// Dumps that are put together at one time, each of an instance beside those of the requests in flight.
    pub(crate) fn at_one_time(&self) -> u32 {
        u32::from(self.coredump.is_some())
    }

    /// Bytes of the largest dump that is put together of a request with these limits; 0 where none is kept.
    pub(crate) fn largest(&self, limits: &Limits) -> u64 {
        let largest = self.coredump_size.get().map_or(u64::MAX, |size| size.0);
        match self.coredump {
            Some(_) => largest.min(limits.memory.unwrap_or(u64::MAX)),
            None => 0,
        }
    }
}

impl Default for CoredumpOptions {
    fn default() -> Self {
        CoredumpOptions {
            coredump: None,
            coredump_files: 20,
            coredump_size: Limit::at(Size(256 << 20)),
        }
    }
}

/// Bytes that are kept of one request at most.
pub(crate) const RECORDED: usize = 1 << 20;
