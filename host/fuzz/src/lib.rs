//! What the targets share: a request served in this process, and what has to hold of it whatever the handler
//! is and does.

#![forbid(unsafe_code)]

mod calls;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use calls::{imports, interpreter};
use sandsock::config::{Grants, Limits};
use sandsock::{Failure, InMemory, LoadError, Loader, Request, RequestHandler, WasmHandler};

/// Short, so that what loops or sleeps costs little time.
pub fn limits() -> Limits {
    Limits {
        deadline: Some(Duration::from_millis(60)),
        idle_timeout: Some(Duration::from_millis(20)),
        cpu: Some(Duration::from_millis(30)),
        memory: Some(2 << 20),
        input: None,
        output: Some(64 << 10),
        log: Some(4 << 10),
    }
}

/// How much later than its limit a request may end on a busy machine, with coverage counted.
const LATE: Duration = Duration::from_secs(5);

/// A handler of this file's bytes, or why it is none. A folder that may be read is granted.
///
/// # Panics
///
/// Where the file is not to blame.
pub fn load(file: &[u8], grants: &Grants) -> Result<WasmHandler, LoadError> {
    let loader = Loader {
        instances: 1,
        memory_limit: limits().memory,
        grants: grants.clone(),
        ..Loader::new("fuzzed.wasm")
    };
    let loaded = WasmHandler::from_bytes(&loader, file);
    if let Err(LoadError::Engine(error)) = &loaded {
        panic!("no engine: {error:#}");
    }
    loaded
}

/// One request with this input; what has to hold of any is looked at.
pub fn serve(handler: &WasmHandler, input: &[u8]) {
    let limits = limits();
    let before = (threads(), descriptors());
    let connection = InMemory::new(input);
    let request = Arc::new(Request::in_memory(connection.clone(), &limits));
    let began = Instant::now();
    let handled = handler.finish_request(&request);
    let took = began.elapsed();
    let late = limits.deadline.unwrap_or_default() + LATE;
    assert!(took < late, "it took {took:?}");
    if let Err(Failure::Host(problem)) = &handled.result {
        panic!("the host failed: {problem}");
    }
    let output = connection.output().len() as u64;
    assert!(Some(output) <= limits.output, "{output} bytes of output");
    assert!(request.bytes_in() <= input.len() as u64);
    assert!(Some(handled.memory_peak) <= limits.memory, "{handled:?}");
    drop(request);
    assert_eq!(
        (threads(), descriptors()),
        before,
        "of threads and descriptors"
    );
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
