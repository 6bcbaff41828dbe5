//! What lies in a granted folder: all of it, in pieces, within the request's limits.

use crate::harness::{CONCURRENCIES, Serve, guest, guest_component, written};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use tempfile::TempDir;

fn folder(files: usize) -> TempDir {
    let dir = TempDir::new().expect("a folder");
    for number in 0..files {
        File::create(dir.path().join(format!("file-{number:06}"))).expect("a file");
    }
    dir
}

fn granted(dir: &Path) -> String {
    format!("{}::/d", dir.display())
}

#[test]
fn a_listing_is_complete_whatever_the_names_are() {
    let dir = folder(2_000);
    fs::create_dir(dir.path().join("folder")).expect("a folder");
    // 255 bytes are the longest that there are, and not all are Unicode's.
    File::create(dir.path().join("ä".repeat(127))).expect("a file");
    File::create(dir.path().join(OsStr::from_bytes(b"\xff\xfe"))).expect("a file");
    let mut there: Vec<_> = fs::read_dir(dir.path())
        .expect("its names")
        .map(|entry| entry.expect("a name").file_name())
        .collect();
    there.sort();
    let lines = |names: &[&OsStr]| -> String {
        let lines = names.iter().map(|name| name.to_string_lossy() + "\n");
        lines.collect()
    };
    let all: Vec<&OsStr> = there.iter().map(AsRef::as_ref).collect();
    let of_unicode = all.iter().copied().filter(|name| name.to_str().is_some());
    let of_unicode: Vec<&OsStr> = of_unicode.collect();
    for (file, names) in [
        (guest("probe"), all),
        (guest_component("probe"), of_unicode),
    ] {
        let server = Serve::new(&file)
            .arg("--dir")
            .arg(granted(dir.path()))
            .start();
        let answer = server.ask("list /d\n");
        assert_eq!(String::from_utf8_lossy(&answer), lines(&names), "{file:?}");
    }
}

/// Closed, renumbered and opened folders are each what their number says.
#[test]
fn a_listing_is_of_the_folder_that_the_number_has() {
    let (one, two) = (folder(0), folder(0));
    fs::create_dir_all(one.path().join("inner")).expect("a folder");
    File::create(one.path().join("inner/a")).expect("a file");
    File::create(two.path().join("b")).expect("a file");
    // The first of all names that are no dots, by its first letter, of folders 3, 4, and what is opened in 3.
    let text = r#"(module
      (import "wfile" "write" (func $write (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_readdir" (func $list (param i32 i32 i32 i64 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
      (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "inner")
      (func $tell (param $fd i32) (local $at i32)
        (i32.store8 (i32.const 90) (i32.const 63))
        (if (i32.eqz (call $list (local.get $fd) (i32.const 1024) (i32.const 1024) (i64.const 0) (i32.const 64)))
          (then
            (local.set $at (i32.const 1024))
            (loop $next
              (if (i32.lt_u (local.get $at) (i32.add (i32.const 1024) (i32.load (i32.const 64))))
                (then
                  (if (i32.ne (i32.load8_u offset=24 (local.get $at)) (i32.const 46))
                    (then (i32.store8 (i32.const 90) (i32.load8_u offset=24 (local.get $at)))))
                  (local.set $at (i32.add (local.get $at)
                    (i32.add (i32.const 24) (i32.load offset=16 (local.get $at)))))
                  (br $next))))))
        (drop (call $write (i32.const 90) (i32.const 1))))
      (func (export "handle")
        (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 5)
          (i32.const 2) (i64.const 16386) (i64.const 16386) (i32.const 0) (i32.const 80)))
        (call $tell (i32.const 3)) (call $tell (i32.const 4)) (call $tell (i32.load (i32.const 80)))
        (drop (call $renumber (i32.const 4) (i32.const 3)))
        (call $tell (i32.const 3)) (call $tell (i32.const 4))
        (drop (call $close (i32.const 3)))
        (call $tell (i32.const 3)) (call $tell (i32.load (i32.const 80))) (call $tell (i32.const 0))))"#;
    let (_dir, path) = written(text);
    let server = Serve::new(path)
        .arg("--dir")
        .arg(format!("{}::/one", one.path().display()))
        .arg("--dir")
        .arg(format!("{}::/two", two.path().display()))
        .start();
    assert_eq!(server.ask(""), b"ibab??a?");
}

