//! Compiling is held: a file that takes the compiler very long, or very much memory, is an error in bounded
//! time, and a service in place runs on.

use crate::harness::{Finished, PATIENCE, Process, Serve, Server, handler, sandsock, signal};
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Loops in loops over many variables: what the compiler keeps of them grows with the product of both. The
/// file has less than a megabyte.
fn bomb(loops: usize) -> (TempDir, PathBuf) {
    const VARIABLES: usize = 49_000;
    let mut text = format!(
        "(module (memory (export \"memory\") 1) (func (export \"handle\") (local{})",
        " i32".repeat(VARIABLES)
    );
    for i in 0..loops {
        let (from, to) = (i % VARIABLES, i * 7 % VARIABLES);
        write!(text, " (loop (local.set {to} (local.get {from}))").expect("a String takes it");
    }
    text.push_str(" (br_if 0 (i32.const 0))");
    text.push_str(&")".repeat(loops + 2));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bomb.wat");
    fs::write(&path, text).unwrap();
    (dir, path)
}

/// It takes several seconds, where nobody stops it.
fn takes_long() -> (TempDir, PathBuf) {
    bomb(3000)
}

/// It takes more memory than most machines have.
fn takes_much() -> (TempDir, PathBuf) {
    bomb(10_000)
}

fn check(options: &str, path: &Path) -> Finished {
    let words = ["check"].into_iter().chain(options.split_whitespace());
    let args: Vec<&OsStr> = words.map(OsStr::new).chain([path.as_os_str()]).collect();
    sandsock(&args, b"")
}

#[test]
fn what_takes_too_long_is_an_error_in_time() {
    let (_dir, path) = takes_long();
    let options = "--compile-timeout 300ms";
    let words = ["takes more than 300ms", "--compile-timeout"];
    let started = Instant::now();
    check(options, &path).is_a_refusal(&words);
    let serve = Serve::new(&path).with(options);
    serve.run_to_end().is_an_error(1, &words);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn what_takes_too_much_memory_is_an_error() {
    let (_dir, path) = takes_much();
    let words = ["takes more than 256MiB of memory", "--compile-memory"];
    let options = "--compile-memory 256MiB";
    check(options, &path).is_a_refusal(&words);
    let serve = Serve::new(&path).with(options);
    serve.run_to_end().is_an_error(1, &words);
    // By default, too.
    check("", &path).is_a_refusal(&["--compile-memory"]);
}

#[test]
fn without_a_limit_nothing_but_the_system_holds_the_compiler() {
    let options = "--compile-timeout none --compile-memory none --cache off";
    check(options, &handler("echo")).is_a_success();
}

/// A service that is told to load what takes the compiler long: its process that compiles.
fn compiling(server: &Server, handler: &Path, bomb: &Path) -> Process {
    let before = server.process().children();
    fs::copy(bomb, handler).unwrap();
    server.process().signal(signal::HUP);
    let until = Instant::now() + PATIENCE;
    loop {
        let children = server.process().children();
        if let Some(new) = children.iter().find(|child| !before.contains(child)) {
            return *new;
        }
        assert!(Instant::now() < until, "nobody compiles");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_service_in_place_runs_on_meanwhile() {
    let (dir, bomb) = takes_long();
    let path = dir.path().join("handler.wasm");
    fs::copy(handler("echo"), &path).unwrap();
    let server = Serve::new(&path).with("--compile-timeout 2s").start();
    assert_eq!(server.ask("before"), b"before");
    let compiler = compiling(&server, &path, &bomb);
    let mut slowest = Duration::ZERO;
    while compiler.is_running() {
        let started = Instant::now();
        assert_eq!(server.ask("meanwhile"), b"meanwhile");
        slowest = slowest.max(started.elapsed());
    }
    // Compiling has a low priority; a request takes less than a millisecond, and the machine has others.
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    let failed = server.log().wait_for(1, |e| e["event"] == "reload-failed");
    let detail = failed[0]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("--compile-timeout"), "{detail}");
    assert_eq!(server.ask("after"), b"after");
}

#[test]
fn whoever_compiles_ends_with_the_program() {
    let (dir, bomb) = takes_long();
    let path = dir.path().join("handler.wasm");
    for number in [signal::TERM, signal::KILL] {
        fs::copy(handler("echo"), &path).unwrap();
        let mut server = Serve::new(&path).start();
        let compiler = compiling(&server, &path, &bomb);
        server.process().signal(number);
        server.wait();
        let until = Instant::now() + PATIENCE;
        while compiler.is_running() {
            assert!(Instant::now() < until, "it compiles on");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn a_compiler_that_is_killed_is_an_error_and_no_more() {
    let (dir, bomb) = takes_long();
    let path = dir.path().join("handler.wasm");
    fs::copy(handler("echo"), &path).unwrap();
    let server = Serve::new(&path).start();
    compiling(&server, &path, &bomb).signal(signal::KILL);
    let failed = server.log().wait_for(1, |e| e["event"] == "reload-failed");
    let detail = failed[0]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("SIGKILL"), "{detail}");
    assert_eq!(server.ask("after"), b"after");
}

#[test]
fn limits_that_the_program_has_itself_hold_for_its_compiler() {
    let under = |blocks: u32| {
        let limited = format!("ulimit -f {blocks}; exec \"$@\"");
        Serve::new(handler("echo"))
            .with("--cache off")
            .through(&["bash", "-c", &limited, "bash"])
    };
    // In blocks of 1 KiB.
    assert_eq!(under(20_000).start().ask("x"), b"x");
    let words = ["cannot compile", "File too large"];
    under(1).run_to_end().is_an_error(1, &words);
}
