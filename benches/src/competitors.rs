//! The servers: who they are, how they are started, and what they answer.

use crate::server::Server;
use crate::world::{World, installed};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// Who serves.
#[derive(Clone, Copy, Debug)]
pub enum Program {
    /// sandsock with a handler, by its path in the target folder, and a concurrency.
    Sandsock(&'static str, &'static str),
    /// `bench-native`, by its mode.
    Native(&'static str),
    /// A class of Python's `socketserver`.
    Python(&'static str),
    /// ucspi-tcp's `tcpserver` with cat(1).
    Tcpserver,
}

/// A handler of the kind *module*, with the Rust SDK.
pub const MODULE: &str = "handlers/echo.wasm";
/// The same source as a component.
pub const COMPONENT: &str = "handlers/echo.component.wasm";
/// A program that knows nothing of sandsock. It turns letters by thirteen places, besides.
pub const COMMAND: &str = "handlers/rot13.wasm";

/// What a client of a short connection sends.
pub const MESSAGE: &[u8] = b"hello,server\n";

/// One of those that are compared.
#[derive(Clone, Debug)]
pub struct Competitor {
    /// As the report calls it.
    pub name: &'static str,
    /// What it is.
    pub program: Program,
    /// `udp` in place of `tcp`, which only sandsock has to be told.
    pub scheme: &'static str,
    /// More options of sandsock.
    pub options: Vec<&'static str>,
}

impl Competitor {
    /// Over TCP, as it is.
    pub fn new(name: &'static str, program: Program) -> Self {
        Competitor {
            name,
            program,
            scheme: "tcp",
            options: vec!["-q"],
        }
    }

    /// Over UDP.
    #[must_use]
    pub fn over_udp(mut self) -> Self {
        self.scheme = "udp";
        self
    }

    /// With other options than `-q`, where it is sandsock.
    #[must_use]
    pub fn with(mut self, options: &[&'static str]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// What it answers to [`MESSAGE`].
    pub fn reply(&self) -> &'static [u8] {
        match self.program {
            Program::Sandsock(COMMAND, _) => b"uryyb,freire\n",
            _ => MESSAGE,
        }
    }

    /// Why it cannot be measured here, if so.
    pub fn lacks(&self, world: &World) -> Option<String> {
        match self.program {
            Program::Sandsock(handler, _) => {
                let is_there = world.handler(handler).is_some();
                let how = "`cargo xtask bench` makes it, with what `cargo xtask toolchains` brings";
                (!is_there).then(|| format!("target/{handler} is not there: {how}"))
            }
            Program::Native(_) => None,
            Program::Python(_) => world
                .python
                .is_none()
                .then(|| "python3 is not installed".to_owned()),
            Program::Tcpserver => installed("tcpserver")
                .is_none()
                .then(|| "tcpserver is not installed (Debian: the package ucspi-tcp)".to_owned()),
        }
    }

    /// Its command line.
    pub fn command(&self, world: &World) -> Result<Command> {
        Ok(match self.program {
            Program::Sandsock(handler, concurrency) => {
                let handler = world.handler(handler).context("no handler")?;
                let mut command = Command::new(&world.sandsock);
                command
                    .args(["serve", "--backlog", "1024", "--concurrency", concurrency])
                    .arg("--cache")
                    .arg(world.cache())
                    .args(&self.options)
                    .arg(format!("{}://127.0.0.1:0", self.scheme))
                    .arg(handler);
                command
            }
            Program::Native(how) => {
                let mut command = Command::new(world.program("bench-native"));
                command.arg(how);
                command
            }
            Program::Python(class) => {
                let python: &PathBuf = world.python.as_ref().context("no python3")?;
                let mut command = Command::new(python);
                command
                    .arg(world.root.join("benches/servers.py"))
                    .arg(class);
                command
            }
            // The port on standard output; no look-ups; a queue as long as the others'.
            Program::Tcpserver => {
                let mut command = Command::new("tcpserver");
                command.args(["-1", "-q", "-H", "-R", "-l", "localhost", "-b", "1024"]);
                command.args(["127.0.0.1", "0", "cat"]);
                command
            }
        })
    }

    /// Started, and listening.
    pub fn start(&self, world: &World) -> Result<Server> {
        Server::start(&mut self.command(world)?)
    }
}
