//! A handler that reads from its client which functions of the host to call: any, in any order, with any arguments, on
//! any memory. The fuzz target `abi` has it, and the tests of the program.
//!
//! Input is 2 bytes, the length of a program, then the program, then what `rfile` still has. The program's first
//! 256 bytes are memory from address 0 on; then come calls, each a byte for the import, and for each argument a
//! byte that says how to take the four or eight that follow it.

/// The contract's imports for modules, version 1, and WASI preview 1's (its witx files): module, name, types of
/// the parameters, and of the result.
const IMPORTS: &[(&str, &str, &str, &str)] = &[
    ("rfile", "read", "i32 i32", "i32"),
    ("rfile", "read_line", "i32 i32", "i32"),
    ("wfile", "write", "i32 i32", "i32"),
    ("wfile", "flush", "", "i32"),
    ("request", "client_address", "i32 i32", "i32"),
    ("request", "server_address", "i32 i32", "i32"),
    ("request", "transport", "", "i32"),
    ("request", "id", "", "i64"),
    ("request", "set_timeout", "i64", "i32"),
    ("request", "set_nodelay", "i32", "i32"),
    (P1, "args_get", "i32 i32", "i32"),
    (P1, "args_sizes_get", "i32 i32", "i32"),
    (P1, "environ_get", "i32 i32", "i32"),
    (P1, "environ_sizes_get", "i32 i32", "i32"),
    (P1, "clock_res_get", "i32 i32", "i32"),
    (P1, "clock_time_get", "i32 i64 i32", "i32"),
    (P1, "fd_advise", "i32 i64 i64 i32", "i32"),
    (P1, "fd_allocate", "i32 i64 i64", "i32"),
    (P1, "fd_close", "i32", "i32"),
    (P1, "fd_datasync", "i32", "i32"),
    (P1, "fd_fdstat_get", "i32 i32", "i32"),
    (P1, "fd_fdstat_set_flags", "i32 i32", "i32"),
    (P1, "fd_fdstat_set_rights", "i32 i64 i64", "i32"),
    (P1, "fd_filestat_get", "i32 i32", "i32"),
    (P1, "fd_filestat_set_size", "i32 i64", "i32"),
    (P1, "fd_filestat_set_times", "i32 i64 i64 i32", "i32"),
    (P1, "fd_pread", "i32 i32 i32 i64 i32", "i32"),
    (P1, "fd_prestat_get", "i32 i32", "i32"),
    (P1, "fd_prestat_dir_name", "i32 i32 i32", "i32"),
    (P1, "fd_pwrite", "i32 i32 i32 i64 i32", "i32"),
    (P1, "fd_read", "i32 i32 i32 i32", "i32"),
    (P1, "fd_readdir", "i32 i32 i32 i64 i32", "i32"),
    (P1, "fd_renumber", "i32 i32", "i32"),
    (P1, "fd_seek", "i32 i64 i32 i32", "i32"),
    (P1, "fd_sync", "i32", "i32"),
    (P1, "fd_tell", "i32 i32", "i32"),
    (P1, "fd_write", "i32 i32 i32 i32", "i32"),
    (P1, "path_create_directory", "i32 i32 i32", "i32"),
    (P1, "path_filestat_get", "i32 i32 i32 i32 i32", "i32"),
    (
        P1,
        "path_filestat_set_times",
        "i32 i32 i32 i32 i64 i64 i32",
        "i32",
    ),
    (P1, "path_link", "i32 i32 i32 i32 i32 i32 i32", "i32"),
    (
        P1,
        "path_open",
        "i32 i32 i32 i32 i32 i64 i64 i32 i32",
        "i32",
    ),
    (P1, "path_readlink", "i32 i32 i32 i32 i32 i32", "i32"),
    (P1, "path_remove_directory", "i32 i32 i32", "i32"),
    (P1, "path_rename", "i32 i32 i32 i32 i32 i32", "i32"),
    (P1, "path_symlink", "i32 i32 i32 i32 i32", "i32"),
    (P1, "path_unlink_file", "i32 i32 i32", "i32"),
    (P1, "poll_oneoff", "i32 i32 i32 i32", "i32"),
    (P1, "proc_exit", "i32", ""),
    (P1, "proc_raise", "i32", "i32"),
    (P1, "random_get", "i32 i32", "i32"),
    (P1, "sched_yield", "", "i32"),
    (P1, "sock_accept", "i32 i32 i32", "i32"),
    (P1, "sock_recv", "i32 i32 i32 i32 i32 i32", "i32"),
    (P1, "sock_send", "i32 i32 i32 i32 i32", "i32"),
    (P1, "sock_shutdown", "i32 i32", "i32"),
];

const P1: &str = "wasi_snapshot_preview1";

/// The imports in the text format; each has the name `$f` and its number.
pub fn imports() -> String {
    let import = |(number, (module, name, params, result)): (usize, &(&str, &str, &str, &str))| {
        let result = match *result {
            "" => String::new(),
            result => format!("(result {result})"),
        };
        format!("(import \"{module}\" \"{name}\" (func $f{number} (param {params}) {result}))\n")
    };
    IMPORTS.iter().enumerate().map(import).collect()
}

/// The handler, in the text format.
pub fn interpreter() -> String {
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
