//! `.wasm` handlers in a program of one's own, beside native ones.

use std::sync::Arc;

use sandsock::config::Limits;
use sandsock::{Kind, LoadError, Loader, Outcome, RequestHandler, ServerOptions, WasmHandler};
use tempfile::TempDir;

use crate::client::Transport;
use crate::running::{CONCURRENCIES, Running, echo, told, with};

/// Writes back up to 64 bytes; a `!` traps.
const ECHO: &[u8] = br#"(module
  (import "rfile" "read" (func $read (param i32 i32) (result i32)))
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "handle")
    (local $read i32)
    (local.set $read (call $read (i32.const 0) (i32.const 64)))
    (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 33)) (then unreachable))
    (drop (call $write (i32.const 0) (local.get $read)))))"#;

/// Grows by 16 pages, which is a MiB, and writes `y` or `n`.
const GROW: &[u8] = br#"(module
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "yn")
  (func (export "handle")
    (drop (call $write
      (i32.eq (memory.grow (i32.const 16)) (i32.const -1))
      (i32.const 1)))))"#;

fn loaded(file: &[u8]) -> WasmHandler {
    WasmHandler::from_bytes(&Loader::new("test.wat"), file).unwrap()
}

#[test]
fn a_handler_is_loaded_from_a_file_or_from_bytes() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("echo.wat");
    std::fs::write(&path, ECHO).unwrap();
    let from_file = WasmHandler::load(&Loader::new(&path)).unwrap();
    for handler in [from_file, loaded(ECHO)] {
        assert_eq!(handler.kind(), Kind::Module);
        assert_eq!(handler.info().size, ECHO.len() as u64);
        let running = Running::start(Transport::Tcp, handler, ServerOptions::default());
        assert_eq!(running.ask("hello"), b"hello");
        running.stop();
    }
}

#[test]
fn what_is_no_handler_is_an_error_that_names_it() {
    let dir = TempDir::new().unwrap();
    let missing = WasmHandler::load(&Loader::new(dir.path().join("missing.wasm")));
    assert!(matches!(missing, Err(LoadError::Read { .. })));
    let error = |loader: &Loader, file: &[u8]| {
        let result = WasmHandler::from_bytes(loader, file);
        result.map(|_| ()).unwrap_err()
    };
    let loader = Loader::new("odd.wasm");
    assert!(matches!(error(&loader, b"\x7fELF"), LoadError::NotWasm(_)));
    let invalid = error(&loader, b"(module (oops))");
    assert!(invalid.to_string().contains("odd.wasm"), "{invalid}");
    let small = Loader {
        max_size: ECHO.len() as u64 - 1,
        ..Loader::new("large.wat")
    };
    let too_large = error(&small, ECHO);
    assert!(
        matches!(too_large, LoadError::TooLarge { .. }),
        "{too_large}"
    );
}

#[test]
fn a_trap_costs_its_request_under_every_transport_and_concurrency() {
    let handler = Arc::new(loaded(ECHO));
    for transport in Transport::all() {
        for concurrency in CONCURRENCIES {
            let (hooks, heard) = told();
            let options = ServerOptions {
                hooks,
                ..with(concurrency)
            };
            let running = Running::start(transport, handler.clone(), options);
            assert_eq!(running.ask("hello"), b"hello", "{transport:?}");
            let mut client = running.connect();
            client.send("!");
            client.finish_sending();
            assert_eq!(heard.failure().0, Outcome::Trap);
            assert_eq!(running.ask("again"), b"again", "{transport:?}");
            running.stop();
        }
    }
}

#[test]
fn one_program_mixes_native_and_wasm_handlers_and_servers_share_them() {
    let wasm: Arc<dyn RequestHandler> = Arc::new(loaded(ECHO));
    let native: Arc<dyn RequestHandler> = Arc::new(echo());
    let running: Vec<_> = [&wasm, &native, &wasm, &native]
        .into_iter()
        .zip(Transport::all())
        .map(|(handler, transport)| {
            Running::start(transport, handler.clone(), ServerOptions::default())
        })
        .collect();
    std::thread::scope(|scope| {
        for server in &running {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(server.ask("hello"), b"hello");
                }
            });
        }
    });
    for server in running {
        server.stop();
    }
}

/// The loader's limit is what there is room for, and the server's is what a request may have of it.
#[test]
fn the_smaller_of_both_limits_on_memory_holds() {
    let (small, large) = (Some(512 << 10), Some(4 << 20));
    for (loader, server, answer) in [
        (large, large, b"y"),
        (small, large, b"n"),
        (large, small, b"n"),
    ] {
        let loader = Loader {
            memory_limit: loader,
            ..Loader::new("grow.wat")
        };
        let handler = WasmHandler::from_bytes(&loader, GROW).unwrap();
        let options = ServerOptions {
            limits: Limits {
                memory: server,
                ..Limits::default()
            },
            ..ServerOptions::default()
        };
        let running = Running::start(Transport::Tcp, handler, options);
        assert_eq!(running.ask(""), answer);
        running.stop();
    }
}
