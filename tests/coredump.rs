//! What is kept of an instance that traps: `--coredump`.

use crate::harness::{
    CONCURRENCIES, NOBODY, PATIENCE, Serve, guest_component, is_root, once_it_is_nobodys, wat,
    written,
};
use crate::run::run;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};
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
