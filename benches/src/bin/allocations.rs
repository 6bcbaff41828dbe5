//! `bench-allocations HANDLER`: what a request in memory allocates on the host's heap; prints how often, and
//! how many bytes. A program of its own, since its allocator is another.

#![forbid(unsafe_code)]

use allocation_counter::{AllocationInfo, measure};
use anyhow::{Context, Result, anyhow};
use sandsock::config::Limits;
use sandsock::{InMemory, Loader, Request, RequestHandler, WasmHandler};
use std::sync::Arc;

fn main() -> Result<()> {
    let file = std::env::args().nth(1).context("a handler is missing")?;
    let limits = Limits::default();
    let handler = WasmHandler::load(&Loader {
        instances: 1,
        ..Loader::new(&file)
    })?;
    let mut least = None::<AllocationInfo>;
    // What is made once and kept is made in the first few.
    for _ in 0..20 {
        let mut result = Ok(());
        let info = measure(|| {
            let connection = InMemory::new("hello,server\n");
            let request = Arc::new(Request::in_memory(connection, &limits));
            result = handler.finish_request(&request).result;
        });
        result.map_err(|failure| anyhow!("{file}: {failure:?}"))?;
        if least.is_none_or(|least| info.count_total < least.count_total) {
            least = Some(info);
        }
    }
    let least = least.context("no request")?;
    println!("{} {}", least.count_total, least.bytes_total);
    Ok(())
}
