//! What a component asks for and gives, interface by interface, and what of it the host has.

mod linked;
mod types;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use super::inspect::{Export, MOST};
use super::nearest::nearest;
use crate::sandbox::Guest;
use crate::text::{self, quoted};
use linked::{Linked, find_mistyped};
use types::item_type;

/// Interfaces that are offered, and the versions that are compatible with them.
const OFFERED: [(&str, &str, &[&str]); 7] = [
    (
        "socketserver:handler",
        "1.",
        &["types", "rfile", "wfile", "request"],
    ),
    (
        "wasi:cli",
        "0.2.",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("wasi:clocks", "0.2.", &["monotonic-clock", "wall-clock"]),
    ("wasi:filesystem", "0.2.", &["preopens", "types"]),
    ("wasi:io", "0.2.", &["error", "poll", "streams"]),
    (
        "wasi:random",
        "0.2.",
        &["random", "insecure", "insecure-seed"],
    ),
    (
        "wasi:sockets",
        "0.2.",
        &[
            "instance-network",
            "ip-name-lookup",
            "network",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
        ],
    ),
];

/// Whether a name such as `wasi:io/poll@0.2.3` is one of them.
pub(super) fn is_offered(name: &str) -> bool {
    let Some((name, version)) = name.split_once('@') else {
        return false;
    };
    OFFERED.iter().any(|(package, compatible, interfaces)| {
        version.starts_with(compatible)
            && name
                .strip_prefix(package)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|interface| interfaces.contains(&interface))
    })
}

/// What a person would look for in the place of something that is not there.
const HOST_HAS: &str = "the host has socketserver:handler@1.0.0 and wasi:cli/imports@0.2";

/// An import of a component.
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) is_offered: bool,
    /// Its functions and resources. Types have no say in whether it links.
    pub(super) items: Vec<AskedItem>,
}

/// A function or resource of an import.
pub(super) struct AskedItem {
    pub(super) name: String,
    pub(super) ty: String,
    is_function: bool,
    pub(super) fit: Fit,
}

/// What the host has for it.
#[derive(PartialEq, Eq)]
pub(super) enum Fit {
    Same,
    /// It has another type; how they differ.
    Mistyped(String),
    Missing,
}

impl Asked {
    /// Why a component with this import is not served.
    pub(super) fn problems(&self) -> Vec<String> {
        let name = quoted(&self.name);
        if !self.is_offered {
            let nearest = match nearest_interface(&self.name) {
                Some(interface) => format!("the nearest is `{interface}`; "),
                None => String::new(),
            };
            return vec![format!("import {name} is not offered; {nearest}{HOST_HAS}")];
        }
        let problems = self.items.iter().filter_map(|item| {
            let item_name = quoted(&item.name);
            match &item.fit {
                Fit::Same => None,
                Fit::Mistyped(difference) => Some(format!(
                    "import {name} {item_name} is {}, which is not the host's: {difference}",
                    item.ty
                )),
                Fit::Missing => Some(format!(
                    "import {name} {item_name} is not offered: the host's interface has nothing of that name; {HOST_HAS}"
                )),
            }
        });
        problems.collect()
    }
}

/// The interface that may have been meant, as far as its version counts.
pub(super) fn nearest_interface(name: &str) -> Option<String> {
    let wanted = without_version(name);
    let offered: Vec<_> = OFFERED
        .iter()
        .flat_map(|(package, compatible, interfaces)| {
            interfaces
                .iter()
                .map(move |interface| (format!("{package}/{interface}"), *compatible))
        })
        .collect();
    let found = nearest(wanted, offered.iter().map(|(name, _)| &**name))?;
    let (_, compatible) = offered.iter().find(|(name, _)| name == found)?;
    Some(format!("{found}@{}", compatible.trim_end_matches('.')))
}

