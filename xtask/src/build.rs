//! Builds the program, the handlers and the guests of the tests.

use crate::layout::{self, crates, target};
use crate::run::{cargo, run, say};
use crate::targets::{self, COMPONENT, MODULE};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// The profiles of the root's Cargo.toml that are for handlers: small, and with lines for backtraces.
const SMALL: &str = "handler";
const WITH_LINES: &str = "handler-lines";

/// A crate, and the name of the file that its builds are copied to.
struct Guest {
    folder: PathBuf,
    name: String,
}

/// Builds the program; where it lies.
pub(crate) fn program() -> Result<PathBuf> {
    sandsock("release", layout::program()?)
}

/// Builds the program as it is deployed; where it lies.
pub(crate) fn deployed() -> Result<PathBuf> {
    sandsock("dist", target()?.join("dist/sandsock"))
}

fn sandsock(profile: &str, lies: PathBuf) -> Result<PathBuf> {
    if !lies.exists() {
        say("building the program; the first time this takes some minutes");
    }
    run(cargo().args(["build", "--profile", profile, "--package", "sandsock"]))?;
    Ok(lies)
}

/// Builds all handlers, each as a module and as a component.
pub(crate) fn handlers() -> Result<()> {
    let mut guests = handler_crates()?;
    guests.push(Guest {
        folder: layout::root().join("examples/inetd-command"),
        name: "rot13".into(),
    });
    wasm(&guests, "handlers")?;
    debugging()
}

/// The handlers of `examples/debugging`, whose backtraces name lines.
fn debugging() -> Result<()> {
    let guests = ["weekday", "weekday-fixed"].map(|name| Guest {
        folder: layout::root().join("examples/debugging").join(name),
        name: name.into(),
    });
    compile(&guests, MODULE, WITH_LINES, "handlers", "wasm")
}

/// Builds the handler `hello` as a module, which is all that a first look needs.
pub(crate) fn hello() -> Result<()> {
    targets::ensure()?;
    let hello = handler_crates()?
        .into_iter()
        .find(|guest| guest.name == "hello")
        .context("no hello")?;
    compile(&[hello], MODULE, SMALL, "handlers", "wasm")
}

/// Builds the programs of `tests/guests`.
pub(crate) fn test_guests() -> Result<()> {
    let named = |folder: PathBuf| Guest {
        name: file_name(&folder),
        folder,
    };
    let guests: Vec<Guest> = crates("tests/guests")?.into_iter().map(named).collect();
    wasm(&guests, "test-guests")?;
    // One of them with what a compiler knows of its lines.
    let hostile = guests.into_iter().find(|guest| guest.name == "hostile");
    let hostile = [hostile.context("no hostile")?];
    compile(&hostile, MODULE, WITH_LINES, "test-guests", "debug.wasm")?;
    compile(
        &hostile,
        COMPONENT,
        WITH_LINES,
        "test-guests",
        "debug.component.wasm",
    )
}

/// Builds the guest of the benchmark that ends as it is told: as cargo leaves it that nobody has told anything.
pub(crate) fn ends() -> Result<()> {
    let ends = Guest {
        folder: layout::root().join("tests/guests/ends"),
        name: "ends".into(),
    };
    targets::ensure()?;
    compile(&[ends], MODULE, "release", "test-guests", "release.wasm")
}

/// Builds what every SDK is held to, in Rust.
pub(crate) fn conformance() -> Result<()> {
    let rust = Guest {
        folder: layout::root().join("guest-sdk/rust/conformance"),
        name: "rust".into(),
    };
    wasm(&[rust], "languages")
}

fn handler_crates() -> Result<Vec<Guest>> {
    let named = |folder: PathBuf| Guest {
        name: file_name(&folder),
        folder,
    };
    let handlers: Vec<Guest> = crates("handlers")?.into_iter().map(named).collect();
    if handlers.is_empty() {
        bail!("handlers/ has no crate in it: is this a whole clone?");
    }
    Ok(handlers)
}

fn wasm(guests: &[Guest], destination: &str) -> Result<()> {
    targets::ensure()?;
    compile(guests, MODULE, SMALL, destination, "wasm")?;
    compile(guests, COMPONENT, SMALL, destination, "component.wasm")
}

/// One call of cargo for all of them, so that they share what they have in common.
fn compile(
    guests: &[Guest],
    triple: &str,
    profile: &str,
    destination: &str,
    ending: &str,
) -> Result<()> {
    let packages: Vec<String> = guests
        .iter()
        .map(|guest| package(&guest.folder))
        .collect::<Result<_>>()?;
    let mut build = cargo();
    build.args(["build", "--profile", profile, "--target", triple]);
    for package in &packages {
        build.args(["--package", package]);
    }
    run(&mut build)?;

    let built = target()?.join(triple).join(profile);
    let destination = target()?.join(destination);
    fs::create_dir_all(&destination)
        .with_context(|| format!("cannot make {}", destination.display()))?;
    for (guest, package) in guests.iter().zip(&packages) {
        // A library's file has underscores for hyphens, a program's has not.
        let candidates = [package.replace('-', "_"), package.clone()];
        let from = candidates
            .iter()
            .map(|name| built.join(name).with_extension("wasm"))
            .find(|path| path.is_file())
            .with_context(|| format!("{package} has built no .wasm in {}", built.display()))?;
        let to = destination.join(format!("{}.{ending}", guest.name));
        // First beside it: a server that is started now finds the old file or the new one, whole.
        let beside = to.with_extension("new");
        fs::copy(&from, &beside)
            .and_then(|_| fs::rename(&beside, &to))
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    }
    say(format!(
        "{}: {}",
        layout::shown(&destination),
        names(guests, ending)
    ));
    Ok(())
}

fn names(guests: &[Guest], ending: &str) -> String {
    let names: Vec<String> = guests
        .iter()
        .map(|guest| format!("{}.{ending}", guest.name))
        .collect();
    names.join(" ")
}

/// The name in a crate's manifest.
fn package(folder: &Path) -> Result<String> {
    let manifest = folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
        .map(str::to_owned)
        .with_context(|| format!("no name in {}", manifest.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
