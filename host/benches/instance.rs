//! What the sandbox costs a request: an instance from set-up to tear-down, sockets taken off.
//!
//! `cargo bench` prints it for a small module in the text format, and, where `cargo xtask build` has
//! made them, for the `echo` and `hello` handlers of the Rust SDK as module and as component.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use sandsock::config::Limits;
use sandsock::{InMemory, Loader, Request, RequestHandler, WasmHandler};

/// Reads up to 64 bytes and writes them: the smallest handler that does something.
const SMALL: &str = r#"(module
  (import "rfile" "read" (func $read (param i32 i32) (result i32)))
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "handle")
    (drop (call $write (i32.const 0) (call $read (i32.const 0) (i32.const 64))))))"#;

fn bench(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let small = folder.path().join("small.wat");
    std::fs::write(&small, SMALL).expect("the folder is writable");
    measure(criterion, "small module", &small);
    let handlers = handlers();
    for name in [
        "echo.wasm",
        "echo.component.wasm",
        "hello.wasm",
        "hello.component.wasm",
    ] {
        let path = handlers.join(name);
        if path.exists() {
            measure(criterion, name, &path);
        } else {
            println!("{name}: skipped, it is not there; `cargo xtask build` makes it");
        }
    }
}

fn measure(criterion: &mut Criterion, name: &str, path: &Path) {
    let limits = Limits::default();
    let handler = WasmHandler::load(&Loader {
        instances: 64,
        ..Loader::new(path)
    })
    .expect("the handler is one");
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            let connection = InMemory::new("hello,server\n");
            let request = Arc::new(Request::in_memory(connection, &limits));
            handler
                .finish_request(&request)
                .result
                .expect("it succeeds");
        });
    });
}

/// `target/handlers`; the benchmark's own program lies in the same `target`.
fn handlers() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    program
        .ancestors()
        .map(|folder| folder.join("handlers"))
        .find(|folder| folder.is_dir())
        .unwrap_or_else(|| PathBuf::from("target/handlers"))
}

criterion_group!(benches, bench);
criterion_main!(benches);
