//! SIGHUP: the handler is read again, and what does not load leaves the old one in service.

use crate::harness::{Op, PATIENCE, Serve, script, signal, wat};
use Op::{Print, Return, Write};
use std::fs;
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;

/// A handler that answers a text.
fn answers(path: &Path, text: &str) {
    let source = format!(
        r#"(module
            (import "wfile" "write" (func $write (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "{text}")
            (func (export "handle")
                (drop (call $write (i32.const 0) (i32.const {})))))"#,
        text.len()
    );
    replace(path, source.as_bytes());
}

/// As a careful deployment does it: whoever reads sees the old file or the new one.
fn replace(path: &Path, content: &[u8]) {
    let beside = path.with_extension("new");
    fs::write(&beside, content).unwrap();
    fs::rename(beside, path).unwrap();
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_new_handler_serves_from_then_on() {
    let dir = folder();
    let path = dir.path().join("handler.wat");
    answers(&path, "one");
    let server = Serve::new(&path).start();
    assert_eq!(server.ask("x"), b"one");
    for (n, text) in ["two", "three"].into_iter().enumerate() {
        answers(&path, text);
        server.process().signal(signal::HUP);
        server.log().wait_for(n + 2, |e| e["event"] == "loaded");
        // The event may come a moment before the change.
        let until = Instant::now() + PATIENCE;
        while server.ask("x") != text.as_bytes() {
            assert!(Instant::now() < until, "{text} does not serve");
        }
    }
}

#[test]
fn a_broken_handler_leaves_the_old_one_in_service_and_the_log_says_why() {
    let dir = folder();
    let path = dir.path().join("handler.wat");
    answers(&path, "old");
    let server = Serve::new(&path).start();
    let other_import = r#"(module
        (import "no" "such" (func))
        (memory (export "memory") 1)
        (func (export "handle")))"#;
    for (n, broken) in ["not Wasm", other_import].into_iter().enumerate() {
        replace(&path, broken.as_bytes());
        server.process().signal(signal::HUP);
        let failed = server
            .log()
            .wait_for(n + 1, |e| e["event"] == "reload-failed");
        assert!(failed[n]["detail"].is_string(), "{failed:?}");
        assert_eq!(server.ask("x"), b"old");
    }
    fs::remove_file(&path).unwrap();
    server.process().signal(signal::HUP);
    server.log().wait_for(3, |e| e["event"] == "reload-failed");
    assert_eq!(server.ask("x"), b"old");
}

#[test]
fn a_request_in_flight_keeps_the_handler_that_it_began_with() {
    let dir = folder();
    let path = dir.path().join("handler.wat");
    fs::copy(wat("script"), &path).unwrap();
    let server = Serve::new(&path).start();
    let mut client = server.connect();
    client.send(script(&[Return, Print("now")]));
    server.log().wait_for(1, |e| e["line"] == "now");
    answers(&path, "new");
    server.process().signal(signal::HUP);
    server.log().wait_for(2, |e| e["event"] == "loaded");
    client.send(script(&[Write("old"), Return]));
    client.finish_sending();
    assert_eq!(client.receive_all(), b"old");
}
