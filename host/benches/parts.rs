//! What the parts of a request cost: `cargo xtask bench parts`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Bencher, Criterion, Throughput, criterion_group, criterion_main};
use sandsock::config::Limits;
use sandsock::parts::ToThread;
use sandsock::{InMemory, Loader, Request, RequestHandler, WasmHandler};

/// Calls of the host in one request, so that the request itself does not count.
const CALLS: usize = 1_000;

/// Bytes that are read in one request.
const BYTES: usize = 1 << 20;

/// Does nothing: an instance, and a call into it.
const EMPTY: &str = r#"(module (memory (export "memory") 1) (func (export "handle")))"#;

/// Asks the host for a number, so many times.
const CALLING: &str = r#"(module
  (import "request" "transport" (func $transport (result i32)))
  (memory (export "memory") 1)
  (func (export "handle") (local $left i32)
    (local.set $left (i32.const 1000))
    (loop $again
      (drop (call $transport))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $again (local.get $left)))))"#;

/// Reads to the end of input, 64 KiB at a time.
const READING: &str = r#"(module
  (import "rfile" "read" (func $read (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "handle")
    (loop $again (br_if $again (call $read (i32.const 0) (i32.const 65536))))))"#;

fn sandbox(criterion: &mut Criterion) {
    criterion.bench_function("an empty module", |bencher| serve(bencher, EMPTY, b""));
    let mut group = criterion.benchmark_group("in one module");
    group.throughput(Throughput::Elements(CALLS as u64));
    group.bench_function("1,000 host calls", |bencher| serve(bencher, CALLING, b""));
    let input = vec![b'x'; BYTES];
    group.throughput(Throughput::Bytes(BYTES as u64));
    group.bench_function("1 MiB read into the guest", |bencher| {
        serve(bencher, READING, &input);
    });
    group.finish();
}

fn serve(bencher: &mut Bencher, module: &str, input: &[u8]) {
    let loader = Loader::new("part.wat");
    let handler = WasmHandler::from_bytes(&loader, module.as_bytes()).expect("it is a handler");
    let limits = Limits::default();
    bencher.iter_batched(
        || Arc::new(Request::in_memory(InMemory::new(input), &limits)),
        |request| {
            let handled = handler.finish_request(&request);
            handled.result.expect("it succeeds");
        },
        criterion::BatchSize::SmallInput,
    );
}

fn server(criterion: &mut Criterion) {
    let way = ToThread::new().expect("descriptors are left");
    criterion.bench_function("admission, every option in use", |bencher| {
        bencher.iter(|| assert!(black_box(way.admit())));
    });
    criterion.bench_function("to a kept thread and back", |bencher| {
        bencher.iter(|| assert!(way.there_and_back()));
    });
}

criterion_group!(benches, sandbox, server);
criterion_main!(benches);
