//! Where a handler has trapped: functions, and where the build has them files and lines.

use crate::harness::{Serve, Server, guest, guest_component, toolchains, written};
use std::fs;
use std::process::Command;
use tempfile::TempDir;

fn detail(server: &Server) -> String {
    let event = server.request();
    event["detail"].as_str().expect("a detail").to_owned()
}

#[test]
fn a_traps_event_names_functions_and_where_the_build_has_them_lines() {
    for file in [guest("hostile.debug"), guest_component("hostile.debug")] {
        let server = Serve::new(file).start();
        server.ask("panic\n");
        let detail = detail(&server);
        let place = detail
            .find("carry_out (")
            .unwrap_or_else(|| panic!("{detail}"));
        let behind = &detail[place..].split(" < ").next().unwrap();
        // The line of `panic!` in the guest's source.
        let source = include_str!("guests/hostile/src/attacks.rs");
        let line = source
            .lines()
            .position(|line| line.contains("panic!"))
            .unwrap()
            + 1;
        assert!(behind.ends_with(&format!("attacks.rs:{line})")), "{detail}");
        assert!(
            !detail.contains("_ZN") && !detail.contains("_R"),
            "{detail}"
        );
    }
    let server = Serve::new(guest("hostile")).start();
    server.ask("panic\n");
    let detail = detail(&server);
    assert!(
        detail.contains("hostile::") && !detail.contains(".rs:"),
        "{detail}"
    );
}

#[test]
fn names_and_lines_of_cpp_are_those_of_its_source() {
    let zig = toolchains("bin/zig");
    if !zig.exists() {
        eprintln!("SKIPPED: zig is not there: `cargo xtask toolchains` brings it");
        return;
    }
    let dir = TempDir::new().unwrap();
    fs::write(
        dir.path().join("shape.cpp"),
        "namespace shape { template<class T> struct Circle {\n\
         __attribute__((noinline)) T area(T r) { if (r) __builtin_trap(); return r; }\n\
         }; }\n\
         extern \"C\" __attribute__((export_name(\"handle\"))) void handle(void) {\n\
         shape::Circle<int> circle; circle.area(1);\n\
         }\n",
    )
    .unwrap();
    let built = Command::new(zig)
        .args([
            "c++",
            "-g",
            "-O1",
            "--target=wasm32-freestanding",
            "-nostdlib",
        ])
        .args(["-Wl,--no-entry", "shape.cpp", "-o", "shape.wasm"])
        .current_dir(dir.path())
        .status()
        .expect("zig starts");
    assert!(built.success());
    let server = Serve::new(dir.path().join("shape.wasm")).start();
    server.ask("");
    let detail = detail(&server);
    assert!(
        detail.contains("shape::Circle<int>::area(int) ("),
        "{detail}"
    );
    assert!(detail.contains("shape.cpp:2)"), "{detail}");
}

#[test]
fn the_innermost_function_comes_first() {
    let (_dir, path) = written(
        r#"(module
          (func $inner unreachable)
          (func $middle (call $inner))
          (func (export "handle") (call $middle)))"#,
    );
    let server = Serve::new(path).start();
    server.ask("");
    let detail = detail(&server);
    assert!(
        detail.contains(" in inner < middle < function 2"),
        "{detail}"
    );
}

#[test]
fn names_that_are_made_to_hurt_stay_one_bounded_line() {
    let name = format!("\\1b[2J\\0a{}", "x".repeat(9_000));
    let (_dir, path) = written(&format!(
        r#"(module (func $f (@name "{name}") (call $f)) (func (export "handle") (call $f)))"#
    ));
    let server = Serve::new(path).text_log().start();
    server.ask("");
    let line = server
        .log()
        .wait_for_line(|line| line.contains(" request "));
    assert!(line.contains("call stack exhausted"), "{line}");
    assert!(line.len() < 10_000, "{} bytes", line.len());
    assert!(!line.contains('\u{1b}'), "{line}");
}
