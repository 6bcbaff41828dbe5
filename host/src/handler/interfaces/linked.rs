//! What a linker has for a component. It cannot be asked for a list, but two questions find out all that counts:
//! whether a name can be defined once more, and where linking ends.

use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType};

use super::{Asked, Fit, OFFERED, without_version};
use crate::sandbox::Guest;

/// Finds each function that is there with another type. Linking ends at the first: once that function is
/// replaced by one that takes anything, it ends at the next.
pub(super) fn find_mistyped(
    component: &Component,
    linker: &Linker<Guest>,
    all: &mut [Asked],
) -> wasmtime::Result<()> {
    let mut scratch = linker.clone();
    scratch.allow_shadowing(true);
    let fails = |linker: &Linker<Guest>| linker.instantiate_pre(component).err();
    let Some(mut error) = fails(&scratch) else {
        return Ok(());
    };
    for asked in all {
        let Some(interface) = Linked::find(&asked.name, linker).map(|linked| linked.interface)
        else {
            continue;
        };
        for item in asked.items.iter_mut().filter(|item| item.is_function) {
            scratch
                .instance(&interface)?
                .func_new(&item.name, |_, _, _, _| Ok(()))?;
            let next = fails(&scratch);
            let is_same = next
                .as_ref()
                .is_some_and(|next| format!("{next:#}") == format!("{error:#}"));
            if !is_same {
                item.fit = Fit::Mistyped(error.root_cause().to_string());
            }
            match next {
                Some(next) => error = next,
                None => return Ok(()),
            }
        }
    }
    Ok(())
}

/// A copy of a linker, and the name under which an interface is in it. What a linker has cannot be listed: but
/// what is there cannot be defined again.
pub(super) struct Linked {
    linker: Linker<Guest>,
    interface: String,
}

/// Patch versions that are looked for.
const PATCHES: u32 = 100;

impl Linked {
    /// The interface of this name, or of a version that links in its place.
    pub(super) fn find(name: &str, linker: &Linker<Guest>) -> Option<Self> {
        let mut scratch = linker.clone();
        let interface = without_version(name);
        let versions = OFFERED
            .iter()
            .find(|(package, ..)| interface.starts_with(package))
            .into_iter()
            .flat_map(|(_, compatible, _)| {
                let minor = match *compatible {
                    "1." => "0.",
                    _ => "",
                };
                (0..PATCHES).map(move |patch| format!("{interface}@{compatible}{minor}{patch}"))
            });
        // Asking defines it, so nothing is asked twice.
        let names = [name.to_owned()]
            .into_iter()
            .chain(versions.filter(|version| version != name));
        let interface = names
            .into_iter()
            .find(|name| is_there(&mut scratch.root(), name))?;
        Some(Linked {
            linker: linker.clone(),
            interface,
        })
    }

    /// Whether a function is there, whatever its type.
    pub(super) fn has(&mut self, function: &str) -> Fit {
        let instance = self.linker.instance(&self.interface);
        let is_there = instance.is_ok_and(|mut instance| is_there(&mut instance, function));
        match is_there {
            true => Fit::Same,
            false => Fit::Missing,
        }
    }
}

fn is_there(instance: &mut LinkerInstance<'_, Guest>, name: &str) -> bool {
    let ty = ResourceType::host::<()>();
    instance.resource(name, ty, |_, _| Ok(())).is_err()
}
