//! What the sandbox costs a request: an instance from set-up to tear-down, sockets taken off.
//!
//! `cargo xtask bench parts` prints it for a small module in the text format; where `cargo xtask build` has
//! made them, for the `echo` and `hello` handlers of the Rust SDK as module and as component; and where
//! `cargo xtask test` has, for the handler that every SDK has.

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
    for name in HANDLERS {
        match find(name) {
            Some(path) => measure(criterion, name, &path),
            None => println!("{name}: skipped, it is not there; `cargo xtask test` makes it"),
        }
    }
}

/// What is made in `target`.
const HANDLERS: [&str; 12] = [
    "handlers/echo.wasm",
    "handlers/echo.component.wasm",
    "handlers/hello.wasm",
    "handlers/hello.component.wasm",
    "languages/rust.wasm",
    "languages/rust.component.wasm",
    "languages/assemblyscript.wasm",
    "languages/c.wasm",
    "languages/zig.wasm",
    "languages/go.wasm",
    "languages/javascript.wasm",
    "languages/python.wasm",
];

fn measure(criterion: &mut Criterion, name: &str, path: &Path) {
    let limits = Limits::default();
    let handler = WasmHandler::load(&Loader {
        instances: 1,
        ..Loader::new(path)
    })
    .expect("the handler is one");
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            // Two lines for the handler of every SDK; the others take what comes.
            let connection = InMemory::new("hello\nserver\n");
            let request = Arc::new(Request::in_memory(connection, &limits));
            handler
                .finish_request(&request)
                .result
                .expect("it succeeds");
        });
    });
}

/// The benchmark's own program lies in the same `target`.
fn find(name: &str) -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let mut paths = program.ancestors().map(|folder| folder.join(name));
    paths.find(|path| path.is_file())
}

criterion_group!(benches, bench);
criterion_main!(benches);