/// A folder of many names costs a request no more than its limits, in one call or in many.
#[test]
fn a_listing_ends_at_the_requests_limits() {
    let dir = folder(50_000);
    // One call with a buffer for all of it; and again from the start.
    let (_wat, one_call) = written(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_readdir" (func $list (param i32 i32 i32 i64 i32) (result i32)))
          (memory (export "memory") 60)
          (func (export "handle")
            (loop $again
              (drop (call $list (i32.const 3) (i32.const 64) (i32.const 3900000) (i64.const 0) (i32.const 0)))
              (br $again))))"#,
    );
    for (file, request) in [
        (one_call, ""),
        (guest("probe"), "list /d\n"),
        (guest_component("probe"), "list /d\n"),
    ] {
        for concurrency in CONCURRENCIES {
            let server = Serve::new(&file)
                .with("--cpu-limit 20ms --memory-limit 4MiB --concurrency")
                .arg(concurrency)
                .arg("--dir")
                .arg(granted(dir.path()))
                .start();
            server.ask(request);
            let event = server.request();
            let outcome = event["outcome"].as_str().expect("an outcome");
            assert!(
                matches!(outcome, "cpu-limit" | "memory-limit" | "error"),
                "{event}"
            );
            assert!(event["cpu_us"].as_u64() < Some(70_000), "{event}");
        }
    }
}

#[test]
fn a_name_that_no_system_takes_is_refused_before_it_is_copied() {
    let dir = folder(1);
    let (_wat, path) = written(
        r#"(module
          (import "wfile" "write" (func $write (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_create_directory" (func $make (param i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_filestat_get" (func $stat (param i32 i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_filestat_set_times"
            (func $times (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_link" (func $link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_readlink"
            (func $readlink (param i32 i32 i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_remove_directory" (func $rmdir (param i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
          (memory (export "memory") 40)
          (func $tell (param i32)
            (i32.store8 (i32.const 0) (local.get 0))
            (drop (call $write (i32.const 0) (i32.const 1))))
          (func (export "handle") (local $at i32) (local $long i32) (local $short i32)
            (local.set $at (i32.const 64)) (local.set $long (i32.const 2000000)) (local.set $short (i32.const 5))
            (memory.fill (local.get $at) (i32.const 97) (local.get $long))
            (call $tell (call $make (i32.const 3) (local.get $at) (local.get $long)))
            (call $tell (call $stat (i32.const 3) (i32.const 0) (local.get $at) (local.get $long) (i32.const 0)))
            (call $tell (call $times (i32.const 3) (i32.const 0) (local.get $at) (local.get $long)
              (i64.const 0) (i64.const 0) (i32.const 0)))
            (call $tell (call $link (i32.const 3) (i32.const 0) (local.get $at) (local.get $short)
              (i32.const 3) (local.get $at) (local.get $long)))
            (call $tell (call $open (i32.const 3) (i32.const 0) (local.get $at) (local.get $long)
              (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0)))
            (call $tell (call $readlink (i32.const 3) (local.get $at) (local.get $long)
              (i32.const 0) (i32.const 8) (i32.const 8)))
            (call $tell (call $rmdir (i32.const 3) (local.get $at) (local.get $long)))
            (call $tell (call $rename (i32.const 3) (local.get $at) (local.get $long)
              (i32.const 3) (local.get $at) (local.get $short)))
            (call $tell (call $symlink (local.get $at) (local.get $long)
              (i32.const 3) (local.get $at) (local.get $short)))
            (call $tell (call $unlink (i32.const 3) (local.get $at) (local.get $long)))))"#,
    );
    let server = Serve::new(path)
        .arg("--dir")
        .arg(format!("{}:rw", granted(dir.path())))
        .start();
    // ENAMETOOLONG.
    assert_eq!(server.ask(""), [37; 10]);
}
