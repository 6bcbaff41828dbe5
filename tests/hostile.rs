//! What a handler may try beyond looping and growing: work that the host does for it in one call,
//! results that break the contract, more descriptors and longer reports than there is room for.

use crate::harness::{Client, Serve, Server, guest, guest_component, handler, sandsock, wat};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use tempfile::TempDir;

fn file(name: &str, text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(name);
    fs::write(&path, text).expect("a file");
    (dir, path)
}

/// A component whose `handle` reports an error: so many bytes from this address on. They are all 0xff,
/// unless `text` is something else.
fn reporting(address: i32, length: i32, discriminant: i32, text: &str) -> (TempDir, PathBuf) {
    file(
        "reports.wat",
        &format!(
            r#"(component
              (core module $m
                (memory (export "memory") 960)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
                (func (export "handle") (result i32)
                  (memory.fill (i32.const 64) (i32.const {fill}) (i32.const 62000000))
                  (i32.store8 (i32.const 0) (i32.const {discriminant}))
                  (i32.store (i32.const 4) (i32.const {address}))
                  (i32.store (i32.const 8) (i32.const {length}))
                  (i32.const 0)))
              (core instance $i (instantiate $m))
              (func (export "handle") (result (result (error string)))
                (canon lift (core func $i "handle")
                  (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#,
            fill = text.as_bytes().first().unwrap_or(&0xff),
        ),
    )
}

fn outcome_of(path: &Path) -> Value {
    let server = Serve::new(path).start();
    assert_eq!(server.ask("x"), b"");
    server.request()
}

#[test]
fn a_result_that_breaks_the_contract_is_a_trap() {
    for (what, address, length, discriminant) in [
        ("outside memory", -16, 100, 1),
        ("not UTF-8", 64, 3, 1),
        ("no such case", 64, 3, 7),
    ] {
        let (_dir, path) = reporting(address, length, discriminant, "");
        let event = outcome_of(&path);
        assert_eq!(event["outcome"], "trap", "{what}: {event}");
    }
}

#[test]
fn a_long_report_is_cut() {
    let (_dir, path) = reporting(64, 62_000_000, 1, "x");
    let event = outcome_of(&path);
    assert_eq!(event["outcome"], "handler-error");
    let detail = event["detail"].as_str().expect("a text");
    assert!(
        detail.starts_with("xxx") && detail.len() < 10_000,
        "{}",
        detail.len()
    );
}

/// Reads whatever comes, on a thread, so that the writer is held up by nothing.
fn read_off(client: &Client) -> thread::JoinHandle<()> {
    let Client::Tcp(socket) = client.twin() else {
        panic!("a stream is read off");
    };
    thread::spawn(move || {
        let mut socket = socket;
        let mut buf = vec![0; 1 << 20];
        while matches!(socket.read(&mut buf), Ok(1..)) {}
    })
}

/// Sends bytes without a newline, on a thread, until the server closes the connection.
pub(crate) fn pour(client: Client) -> thread::JoinHandle<()> {
    let Client::Tcp(mut socket) = client else {
        panic!("a stream is poured into");
    };
    thread::spawn(move || {
        let piece = vec![b'x'; 1 << 20];
        // Bounded, should no limit fire.
        for _ in 0..4096 {
            if socket.write_all(&piece).is_err() {
                return;
            }
        }
    })
}

#[test]
fn the_cpu_limit_holds_while_one_line_is_read() {
    for handler in ["reads-a-line", "reads-a-line-component"] {
        let server = Serve::new(wat(handler))
            .with("--cpu-limit 50ms --memory-limit 4GiB --max-in-flight 2 --idle-timeout none")
            .start();
        let pouring = pour(server.connect());
        let event = server.request();
        assert_eq!(event["outcome"], "cpu-limit", "{handler}: {event}");
        assert!(event["cpu_us"].as_u64() < Some(150_000), "{event}");
        pouring.join().expect("no panic");
    }
}

#[test]
fn the_cpu_limit_holds_within_one_host_call() {
    let server = Serve::new(wat("writes-at-length"))
        .with("--cpu-limit 300ms --idle-timeout none")
        .start();
    let client = server.connect();
    let reader = read_off(&client);
    let event = server.request();
    assert_eq!(event["outcome"], "cpu-limit", "{event}");
    assert!(event["cpu_us"].as_u64() < Some(400_000), "{event}");
    drop(client);
    reader.join().expect("no panic");
}

#[test]
fn the_cpu_limit_holds_where_all_of_it_is_spent_on_the_log() {
    let file = wat("prints-at-length");
    let options = ["run", "--log-limit", "none", "--cpu-limit", "300ms"].map(OsStr::new);
    let ended = sandsock(&[&options[..], &[file.as_os_str()]].concat(), b"");
    // How much of the log there is depends on who reads it; without the limit it is a minute's worth.
    assert_eq!(ended.code, 1);
}

/// Descriptors that a request may have beside those of granted folders.
const OPEN_FILES: &str = "32";

/// A handler with a folder in which there is `file`; the folder goes with the guard.
fn with_a_file(handler: impl AsRef<Path>) -> (TempDir, Server) {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("file"), "content").expect("a file");
    let server = Serve::new(handler)
        .arg("--dir")
        .arg(format!("{}::/data", dir.path().display()))
        .start();
    (dir, server)
}

#[test]
fn open_files_are_bounded() {
    // What preview 1 calls EMFILE, and 0.2, which has no name for it, EDQUOT.
    for (handler, errno) in [(guest("probe"), 33), (guest_component("probe"), 19)] {
        let (_dir, server) = with_a_file(handler);
        let before = server.process().descriptors();
        for _ in 0..3 {
            let said = String::from_utf8(server.ask("open /data/file\n")).expect("text");
            assert!(
                said.starts_with(&format!("{OPEN_FILES} files\nerror:")),
                "{said}"
            );
            assert!(said.ends_with(&format!(" {errno}\n")), "{said}");
        }
        let ended = server.requests(3);
        assert!(
            ended.iter().all(|event| event["outcome"] == "ok"),
            "{ended:?}"
        );
        server.ask("read /data/file\n");
        assert!(
            server.process().descriptors() <= before + 4,
            "they come back"
        );
    }
}

#[test]
fn a_file_is_open_for_as_long_as_a_stream_of_it_is() {
    let (_dir, server) = with_a_file(guest_component("probe"));
    let said = String::from_utf8(server.ask("stream file\n")).expect("text");
    assert_eq!(said, format!("{OPEN_FILES} streams\n"));
}

#[test]
fn a_component_that_waits_for_input_ends_at_the_idle_timeout() {
    let server = Serve::new(wat("waits-for-input"))
        .with("--idle-timeout 200ms --deadline 1m")
        .start();
    let _client = server.connect();
    let event = server.request();
    assert_eq!(event["outcome"], "idle-timeout", "{event}");
    let took = event["duration_us"].as_u64().expect("a number");
    assert!((190_000..5_000_000).contains(&took), "{event}");
}

#[test]
fn a_run_export_of_another_type_is_refused_at_load() {
    let (_dir, path) = file(
        "run.wat",
        r#"(component
          (core module $m (func (export "run")))
          (core instance $i (instantiate $m))
          (func $run (canon lift (core func $i "run")))
          (instance $r (export "run" (func $run)))
          (export "wasi:cli/run@0.2.0" (instance $r)))"#,
    );
    sandsock(&["check", path.to_str().expect("a name")], b"").is_a_refusal(&["`run`"]);
}

#[test]
fn a_handler_file_that_is_a_fifo_is_an_error_and_not_a_wait() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("handler.wasm");
    let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    Serve::new(&path)
        .run_to_end()
        .is_an_error(1, &["not a regular file"]);
}

#[test]
fn a_connection_that_only_lingers_is_not_a_request_that_is_cut() {
    let mut server: Server = Serve::new(handler("hello"))
        .with("--shutdown-grace 0s --linger 1m")
        .start();
    let mut client = server.connect();
    client.send("hello\n");
    assert_eq!(client.receive_all(), "你好".as_bytes());
    assert_eq!(server.request()["outcome"], "ok");
    assert_eq!(server.terminate().code(), Some(0));
    let stopped = server.log().wait_for(1, |e| e["event"] == "stopped");
    assert_eq!(stopped[0]["cut"], 0, "{stopped:?}");
}

#[test]
fn control_characters_are_escaped_in_json_too() {
    let (_dir, path) = file(
        "controls.wat",
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write"
            (func $fd_write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "\10\00\00\00\08\00\00\00")
          (data (i32.const 16) "\7f\c2\9b\e2\80\ae!\n")
          (func (export "handle")
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
    );
    let finished = sandsock(
        &[
            "run",
            "--log-format",
            "json",
            path.to_str().expect("a name"),
        ],
        b"",
    );
    finished.is_a_success();
    assert!(
        finished.stderr.contains(r"\u007f\u009b\u202e!"),
        "{}",
        finished.stderr
    );
}
