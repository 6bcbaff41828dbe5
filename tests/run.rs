//! `sandsock run`: one request, offline, and what it says of it.

use crate::harness::{
    Finished, Log, PATIENCE, Process, cache_home, handler, handler_component, program, sandsock,
    signal, written,
};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Runs one request with these options and this input.
pub(crate) fn run(options: &[&str], handler: &Path, input: &[u8]) -> Finished {
    let mut args: Vec<&OsStr> = vec!["run".as_ref()];
    args.extend(options.iter().map(OsStr::new));
    args.push(handler.as_os_str());
    sandsock(&args, input)
}

fn line<'a>(ran: &'a Finished, name: &str) -> &'a str {
    let line = ran.stderr.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name}: {ran:?}")).trim()
}

#[test]
fn a_summary_says_how_it_ended_and_what_it_took() {
    let ran = run(&[], &handler("hello"), b"hello,server\n");
    ran.is_a_success();
    assert_eq!(ran.text(), "你好");
    assert_eq!(line(&ran, "outcome"), "ok");
    assert_eq!(line(&ran, "bytes"), "13 in, 6 out");
    assert!(line(&ran, "memory").ends_with("at its peak"));
    assert!(line(&ran, "time").contains("CPU"));
    let calls = line(&ran, "calls");
    for call in [
        "wfile.write 1",
        "request.client_address ",
        "wasi_snapshot_preview1.fd_write ",
    ] {
        assert!(calls.contains(call), "{call}: {calls}");
    }
}

#[test]
fn calls_of_a_component_are_counted_as_those_of_a_module() {
    let ran = run(&[], &handler_component("hello"), b"hello,server\n");
    ran.is_a_success();
    let calls = line(&ran, "calls");
    for call in [
        "wfile.write 1",
        "request.client-address ",
        "streams.output-stream.",
    ] {
        assert!(calls.contains(call), "{call}: {calls}");
    }
}

#[test]
fn each_call_counts_once_also_where_the_host_makes_several_of_it() {
    let (dir, path) = written(
        r#"(module
          (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "file")
          (func (export "handle")
            (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4)
              (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 100)))
            (drop (call $close (i32.load (i32.const 100))))))"#,
    );
    fs::write(dir.path().join("file"), "x").unwrap();
    let grant = format!("{}::/", dir.path().display());
    let ran = run(&["--dir", &grant], &path, b"");
    ran.is_a_success();
    assert_eq!(
        line(&ran, "calls"),
        "wasi_snapshot_preview1.fd_close 1, wasi_snapshot_preview1.path_open 1"
    );
}

#[test]
fn a_program_is_told_the_same_as_an_event_and_quiet_says_nothing() {
    let ran = run(&["--log-format", "json"], &handler("echo"), b"hi");
    ran.is_a_success();
    let events: Vec<Value> = ran
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON object"))
        .collect();
    assert_eq!(events.len(), 2, "{ran:?}");
    assert_eq!(events[0]["outcome"], "ok");
    assert_eq!(events[1]["event"], "ran");
    let calls = events[1]["calls"].as_str().unwrap();
    assert!(calls.contains("wfile.write 1"), "{calls}");

    let ran = run(&["-q"], &handler("echo"), b"hi");
    assert_eq!((ran.text().as_str(), ran.stderr.as_str()), ("hi", ""));
}

#[test]
fn it_exits_0_only_where_the_handler_succeeded() {
    for (body, outcome) in [
        ("(func (export \"handle\") unreachable)", "trap"),
        (
            "(func (export \"handle\") (result i32) (i32.const 1))",
            "handler-error",
        ),
        ("(func (export \"handle\") (loop (br 0)))", "cpu-limit"),
    ] {
        let (_dir, path) = written(&format!("(module {body})"));
        let ran = run(&["--cpu-limit", "50ms"], &path, b"");
        assert_eq!(ran.code, 1, "{ran:?}");
        assert_eq!(line(&ran, "outcome"), outcome);
    }
}

#[test]
fn input_comes_from_a_file() {
    let dir = TempDir::new().unwrap();
    let input = dir.path().join("input");
    fs::write(&input, "from a file").unwrap();
    let ran = run(
        &["--input", input.to_str().unwrap()],
        &handler("echo"),
        b"not this",
    );
    assert_eq!(ran.text(), "from a file", "{ran:?}");
    let ran = run(&["--input", "/nothing/there"], &handler("echo"), b"");
    ran.is_an_error(1, &["--input", "/nothing/there"]);
}