/// A name such as `wasi:io/poll@0.2.3` as far as the `@`.
pub(super) fn without_version(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// Everything that a component imports, and what of it `linker` has.
///
/// # Errors
///
/// No memory is left.
pub(super) fn asked(component: &Component, linker: &Linker<Guest>) -> wasmtime::Result<Vec<Asked>> {
    let engine = component.engine();
    let component_type = component.component_type();
    let mut all = Vec::new();
    for (name, import) in component_type.imports(engine).take(MOST) {
        let is_offered = is_offered(name);
        let mut items = Vec::new();
        if let ComponentItem::ComponentInstance(instance) = import.ty {
            let mut linked = match is_offered {
                true => Linked::find(name, linker),
                false => None,
            };
            for (item, found) in instance.exports(engine).take(MOST) {
                if matches!(found.ty, ComponentItem::Type(_)) {
                    continue;
                }
                items.push(AskedItem {
                    name: text::name(item),
                    ty: item_type(engine, &found.ty),
                    is_function: matches!(found.ty, ComponentItem::ComponentFunc(_)),
                    fit: match (&found.ty, &mut linked) {
                        (ComponentItem::ComponentFunc(_), Some(linked)) => linked.has(item),
                        // Of a resource it is the functions that make it, and they are asked for.
                        (ComponentItem::Resource(_), Some(_)) => Fit::Same,
                        _ => Fit::Missing,
                    },
                });
            }
        }
        all.push(Asked {
            name: text::name(name),
            is_offered,
            items,
        });
    }
    if all.iter().all(|asked| asked.problems().is_empty()) {
        find_mistyped(component, linker, &mut all)?;
    }
    Ok(all)
}

/// What a component gives.
pub(super) fn exports(component: &Component) -> Vec<Export> {
    let engine = component.engine();
    let component_type = component.component_type();
    let exports = component_type.exports(engine);
    exports
        .filter(|(_, found)| !matches!(found.ty, ComponentItem::Type(_)))
        .take(MOST)
        .map(|(name, found)| Export {
            name: text::name(name),
            ty: item_type(engine, &found.ty),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::component::linker;
    use crate::sandbox::{Engines, Ticker};

    fn asked_by(text: &str) -> Vec<Asked> {
        let engine = Engines::compiling(Ticker::Child).unwrap();
        let component = Component::new(&engine, text).unwrap();
        asked(&component, &linker(&engine).unwrap()).unwrap()
    }

    #[test]
    fn what_is_said_to_be_offered_is_in_the_linker() {
        let engine = Engines::compiling(Ticker::Child).unwrap();
        let linker = linker(&engine).unwrap();
        for (package, compatible, interfaces) in OFFERED {
            for interface in interfaces {
                let dots = if package.starts_with("wasi") {
                    "0"
                } else {
                    "0.0"
                };
                let name = format!("{package}/{interface}@{compatible}{dots}");
                assert!(is_offered(&name), "{name}");
                assert!(Linked::find(&name, &linker).is_some(), "{name}");
            }
        }
        assert!(Linked::find("wasi:io/pole@0.2.0", &linker).is_none());
    }

    #[test]
    fn a_function_that_an_interface_has_not_is_named() {
        let asked = asked_by(
            r#"(component
                (import "wasi:random/random@0.2.1" (instance
                    (export "get-random-u64" (func (result u64)))
                    (export "get-luck" (func))))
                (import "socketserver:handler/rfile@1.0.0" (instance (export "raed" (func)))))"#,
        );
        let problems: Vec<_> = asked.iter().flat_map(Asked::problems).collect();
        assert_eq!(2, problems.len(), "{problems:?}");
        assert!(problems[0].contains("get-luck"), "{problems:?}");
        assert!(problems[1].contains("raed"), "{problems:?}");
    }

    #[test]
    fn each_function_of_another_type_is_named() {
        let asked = asked_by(
            r#"(component
                (import "wasi:random/random@0.2.1" (instance
                    (export "get-random-u64" (func (result u32)))
                    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
                (import "wasi:io/poll@0.2.1" (instance
                    (export "pollable" (type $pollable (sub resource)))
                    (export "[method]pollable.ready"
                        (func (param "self" (borrow $pollable)) (result u8)))
                    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
                (import "socketserver:handler/request@1.0.0" (instance
                    (export "id" (func (result u64)))
                    (export "set-nodelay" (func (param "on" u8))))))"#,
        );
        let problems: Vec<_> = asked.iter().flat_map(Asked::problems).collect();
        assert_eq!(3, problems.len(), "{problems:?}");
        assert!(problems[0].contains("get-random-u64"), "{problems:?}");
        assert!(problems[1].contains("pollable.ready"), "{problems:?}");
        assert!(problems[2].contains("set-nodelay"), "{problems:?}");
    }

    #[test]
    fn the_nearest_interface_has_the_version_that_links() {
        for (wanted, nearest) in [
            ("wasi:io/poll@0.3.0", Some("wasi:io/poll@0.2")),
            (
                "wasi:cli/environmnet@0.2.3",
                Some("wasi:cli/environment@0.2"),
            ),
            (
                "socketserver:handler/rfile@2.0.0",
                Some("socketserver:handler/rfile@1"),
            ),
            ("wasi:http/outgoing-handler@0.2.3", None),
            ("acme:bank/vault@1.0.0", None),
        ] {
            assert_eq!(nearest, nearest_interface(wanted).as_deref(), "{wanted}");
        }
    }

    #[test]
    fn types_are_written_as_wit_does() {
        let asked = asked_by(
            r#"(component (import "acme:bank/vault@1.0.0" (instance
                (export "f" (func (param "a" (list u8)) (result (result (error string))))))))"#,
        );
        assert_eq!(
            "func(a: list<u8>) -> result<_, string>",
            asked[0].items[0].ty
        );
    }
}
