//! `bench-instance HANDLER REQUESTS`: requests in memory, one after the other, by the library; prints the
//! nanoseconds of one at the median.

#![forbid(unsafe_code)]

use anyhow::{Context, Result, anyhow};
use sandsock::config::Limits;
use sandsock::{InMemory, Loader, Request, RequestHandler, WasmHandler};
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let file = words.next().context("a handler is missing")?;
    let count: usize = words.next().context("a number is missing")?.parse()?;
    let limits = Limits::default();
    let handler = WasmHandler::load(&Loader {
        instances: 1,
        ..Loader::new(&file)
    })?;
    let mut took = Vec::with_capacity(count);
    // The first tenth warms.
    for number in 0..count + count / 10 {
        let began = Instant::now();
        let connection = InMemory::new("hello,server\n");
        let request = Arc::new(Request::in_memory(connection, &limits));
        let ended = handler.finish_request(&request);
        if number >= count / 10 {
            took.push(began.elapsed().as_nanos());
        }
        ended
            .result
            .map_err(|failure| anyhow!("{file}: {failure:?}"))?;
    }
    took.sort_unstable();
    println!("{}", took.get(took.len() / 2).context("no request")?);
    Ok(())
}
