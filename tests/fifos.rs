//! What lies in a granted folder and would hold up whoever opens it: nothing is waited for.

use crate::harness::{CONCURRENCIES, Serve, Server, guest, guest_component, written};
use std::fs::{self, rename};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tempfile::TempDir;

/// A folder with a file, a FIFO, and a link to each.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "content").expect("a file");
    let made = Command::new("mkfifo").arg(at("fifo")).status();
    assert!(made.expect("mkfifo").success());
    symlink("file", at("to-file")).expect("a link");
    symlink("fifo", at("to-fifo")).expect("a link");
    dir
}

fn serve(handler: &Path, dir: &TempDir, concurrency: &str) -> Server {
    Serve::new(handler)
        .arg("--dir")
        .arg(format!("{}::/data:rw", dir.path().display()))
        .with("--deadline 20s --concurrency")
        .arg(concurrency)
        .start()
}

/// The program as a core module and as a component.
fn probes() -> [PathBuf; 2] {
    [guest("probe"), guest_component("probe")]
}

fn says(server: &Server, order: &str) -> String {
    String::from_utf8(server.ask(format!("{order}\n"))).expect("text")
}

/// Turns a link from the one to the other and back, as fast as it can, until it is dropped.
struct Turned<'a>(&'a AtomicBool);

impl Drop for Turned<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn turn(dir: &Path, is_over: &AtomicBool) {
    let (next, turned) = (dir.join("next"), dir.join("turned"));
    for target in ["file", "fifo"].into_iter().cycle() {
        symlink(target, &next).expect("a link");
        rename(&next, &turned).expect("ours");
        if is_over.load(Ordering::Relaxed) {
            return;
        }
    }
}

#[test]
fn a_link_that_is_turned_onto_a_fifo_holds_no_request_up() {
    const REQUESTS: usize = 400;
    for concurrency in CONCURRENCIES {
        for probe in probes() {
            let dir = folder();
            symlink("file", dir.path().join("turned")).expect("a link");
            let server = serve(&probe, &dir, concurrency);
            let is_over = AtomicBool::new(false);
            thread::scope(|scope| {
                let _turned = Turned(&is_over);
                scope.spawn(|| turn(dir.path(), &is_over));
                for number in 0..REQUESTS {
                    let order = match number % 2 {
                        0 => "read /data/turned",
                        _ => "write /data/turned content",
                    };
                    let said = says(&server, order);
                    let is_one = ["content", "", "written\n"].contains(&said.as_str());
                    assert!(is_one || said.starts_with("error:"), "{said}");
                }
            });
            for event in server.requests(REQUESTS) {
                assert_eq!(event["outcome"], "ok", "{concurrency}: {event}");
            }
        }
    }
}

#[test]
fn the_times_of_a_fifo_are_set_without_opening_it_or_not_at_all() {
    for concurrency in CONCURRENCIES {
        let dir = folder();
        let server = serve(&guest_component("probe"), &dir, concurrency);
        for name in ["fifo", "to-fifo"] {
            let said = says(&server, &format!("touch {name}"));
            assert!(said.starts_with("error:"), "{name}: {said}");
        }
        assert_eq!(says(&server, "touch to-file"), "touched\n");
        has_been_touched(&dir);
        for event in server.requests(3) {
            assert_eq!(event["outcome"], "ok", "{event}");
        }
    }
}

fn has_been_touched(dir: &TempDir) {
    let found = fs::metadata(dir.path().join("file")).expect("a file");
    assert_eq!((found.mtime(), found.mtime_nsec()), (1_000_000_000, 5));
    let link = fs::symlink_metadata(dir.path().join("to-file")).expect("a link");
    assert_ne!(link.mtime(), 1_000_000_000);
}

#[test]
fn the_same_of_preview_1() {
    for concurrency in CONCURRENCIES {
        for (name, errno) in [("fifo", 2), ("to-fifo", 2), ("nothing", 44), ("to-file", 0)] {
            let dir = folder();
            let (_dir, touches) = written(&touches(name));
            let server = serve(&touches, &dir, concurrency);
            assert_eq!(server.ask(""), [errno], "{name}");
            assert_eq!(server.request()["outcome"], "ok");
            if errno == 0 {
                has_been_touched(&dir);
            }
        }
    }
}

/// Sets when a name was modified, and answers the errno.
fn touches(name: &str) -> String {
    let length = name.len();
    format!(
        r#"(module
            (import "wfile" "write" (func $write (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_filestat_set_times"
                (func $touch (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 8) "{name}")
            (func (export "handle")
                (i32.store (i32.const 0)
                    (call $touch (i32.const 3) (i32.const 1) (i32.const 8) (i32.const {length})
                        (i64.const 0) (i64.const 1000000000000000005) (i32.const 4)))
                (drop (call $write (i32.const 0) (i32.const 1)))))"#
    )
}

/// fcntl(2), `F_SETLEASE`: whoever opens the file waits until its owner lets go, for as long as 45 seconds.
#[test]
fn a_file_with_a_lease_on_it_is_not_waited_for() {
    for probe in probes() {
        let dir = folder();
        let mut owner = Command::new("python3")
            .args(["-c", LEASE])
            .arg(dir.path().join("file"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let said = BufReader::new(owner.stdout.take().expect("a pipe")).lines();
        let said = said.map_while(Result::ok).next().unwrap_or_default();
        let server = serve(&probe, &dir, "threads");
        if said == "leased" {
            let said = says(&server, "read /data/file");
            assert!(said.starts_with("error:"), "{said}");
            assert_eq!(server.request()["outcome"], "ok");
        } else {
            eprintln!("SKIPPED: this file system has no leases");
        }
        drop(owner.stdin.take());
        owner.wait().expect("a child of ours");
        assert_eq!(says(&server, "read /data/file"), "content");
    }
}

const LEASE: &str = "
import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = open(sys.argv[1], 'r+')
try:
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    print('leased', flush=True)
except OSError as error:
    print(error, flush=True)
sys.stdin.read()
";
