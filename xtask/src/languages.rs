//! The handler of `guest-sdk/conformance`, built in every language whose compiler is there.

use crate::build;
use crate::layout::{root, target};
use crate::run::{run, say};
use crate::toolchains;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// What is built in a folder of `guest-sdk`. Rust is built and tested as all that is Rust.
struct Language {
    folder: &'static str,
    compiler: &'static str,
    /// The SDK's own tests, without a server.
    tests: &'static str,
}

const LANGUAGES: [Language; 6] = [
    Language {
        folder: "c",
        compiler: "zig",
        tests: "make -C tests",
    },
    Language {
        folder: "zig",
        compiler: "zig",
        tests: "zig test --dep sandsock -Mroot=tests.zig -Msandsock=sandsock.zig",
    },
    Language {
        folder: "go",
        compiler: "go",
        tests: "go test .",
    },
    Language {
        folder: "assemblyscript",
        compiler: "asc",
        tests: "npm test",
    },
    Language {
        folder: "python",
        compiler: "componentize-py",
        tests: "python3 -m unittest discover",
    },
    Language {
        folder: "javascript",
        compiler: "componentize-js",
        tests: "node --test test/*.test.js",
    },
];

/// Builds `target/languages/LANGUAGE.wasm`, where it is older than what it is made of.
pub(crate) fn build() -> Result<()> {
    build::conformance()?;
    let destination = target()?.join("languages");
    fs::create_dir_all(&destination)?;
    for language in LANGUAGES {
        let Language {
            folder, compiler, ..
        } = language;
        let source = root().join("guest-sdk").join(folder);
        let built = destination.join(folder).with_extension("wasm");
        if !is_there(compiler)? {
            say(format!(
                "SKIPPED: {folder}, since `{compiler}` is not there: `cargo xtask toolchains` brings it"
            ));
            let _ = fs::remove_file(&built);
            continue;
        }
        if age(&built)? > newest(&source)? {
            continue;
        }
        compile(&language, &source, &built)?;
    }
    Ok(())
}

/// In a copy, so that nothing that compilers leave behind is left in the sources.
fn compile(language: &Language, source: &Path, built: &Path) -> Result<()> {
    let folder = language.folder;
    let sources = target()?.join("languages/sources");
    let copy = sources.join("guest-sdk").join(folder);
    say(format!(
        "{folder}: the tests of the SDK, and the conformance handler"
    ));
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    copy_folder(source, &copy)?;
    copy_folder(&root().join("wit"), &sources.join("wit"))?;
    let caches = target()?.join("languages/caches");
    let shell = |command: &str, folder: PathBuf| -> Result<()> {
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", command, "sh"])
            .arg(built)
            .current_dir(folder)
            .env("PATH", toolchains::path()?)
            .env("ZIG_GLOBAL_CACHE_DIR", caches.join("zig"))
            .env("ZIG_LOCAL_CACHE_DIR", caches.join("zig"))
            .env("GOCACHE", caches.join("go"))
            .env("GOPATH", caches.join("gopath"))
            .env("GOTOOLCHAIN", "local");
        run(&mut shell)
    };
    shell(language.tests, copy.clone())?;
    shell(". ./build.sh", copy.join("conformance"))?;
    if !built.is_file() {
        bail!(
            "guest-sdk/{folder}/conformance/build.sh has not made {}",
            built.display()
        );
    }
    Ok(())
}

fn is_there(compiler: &str) -> Result<bool> {
    let path = toolchains::path()?;
    Ok(std::env::split_paths(&path).any(|folder| folder.join(compiler).is_file()))
}

/// When a file was changed; long ago where there is none.
fn age(file: &Path) -> Result<SystemTime> {
    match fs::metadata(file) {
        Ok(found) => Ok(found.modified()?),
        Err(_) => Ok(SystemTime::UNIX_EPOCH),
    }
}

/// When the last of the files was changed.
fn newest(folder: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let found = match path.is_dir() {
            true => self::newest(&path)?,
            false => age(&path)?,
        };
        newest = newest.max(found);
    }
    Ok(newest)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_folder(&entry.path(), &copy)?,
            false => drop(fs::copy(entry.path(), copy)?),
        }
    }
    Ok(())
}
