//! Where the programs and handlers lie, and how much is measured.

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What there is to measure with.
pub struct World {
    /// Where cargo builds: `release/`, `handlers/` and `languages/` lie there.
    pub target: PathBuf,
    /// The workspace.
    pub root: PathBuf,
    /// The program that is measured.
    pub sandsock: PathBuf,
    /// Python's interpreter itself, not a script that looks for one.
    pub python: Option<PathBuf>,
    /// Its version.
    pub python_version: String,
    /// Descriptors that a process may have open.
    pub descriptors: u64,
}

impl World {
    /// Looks for all of it, and raises the limit on descriptors for this process and those that it starts.
    pub fn look(root: PathBuf, sandsock: PathBuf) -> Result<Self> {
        let program = std::env::current_exe().context("where does this program lie?")?;
        let target = program
            .ancestors()
            .nth(2)
            .context("this program does not lie in a target folder: run `cargo xtask bench`")?;
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("cannot raise RLIMIT_NOFILE")?;
        let (python, python_version) = python().unzip();
        let world = World {
            target: target.to_path_buf(),
            root,
            sandsock,
            python,
            python_version: python_version.unwrap_or_default(),
            descriptors: hard,
        };
        for needed in [&world.sandsock, &world.target.join("handlers/echo.wasm")] {
            if !needed.is_file() {
                let needed = needed.display();
                bail!("{needed} is not there: `cargo xtask bench` builds it");
            }
        }
        Ok(world)
    }

    /// A program of the benchmark's.
    pub fn program(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// A built handler, by its path in the target folder; `None` where it has not been built.
    pub fn handler(&self, path: &str) -> Option<PathBuf> {
        let path = self.target.join(path);
        path.is_file().then_some(path)
    }

    /// The folder of compiled code, which outlives a run: an interpreter of 18 MB takes long.
    pub fn cache(&self) -> PathBuf {
        self.target.join("bench-cache")
    }
}

fn python() -> Option<(PathBuf, String)> {
    let ask = "import sys, platform; print(sys.executable); print(platform.python_version())";
    let output = Command::new("python3").args(["-c", ask]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut lines = text.lines();
    Some((lines.next()?.into(), lines.next()?.to_owned()))
}

/// A program along the PATH.
pub fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| Path::is_file(file))
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// How often everything is measured, in turn.
    pub rounds: usize,
    /// Load before a measurement.
    pub warm: Duration,
    /// Load that is measured.
    pub time: Duration,
    /// Connections held idle.
    pub held: usize,
    /// Starts of a server in a measurement of starting.
    pub starts: usize,
    /// Requests of a handler in memory.
    pub in_memory: usize,
}

impl Amount {
    /// What the figures of a report are taken from.
    pub const LONG: Amount = Amount {
        rounds: 5,
        warm: Duration::from_millis(500),
        time: Duration::from_secs(2),
        held: 6000,
        starts: 9,
        in_memory: 20_000,
    };

    /// What shows that all of it still works: about a minute.
    pub const SHORT: Amount = Amount {
        rounds: 1,
        warm: Duration::from_millis(30),
        time: Duration::from_millis(150),
        held: 1000,
        starts: 1,
        in_memory: 500,
    };
}
