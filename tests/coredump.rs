//! What is kept of an instance that traps: `--coredump`.

use crate::harness::{
    CONCURRENCIES, NOBODY, PATIENCE, Serve, Server, guest_component, is_root, once_it_is_nobodys,
    wat, written,
};
use crate::run::run;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};
use tempfile::TempDir;
use wasmparser::{
    CoreDumpInstancesSection, CoreDumpModulesSection, CoreDumpSection, CoreDumpStackSection,
    KnownCustom, Parser, Payload,
};

/// Keeps `secret` in its memory, and traps in `inner`.
const TRAPS: &str = r#"(module $of_the_test
  (import "rfile" "read" (func $read (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (global $g (mut i32) (i32.const 7))
  (func $inner (drop (call $read (i32.const 70000) (i32.const 100))) unreachable)
  (func (export "handle") (global.set $g (i32.const 8)) (call $inner)))"#;

/// Waits for what is written once the connection has ended.
fn dump(event: &Value) -> Vec<u8> {
    let path = event["coredump"].as_str().expect("a path");
    let until = Instant::now() + PATIENCE;
    while !Path::new(path).exists() {
        assert!(Instant::now() < until, "no {path}");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600);
    fs::read(path).unwrap()
}

/// What the tools of <https://github.com/WebAssembly/tool-conventions/blob/main/Coredump.md> need.
struct Read {
    name: String,
    modules: Vec<String>,
    instances: usize,
    frames: Vec<u32>,
    data: Vec<u8>,
}

fn read(dump: &[u8]) -> Read {
    let mut read = Read {
        name: String::new(),
        modules: Vec::new(),
        instances: 0,
        frames: Vec::new(),
        data: Vec::new(),
    };
    for payload in Parser::new(0).parse_all(dump) {
        match payload.expect("a core dump is a module") {
            Payload::CustomSection(section) => match section.as_known() {
                KnownCustom::CoreDump(CoreDumpSection { name }) => read.name = name.to_owned(),
                KnownCustom::CoreDumpModules(CoreDumpModulesSection { modules }) => {
                    read.modules = modules.iter().map(ToString::to_string).collect();
                }
                KnownCustom::CoreDumpInstances(CoreDumpInstancesSection { instances }) => {
                    read.instances = instances.len();
                }
                KnownCustom::CoreDumpStack(CoreDumpStackSection { frames, .. }) => {
                    read.frames = frames.iter().map(|frame| frame.funcidx).collect();
                }
                _ => {}
            },
            Payload::DataSection(data) => {
                for segment in data {
                    read.data.extend_from_slice(segment.unwrap().data);
                }
            }
            _ => {}
        }
    }
    read
}

#[test]
fn a_trap_leaves_a_core_dump_that_tools_read() {
    let (_dir, path) = written(TRAPS);
    for concurrency in CONCURRENCIES {
        let folder = TempDir::new().unwrap();
        let server = Serve::new(&path)
            .with("--harden require --concurrency")
            .arg(concurrency)
            .arg("--coredump")
            .arg(folder.path())
            .start();
        server.ask("a client's secret");
        let event = server.request();
        assert_eq!(event["outcome"], "trap", "{concurrency}: {event}");
        let read = read(&dump(&event));
        assert!(read.name.starts_with("handler-1-"), "{}", read.name);
        assert_eq!(read.modules, ["of_the_test"]);
        assert_eq!(read.instances, 1);
        // The import is function 0: innermost first.
        assert_eq!(read.frames, [1, 2]);
        let text = String::from_utf8_lossy(&read.data).into_owned();
        assert!(text.contains("a client's secret"), "{concurrency}: {text}");
        // It goes on.
        server.ask("");
        dump(&server.requests(2)[1]);
    }
}

#[test]
fn a_component_leaves_one_too_and_a_limit_is_a_trap() {
    let folder = TempDir::new().unwrap();
    let server = Serve::new(guest_component("hostile"))
        .with("--cpu-limit 100ms --coredump")
        .arg(folder.path())
        .start();
    server.ask("spin\n");
    let event = server.request();
    assert_eq!(event["outcome"], "cpu-limit", "{event}");
    let read = read(&dump(&event));
    assert!(read.instances >= 1 && !read.frames.is_empty());
}

#[test]
fn a_request_that_did_not_trap_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let server = Serve::new(wat("script"))
        .arg("--coredump")
        .arg(folder.path())
        .start();
    // Ends each step with an error that it reports.
    server.ask(".e.");
    let event = server.request();
    assert_eq!(event["outcome"], "handler-error", "{event}");
    assert!(event["coredump"].is_null(), "{event}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn only_the_newest_dumps_are_kept() {
    let (_dir, path) = written(TRAPS);
    let folder = TempDir::new().unwrap();
    let server = Serve::new(path)
        .with("--coredump-files 2 --coredump")
        .arg(folder.path())
        .start();
    for number in 1..=4 {
        server.ask("");
        dump(&server.requests(number)[number - 1]);
    }
    let mut kept: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    kept.sort();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(
        kept[0].starts_with("handler-3-") && kept[1].starts_with("handler-4-"),
        "{kept:?}"
    );
}

#[test]
fn a_dump_that_cannot_be_written_is_a_warning_and_its_request_like_any_other() {
    let (_dir, path) = written(
        r#"(module
          (memory (export "memory") 16)
          (func (export "handle")
            (memory.fill (i32.const 0) (i32.const 120) (i32.const 1000000))
            unreachable))"#,
    );
    let folder = TempDir::new().unwrap();
    for (options, words) in [
        ("--coredump-size 100KiB", "--coredump-size"),
        ("", "File too large"),
    ] {
        let server = Serve::new(&path)
            .with(options)
            .arg("--coredump")
            .arg(folder.path())
            .start();
        server.acceptor().limit_files(500_000);
        server.ask("");
        let event = server.request();
        assert_eq!(event["outcome"], "trap", "{event}");
        let warnings = server.log().wait_for(1, |e| {
            let detail = e["detail"].as_str().unwrap_or_default();
            e["event"] == "warning" && detail.contains("core dump")
        });
        let warning = warnings[0]["detail"].as_str().unwrap();
        assert!(warning.contains(words), "{warning}");
        let file = event["coredump"].as_str().unwrap();
        assert!(warning.contains(file), "{warning}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        server.ask("");
        server.requests(2);
    }
}

#[test]
fn a_folder_that_others_can_write_to_is_an_error() {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let serve = Serve::new(wat("script"))
        .arg("--coredump")
        .arg(folder.path());
    serve
        .run_to_end()
        .is_an_error(1, &["--coredump", "chmod 700"]);
    let folder = folder.path().to_str().unwrap();
    run(&["--coredump", folder], &wat("script"), b"").is_an_error(1, &["--coredump", "chmod 700"]);
    run(&["--coredump-files", "3"], &wat("script"), b"").is_an_error(2, &["--coredump"]);
}

#[test]
fn another_user_keeps_them_in_a_folder_of_its_own() {
    if !is_root() {
        return;
    }
    for concurrency in CONCURRENCIES {
        let (dir, path) = written(TRAPS);
        let folder = dir.path().join("dumps");
        let words = ["--coredump", folder.to_str().unwrap()];
        let server = once_it_is_nobodys(&folder, &words, || {
            Serve::new(&path)
                .with("--concurrency")
                .arg(concurrency)
                .arg("--coredump")
                .arg(&folder)
        });
        server.ask("");
        let event = server.request();
        assert_eq!(read(&dump(&event)).frames, [1, 2], "{concurrency}");
        let file = event["coredump"].as_str().unwrap();
        assert_eq!(
            fs::metadata(file).unwrap().uid().to_string(),
            NOBODY,
            "{concurrency}"
        );
    }
}

#[test]
fn a_run_keeps_a_dump_and_says_where() {
    let (dir, path) = written(TRAPS);
    let folder = dir.path().join("dumps");
    let ran = run(&["--coredump", folder.to_str().unwrap()], &path, b"");
    assert_eq!(ran.code, 1, "{ran:?}");
    let told = ran
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("core dump"));
    let file = told.unwrap_or_else(|| panic!("{ran:?}")).trim();
    assert_eq!(read(&fs::read(file).unwrap()).frames, [1, 2]);
}

/// Traps with 128 MiB that are all to be kept where the client says so, and answers otherwise.
const LARGE: &str = r#"(module
  (import "rfile" "read" (func $read (param i32 i32) (result i32)))
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 2048)
  (func (export "handle")
    (drop (call $read (i32.const 0) (i32.const 64)))
    (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 33)) (then
      (memory.fill (i32.const 0) (i32.const 120) (i32.const 134217728))
      unreachable))
    (drop (call $write (i32.const 0) (i32.const 4)))))"#;

