//! What a file is, and whether it would be served: `check` says it, and `serve` refuses with the same
//! words.

mod fields;
mod hostile_files;
mod measure;
mod report;

use crate::harness::{
    Finished, Serve, example, guest, guest_component, handler, handler_component, sandsock, wat,
};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn check(file: &Path) -> Finished {
    check_with("", file)
}

fn check_with(options: &str, file: &Path) -> Finished {
    let mut args = vec!["check"];
    args.extend(options.split_whitespace());
    args.push(file.to_str().expect("a name"));
    sandsock(&args, b"")
}

/// Both refuse it, with one error that has these words in it.
#[track_caller]
fn is_refused(file: &Path, words: &[&str]) {
    Serve::new(file).run_to_end().is_an_error(1, words);
    check(file).is_a_refusal(words);
}

/// A file in a folder of its own.
fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    (dir, path)
}

/// As JSON, whether it would be served or not.
#[track_caller]
fn json(options: &str, file: &Path) -> Value {
    let finished = check_with(&format!("--json {options}"), file);
    assert!(finished.text().ends_with("}\n"), "{finished:?}");
    let said: Value = serde_json::from_str(&finished.text()).expect("one object");
    assert_eq!(said["served"], finished.code == 0, "{finished:?}");
    let is_refused = said["refused"] != serde_json::json!([]);
    assert_eq!(is_refused, finished.code == 1, "{finished:?}");
    said
}

/// What a file asks for of one module or interface, without its version.
#[track_caller]
fn import<'a>(said: &'a Value, from: &str) -> &'a Value {
    let imports = said["imports"].as_array().expect("a list");
    let mut of_it = imports.iter().filter(|import| {
        let name = import["from"].as_str().expect("a name");
        name.split('@').next() == Some(from)
    });
    of_it.next().unwrap_or_else(|| panic!("{from}: {said}"))
}

/// The status of one item.
#[track_caller]
fn status<'a>(said: &'a Value, from: &str, name: &str) -> &'a Value {
    let items = import(said, from)["items"].as_array().expect("a list");
    let item = items.iter().find(|item| item["name"] == name);
    &item.unwrap_or_else(|| panic!("{from} {name}: {said}"))["status"]
}

/// Wrong in every way that `check` looks at.
const WRONG: &str = r#"(module
    (import "rfile" "raed" (func (param i32 i32) (result i32)))
    (import "env" "write" (func (param i32 i32) (result i32)))
    (import "env" "system" (func (param i32)))
    (import "wfile" "write" (func (param i64) (result i32)))
    (import "request" "id" (func (result i64)))
    (memory (export "memory") 2000)
    (func (export "handle") (param i32)))"#;

#[test]
fn check_says_which_kind_it_is() {
    for (file, kind) in [
        (handler("echo"), "module"),
        (handler_component("echo"), "component"),
        (wat("cat"), "command"),
        (guest("probe"), "command"),
        (guest_component("probe"), "command"),
        (example("wat/hello.wat"), "module"),
    ] {
        let finished = check(&file);
        finished.is_a_success();
        assert!(
            finished.text().contains(kind),
            "{kind} expected: {finished:?}"
        );
    }
}

#[test]
fn check_in_json_says_it_for_programs() {
    let path = handler("echo");
    let finished = sandsock(
        &["check".as_ref(), "--json".as_ref(), path.as_os_str()],
        b"",
    );
    finished.is_a_success();
    let said: serde_json::Value = serde_json::from_str(&finished.text()).expect("JSON");
    assert_eq!(said["kind"], "module", "{said}");
}

