//! The report of a trap, whatever the file says of its functions and lines: it costs a request nothing that is worth
//! telling, and nobody waits for it.

use crate::harness::{CONCURRENCIES, Process, Serve, guest, written};
use proptest::prelude::*;
use std::fmt::Write;
use std::fs::{read, read_to_string, write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use wasmparser::{Parser, Payload};

/// Requests of which the cost is looked at together: the system counts in 10 ms.
const REQUESTS: u64 = 20;

/// CPU time of one request that ends in a trap. What symbolising took was 10 ms and more.
const MOST: Duration = Duration::from_millis(5);

/// Four kinds of names that a demangler of C++ does not come to an end with, or takes long for.
fn names() -> Vec<String> {
    let nested = |head: &str, piece: &str, count: usize, tail: &str| {
        format!("{head}{}{tail}", piece.repeat(count))
    };
    vec![
        nested("_Z1fDTil", "na", 48, "gs"),
        nested("_Z1fDTcv", "Dp", 40, "T_E"),
        nested("_Z1fIXcv", "T_", 60, "E"),
        nested("_Z", "N", 3000, "1aE"),
        "_Z1f".to_owned() + &"x".repeat(1 << 20),
        nested(
            "_RINvNtC3std3mem8align_of",
            "NtNtC3std3mem12DiscriminantNt",
            99,
            "E",
        ),
    ]
}

fn handler(name: &str) -> String {
    format!(
        r#"(func $inner (@name "{name}") unreachable)
           (func $handle (@name "{name}2") (call $inner))"#
    )
}

fn module(functions: &str, custom: &str) -> String {
    format!(r#"(module {functions} (export "handle" (func $handle)) {custom})"#)
}

fn component(functions: &str) -> String {
    format!(
        r#"(component
          (core module $m (memory (export "memory") 1) {functions}
            (func (export "run") (result i32) (call $handle) (i32.const 0)))
          (core instance $i (instantiate $m))
          (func (export "handle") (result (result (error string)))
            (canon lift (core func $i "run") (memory (core memory $i "memory")))))"#
    )
}

fn custom(name: &str, bytes: &[u8]) -> String {
    let mut text = format!(r#"(@custom "{name}" ""#);
    for byte in bytes {
        write!(text, "\\{byte:02x}").expect("a string");
    }
    text + "\")"
}

/// DWARF 4 in 32 bits.
fn unit(entries: &[u8]) -> Vec<u8> {
    let length = u32::try_from(7 + entries.len()).expect("a small unit");
    let mut unit = length.to_le_bytes().to_vec();
    unit.extend([4, 0, 0, 0, 0, 0, 4]);
    unit.extend(entries);
    unit
}

/// A unit, a subprogram and an inlined subroutine (DWARF 4, 7.5.3): the first two with where they lie.
const ABBREVIATIONS: &[u8] = &[
    1, 0x11, 1, 0x11, 1, 0x12, 6, 0, 0, 2, 0x2e, 1, 0x11, 1, 0x12, 6, 0, 0, 3, 0x1d, 1, 0, 0, 0,
];
const PLACE: [u8; 8] = [0, 0, 0, 0, 0, 0x10, 0, 0];

/// Inlined subroutines within one another.
fn nested(depth: usize) -> String {
    let mut entries = vec![1];
    entries.extend(PLACE);
    entries.push(2);
    entries.extend(PLACE);
    entries.extend(vec![3; depth]);
    entries.extend(vec![0; depth + 2]);
    custom(".debug_abbrev", ABBREVIATIONS) + &custom(".debug_info", &unit(&entries))
}

/// Units with nothing in them.
fn units(count: usize) -> String {
    let info = unit(&[1]).repeat(count);
    custom(".debug_abbrev", &[1, 0x11, 0, 0, 0, 0]) + &custom(".debug_info", &info)
}

/// CPU time of a server, its processes, and those that it has collected.
fn cpu_time(server: Process) -> Duration {
    let ticks = |process: Process| -> u64 {
        // proc_pid_stat(5): fields 14 to 17, in ticks of 10 ms.
        let stat = read_to_string(format!("/proc/{}/stat", process.0)).unwrap_or_default();
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields = rest.split_whitespace().skip(11).take(4);
        fields.filter_map(|field| field.parse::<u64>().ok()).sum()
    };
    Duration::from_millis(10 * server.tree().into_iter().map(ticks).sum::<u64>())
}

/// Its requests trap, are told, and cost little; more than there are slots.
#[track_caller]
fn traps_cost_little(path: &Path, concurrency: &str, input: &str) {
    let slots = match concurrency {
        "serial" => "",
        _ => "--max-in-flight 2",
    };
    let server = Serve::new(path)
        .with(slots)
        .arg("--concurrency")
        .arg(concurrency)
        .start();
    let before = cpu_time(server.process());
    for _ in 0..REQUESTS {
        server.ask(input);
    }
    let events = server.requests(usize::try_from(REQUESTS).expect("few"));
    for event in &events {
        assert_eq!(event["outcome"], "trap", "{event}");
        let detail = event["detail"].as_str().expect("a detail");
        assert!(detail.len() < 25 * 500, "{} bytes", detail.len());
    }
    let used = cpu_time(server.process()) - before;
    let most = MOST * u32::try_from(REQUESTS).expect("few");
    assert!(used <= most, "{concurrency} {path:?}: {used:?}");
}

#[test]
fn the_report_of_a_trap_costs_little_whatever_the_names_are() {
    for name in names() {
        let (_dir, path) = written(&module(&handler(&name), ""));
        for concurrency in CONCURRENCIES {
            traps_cost_little(&path, concurrency, "");
        }
    }
    let functions = handler(&names()[0]);
    let command = format!(r#"(module {functions} (export "_start" (func $handle)))"#);
    for text in [component(&functions), command] {
        let (_dir, path) = written(&text);
        traps_cost_little(&path, "threads", "");
    }
}

#[test]
fn the_report_of_a_trap_costs_little_whatever_the_debug_information_is() {
    for debug in [nested(100), nested(20_000), nested(1 << 20), units(100_000)] {
        let (_dir, path) = written(&module(&handler("f"), &debug));
        for concurrency in CONCURRENCIES {
            traps_cost_little(&path, concurrency, "");
        }
    }
}

/// An exit reads none of it, and is no trap.
#[test]
fn an_exit_costs_little_whatever_the_debug_information_is() {
    let exits = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func $handle (call $exit (i32.const 0)))"#;
    for concurrency in CONCURRENCIES {
        let (_dir, path) = written(&module(exits, &units(100_000)));
        let server = Serve::new(path)
            .with("--concurrency")
            .arg(concurrency)
            .start();
        let before = cpu_time(server.process());
        for _ in 0..REQUESTS {
            server.ask("");
        }
        for event in server.requests(usize::try_from(REQUESTS).expect("few")) {
            assert_eq!(event["outcome"], "ok", "{event}");
        }
        let used = cpu_time(server.process()) - before;
        let most = MOST * u32::try_from(REQUESTS).expect("few");
        assert!(used <= most, "{concurrency}: {used:?}");
    }
}

/// Where names and debug information lie in a file.
fn described(file: &[u8]) -> Vec<std::ops::Range<usize>> {
    let sections = Parser::new(0).parse_all(file).filter_map(|payload| {
        let Ok(Payload::CustomSection(section)) = payload else {
            return None;
        };
        let is_debug = section.name().starts_with(".debug_") || section.name() == "name";
        let end = section.data_offset() + section.data().len();
        (is_debug && !section.data().is_empty()).then_some(section.data_offset()..end)
    });
    sections.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_real_file_with_any_byte_of_its_debug_information_changed_is_served(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let mut file = read(guest("hostile.debug")).expect("a guest");
        let sections = described(&file);
        for (section, at, byte) in changes {
            let section = section.get(&sections).clone();
            let at = section.start + at.index(section.len());
            file[at] = byte;
        }
        let dir = TempDir::new().expect("a folder");
        let path: PathBuf = dir.path().join("changed.wasm");
        write(&path, file).expect("a file");
        traps_cost_little(&path, "threads", "panic\n");
    }
}
