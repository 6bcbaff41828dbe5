//! What `check` tells of a file beside the verdict: what it is, what it asks for, and what of it there is.

use super::{WRONG, check_with, file, import, json, status};
use crate::harness::{guest, guest_component, handler, handler_component};
use serde_json::Value;
use std::fs;

#[test]
fn the_first_line_is_the_verdict() {
    let (_dir, wrong) = file("wrong.wat", WRONG);
    let (_dir, page) = file("page.wasm", "<!DOCTYPE html>");
    let (_dir, library) = file("library.wat", "(module (func (export \"sum\")))");
    for (path, verdict) in [
        (handler("echo"), "module, would be served"),
        (handler_component("echo"), "component, would be served"),
        (guest("probe"), "command, would be served"),
        (guest_component("probe"), "command, would be served"),
        (wrong, "module, would not be served"),
        (page, "not WebAssembly, would not be served"),
        (library, "not a handler, would not be served"),
    ] {
        let text = check_with("", &path).text();
        let first = text.lines().next().expect("a line");
        assert_eq!(first, format!("{}: {verdict}", path.display()));
    }
}

#[test]
fn a_file_says_how_it_was_made_and_what_it_exports() {
    for (path, layer, ty) in [
        (handler("echo"), "module", "() -> (i32)"),
        (
            handler_component("echo"),
            "component",
            "func() -> result<_, string>",
        ),
    ] {
        let said = json("", &path);
        assert_eq!(said["layer"], layer, "{said}");
        assert_eq!(said["form"], "binary", "{said}");
        assert_eq!(said["languages"][0]["name"], "Rust", "{said}");
        let tools = said["tools"].as_array().expect("a list");
        assert!(tools.iter().any(|tool| tool["name"] == "rustc"), "{said}");
        let exports = said["exports"].as_array().expect("a list");
        let handle = exports.iter().find(|export| export["name"] == "handle");
        assert_eq!(handle.expect("its export")["type"], ty, "{said}");
        assert_eq!(said["size"], fs::metadata(&path).expect("a file").len());
        assert_eq!(said["whole"], true, "{said}");
        // What the profile `handler` leaves in.
        assert_eq!(said["function_names"], true, "{said}");
        assert_eq!(said["line_numbers"], false, "{said}");
        let text = check_with("", &path).text();
        for words in ["Rust", "rustc", "function names", "KiB at the start", ty] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}

#[test]
fn a_handler_with_dwarf_has_line_numbers() {
    let (_dir, path) = file(
        "lines.wat",
        r#"(module (@custom ".debug_line" "") (memory (export "memory") 1 2) (func (export "handle")))"#,
    );
    let said = json("", &path);
    assert_eq!(said["line_numbers"], true, "{said}");
    assert_eq!(said["function_names"], false, "{said}");
    assert_eq!(said["initial_memory"], 65_536, "{said}");
    assert_eq!(said["maximum_memory"], 131_072, "{said}");
    assert_eq!(said["memory_limit"], 64 << 20, "{said}");
    assert_eq!(
        json("--memory-limit none", &path)["memory_limit"],
        Value::Null
    );
}

#[test]
fn a_refused_file_is_told_of_with_every_reason() {
    let (_dir, path) = file("wrong.wat", WRONG);
    let options = "--allow-connect 127.0.0.1:9 --dir /nowhere/at/all::/x";
    check_with(options, &path).is_a_refusal(&[
        "--memory-limit",
        "--dir /nowhere/at/all",
        "`handle`",
        "`raed`",
        "`system`",
        "(i64) -> (i32)",
    ]);
    let options = "--allow-connect 127.0.0.1:9";
    check_with(options, &path).is_a_refusal(&["--allow-connect: a core module has no sockets"]);
    let said = json(options, &path);
    assert_eq!(said["kind"], "module", "{said}");
    assert_eq!(status(&said, "rfile", "raed"), "not-offered");
    assert_eq!(status(&said, "wfile", "write"), "mistyped");
    assert_eq!(status(&said, "request", "id"), "given");
    assert_eq!(import(&said, "env")["status"], "not-offered");
    let text = check_with("", &path).text();
    for words in ["not offered", "wrong type", "125.0 MiB at the start"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

/// What cannot be compiled can be read.
#[test]
fn a_feature_that_is_off_does_not_keep_the_rest_from_being_told() {
    let (_dir, path) = file(
        "wide.wat",
        r#"(module
            (import "rfile" "raed" (func (param i32 i32) (result i32)))
            (memory (export "memory") i64 1)
            (func (export "handle")))"#,
    );
    check_with("", &path).is_a_refusal(&["memory64"]);
    let said = json("", &path);
    assert_eq!(said["kind"], "module", "{said}");
    assert_eq!(status(&said, "rfile", "raed"), "not-offered");
}

#[test]
fn the_nearest_name_is_told() {
    let (_dir, path) = file("wrong.wat", WRONG);
    let said = json("", &path);
    let nearest = |from: &str, number: usize| &import(&said, from)["items"][number]["nearest"];
    assert_eq!(nearest("rfile", 0), "rfile read");
    assert_eq!(nearest("env", 0), "wfile write");
    assert_eq!(nearest("env", 1), &Value::Null);
    let said = check_with("", &path);
    assert!(
        said.text().contains("raed (nearest: rfile read)"),
        "{said:?}"
    );
    // `serve` says it, too.
    said.is_a_refusal(&["`rfile` `raed` is not offered; the nearest is `rfile` `read`"]);
    let (_dir, path) = file(
        "interfaces.wat",
        r#"(component
            (import "wasi:cli/environmnet@0.2.3" (instance))
            (import "wasi:io/poll@0.3.0" (instance))
            (import "acme:bank/vault@1.0.0" (instance)))"#,
    );
    let said = json("", &path);
    for (from, nearest) in [
        ("wasi:cli/environmnet", "wasi:cli/environment@0.2".into()),
        ("wasi:io/poll", "wasi:io/poll@0.2".into()),
        ("acme:bank/vault", Value::Null),
    ] {
        let import = import(&said, from);
        assert_eq!(import["status"], "not-offered", "{said}");
        assert_eq!(import["nearest"], nearest, "{said}");
    }
}

/// Links or does not: each function of an interface is looked at.
#[test]
fn functions_that_an_interface_has_not_are_told_of_whatever_its_version() {
    let component = |functions: &str| {
        format!(
            r#"(component
                (import "wasi:random/random@0.2.1" (instance {functions}))
                (core module $m
                    (memory (export "memory") 1)
                    (func (export "handle") (result i32) (i32.const 0)))
                (core instance $i (instantiate $m))
                (func (export "handle") (result (result (error string)))
                    (canon lift (core func $i "handle") (memory (core memory $i "memory")))))"#
        )
    };
    let right = r#"(export "get-random-u64" (func (result u64)))"#;
    let (_dir, path) = file("right.wat", component(right));
    let said = json("", &path);
    assert_eq!(
        status(&said, "wasi:random/random", "get-random-u64"),
        "given"
    );
    let (_dir, path) = file(
        "missing.wat",
        component(&format!(r#"{right} (export "get-luck" (func))"#)),
    );
    let said = json("", &path);
    assert_eq!(
        status(&said, "wasi:random/random", "get-random-u64"),
        "given"
    );
    assert_eq!(
        status(&said, "wasi:random/random", "get-luck"),
        "not-offered"
    );
    check_with("", &path).is_a_refusal(&["`get-luck`"]);
    let (_dir, path) = file(
        "mistyped.wat",
        component(r#"(export "get-random-u64" (func (result u8)))"#),
    );
    let said = json("", &path);
    assert_eq!(
        status(&said, "wasi:random/random", "get-random-u64"),
        "mistyped"
    );
    check_with("", &path).is_a_refusal(&["`get-random-u64` is func() -> u8"]);
}

#[test]
fn grants_change_what_an_import_reaches() {
    let (_dir, path) = file(
        "asks.wat",
        r#"(module
            (import "wasi_snapshot_preview1" "path_open"
                (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_get" (func (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "sock_shutdown" (func (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "handle")))"#,
    );
    let of = |said: &Value, name: &str| status(said, "wasi_snapshot_preview1", name).clone();
    let said = json("", &path);
    assert_eq!(of(&said, "path_open"), "needs-grant");
    assert_eq!(of(&said, "environ_get"), "needs-grant");
    assert_eq!(of(&said, "sock_shutdown"), "denied");
    let text = check_with("", &path).text();
    for words in ["needs --dir HOST::GUEST", "needs --env K=V", "no sockets"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let said = json("--dir /tmp::/tmp --env A=b", &path);
    assert_eq!(of(&said, "path_open"), "given");
    assert_eq!(of(&said, "environ_get"), "given");

    let path = guest_component("probe");
    let said = json("", &path);
    let of = |said: &Value, from: &str| import(said, from)["status"].clone();
    assert_eq!(of(&said, "wasi:filesystem/types"), "needs-grant");
    assert_eq!(of(&said, "wasi:sockets/tcp"), "needs-grant");
    assert_eq!(
        import(&said, "wasi:sockets/tcp")["note"],
        "--allow-connect HOST:PORT"
    );
    // A command finds its client's address there.
    assert_eq!(of(&said, "wasi:cli/environment"), "given");
    let said = json("--dir /tmp::/tmp --allow-connect 127.0.0.1:9", &path);
    assert_eq!(of(&said, "wasi:filesystem/types"), "given");
    assert_eq!(of(&said, "wasi:sockets/tcp"), "given");
}
