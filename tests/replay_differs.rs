//! A handler that was changed, or one that depends on what no recording has: where it differs is said.

use crate::harness::{
    Finished, Op, Recording, Serve, guest_component, handler, replay, sandsock, script, wat,
};
use Op::{Return, Write};
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;
use tempfile::TempDir;

/// Reads so often, prints a line, answers a text, and ends as the last expression says.
fn module(dir: &Path, reads: usize, printed: &str, answer: &str, end: &str) -> PathBuf {
    let reads = "(drop (call $read (i32.const 2048) (i32.const 1024)))".repeat(reads);
    let source = format!(
        r#"(module
  (import "rfile" "read" (func $read (param i32 i32) (result i32)))
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $print (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\{:02x}\00\00\00")
  (data "\00")
  (data (i32.const 16) "{printed}\0a")
  (data (i32.const 512) "{answer}")
  (func (export "handle") (result i32)
    {reads}
    (drop (call $print (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $write (i32.const 512) (i32.const {})))
    {end}))"#,
        printed.len() + 1,
        answer.len(),
    );
    let file = dir.join("handler.wat");
    fs::write(&file, source).unwrap();
    file
}

/// One request of a server of this module, which is asked for `hello`.
fn recorded(dir: &Path) -> (PathBuf, Recording) {
    let file = module(dir, 1, "as it was", "the old answer", "(i32.const 0)");
    let mut server = Serve::new(&file).recording("all").start();
    assert_eq!(server.ask("hello"), b"the old answer");
    server.request();
    let recording = server.recorded().remove(0);
    // The server's folder goes with it.
    let kept = dir.join("kept.jsonl");
    fs::write(&kept, recording.to_file_text()).unwrap();
    (kept, recording)
}

/// It fails, and its report has all of these lines.
#[track_caller]
fn differs(replayed: &Finished, lines: &[&str]) {
    let text = replayed.text();
    assert_eq!(replayed.code, 1, "{replayed:?}");
    assert!(replayed.stderr.is_empty(), "{replayed:?}");
    assert!(text.starts_with("request 1: differs\n"), "{text}");
    for line in lines {
        assert!(
            text.lines().any(|l| l.trim() == *line),
            "{line:?} expected in:\n{text}"
        );
    }
}

const CHANGED: &str = "note: the handler is not the one that was recorded";

#[test]
fn the_first_byte_that_differs_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, recording) = recorded(dir.path());
    assert_eq!(recording.text("received"), "hello");
    let changed = module(
        dir.path(),
        1,
        "as it was",
        "the new answer",
        "(i32.const 0)",
    );
    let line = r#"answer: differs from byte 4: was "the old answer", is "the new answer""#;
    differs(&replay(&kept, &changed), &[line, CHANGED]);
    let shorter = module(dir.path(), 1, "as it was", "the old", "(i32.const 0)");
    let line = r#"answer: differs from byte 7: was "the old answer", is "the old""#;
    differs(&replay(&kept, &shorter), &[line]);
}

#[test]
fn another_outcome_is_named_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, _) = recorded(dir.path());
    let fails = module(
        dir.path(),
        1,
        "as it was",
        "the old answer",
        "(i32.const 1)",
    );
    let replayed = replay(&kept, &fails);
    differs(&replayed, &[CHANGED]);
    let outcome = "outcome: was ok, is handler-error (";
    assert!(replayed.text().contains(outcome), "{replayed:?}");
    let traps = module(dir.path(), 1, "as it was", "the old answer", "unreachable");
    let replayed = replay(&kept, &traps);
    assert!(
        replayed.text().contains("outcome: was ok, is trap ("),
        "{replayed:?}"
    );
}

#[test]
fn what_is_printed_otherwise_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, _) = recorded(dir.path());
    let changed = module(dir.path(), 1, "as it is", "the old answer", "(i32.const 0)");
    let line = r#"stdout: differs from byte 6: was "as it was\n", is "as it is\n""#;
    differs(&replay(&kept, &changed), &[line]);
}

