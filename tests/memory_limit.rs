//! The memory limit: the sum over an instance's memories and tables.

use crate::harness::{Answers, Op, Serve, guest, guest_component, sandsock, script, wat, written};
use crate::hostile::pour;
use Op::{Exit, Fail, GrowMemory, GrowTable, Return, Trap};

const REFUSED: i32 = -1;

#[test]
fn growth_within_the_limit_is_granted_and_beyond_it_refused() {
    let server = Serve::new(wat("script"))
        .with("--memory-limit 2MiB")
        .start();
    // Eight pages (512 KiB) to begin with; 32 are 2 MiB.
    let mut answers = Answers(server.ask(script(&[
        GrowMemory(12),
        GrowMemory(14),
        GrowMemory(4),
        GrowMemory(10),
    ])));
    assert_eq!(answers.result(), 8);
    assert_eq!(answers.result(), REFUSED);
    assert_eq!(answers.result(), 20);
    assert_eq!(answers.result(), REFUSED);
    answers.end();
    let event = server.request();
    let peak = event["memory_peak"].as_u64().expect("a number");
    assert!((24 * 65_536..=2 << 20).contains(&peak), "{event}");
}

#[test]
fn tables_count_too() {
    let server = Serve::new(wat("script"))
        .with("--memory-limit 2MiB")
        .start();
    let mut answers = Answers(server.ask(script(&[GrowTable(10), GrowTable(10_000_000)])));
    assert_eq!(answers.result(), 1);
    assert_eq!(answers.result(), REFUSED);
    answers.end();
}

#[test]
fn a_failure_after_a_refused_growth_is_the_memory_limits() {
    for end in [Trap, Fail, Exit(1)] {
        let server = Serve::new(wat("script"))
            .with("--memory-limit 2MiB")
            .start();
        server.ask(script(&[Return, GrowMemory(1_000), end]));
        let event = server.request();
        assert_eq!(event["outcome"], "memory-limit", "{end:?}: {event}");
    }
}

#[test]
fn a_handler_that_copes_with_a_refused_growth_has_succeeded() {
    let server = Serve::new(wat("script"))
        .with("--memory-limit 2MiB")
        .start();
    server.ask(script(&[Return, GrowMemory(1_000), Return]));
    assert_eq!(server.request()["outcome"], "ok");
}

#[test]
fn a_request_that_used_its_memory_leaves_all_of_it_to_the_next() {
    // Of the limit of 32 pages the table takes a few bytes.
    let server = Serve::new(wat("script"))
        .with("--memory-limit 2MiB")
        .start();
    for _ in 0..20 {
        let mut answers = Answers(server.ask(script(&[GrowMemory(23), GrowMemory(1)])));
        assert_eq!((answers.result(), answers.result()), (8, REFUSED));
    }
}

#[test]
fn a_program_that_allocates_beyond_the_limit_is_told_so() {
    for file in [guest("probe"), guest_component("probe")] {
        let server = Serve::new(file).with("--memory-limit 8MiB").start();
        assert_eq!(server.ask("allocate 1000000\n"), b"allocated 1000000\n");
        let answer = String::from_utf8(server.ask("allocate 100000000\n")).unwrap();
        assert!(answer.starts_with("error: OutOfMemory"), "{answer}");
    }
}

#[test]
fn an_initial_memory_beyond_the_limit_is_refused_at_load() {
    let file = wat("big-memory");
    Serve::new(&file)
        .run_to_end()
        .is_an_error(1, &["memory", "64"]);
    let checked = sandsock(&["check".as_ref(), file.as_os_str()], b"");
    assert_eq!(checked.code, 1, "{checked:?}");
    let server = Serve::new(&file).with("--memory-limit 200MiB").start();
    assert_eq!(server.ask("x"), b"");
    assert_eq!(server.request()["outcome"], "ok");
}

#[test]
fn the_sum_of_initial_memories_beyond_the_limit_is_refused_at_load() {
    let file = wat("two-memories");
    Serve::new(&file).run_to_end().is_an_error(1, &["memory"]);
    let checked = sandsock(&["check".as_ref(), file.as_os_str()], b"");
    assert_eq!(checked.code, 1, "{checked:?}");
}

#[test]
fn an_initial_table_beyond_the_limit_is_refused_at_load() {
    Serve::new(wat("big-table"))
        .run_to_end()
        .is_an_error(1, &["memory"]);
}

