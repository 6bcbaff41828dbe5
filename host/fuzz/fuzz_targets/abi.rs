//! Calls of the module ABI and of WASI preview 1, in any order, with any arguments, on any memory: a handler that
//! reads from its client which calls to make.
//! What an input has is said in `src/calls.rs`.
#![no_main]
#![forbid(unsafe_code)]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sandsock::WasmHandler;
use sandsock::config::Grants;
use sandsock_fuzz::{interpreter, load, serve};

static HANDLER: LazyLock<WasmHandler> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    fs::write(folder.join("file"), "some bytes\n").expect("a file");
    fs::create_dir(folder.join("folder")).expect("a folder");
    let grants = Grants {
        env: vec!["NAME=value".parse().expect("a variable")],
        dir: vec![
            format!("{}::/data", folder.display())
                .parse()
                .expect("a folder"),
        ],
        args: vec!["argument".to_owned()],
        ..Grants::default()
    };
    load(interpreter().as_bytes(), &grants).expect("a handler")
});

fuzz_target!(|input: &[u8]| serve(&HANDLER, input));