/// Sends `ab`, flushes, and writes `cde`.
const TWO_PACKETS: &str = r#"(module
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (import "wfile" "flush" (func $flush (result i32)))
  (import "request" "transport" (func $transport (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "abcde")
  (func (export "handle") (result i32)
    (drop (call $write (i32.const 0) (i32.const 2)))
    (drop (call $flush))
    (drop (call $flush))
    (drop (call $write (i32.const 2) (i32.const 3)))
    (i32.ne (call $transport) (i32.const 1))))"#;

#[test]
fn packets_are_written_as_they_are_and_the_summary_tells_them_apart() {
    let (_dir, path) = written(TWO_PACKETS);
    let ran = run(&["--datagram"], &path, b"");
    ran.is_a_success();
    assert_eq!(ran.text(), "abcde");
    assert_eq!(line(&ran, "datagrams"), "2 sent, of 2, 3 bytes");
    // Of a stream there are none, and its number is another.
    let ran = run(&[], &path, b"");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(!ran.stderr.contains("datagrams"), "{ran:?}");
}

#[test]
fn a_packet_is_no_longer_than_serve_would_take_it() {
    let ran = run(
        &["--datagram", "--max-packet", "4"],
        &handler("echo"),
        b"1234",
    );
    assert_eq!(ran.text(), "1234", "{ran:?}");
    let ran = run(
        &["--datagram", "--max-packet", "4"],
        &handler("echo"),
        b"12345",
    );
    ran.is_an_error(1, &["4 bytes", "--max-packet"]);
    run(&["--max-packet", "4"], &handler("echo"), b"").is_an_error(2, &["--datagram"]);
}

#[test]
fn the_client_is_who_it_is_said_to_be() {
    let (_dir, path) = written(
        r#"(module
          (import "request" "client_address" (func $client (param i32 i32) (result i32)))
          (import "wfile" "write" (func $write (param i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "handle")
            (drop (call $write (i32.const 0) (call $client (i32.const 0) (i32.const 100))))))"#,
    );
    for client in [
        "192.0.2.7:4711",
        "[2001:db8::7]:4711",
        "/run/peer.sock",
        "@peer",
    ] {
        let ran = run(&["--client", client], &path, b"");
        assert_eq!(ran.text(), client, "{ran:?}");
    }
    run(&["--client", "localhost"], &path, b"").is_an_error(2, &["127.0.0.1:4711"]);
    run(&["--client", "udp://192.0.2.7:1"], &path, b"").is_an_error(2, &["--datagram"]);
}

/// A `run --watch` that goes on until it is told to end.
struct Watching {
    child: Child,
    said: Log,
    log: Log,
}

impl Watching {
    fn start(options: &[&str], handler: &Path) -> Self {
        let mut child = Command::new(program())
            .args(["run", "--watch"])
            .args(options)
            .arg(handler)
            .env("XDG_CACHE_HOME", cache_home())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let said = Log::follow(child.stdout.take().expect("a pipe"));
        let log = Log::follow(child.stderr.take().expect("a pipe"));
        Watching { child, said, log }
    }

    fn says(&self, line: &str) {
        self.said.wait_for_line(|said| said == line);
    }

    fn ends(mut self) -> i32 {
        Process(self.child.id()).signal(signal::INT);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().expect("an exit code");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        panic!("it does not end: {:?}", self.log.lines());
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn says(word: &str) -> String {
    format!(
        r#"(module
          (import "wfile" "write" (func $write (param i32 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "{word}\n")
          (func (export "handle") (drop (call $write (i32.const 0) (i32.const {})))))"#,
        word.len() + 1
    )
}

/// As compilers do it.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(&beside, path).unwrap();
}

#[test]
fn it_runs_again_when_the_handler_is_replaced_and_a_broken_build_does_not_end_it() {
    let (_dir, path) = written(&says("one"));
    let watching = Watching::start(&[], &path);
    watching.says("one");
    replace(&path, &says("two"));
    watching.says("two");
    fs::write(&path, "(module (broken").unwrap();
    watching
        .log
        .wait_for_line(|line| line.starts_with("error: cannot run"));
    fs::remove_file(&path).unwrap();
    fs::write(&path, says("three")).unwrap();
    watching.says("three");
    assert_eq!(watching.ends(), 0);
}

#[test]
fn it_runs_again_when_the_input_changes_or_a_folder_on_the_way_is_another_one() {
    let (dir, handler) = (TempDir::new().unwrap(), handler("echo"));
    let folder = dir.path().join("inputs");
    fs::create_dir(&folder).unwrap();
    let input = folder.join("input");
    fs::write(&input, "one\n").unwrap();
    let watching = Watching::start(&["--input", input.to_str().unwrap()], &handler);
    watching.says("one");
    watching
        .log
        .wait_for_line(|line| line.starts_with("watching"));
    replace(&input, "two\n");
    watching.says("two");
    // What a clean build does.
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::write(&input, "three\n").unwrap();
    watching.says("three");
    assert_eq!(watching.ends(), 0);
}

#[test]
fn ctrl_c_ends_a_handler_that_is_watched_while_it_runs() {
    let (_dir, path) = written("(module (func (export \"handle\") (loop (br 0))))");
    let watching = Watching::start(&["--cpu-limit", "none"], &path);
    let until = Instant::now() + PATIENCE;
    while Process(watching.child.id()).cpu_time() < Duration::from_millis(100) {
        assert!(Instant::now() < until, "it does not run");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(watching.ends(), 0);
}
