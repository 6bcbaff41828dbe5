//! What the processes of requests may take (`--concurrency fork`), as the options say it.

use std::sync::Arc;

use anyhow::Context;

use super::ServeArgs;
use crate::concurrency::{Lifetime, Table};

/// What the host may take for a request beside what counts against its memory limit, in bytes: an instance's state and
/// what one call has copied, each up to 64 MiB, a recording, and its own heap.
const DATA_OF_HOST: u64 = 256 << 20;

impl ServeArgs {
    /// Room for the requests of all its processes.
    pub(super) fn table(&self, in_flight: u32) -> anyhow::Result<Arc<Table>> {
        let dumping = self.coredump.at_one_time() as usize;
        Table::create(in_flight as usize, dumping)
            .context("there is no memory for the table of requests")
    }

    /// What bounds the processes of requests.
    pub(in crate::cli) fn lifetime(&self) -> Lifetime {
        let limits = self.handler.limits.limits();
        let dump = self.coredump.largest(&limits);
        Lifetime::new(&limits, self.service.linger.into(), dump)
    }

    /// Bytes of memory that the process of a request may take beside what it has inherited; `None` where its instance
    /// is not bounded.
    pub(in crate::cli) fn largest_data(&self) -> Option<u64> {
        let limits = self.handler.limits.limits();
        // Of what the host holds for an instance, and of a dump, a buffer that grows can be twice as large; a dump is
        // there twice while it is put together.
        let instance = limits.memory?.saturating_mul(2);
        let dump = self.coredump.largest(&limits).saturating_mul(4);
        Some(DATA_OF_HOST.saturating_add(instance).saturating_add(dump))
    }
}