#[test]
fn where_a_file_has_both_handle_wins() {
    let (_dir, path) = file(
        "both.wat",
        r#"(module
            (import "wfile" "write" (func $write (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "handle")
            (func (export "_start") (unreachable))
            (func (export "handle") (drop (call $write (i32.const 0) (i32.const 6)))))"#,
    );
    assert!(check(&path).text().contains("module"));
    let server = Serve::new(&path).start();
    assert_eq!(server.ask("x"), b"handle");
}

#[test]
fn a_file_that_is_not_wasm_is_refused() {
    let (_dir, path) = file("page.wasm", "<!DOCTYPE html><p>404");
    is_refused(&path, &["page.wasm"]);
    let (_dir, path) = file("empty.wasm", "");
    is_refused(&path, &["empty.wasm"]);
    let (_dir, path) = file("broken.wat", "(module\n  (func (export \"handle\")");
    is_refused(&path, &["broken.wat"]);
    let (_dir, path) = file("program.wasm", fs::read("/bin/true").unwrap());
    is_refused(&path, &["program.wasm"]);
}

#[test]
fn a_file_that_is_cut_off_is_refused() {
    for (source, name) in [
        (handler("echo"), "module.wasm"),
        (handler_component("echo"), "component.wasm"),
    ] {
        let whole = fs::read(source).unwrap();
        for length in [4, 8, 9, whole.len() / 2, whole.len() - 1] {
            let (_dir, path) = file(name, &whole[..length]);
            is_refused(&path, &[name]);
        }
    }
}

#[test]
fn a_module_without_handle_is_refused() {
    let (_dir, path) = file(
        "handel.wat",
        r#"(module (memory (export "memory") 1) (func (export "handel")))"#,
    );
    is_refused(&path, &["handel.wat", "handle"]);
}

#[test]
fn a_module_that_hands_out_pointers_without_a_memory_is_refused() {
    let (_dir, path) = file(
        "no-memory.wat",
        r#"(module
            (import "rfile" "read" (func (param i32 i32) (result i32)))
            (func (export "handle")))"#,
    );
    is_refused(&path, &["memory"]);
}

#[test]
fn exports_of_the_wrong_type_are_refused_all_in_one_message() {
    let (_dir, path) = file(
        "mistyped.wat",
        r#"(module
            (memory (export "memory") 1)
            (func (export "setup") (result i64) (i64.const 0))
            (func (export "handle") (param i32))
            (global (export "finish") i32 (i32.const 0)))"#,
    );
    is_refused(&path, &["setup", "handle", "finish"]);
}

#[test]
fn unknown_imports_are_refused_all_in_one_message() {
    let (_dir, path) = file(
        "imports.wat",
        r#"(module
            (import "rfile" "readd" (func (param i32 i32) (result i32)))
            (import "env" "system" (func (param i32)))
            (import "wfile" "write" (func (param i64) (result i32)))
            (import "wasi_snapshot_preview1" "fd_teleport" (func))
            (memory (export "memory") 1)
            (func (export "handle")))"#,
    );
    is_refused(&path, &["readd", "system", "write", "fd_teleport"]);
}

#[test]
fn a_component_of_another_world_is_refused() {
    let (_dir, path) = file(
        "other-world.wat",
        r#"(component
            (import "acme:bank/vault@1.0.0" (instance (export "open" (func))))
            (import "acme:bank/teller@1.0.0" (instance (export "ask" (func)))))"#,
    );
    is_refused(&path, &["handle"]);
}

#[test]
fn unknown_imports_of_a_component_are_refused_all_in_one_message() {
    let bytes = fs::read(handler_component("echo")).unwrap();
    // The interface's name is text in the file: one letter makes it another interface, and leaves the
    // file valid.
    let bytes = replaced(
        &bytes,
        b"socketserver:handler/rfile",
        b"socketserver:handler/xfile",
    );
    let bytes = replaced(
        &bytes,
        b"socketserver:handler/wfile",
        b"socketserver:handler/yfile",
    );
    let (_dir, path) = file("other.component.wasm", bytes);
    is_refused(&path, &["xfile", "yfile"]);
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(n) = bytes[at..]
        .windows(from.len())
        .position(|window| window == from)
    {
        bytes[at + n..at + n + to.len()].copy_from_slice(to);
        at += n + to.len();
    }
    bytes
}

#[test]
fn threads_shared_memory_and_64_bit_memories_are_off() {
    for memory in [
        "(memory (export \"memory\") 1 1 shared)",
        "(memory (export \"memory\") i64 1)",
    ] {
        let (_dir, path) = file(
            "feature.wat",
            format!("(module {memory} (func (export \"handle\")))"),
        );
        is_refused(&path, &["feature.wat"]);
    }
}
