//! Files that are made to harm who looks at them, or were damaged on the way.

use super::{check_with, file, json, status};
use crate::harness::{Finished, Serve, handler, handler_component};
use std::fs;

/// Nothing that a terminal acts on, and not more than a person would scroll through.
#[track_caller]
fn is_harmless(finished: &Finished) {
    assert!(finished.code == 0 || finished.code == 1, "{finished:?}");
    assert!(!finished.stderr.contains("panicked"), "{finished:?}");
    let all = format!("{}{}", finished.text(), finished.stderr);
    for character in all.chars().filter(|character| *character != '\n') {
        let is_bidirectional = matches!(character, '\u{202a}'..='\u{202e}');
        assert!(
            !character.is_control() && !is_bidirectional,
            "{character:?}"
        );
    }
    assert!(all.len() < 2 << 20, "{} bytes", all.len());
}

#[test]
fn names_in_a_file_do_nothing_to_a_terminal() {
    let evil = r"\1b]0;owned\07\1b[2J\0d\n error: it would be served \e2\80\ae";
    let long = "n".repeat(100_000);
    let imports: String = (0..3000)
        .map(|number| format!(r#"(import "{evil}" "f{number}" (func))"#))
        .collect();
    let text = format!(
        r#"(module
            (@producers (language "{evil}" "{evil}") (processed-by "{long}" "{long}"))
            (@custom "{evil}" "x")
            (import "{long}" "{long}" (func))
            {imports}
            (memory (export "memory") 1)
            (func (export "{evil}"))
            (func (export "{long}"))
            (func (export "handle")))"#
    );
    let (_dir, path) = file("evil.wat", &text);
    for options in ["", "--json"] {
        let finished = check_with(options, &path);
        is_harmless(&finished);
        assert!(finished.text().contains("owned"), "{options}");
        finished.is_a_refusal(&["\\u{1b}]0;owned\\u{7}", "nnn…"]);
    }
    let said = json("", &path);
    assert_eq!(said["import_count"], 3001);
    assert_eq!(said["export_count"], 4);
    // No export that could be called: its names stand in the error.
    let library = text.replace("\"handle\"", "\"hondle\"");
    let (_dir, path) = file("library.wat", library);
    is_harmless(&check_with("", &path));
    is_harmless(&Serve::new(&path).run_to_end());
    // What is no WebAssembly is quoted by who reads it.
    let (_dir, path) = file("broken.wat", "(module\n (\u{1b}[2J \u{202e}");
    let finished = check_with("", &path);
    is_harmless(&finished);
    finished.is_a_refusal(&["broken.wat"]);
}

/// A handler in which bytes were changed: whatever becomes of it, it is an answer.
#[test]
fn a_damaged_file_is_told_of_as_far_as_it_goes() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for source in [handler("upper"), handler_component("upper")] {
        let whole = fs::read(source).expect("a handler");
        for _ in 0..20 {
            let mut bytes = whole.clone();
            for _ in 0..=random(4) {
                let at = 8 + random(bytes.len() - 8);
                bytes[at] = random(256) as u8;
            }
            if random(2) == 0 {
                bytes.truncate(8 + random(bytes.len() - 8));
            }
            let (_dir, path) = file("damaged.wasm", &bytes);
            is_harmless(&check_with("--json --cache off", &path));
        }
    }
    let (_dir, path) = file("cut.wasm", &fs::read(handler("upper")).expect("it")[..5000]);
    let said = json("", &path);
    assert_eq!(said["whole"], false, "{said}");
    assert_eq!(status(&said, "rfile", "read"), "given");
}

/// Types within types: whoever followed them would use up the stack.
#[test]
fn types_that_nest_end_the_compiler_and_not_the_report() {
    let depth = 1_000_000_u32;
    let mut section = vec![1];
    section.extend([0x42, 1, 1].repeat(depth as usize));
    let mut bytes = b"\0asm\x0d\0\x01\0\x07".to_vec();
    let mut length = section.len();
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(section);
    let (_dir, path) = file("types.wasm", bytes);
    let finished = check_with("", &path);
    is_harmless(&finished);
    finished.is_a_refusal(&["types.wasm"]);
    assert_eq!(json("", &path)["layer"], "component");
}
