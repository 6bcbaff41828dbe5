//! Where the program, the handlers and the test's own files lie.

use std::env;
use std::fs::{DirBuilder, create_dir_all};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The workspace's root. What cargo says now counts, not what it said when this was built: a clone may
/// have been moved, or share its target folder with another.
pub(crate) fn workspace() -> PathBuf {
    let own =
        env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&own)
        .parent()
        .expect("tests/ lies in the workspace")
        .to_path_buf()
}

/// Where cargo builds: a clone's `target`, or what `CARGO_TARGET_DIR` says. The tests themselves lie in
/// it, in `release/deps`.
fn target() -> PathBuf {
    let tests = env::current_exe().expect("where the tests lie");
    tests
        .ancestors()
        .nth(3)
        .expect("three folders above them")
        .to_path_buf()
}

/// The program under test: `SANDSOCK_BIN`, or the release build.
pub(crate) fn program() -> PathBuf {
    let program = env::var_os("SANDSOCK_BIN")
        .map_or_else(|| target().join("release/sandsock"), PathBuf::from);
    built(program)
}

/// A shipped handler as a module.
pub(crate) fn handler(name: &str) -> PathBuf {
    built(target().join(format!("handlers/{name}.wasm")))
}

/// A shipped handler as a component.
pub(crate) fn handler_component(name: &str) -> PathBuf {
    built(target().join(format!("handlers/{name}.component.wasm")))
}

/// A program of `tests/guests` as a core module.
pub(crate) fn guest(name: &str) -> PathBuf {
    built(target().join(format!("test-guests/{name}.wasm")))
}

/// A program of `tests/guests` as a component.
pub(crate) fn guest_component(name: &str) -> PathBuf {
    built(target().join(format!("test-guests/{name}.component.wasm")))
}

/// The handler of `guest-sdk/conformance`, in a language whose compiler may not have been there.
pub(crate) fn language(file: &str) -> PathBuf {
    target().join("languages").join(file)
}

/// What `cargo xtask toolchains` has brought.
pub(crate) fn toolchains(path: &str) -> PathBuf {
    target().join("toolchains").join(path)
}

/// A handler of `tests/handlers`.
pub(crate) fn wat(name: &str) -> PathBuf {
    built(workspace().join(format!("tests/handlers/{name}.wat")))
}

/// A handler in the text format, in a folder of its own.
pub(crate) fn written(text: &str) -> (TempDir, PathBuf) {
    let dir = TempDir::new().expect("a temporary folder");
    let path = dir.path().join("handler.wat");
    std::fs::write(&path, text).expect("a file in it");
    (dir, path)
}

/// The server of `tests/parity` that CPython runs.
pub(crate) fn python_server() -> PathBuf {
    built(workspace().join("tests/parity/server.py"))
}

/// A file of `examples`.
pub(crate) fn example(path: &str) -> PathBuf {
    built(workspace().join("examples").join(path))
}

/// A program of `host/examples`.
pub(crate) fn example_program(name: &str) -> PathBuf {
    built(target().join("release/examples").join(name))
}

/// A cache folder for the servers of all tests, so that each handler is compiled once and nothing is
/// written to the home folder.
pub(crate) fn cache_home() -> PathBuf {
    let temporary = target().join("tmp");
    create_dir_all(&temporary).expect("cargo's folder for temporary files");
    let folder = temporary.join("cache-home");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .expect("a folder for the cache");
    folder
}

fn built(path: PathBuf) -> PathBuf {
    assert!(
        path.exists(),
        "{} is not there: run `cargo xtask test`, which builds it",
        path.display()
    );
    path
}
