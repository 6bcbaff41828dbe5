//! A module that exports `wizer-initialize` is initialised once, when it is compiled; what only a request can do
//! has it initialised in each, as without the export.

use crate::harness::{CONCURRENCIES, Serve, Server, sandsock};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Initialisation draws a number into memory; a request answers with the number, the letters of the functions that
/// have run, and its environment as initialisation has found it.
fn module(initialize: &str) -> String {
    format!(
        r#"(module
  (import "rfile" "read" (func $read (param i32 i32) (result i32)))
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $print (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (global $letters (mut i32) (i32.const 8))
  ;; An I/O vector for one letter, which is nowhere near.
  (data (i32.const 1024) "\00\08\00\00\01\00\00\00")
  (data (i32.const 2048) "x")
  (func $note (param $letter i32)
    (i32.store8 (global.get $letters) (local.get $letter))
    (global.set $letters (i32.add (global.get $letters) (i32.const 1))))
  (func $start
    (drop (call $random (i32.const 0) (i32.const 8)))
    (drop (call $environ (i32.const 512) (i32.const 40)))
    (call $note (i32.const 115)))
  (start $start)
  (func (export "_initialize") (call $note (i32.const 105)))
  (func (export "wizer-initialize") (call $note (i32.const 119)) {initialize})
  (func $handles (export "handle")
    (call $note (i32.const 104))
    (drop (call $write (i32.const 0) (i32.const 60)))))"#
    )
}

fn file(initialize: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snapshot.wat");
    fs::write(&path, module(initialize)).unwrap();
    (dir, path)
}

#[derive(Debug, PartialEq)]
struct Answer {
    number: Vec<u8>,
    letters: String,
    environment: String,
}

fn ask(server: &Server) -> Answer {
    let answer = server.ask("");
    let text = |bytes: &[u8]| {
        let text: Vec<u8> = bytes
            .iter()
            .copied()
            .take_while(|byte| *byte != 0)
            .collect();
        String::from_utf8(text).unwrap()
    };
    Answer {
        number: answer[..8].to_vec(),
        letters: text(&answer[8..16]),
        environment: text(&answer[40..]),
    }
}

#[test]
fn every_request_starts_where_initialisation_has_ended() {
    let (dir, path) = file("");
    let cache = dir.path().join("cache");
    let mut numbers = Vec::new();
    for concurrency in CONCURRENCIES {
        let server = Serve::new(&path)
            .arg("--cache")
            .arg(&cache)
            .arg("--concurrency")
            .arg(concurrency)
            .start();
        for _ in 0..3 {
            let answer = ask(&server);
            assert_eq!(answer.letters, "siwh", "{concurrency}");
            numbers.push(answer.number);
        }
        let events = server.log().events();
        assert!(events.iter().all(|e| e["event"] != "warning"), "{events:?}");
    }
    numbers.dedup();
    // Compiled code for processes that fork has settings of its own.
    assert!(numbers.len() <= 2, "{numbers:?}");
}

#[test]
fn each_load_without_a_cache_initialises_anew() {
    let (_dir, path) = file("");
    let loads = [(); 2].map(|()| Serve::new(&path).with("--cache off").start());
    let [one, two] = loads.each_ref().map(ask);
    assert_ne!(one.number, two.number);
    assert_eq!(one, ask(&loads[0]));
}

#[test]
fn initialisation_sees_the_environment_of_its_service() {
    let (dir, path) = file("");
    let cache = dir.path().join("cache");
    for environment in ["GREETING=hello", "GREETING=hi", "GREETING=hello"] {
        let server = Serve::new(&path)
            .arg("--cache")
            .arg(&cache)
            .arg("--env")
            .arg(environment)
            .start();
        let answer = ask(&server);
        assert_eq!(answer.letters, "siwh");
        assert_eq!(answer.environment, environment);
    }
}

