//! Names and debug information of any form, which the report of a trap is made of: a table within its bound, in bounded time
//! (`-timeout`) and memory (`-rss_limit_mb`), and a look-up that ends.
#![no_main]
#![forbid(unsafe_code)]

use std::borrow::Cow;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sandsock::parts::symbol_tables;
use wasm_encoder::{CodeSection, CustomSection, Function, FunctionSection, Module, TypeSection};

/// The longest table, and the most functions for one place: what docs/debugging.md and SECURITY.md promise.
const LONGEST: usize = 16 << 20;
const MOST: usize = 24;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    /// A file, as it is.
    File(&'a [u8]),
    /// The custom sections of one whose code is nothing special.
    Sections {
        functions: u8,
        abbrev: &'a [u8],
        info: &'a [u8],
        line: &'a [u8],
        ranges: &'a [u8],
        strings: &'a [u8],
        names: &'a [u8],
    },
}

fn file(input: Input<'_>) -> Vec<u8> {
    let (count, sections) = match input {
        Input::File(bytes) => return bytes.to_vec(),
        Input::Sections {
            functions,
            abbrev,
            info,
            line,
            ranges,
            strings,
            names,
        } => (
            functions,
            [
                (".debug_abbrev", abbrev),
                (".debug_info", info),
                (".debug_line", line),
                (".debug_ranges", ranges),
                (".debug_rnglists", ranges),
                (".debug_str", strings),
                (".debug_line_str", strings),
                ("name", names),
            ],
        ),
    };
    let (mut types, mut functions, mut code) = (
        TypeSection::new(),
        FunctionSection::new(),
        CodeSection::new(),
    );
    types.ty().function([], []);
    for _ in 0..count {
        functions.function(0);
        let mut body = Function::new([]);
        body.instructions().nop().nop().end();
        code.function(&body);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    for (name, data) in sections {
        module.section(&CustomSection {
            name: Cow::Borrowed(name),
            data: Cow::Borrowed(data),
        });
    }
    module.finish()
}

fuzz_target!(|input: Input<'_>| {
    let wasm = file(input);
    let end = u32::try_from(wasm.len()).unwrap_or(u32::MAX).min(4096);
    let found = symbol_tables(&wasm, 0..end);
    assert!(found.length <= LONGEST, "{found:?}");
    assert!(found.functions <= MOST, "{found:?}");
});