fn serve_large(path: &Path, folder: &TempDir, concurrency: &str, options: &str) -> Server {
    Serve::new(path)
        .with("--memory-limit 128MiB --cpu-limit 60s --coredump-size 1GiB")
        .with(options)
        .with("--concurrency")
        .arg(concurrency)
        .arg("--coredump")
        .arg(folder.path())
        .start()
}

/// Microseconds of the epoch at which an event was told.
fn told(event: &Value) -> u128 {
    let time = event["timestamp"].as_str().expect("a time");
    let time = humantime::parse_rfc3339(time).expect("a time");
    time.duration_since(UNIX_EPOCH).expect("later").as_micros()
}

#[test]
fn the_slot_is_free_while_a_dump_is_put_together() {
    let (_dir, path) = written(LARGE);
    for concurrency in CONCURRENCIES {
        let folder = TempDir::new().unwrap();
        let one = match concurrency {
            "serial" => "",
            _ => "--max-in-flight 1",
        };
        let server = serve_large(&path, &folder, concurrency, one);
        let mut traps = server.connect();
        let mut waits = server.connect();
        traps.send("!");
        traps.finish_sending();
        waits.send("next");
        waits.finish_sending();
        assert_eq!(traps.receive_all(), b"", "{concurrency}");
        assert_eq!(waits.receive_all(), b"next", "{concurrency}");
        let events = server.requests(2);
        assert_eq!(events[1]["outcome"], "ok", "{concurrency}: {events:?}");
        let dump_size = dump(&events[0]).len();
        assert!(dump_size > 128 << 20, "{concurrency}: {dump_size}");
        let file = events[0]["coredump"].as_str().expect("a path");
        let written = fs::metadata(file).unwrap().modified().unwrap();
        let written = written.duration_since(UNIX_EPOCH).unwrap().as_micros();
        assert!(told(&events[1]) < written, "{concurrency}: {events:?}");
    }
}

