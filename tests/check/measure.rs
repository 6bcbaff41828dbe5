//! `check --measure`: what a request costs.

use super::{WRONG, check_with, file, json};
use crate::harness::{handler, handler_component, wat};
use serde_json::Value;
use std::time::{Duration, Instant};

#[test]
fn what_a_request_costs_is_measured() {
    for path in [handler("upper"), handler_component("upper"), wat("cat")] {
        let (_dir, input) = file("input", "hello\n");
        let options = format!("--measure=50 --input {}", input.display());
        let said = json(&options, &path);
        let measured = &said["measured"];
        assert!((1..=50).contains(&measured["requests"].as_u64().expect("a number")));
        assert_eq!(measured["outcomes"]["ok"], measured["requests"], "{said}");
        assert_eq!(measured["input"], 6, "{said}");
        assert_eq!(measured["first_failure"], Value::Null, "{said}");
        for spread in ["wall_us", "cpu_us"] {
            let number = |which: &str| measured[spread][which].as_u64().expect("a number");
            assert!(number("median") > 0, "{said}");
            assert!(number("median") <= number("p99"), "{said}");
        }
        assert!(measured["memory_peak"].as_u64() >= said["initial_memory"].as_u64());
        let text = check_with(&options, &path).text();
        for words in ["median", "p99", "without sockets", "outcomes  ok "] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
    assert_eq!(json("", &handler("echo"))["measured"], Value::Null);
    let (_dir, wrong) = file("wrong.wat", WRONG);
    assert_eq!(json("--measure", &wrong)["measured"], Value::Null);
}

#[test]
fn a_handler_that_never_ends_is_measured_in_bounded_time() {
    for (text, options, outcome) in [
        (
            r#"(module (func (export "handle") (loop (br 0))))"#,
            "--cpu-limit 100ms",
            "cpu-limit",
        ),
        (
            r#"(module
                (import "wfile" "write" (func $write (param i32 i32) (result i32)))
                (memory (export "memory") 1)
                (func (export "handle")
                    (loop (drop (call $write (i32.const 0) (i32.const 65536))) (br 0))))"#,
            "--deadline 200ms --cpu-limit none",
            "deadline",
        ),
        (
            r#"(module (func (export "handle") unreachable))"#,
            "",
            "trap",
        ),
    ] {
        let (_dir, path) = file("loop.wat", text);
        let started = Instant::now();
        // A handler that fails is one that `serve` takes.
        let said = json(&format!("--measure {options}"), &path);
        assert!(started.elapsed() < Duration::from_secs(20), "{said}");
        let measured = &said["measured"];
        assert_eq!(
            measured["outcomes"][outcome], measured["requests"],
            "{said}"
        );
        assert!(measured["first_failure"].is_string(), "{said}");
    }
}

#[test]
fn options_of_measuring_that_make_no_sense_are_wrong() {
    let echo = handler("echo");
    for options in ["--measure=0", "--measure=many", "--input /dev/null"] {
        check_with(options, &echo).is_an_error(2, &[]);
    }
    check_with("--measure --input /nowhere/at/all", &echo).is_an_error(1, &["--input"]);
}
