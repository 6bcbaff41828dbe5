//! The two programs, served alike.

use super::scenario::{Concurrency, Scenario};
use crate::harness::{Serve, Server, Transport, python_server};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// CPython's `socketserver`.
    Python,
    /// sandsock as it is.
    Sandsock,
    /// sandsock with `--compat python`.
    Compat,
}

impl Side {
    /// All.
    pub(crate) const ALL: [Side; 3] = [Side::Python, Side::Sandsock, Side::Compat];
}

/// A scenario in one of its cells, played by one of the programs.
pub(crate) struct Stage<'a> {
    /// The scenario.
    pub(crate) scenario: &'a Scenario,
    /// What carries the requests.
    pub(crate) transport: Transport,
    /// How they are processed.
    pub(crate) concurrency: Concurrency,
    /// Who plays it.
    pub(crate) side: Side,
}

impl Stage<'_> {
    /// A server at an address of its own.
    pub(crate) fn start(&self) -> Server {
        let dir = TempDir::new().expect("a temporary folder");
        let address = self.transport.any_address(dir.path());
        self.try_start(&address, dir)
            .unwrap_or_else(|log| panic!("it does not listen:\n{}", log.join("\n")))
    }

    /// A server at this address; the log of one that could not be.
    pub(crate) fn start_at(&self, address: &str) -> Result<Server, Vec<String>> {
        self.try_start(address, TempDir::new().expect("a temporary folder"))
    }

    fn try_start(&self, address: &str, dir: TempDir) -> Result<Server, Vec<String>> {
        match self.side {
            Side::Python => Server::start(self.python(address), dir),
            Side::Sandsock => self.sandsock(address).try_start_in(dir),
            Side::Compat => self
                .sandsock(address)
                .with("--compat python")
                .try_start_in(dir),
        }
    }

    fn python(&self, address: &str) -> Command {
        let json = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
        let settings = json!({
            "address": address,
            "concurrency": self.concurrency.name(),
            "handler": self.scenario.handler.name(),
            "attributes": json(self.scenario.attributes),
            "handler_attributes": json(self.scenario.handler_attributes),
            "once": self.scenario.once,
        });
        let mut command = Command::new("python3");
        // -I -S: nothing of what is installed beside Python is read.
        command
            .args(["-I", "-S"])
            .arg(python_server())
            .arg(settings.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn sandsock(&self, address: &str) -> Serve {
        Serve::new(self.scenario.handler.file())
            .at(address)
            .with("--concurrency")
            .arg(self.concurrency.name())
            .with(self.scenario.options)
            .with(if self.scenario.once { "--once" } else { "" })
    }
}