#[test]
fn who_reads_further_than_was_recorded_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, _) = recorded(dir.path());
    let changed = module(dir.path(), 2, "as it was", "another", "(i32.const 0)");
    let note = "note: it reads on where the recording's last read was: it is told that the input ends there";
    differs(&replay(&kept, &changed), &[note]);
}

#[test]
fn a_handler_of_another_kind_that_does_the_same_is_the_same() {
    let mut server = Serve::new(handler("echo")).recording("all").start();
    server.ask("hello");
    server.request();
    let recording = server.recorded().remove(0);
    let replayed = replay(&recording.file, &wat("cat"));
    assert_eq!(replayed.text(), "request 1: the same: ok\n", "{replayed:?}");
    assert_eq!(replayed.code, 0);
}

#[test]
fn datagrams_are_compared_one_by_one() {
    let mut server = Serve::new(wat("script"))
        .at("udp://127.0.0.1:0")
        .recording("all")
        .start();
    let mut client = server.connect();
    client.send(script(&[Return, Write("one"), Op::Flush, Write("two")]));
    client.receive_all();
    client.receive_all();
    server.request();
    let recording = server.recorded().remove(0);
    recording.replays_the_same();
    let text = recording.to_file_text().replacen("two", "2", 1);
    assert_ne!(text, recording.to_file_text());
    fs::write(&recording.file, text).unwrap();
    let replayed = replay(&recording.file, &wat("script"));
    assert_eq!(replayed.code, 1, "{replayed:?}");
}

#[test]
fn what_no_recording_has_is_named() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = backend.local_addr().unwrap().to_string();
    let answering = thread::spawn(move || backend.accept().unwrap().0.write_all(b"backend"));
    let mut server = Serve::new(guest_component("probe"))
        .with("--allow-connect")
        .arg(&address)
        .recording("all")
        .start();
    assert_eq!(server.ask(format!("connect {address}\n")), b"backend\n");
    answering.join().unwrap().unwrap();
    server.request();
    let recording = server.recorded().remove(0);
    let noted = recording.events("not-recorded");
    assert_eq!(noted.len(), 1, "{recording:?}");
    let note = format!("note: not recorded: {}", noted[0].as_str().unwrap());
    differs(
        &replay(&recording.file, &guest_component("probe")),
        &[&note],
    );
}

#[test]
fn everything_that_was_sent_and_printed_can_be_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, _) = recorded(dir.path());
    let file = module(
        dir.path(),
        1,
        "as it was",
        "the old answer",
        "(i32.const 0)",
    );
    let shown = sandsock(
        &[
            "replay".as_ref(),
            kept.as_os_str(),
            file.as_os_str(),
            "-v".as_ref(),
        ],
        b"",
    );
    assert_eq!(shown.code, 0, "{shown:?}");
    let text = shown.text();
    for part in [
        r#""sent":"the old answer""#,
        r#""printed":["stdout","as it was\n"]"#,
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn what_cannot_be_replayed_is_one_clear_error() {
    let dir: TempDir = tempfile::tempdir().unwrap();
    let (kept, _) = recorded(dir.path());
    let path = |name: &str| dir.path().join(name);
    fs::write(path("no.wasm"), "no handler").unwrap();
    replay(&path("absent.jsonl"), &wat("cat")).is_an_error(1, &["cannot read", "absent.jsonl"]);
    replay(&kept, &path("absent.wasm")).is_an_error(1, &["cannot replay with", "absent.wasm"]);
    replay(&kept, &path("no.wasm")).is_an_error(1, &["no.wasm"]);
    let args = [
        "replay".as_ref(),
        kept.as_os_str(),
        "--id".as_ref(),
        "7".as_ref(),
    ];
    sandsock(&args, b"").is_an_error(2, &["kept.jsonl", "no request 7"]);
    fs::remove_file(path("handler.wat")).unwrap();
    // Without a handler it is the one that was recorded, which is not where it was.
    let args = ["replay".as_ref(), kept.as_os_str()];
    sandsock(&args, b"").is_an_error(1, &["handler.wat"]);
}