/// A module with so many memories, of a page each.
fn with_memories(count: usize) -> String {
    let memories = "(memory 1)".repeat(count - 1);
    format!(r#"(module (memory (export "memory") 1) {memories} (func (export "handle")))"#)
}

#[test]
fn more_memories_than_the_system_carries_are_refused_at_load() {
    let dir = tempfile::tempdir().unwrap();
    let handler = dir.path().join("memories.wat");
    std::fs::write(&handler, with_memories(100)).unwrap();
    let refused = sandsock(&["check".as_ref(), handler.as_os_str()], b"");
    refused.is_a_refusal(&["100 memories", "--max-in-flight"]);
    let server = Serve::new(&handler).with("--max-in-flight 10").start();
    assert_eq!(server.ask(""), b"");
    assert_eq!(server.request()["outcome"], "ok");
}

/// What is looked at before is the modules of the file, and not how often each is used.
#[test]
fn a_memory_that_is_made_twice_counts_twice() {
    let component = r#"(component
        (core module $large (memory 640))
        (core instance (instantiate $large))
        (core instance (instantiate $large))
        (core module $handler
            (memory (export "memory") 1)
            (func (export "handle") (result i32) (i32.const 0)))
        (core instance $handler (instantiate $handler))
        (func (export "handle") (result (result (error string)))
            (canon lift (core func $handler "handle")
                (memory (core memory $handler "memory")))))"#;
    let dir = tempfile::tempdir().unwrap();
    let handler = dir.path().join("twice.wat");
    std::fs::write(&handler, component).unwrap();
    let server = Serve::new(&handler).with("--memory-limit 64MiB").start();
    assert_eq!(server.ask(""), b"");
    assert_eq!(server.request()["outcome"], "memory-limit");
    let server = Serve::new(&handler).with("--memory-limit 96MiB").start();
    assert_eq!(server.ask(""), b"");
    assert_eq!(server.request()["outcome"], "ok");
}

#[test]
fn a_line_that_the_host_gathers_counts() {
    let server = Serve::new(wat("reads-a-line-component"))
        .with("--memory-limit 1MiB")
        .start();
    let pouring = pour(server.connect());
    let event = server.request();
    assert_eq!(event["outcome"], "memory-limit", "{event}");
    assert_eq!(event["memory_peak"].as_u64(), Some(1 << 20), "{event}");
    pouring.join().expect("no panic");
    // What fits is the handler's own affair.
    server.ask([vec![b'x'; 1000], b"\n".to_vec()].concat());
    assert_eq!(server.requests(2)[1]["outcome"], "ok");
}

/// A component with so many core instances that have so many globals each.
fn component_with_state(instances: usize, globals: usize) -> String {
    format!(
        r#"(component
          (core module $state {})
          {}
          (core module $program (func (export "handle") (result i32) (i32.const 0)))
          (core instance $program (instantiate $program))
          (func $run (result (result)) (canon lift (core func $program "handle")))
          (instance $run (export "run" (func $run)))
          (export "wasi:cli/run@0.2.0" (instance $run)))"#,
        "(global (mut i64) (i64.const 0))".repeat(globals),
        "(core instance (instantiate $state))".repeat(instances),
    )
}

/// A module with so many globals.
fn module_with_state(globals: usize) -> String {
    format!(
        r#"(module (memory (export "memory") 1) {} (func (export "handle")))"#,
        "(global (mut i64) (i64.const 0))".repeat(globals),
    )
}

#[test]
fn an_instances_state_in_the_host_is_bounded() {
    // What it takes of the memory limit's 1 MiB: 16 bytes a global.
    for text in [
        module_with_state(100_000),
        component_with_state(100, 1_000),
        component_with_state(900, 4_100),
    ] {
        let (_dir, path) = written(&text);
        let reason = ["--memory-limit", "1048576", "globals"];
        let name = path.to_str().expect("a name");
        sandsock(&["check", "--memory-limit", "1MiB", name], b"").is_a_refusal(&reason);
        sandsock(&["run", "--memory-limit", "1MiB", name], b"").is_an_error(1, &reason);
        Serve::new(&path)
            .with("--memory-limit 1MiB")
            .run_to_end()
            .is_an_error(1, &reason);
    }
    for text in [
        module_with_state(50_000),
        component_with_state(100, 100),
        component_with_state(0, 0),
    ] {
        let (_dir, path) = written(&text);
        let server = Serve::new(&path).with("--memory-limit 1MiB").start();
        server.ask("x");
        assert_eq!(server.request()["outcome"], "ok");
    }
}
