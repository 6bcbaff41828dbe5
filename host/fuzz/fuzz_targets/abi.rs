//! Calls of the module ABI and of WASI preview 1, in any order, with any arguments, on any memory: a handler that
//! reads from its client which calls to make.
//!
//! Input is 2 bytes, the length of a program, then the program, then what `rfile` still has. The program's first
//! 256 bytes are memory from address 0 on; then come calls, each a byte for the import, and for each argument a
//! byte that says how to take the four or eight that follow it.
#![no_main]
#![forbid(unsafe_code)]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sandsock::WasmHandler;
use sandsock::config::Grants;
use sandsock_fuzz::{IMPORTS, imports, load, serve};

static HANDLER: LazyLock<WasmHandler> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    fs::write(folder.join("file"), "some bytes\n").expect("a file");
    fs::create_dir(folder.join("folder")).expect("a folder");
    let grants = Grants {
        env: vec!["NAME=value".parse().expect("a variable")],
        dir: vec![format!("{}::/data", folder.display()).parse().expect("a folder")],
        args: vec!["argument".to_owned()],
        ..Grants::default()
    };
    load(interpreter().as_bytes(), &grants).expect("a handler")
});

fn interpreter() -> String {
    let calls: Vec<String> = IMPORTS.iter().enumerate().map(call).collect();
    // br_table leaves as many blocks as there are imports behind the one that is meant.
    let labels: String = (0..IMPORTS.len()).map(|n| format!(" {n}")).collect();
    let dispatch = format!(
        "(br_table{labels} (i32.rem_u (call $byte) (i32.const {})))",
        IMPORTS.len()
    );
    let body = calls.iter().fold(dispatch, |inner, call| {
        format!("(block {inner})\n{call}\n(br $next)\n")
    });
    format!(
        r#"(module
{imports}
(memory (export "memory") 3)
(global $pc (mut i32) (i32.const 65536))
(func $byte (result i32)
  (i32.load8_u (global.get $pc))
  (global.set $pc (i32.add (global.get $pc) (i32.const 1))))
(func $i32 (result i32) (local $how i32) (local $value i32)
  (local.set $how (i32.and (call $byte) (i32.const 3)))
  (local.set $value (i32.load (global.get $pc)))
  (global.set $pc (i32.add (global.get $pc) (i32.const 4)))
  (if (i32.eq (local.get $how) (i32.const 0))
    (then (return (i32.and (local.get $value) (i32.const 255)))))
  (if (i32.eq (local.get $how) (i32.const 1))
    (then (return (i32.and (local.get $value) (i32.const 65535)))))
  (if (i32.eq (local.get $how) (i32.const 2))
    (then (return (i32.sub (i32.shl (memory.size) (i32.const 16))
      (i32.and (local.get $value) (i32.const 255))))))
  (local.get $value))
(func $i64 (result i64) (local $how i32) (local $value i64)
  (local.set $how (i32.and (call $byte) (i32.const 1)))
  (local.set $value (i64.load (global.get $pc)))
  (global.set $pc (i32.add (global.get $pc) (i32.const 8)))
  (if (local.get $how) (then (return (i64.and (local.get $value) (i64.const 65535)))))
  (local.get $value))
(func (export "handle") (local $end i32)
  (drop (call $f0 (i32.const 0) (i32.const 2)))
  (local.set $end (i32.add (i32.const 65536)
    (call $f0 (i32.const 65536) (i32.and (i32.load16_u (i32.const 0)) (i32.const 0xfff)))))
  (memory.copy (i32.const 0) (i32.const 65536) (i32.const 256))
  (global.set $pc (i32.const 65792))
  (block $done (loop $next
    (br_if $done (i32.ge_u (global.get $pc) (local.get $end)))
    {body}))))"#,
        imports = imports()
    )
}

fn call((number, (_, _, params, result)): (usize, &(&str, &str, &str, &str))) -> String {
    let arguments: String = params
        .split_whitespace()
        .map(|kind| format!(" (call ${kind})"))
        .collect();
    match *result {
        "" => format!("(call $f{number}{arguments})"),
        _ => format!("(drop (call $f{number}{arguments}))"),
    }
}

fuzz_target!(|input: &[u8]| serve(&HANDLER, input));