#[test]
fn what_the_environment_says_is_not_kept_in_the_cache() {
    let (dir, path) = file("");
    let cache = dir.path().join("cache");
    let kept = |options: &[&str]| {
        for concurrency in CONCURRENCIES {
            let mut serve = Serve::new(&path)
                .environment("SECRET", "hunter2")
                .arg("--concurrency")
                .arg(concurrency)
                .arg("--cache")
                .arg(&cache);
            for option in options {
                serve = serve.arg(option);
            }
            let server = serve.start();
            assert_eq!(ask(&server).letters, "siwh");
        }
        let files = fs::read_dir(&cache).expect("a folder").map(|file| {
            let file = fs::read(file.expect("a file").path()).expect("its bytes");
            assert!(!file.windows(7).any(|bytes| bytes == b"hunter2"));
        });
        files.count()
    };
    assert_eq!(kept(&["--env", "SECRET=hunter2"]), 0);
    assert_eq!(kept(&["--inherit-env", "SECRET"]), 0);
    assert_ne!(kept(&[]), 0);
}

/// It is served, each request initialises, and a warning says why.
#[track_caller]
fn is_refused(initialize: &str, options: &[&str], words: &str) {
    let (_dir, path) = file(initialize);
    let mut serve = Serve::new(&path).with("--compile-timeout 10m");
    for option in options {
        serve = serve.arg(option);
    }
    let server = serve.start();
    let [one, two] = [(); 2].map(|()| ask(&server));
    assert_eq!([&*one.letters, &*two.letters], ["sih"; 2], "{initialize}");
    assert_ne!(one.number, two.number, "{initialize}");
    server.log().wait_for_line(|line| {
        ["warning", "snapshot.wat", "no snapshot", words]
            .iter()
            .all(|word| line.contains(word))
    });
}

#[test]
fn what_only_a_request_can_do_leaves_no_snapshot() {
    let reads = "(drop (call $read (i32.const 0) (i32.const 1)))";
    is_refused(reads, &[], "`rfile` `read`");
    let prints =
        "(drop (call $print (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 100)))";
    is_refused(prints, &[], "it prints: x");
    let closes = "(drop (call $close (i32.const 2)))";
    is_refused(closes, &[], "`fd_close`");
    let waits = "(drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))";
    is_refused(waits, &[], "`poll_oneoff`");
    is_refused("", &["--dir", ".::/granted"], "a folder is granted");
}

#[test]
fn initialisation_that_fails_leaves_no_snapshot() {
    is_refused("unreachable", &[], "unreachable");
    is_refused("(call $exit (i32.const 3))", &[], "exit");
    is_refused("(loop $for_ever (br $for_ever))", &[], "fuel");
    let recursion = "(call $deeper)) (func $deeper (call $deeper)";
    is_refused(recursion, &[], "stack");
    let table = ") (table 1 funcref) (func (table.set (i32.const 0) (ref.null func))";
    is_refused(table, &[], "table.set");
}

#[test]
fn a_snapshot_counts_as_memory_at_the_start() {
    let (_dir, path) = file("(drop (memory.grow (i32.const 31)))");
    let words = ["2097152 bytes of memory from the start", "--memory-limit"];
    Serve::new(&path)
        .with("--memory-limit 1MiB")
        .run_to_end()
        .is_an_error(1, &words);
    let server = Serve::new(&path).with("--memory-limit 2MiB").start();
    assert_eq!(ask(&server).letters, "siwh");
}

#[test]
fn a_trap_after_a_snapshot_names_its_functions() {
    let (dir, path) = file("");
    let text = fs::read_to_string(&path).unwrap();
    let traps = text.replace("(call $note (i32.const 104))", "unreachable");
    let path = dir.path().join("traps.wat");
    fs::write(&path, traps).unwrap();
    let server = Serve::new(&path).start();
    server.ask("");
    let event = server.requests(1).remove(0);
    assert_eq!(event["outcome"], "trap");
    let detail = event["detail"].as_str().unwrap();
    assert!(detail.contains("handles"), "{detail}");
}

#[test]
fn run_and_check_take_the_same_snapshot() {
    let (_dir, path) = file("");
    let run = |verb: &str, path: &Path| {
        let options = ["--cache", "off"].map(OsStr::new);
        let args: Vec<_> = [OsStr::new(verb)]
            .into_iter()
            .chain(options)
            .chain([path.as_os_str()])
            .collect();
        sandsock(&args, b"")
    };
    let ran = run("run", &path);
    assert_eq!(&ran.stdout[8..12], b"siwh");
    run("check", &path).is_a_success();
}
