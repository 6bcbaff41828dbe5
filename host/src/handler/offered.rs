//! What the host has for each import of a file: it is given, a grant decides what it reaches, or it is not there.
//!
//! What is offered to core modules is what their linker has; for components `component.rs` asks theirs.

use std::sync::Arc;

use wasmtime::{Engine, Linker, Store};

use super::abi;
use super::inspect::Import;
use super::load::Kind;
use super::module::signature;
use super::nearest::nearest_in_modules;
use crate::config::{Grants, Limits};
use crate::request::{InMemory, Request};
use crate::sandbox::{Guest, Stdio, link_preview1};

/// What becomes of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It is there, and does what it says.
    Given,
    /// It is there, but reaches nothing without this option.
    NeedsGrant(&'static str),
    /// It is there, and every call fails, for this reason.
    Denied(&'static str),
    /// It is there with another type; which, or how they differ.
    Mistyped(String),
    /// It is not there; what may have been meant.
    NotOffered(Option<String>),
}

/// The options that grant what an import reaches.
const DIR: &str = "--dir HOST::GUEST";
const ENV: &str = "--env K=V";
const CONNECT: &str = "--allow-connect HOST:PORT";

/// What the operator grants, as far as imports go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    folders: bool,
    environment: bool,
    network: bool,
}

impl Granted {
    /// A command finds its client's address in its environment, whatever is granted.
    pub(super) fn new(grants: &Grants, kind: Option<Kind>) -> Self {
        Granted {
            folders: !grants.dir.is_empty(),
            environment: kind == Some(Kind::Command)
                || !(grants.env.is_empty() && grants.inherit_env.is_empty()),
            network: !grants.allow_connect.is_empty(),
        }
    }

    /// An import of a module that is there.
    fn of_module(self, module: &str, name: &str) -> Status {
        if module != "wasi_snapshot_preview1" {
            return Status::Given;
        }
        match name {
            "fd_readdir" => self.folders(),
            _ if name.starts_with("path_") => self.folders(),
            _ if name.starts_with("environ_") => needs(self.environment, ENV),
            _ if name.starts_with("sock_") => {
                Status::Denied("a core module has no sockets: build it as a component")
            }
            _ => Status::Given,
        }
    }

    /// An interface that is there, without its version.
    pub(super) fn of_interface(self, interface: &str) -> Status {
        match interface.split_once('/') {
            Some(("wasi:filesystem", _)) => self.folders(),
            Some(("wasi:cli", "environment")) => needs(self.environment, ENV),
            Some(("wasi:sockets", "udp" | "udp-create-socket")) => {
                Status::Denied("there is no UDP for handlers")
            }
            Some(("wasi:sockets", _)) => needs(self.network, CONNECT),
            _ => Status::Given,
        }
    }

    fn folders(self) -> Status {
        needs(self.folders, DIR)
    }
}

fn needs(is_granted: bool, option: &'static str) -> Status {
    match is_granted {
        true => Status::Given,
        false => Status::NeedsGrant(option),
    }
}

/// What core modules can import, with the types.
pub(super) struct OfferedToModules(Vec<Import>);

impl OfferedToModules {
    /// Asks the linker that serves them.
    pub(super) fn new(engine: &Engine) -> wasmtime::Result<Self> {
        let linker = linker(engine)?;
        let mut store = type_store(engine)?;
        let found: Vec<_> = linker
            .iter(&mut store)
            .map(|(from, name, found)| (from.to_owned(), name.to_owned(), found))
            .collect();
        let mut offered: Vec<_> = found
            .into_iter()
            .map(|(from, name, found)| Import {
                from,
                name,
                ty: signature(&found.ty(&store)),
            })
            .collect();
        offered.sort_by(|a, b| (&a.from, &a.name).cmp(&(&b.from, &b.name)));
        Ok(OfferedToModules(offered))
    }

    pub(super) fn status(&self, import: &Import, granted: Granted) -> Status {
        let of_that_name = self
            .0
            .iter()
            .find(|offered| offered.from == import.from && offered.name == import.name);
        match of_that_name {
            None => Status::NotOffered(
                self.nearest(&import.from, &import.name)
                    .map(|(module, name)| format!("{module} {name}")),
            ),
            Some(offered) if offered.ty != import.ty => {
                Status::Mistyped(format!("the host has {}", offered.ty))
            }
            Some(_) => granted.of_module(&import.from, &import.name),
        }
    }

    /// Module and name that may have been meant.
    pub(super) fn nearest(&self, module: &str, name: &str) -> Option<(&str, &str)> {
        let offered = self
            .0
            .iter()
            .map(|offered| (&*offered.from, &*offered.name));
        nearest_in_modules((module, name), offered)
    }
}

/// Everything that a core module is given.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    link_preview1(&mut linker)?;
    abi::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// A store in which types can be looked at; nothing runs in it.
pub(super) fn type_store(engine: &Engine) -> wasmtime::Result<Store<Guest>> {
    Guest::store(
        engine,
        &Arc::new(Request::in_memory(InMemory::default(), &Limits::default())),
        0,
        &Arc::default(),
        Stdio::Log,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Engines, Ticker};

    fn offered() -> OfferedToModules {
        OfferedToModules::new(&Engines::compiling(Ticker::Child).unwrap()).unwrap()
    }

    fn import(from: &str, name: &str, ty: &str) -> Import {
        Import {
            from: from.to_owned(),
            name: name.to_owned(),
            ty: ty.to_owned(),
        }
    }

    #[test]
    fn the_linker_says_what_there_is() {
        let offered = offered();
        let nothing = Granted::new(&Grants::default(), None);
        let read = import("rfile", "read", "(i32, i32) -> (i32)");
        assert_eq!(Status::Given, offered.status(&read, nothing));
        let mistyped = import("rfile", "read", "(i64) -> (i32)");
        assert_eq!(
            Status::Mistyped(format!("the host has {}", read.ty)),
            offered.status(&mistyped, nothing)
        );
        let unknown = import("rfile", "raed", "(i32, i32) -> (i32)");
        assert_eq!(
            Status::NotOffered(Some("rfile read".to_owned())),
            offered.status(&unknown, nothing)
        );
    }

    /// The names by which grants are told apart are names that there are.
    #[test]
    fn each_grant_has_imports_that_it_decides() {
        let nothing = Granted::new(&Grants::default(), None);
        let offered = offered();
        let decided = |status: Status| {
            let all = offered.0.iter();
            all.filter(|import| offered.status(import, nothing) == status)
                .count()
        };
        assert!(decided(Status::NeedsGrant(DIR)) > 5);
        assert_eq!(2, decided(Status::NeedsGrant(ENV)));
        let denied = offered
            .0
            .iter()
            .filter(|import| matches!(offered.status(import, nothing), Status::Denied(_)));
        assert!(denied.count() > 1);
        assert!(decided(Status::Given) > 20);
    }
}
