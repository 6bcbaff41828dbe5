//! Behind the sandbox: what the process itself gives up, so that code that breaks out of WebAssembly finds
//! itself in a process that may do little.
//!
//! In this order: the user and the group ([`become_user`]); capabilities, core dumps, and whatever a new
//! program could gain ([`give_up_rights`]); files, TCP ports and signals by Landlock, and system calls by
//! seccomp ([`confine_program`]). A process that forks for each request gives up more
//! ([`confine_forker`]): its children have no new sockets, no files, no programs, no processes, and no signals to others.
//!
//! All of it is the process's own, and what is given up cannot be had back. A call is for the thread that
//! makes it, and for the threads and processes that this one starts afterwards: make it before there are any.

mod calls;
mod files;
mod rights;

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;

pub(crate) use calls::{VIOLATION, call_name, confine_child};
pub use rights::{become_user, give_up_rights};

/// Whether the process is hardened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Harden {
    /// As far as the kernel can
    #[default]
    Auto,
    /// Or not at all: what the kernel lacks is an error
    Require,
    /// As far as the kernel can, but let system calls through that are not allowed: the kernel's own log (dmesg(1), audit) tells of
    /// each. For finding what is missing, not for service
    Log,
    /// Leave the process as it is
    Off,
}

impl Harden {
    /// The word of the option.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Harden::Auto => "auto",
            Harden::Require => "require",
            Harden::Log => "log",
            Harden::Off => "off",
        }
    }
}

/// Why a process is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HardenError(String);

/// What a process still needs of the system. All else is refused, where the kernel knows how.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Files, and folders with all that is in them, that are read.
    pub read: Vec<PathBuf>,
    /// Folders in which anything may be changed, but no program started.
    pub change: Vec<PathBuf>,
    /// Folders from which files are removed.
    pub remove: Vec<PathBuf>,
    /// Programs that are started, and folders of such.
    pub execute: Vec<PathBuf>,
    /// TCP ports that are connected to.
    pub connect: Vec<u16>,
    /// Whether datagrams go to Unix sockets of others, whatever their names are.
    pub unix_clients: bool,
    /// System calls beside those that are known to be made.
    pub calls: Vec<SystemCall>,
}

/// A system call, by its name or number: `getrandom`, `318`. Names are those of the calls that hardening knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemCall(i64);

impl FromStr for SystemCall {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse::<u16>().ok().map(i64::from);
        number
            .or_else(|| calls::call_number(text))
            .map(SystemCall)
            .ok_or_else(|| format!("no call of this name is known: write its number here, which the kernel's log says, and `ausyscall {text}`"))
    }
}

impl Needs {
    fn has_files(&self) -> bool {
        !(self.read.is_empty() && self.change.is_empty())
    }
}

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// What the kernel does of Landlock: `abi 6`, or why there is nothing.
    pub landlock: String,
    /// Whether system calls are filtered.
    pub seccomp: bool,
    /// What the kernel, or the processor's port of it, does not know.
    pub lacks: Vec<String>,
}

impl InForce {
    fn lacks(&mut self, what: &str) {
        if !self.lacks.iter().any(|known| known == what) {
            self.lacks.push(what.to_owned());
        }
    }

    /// # Errors
    ///
    /// Something is lacking that is required.
    fn check(self, harden: Harden) -> Result<Self, HardenError> {
        match harden {
            Harden::Require if !self.lacks.is_empty() => Err(HardenError(format!(
                "--harden require: this kernel has no {}; use a newer one, or --harden auto",
                self.lacks.join(", no ")
            ))),
            _ => Ok(self),
        }
    }
}

/// For a program that serves, and may start others that it `needs`.
///
/// # Errors
///
/// Something is lacking that is required, or the kernel refuses what it knows.
pub fn confine_program(harden: Harden, needs: &Needs) -> Result<InForce, HardenError> {
    if harden == Harden::Off {
        return Ok(InForce::default());
    }
    let mut in_force = InForce::default();
    files::confine(needs, &mut in_force)?;
    calls::confine_program(harden, needs, &mut in_force)?;
    in_force.check(harden)
}

/// For a process with one thread that forks for each request: what the children have, which it has itself
/// as well, but for signals and processes. A child that makes any other system call is ended. A [`crate::Server`] makes what
/// it shares with its children at its first request: let it serve one before.
///
/// # Errors
///
/// As [`confine_program`].
pub fn confine_forker(harden: Harden, needs: &Needs) -> Result<InForce, HardenError> {
    if harden == Harden::Off {
        return Ok(InForce::default());
    }
    let mut in_force = InForce::default();
    files::confine(needs, &mut in_force)?;
    calls::confine_forker(harden, needs, &mut in_force)?;
    in_force.check(harden)
}

/// For a process that compiles what it has read already, with threads of its own, and may run what it has compiled.
///
/// # Errors
///
/// As [`confine_program`].
pub fn confine_compiler(harden: Harden, runs_code: bool) -> Result<InForce, HardenError> {
    if harden == Harden::Off {
        return Ok(InForce::default());
    }
    let mut in_force = InForce::default();
    files::confine(&Needs::default(), &mut in_force)?;
    calls::confine_compiler(harden, runs_code, &mut in_force)?;
    in_force.check(harden)
}