#[test]
fn a_dump_that_would_wait_is_dropped_and_counted() {
    let (_dir, path) = written(LARGE);
    for concurrency in ["threads", "fork"] {
        let folder = TempDir::new().unwrap();
        let server = serve_large(&path, &folder, concurrency, "--max-in-flight 2");
        // The second traps while the dump of the first is being put together.
        server.ask("!");
        server.ask("!");
        let events = server.requests(2);
        assert!(events.iter().all(|event| event["outcome"] == "trap"));
        let kept: Vec<_> = events
            .iter()
            .filter(|event| event["coredump"].is_string())
            .collect();
        assert_eq!(kept.len(), 1, "{concurrency}: {events:?}");
        let warnings = server.log().wait_for(1, |e| {
            let detail = e["detail"].as_str().unwrap_or_default();
            e["event"] == "warning" && detail.contains("1 core dumps were dropped so far")
        });
        assert_eq!(warnings.len(), 1, "{concurrency}");
        dump(kept[0]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // Whoever traps next has its own again, once the child has gone that has written the first.
        let until = Instant::now() + PATIENCE;
        let is_kept = |count| server.requests(count)[count - 1]["coredump"].is_string();
        let mut count = 2;
        loop {
            server.ask("!");
            count += 1;
            if is_kept(count) {
                break;
            }
            assert!(Instant::now() < until, "{concurrency}");
        }
    }
}

/// It takes more than its memory: the engine looks globals up in tables of its own.
#[test]
fn what_a_dump_takes_beside_memory_counts_towards_its_size() {
    let globals = "(global (mut i64) (i64.const 7))".repeat(10_000);
    let (_dir, path) = written(&format!(
        r#"(module (memory (export "memory") 1) {globals} (func (export "handle") unreachable))"#
    ));
    let folder = TempDir::new().unwrap();
    let server = Serve::new(path)
        .with("--coredump-size 1MiB --coredump")
        .arg(folder.path())
        .start();
    server.ask("");
    let warnings = server.log().wait_for(1, |e| {
        let detail = e["detail"].as_str().unwrap_or_default();
        e["event"] == "warning" && detail.contains("raise --coredump-size")
    });
    assert_eq!(warnings.len(), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
