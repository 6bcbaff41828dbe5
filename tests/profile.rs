//! Where a handler spends its time: `run --profile`.

use crate::harness::{guest, wat, written};
use crate::run::run;
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

/// Burns some hundred milliseconds: nine parts in `burn`, one in `rest`.
const SLOW: &str = r#"(module
  (func $loop_in_burn (param $n i32)
    (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $burn (call $loop_in_burn (i32.const 900000000)))
  (func $rest (param $n i32)
    (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "handle") (call $burn) (call $rest (i32.const 100000000))))"#;

/// How much of the time each function has on its stacks, by the tables of the Firefox Profiler's format.
fn times(profile: &Value) -> std::collections::BTreeMap<String, i64> {
    let thread = &profile["threads"][0];
    let strings = match &thread["stringArray"] {
        Value::Null => &profile["shared"]["stringArray"],
        of_thread => of_thread,
    };
    let index = |of: &Value, n: i64| of[usize::try_from(n).unwrap()].as_i64();
    let mut times = std::collections::BTreeMap::new();
    let samples = &thread["samples"];
    for (stack, weight) in samples["stack"]
        .as_array()
        .unwrap()
        .iter()
        .zip(samples["weight"].as_array().unwrap())
    {
        let mut stack = stack.as_i64();
        while let Some(number) = stack {
            let frame = index(&thread["stackTable"]["frame"], number).unwrap();
            let function = index(&thread["frameTable"]["func"], frame).unwrap();
            let name = index(&thread["funcTable"]["name"], function).unwrap();
            let name = strings[usize::try_from(name).unwrap()].as_str().unwrap();
            *times.entry(name.to_owned()).or_default() += weight.as_i64().unwrap();
            stack = index(&thread["stackTable"]["prefix"], number);
        }
    }
    times
}

#[test]
fn a_profile_shows_which_function_has_the_time() {
    let (dir, path) = written(SLOW);
    let file = dir.path().join("profile.json");
    let ran = run(
        &["--cpu-limit", "none", "--profile", file.to_str().unwrap()],
        &path,
        b"",
    );
    ran.is_a_success();
    assert!(ran.stderr.contains("samples"), "{ran:?}");
    let profile: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let times = times(&profile);
    let (burn, rest) = (times["burn"], times["rest"]);
    assert_eq!(times["loop_in_burn"], burn, "{times:?}");
    assert_eq!(times["function 3"], burn + rest, "{times:?}");
    let share = burn * 100 / (burn + rest);
    assert!((80..=97).contains(&share), "{share} %: {times:?}");
}

#[test]
fn a_profile_names_lines_where_the_build_has_them() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("profile.json");
    let input = dir.path().join("input");
    fs::write(&input, "copy\n").unwrap();
    let ran = run(
        &[
            "--cpu-limit",
            "200ms",
            "--input",
            input.to_str().unwrap(),
            "--profile",
            file.to_str().unwrap(),
        ],
        &guest("hostile.debug"),
        b"",
    );
    assert_eq!(ran.code, 1, "{ran:?}");
    let profile: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let times = times(&profile);
    assert!(times.keys().any(|name| name.contains(".rs:")), "{times:?}");
    assert!(
        times.keys().any(|name| name.contains("carry_out")),
        "{times:?}"
    );
}

#[test]
fn a_profile_that_cannot_be_written_is_said_at_once() {
    let ran = run(&["--profile", "/nothing/there.json"], &wat("script"), b"");
    ran.is_an_error(1, &["--profile", "/nothing/there.json"]);
}
