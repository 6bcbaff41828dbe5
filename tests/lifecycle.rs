//! setup → handle → finish of a module: which of them run, what the client receives, and how the log
//! calls it, for every way in which each of them can end.

use crate::harness::{Op, Serve, Transport, script, wat};
use Op::{Exit, Fail, Return, Trap, Write};
use serde_json::Value;

/// Serves a script over each kind of stream, under each concurrency; then an innocent request. Returns
/// the events of the script.
#[track_caller]
fn receives(orders: &[Op<'_>], received: &str, outcome: &str) -> Vec<Value> {
    let mut events = Vec::new();
    for (transport, concurrency) in [
        (Transport::Tcp, "threads"),
        (Transport::Tcp, "serial"),
        (Transport::Unix, "threads"),
        (Transport::Unix, "serial"),
    ] {
        let server = Serve::new(wat("script"))
            .on(transport)
            .with("--concurrency")
            .arg(concurrency)
            .start();
        let answer = server.ask(script(orders));
        assert_eq!(
            String::from_utf8_lossy(&answer),
            received,
            "{transport:?} {concurrency}"
        );
        let event = server.request();
        assert_eq!(
            event["outcome"], outcome,
            "{transport:?} {concurrency}: {event}"
        );
        assert_eq!(server.ask(script(&[Write("next"), Return])), b"next");
        events.push(event);
    }
    events
}

#[track_caller]
fn details_contain(events: &[Value], text: &str) {
    for event in events {
        let detail = event["detail"].as_str().unwrap_or_default();
        assert!(
            detail.contains(text),
            "{text:?} expected in the detail: {event}"
        );
    }
}

#[test]
fn all_three_steps_run_in_their_order() {
    receives(
        &[Write("s"), Return, Write("h"), Return, Write("f"), Return],
        "shf",
        "ok",
    );
}

#[test]
fn after_an_error_in_setup_neither_handle_nor_finish_runs() {
    receives(
        &[Write("s"), Fail, Write("h"), Return, Write("f")],
        "s",
        "handler-error",
    );
}

#[test]
fn after_an_error_in_handle_finish_runs() {
    receives(
        &[Write("s"), Return, Write("h"), Fail, Write("f")],
        "shf",
        "handler-error",
    );
}

#[test]
fn an_error_in_finish_is_the_handlers_error() {
    receives(
        &[Write("s"), Return, Write("h"), Return, Write("f"), Fail],
        "shf",
        "handler-error",
    );
}

#[test]
fn errors_in_handle_and_in_finish_are_one_failed_request() {
    receives(
        &[Return, Write("h"), Fail, Write("f"), Fail],
        "hf",
        "handler-error",
    );
}

#[test]
fn after_a_trap_in_setup_nothing_runs() {
    let events = receives(
        &[Write("s"), Trap, Write("h"), Return, Write("f")],
        "s",
        "trap",
    );
    details_contain(&events, "trap_in_setup");
}

#[test]
fn after_a_trap_in_handle_finish_does_not_run() {
    let events = receives(
        &[Write("s"), Return, Write("h"), Trap, Write("f")],
        "sh",
        "trap",
    );
    details_contain(&events, "trap_in_handle");
}

#[test]
fn a_trap_in_finish_is_a_trap() {
    let events = receives(
        &[Write("s"), Return, Write("h"), Return, Write("f"), Trap],
        "shf",
        "trap",
    );
    details_contain(&events, "trap_in_finish");
}

#[test]
fn a_trap_in_finish_outranks_an_error_in_handle() {
    let events = receives(&[Return, Write("h"), Fail, Write("f"), Trap], "hf", "trap");
    details_contain(&events, "trap_in_finish");
}

#[test]
fn exit_0_in_setup_is_success_and_the_end() {
    receives(
        &[Write("s"), Exit(0), Write("h"), Return, Write("f")],
        "s",
        "ok",
    );
}

#[test]
fn exit_0_in_handle_is_success_and_the_end() {
    receives(&[Return, Write("h"), Exit(0), Write("f")], "h", "ok");
}

#[test]
fn exit_0_in_finish_is_success() {
    receives(
        &[Return, Write("h"), Return, Write("f"), Exit(0)],
        "hf",
        "ok",
    );
}

#[test]
fn another_exit_code_is_a_trap_in_a_handler() {
    receives(&[Write("s"), Exit(3), Write("h")], "s", "trap");
    receives(&[Return, Write("h"), Exit(3), Write("f")], "h", "trap");
    receives(
        &[Return, Write("h"), Return, Write("f"), Exit(3)],
        "hf",
        "trap",
    );
}

#[test]
fn after_an_error_exit_0_in_finish_does_not_make_it_a_success() {
    receives(
        &[Return, Write("h"), Fail, Write("f"), Exit(0)],
        "hf",
        "handler-error",
    );
}

#[test]
fn initialize_runs_once_before_handle_and_the_other_exports_are_optional() {
    let server = Serve::new(wat("initialize")).start();
    assert_eq!(server.ask("ignored"), b"initialized");
    assert_eq!(server.ask("ignored"), b"initialized");
    assert!(server.requests(2).iter().all(|e| e["outcome"] == "ok"));
}

#[test]
fn deep_recursion_is_a_trap_and_the_server_lives() {
    let server = Serve::new(wat("recursion")).start();
    for n in 1..=4 {
        assert_eq!(server.ask("x"), b"");
        let event = server.requests(n).remove(n - 1);
        assert_eq!(event["outcome"], "trap", "{event}");
        assert!(
            event["detail"]
                .as_str()
                .unwrap_or_default()
                .contains("deeper"),
            "{event}"
        );
    }
}

#[test]
fn a_failed_request_is_one_line_of_the_log() {
    let server = Serve::new(wat("script")).start();
    for (n, end) in [Trap, Fail, Exit(7)].into_iter().enumerate() {
        server.ask(script(&[Return, end]));
        server.requests(n + 1);
        let lines = server.log().lines_of_requests();
        assert_eq!(lines.len(), n + 1, "{lines:?}");
    }
}
