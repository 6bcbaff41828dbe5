//! What the targets share: a request served in this process, and what has to hold of it whatever the handler
//! is and does.

#![forbid(unsafe_code)]

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandsock::config::{Grants, Limits};
use sandsock::{Failure, InMemory, LoadError, Loader, Request, RequestHandler, WasmHandler};

/// The contract's imports for modules, version 1, and WASI preview 1's (its witx files): module, name, types of
/// the parameters, and of the result.
pub const IMPORTS: &[(&str, &str, &str, &str)] = &[
    ("rfile", "read", "i32 i32", "i32"),
    ("rfile", "read_line", "i32 i32", "i32"),
    ("wfile", "write", "i32 i32", "i32"),
    ("wfile", "flush", "", "i32"),
    ("request", "client_address", "i32 i32", "i32"),
    ("request", "server_address", "i32 i32", "i32"),
    ("request", "transport", "", "i32"),
    ("request", "id", "", "i64"),
    ("request", "set_timeout", "i64", "i32"),
    ("request", "set_nodelay", "i32", "i32"),
    (P1, "args_get", "i32 i32", "i32"),
    (P1, "args_sizes_get", "i32 i32", "i32"),
    (P1, "environ_get", "i32 i32", "i32"),
    (P1, "environ_sizes_get", "i32 i32", "i32"),
    (P1, "clock_res_get", "i32 i32", "i32"),
    (P1, "clock_time_get", "i32 i64 i32", "i32"),
    (P1, "fd_advise", "i32 i64 i64 i32", "i32"),
    (P1, "fd_allocate", "i32 i64 i64", "i32"),
    (P1, "fd_close", "i32", "i32"),
    (P1, "fd_datasync", "i32", "i32"),
    (P1, "fd_fdstat_get", "i32 i32", "i32"),
    (P1, "fd_fdstat_set_flags", "i32 i32", "i32"),
    (P1, "fd_fdstat_set_rights", "i32 i64 i64", "i32"),
    (P1, "fd_filestat_get", "i32 i32", "i32"),
    (P1, "fd_filestat_set_size", "i32 i64", "i32"),
    (P1, "fd_filestat_set_times", "i32 i64 i64 i32", "i32"),
    (P1, "fd_pread", "i32 i32 i32 i64 i32", "i32"),
    (P1, "fd_prestat_get", "i32 i32", "i32"),
    (P1, "fd_prestat_dir_name", "i32 i32 i32", "i32"),
    (P1, "fd_pwrite", "i32 i32 i32 i64 i32", "i32"),
    (P1, "fd_read", "i32 i32 i32 i32", "i32"),
    (P1, "fd_readdir", "i32 i32 i32 i64 i32", "i32"),
    (P1, "fd_renumber", "i32 i32", "i32"),
    (P1, "fd_seek", "i32 i64 i32 i32", "i32"),
    (P1, "fd_sync", "i32", "i32"),
    (P1, "fd_tell", "i32 i32", "i32"),
    (P1, "fd_write", "i32 i32 i32 i32", "i32"),
    (P1, "path_create_directory", "i32 i32 i32", "i32"),
    (P1, "path_filestat_get", "i32 i32 i32 i32 i32", "i32"),
    (P1, "path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32", "i32"),
    (P1, "path_link", "i32 i32 i32 i32 i32 i32 i32", "i32"),
    (P1, "path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32", "i32"),
    (P1, "path_readlink", "i32 i32 i32 i32 i32 i32", "i32"),
    (P1, "path_remove_directory", "i32 i32 i32", "i32"),
    (P1, "path_rename", "i32 i32 i32 i32 i32 i32", "i32"),
    (P1, "path_symlink", "i32 i32 i32 i32 i32", "i32"),
    (P1, "path_unlink_file", "i32 i32 i32", "i32"),
    (P1, "poll_oneoff", "i32 i32 i32 i32", "i32"),
    (P1, "proc_exit", "i32", ""),
    (P1, "proc_raise", "i32", "i32"),
    (P1, "random_get", "i32 i32", "i32"),
    (P1, "sched_yield", "", "i32"),
    (P1, "sock_accept", "i32 i32 i32", "i32"),
    (P1, "sock_recv", "i32 i32 i32 i32 i32 i32", "i32"),
    (P1, "sock_send", "i32 i32 i32 i32 i32", "i32"),
    (P1, "sock_shutdown", "i32 i32", "i32"),
];

const P1: &str = "wasi_snapshot_preview1";

/// The imports in the text format; each has the name `$f` and its number.
pub fn imports() -> String {
    let import = |(number, (module, name, params, result)): (usize, &(&str, &str, &str, &str))| {
        let result = match *result {
            "" => String::new(),
            result => format!("(result {result})"),
        };
        format!("(import \"{module}\" \"{name}\" (func $f{number} (param {params}) {result}))\n")
    };
    IMPORTS.iter().enumerate().map(import).collect()
}

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
    assert_eq!((threads(), descriptors()), before, "of threads and descriptors");
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
