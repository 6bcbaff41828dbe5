//! Everything that can be said of a file: what it is, what it asks for, and each reason for which it would not
//! be served. A file that is refused is told of as well, since that is when one needs it.

use std::time::Instant;

use wasmtime::Engine;

use super::compile::{Compiler, binary};
use super::component::{self, ComponentHandler};
use super::inspect::{Counted, Export, Import, Inspected, inspect};
use super::interfaces::{self, Fit};
use super::load::{Kind, Loaded, Loader, check_network, read};
use super::load_error::LoadError;
use super::module::{self, ModuleHandler};
use super::offered::{Granted, OfferedToModules, Status};
use super::wasm::WasmHandler;
use crate::sandbox::{Compiled, Engines, Snapshot};

/// In which format a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Binary,
    Text,
    /// It is no WebAssembly.
    Other,
}

/// What was found.
pub(crate) struct Examined {
    /// Bytes of the file.
    pub(crate) size: u64,
    pub(crate) form: Form,
    /// What it would be served as; `None` where it exports nothing that could be called.
    pub(crate) kind: Option<Kind>,
    /// `None` where it could not be read at all.
    pub(crate) inspected: Option<Inspected>,
    /// What it asks for.
    pub(crate) requested: Vec<Requested>,
    /// Of a component, with types; otherwise as [`Inspected`] has them.
    pub(crate) exports: Vec<Export>,
    /// Bytes of its memories and tables at the start.
    pub(crate) initial_memory: u64,
    /// Whether requests start from what its initialisation has left.
    pub(crate) snapshot: Snapshot,
}

/// What a file asks for of one module or interface.
pub(crate) struct Requested {
    /// The module, or the interface with its version.
    pub(crate) from: String,
    /// The least of its items.
    pub(crate) status: Status,
    pub(crate) items: Vec<Asked>,
}

/// One function, resource, memory …
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) ty: String,
    pub(crate) status: Status,
}

impl Loader {
    /// Looks at a file as [`Loader::load`] does, and goes on where that ends. With it comes the handler as
    /// `serve` would have it, or each reason why it would not.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is too large to be; or the engine cannot be set up.
    pub(crate) fn examine(
        &self,
        compiler: &dyn Compiler,
    ) -> Result<(Examined, Result<WasmHandler, Vec<String>>), LoadError> {
        let started = Instant::now();
        let file = read(&self.path, self.max_size)?;
        let size = file.len() as u64;
        let compiling = Engines::compiling(self.ticker).map_err(LoadError::Engine)?;
        let grants = self.grants();
        let surroundings = grants
            .as_ref()
            .ok()
            .and_then(|grants| grants.surroundings());
        let compiled = self.compiled(surroundings, &compiling, &file, compiler);
        let form = match &compiled {
            Err(LoadError::NotWasm(_)) => Form::Other,
            _ if file.starts_with(b"\0asm") => Form::Binary,
            _ => Form::Text,
        };
        let inspected = match (form, &compiled) {
            (Form::Other, _) => None,
            // Text that the compiler has not come to an end with is not begun with here.
            (Form::Text, Err(LoadError::Compile { .. })) => None,
            _ => binary(&file, &self.path).ok().map(|wasm| inspect(&wasm)),
        };
        let mut examined = Examined {
            size,
            form,
            kind: inspected.as_ref().and_then(kind),
            requested: Vec::new(),
            exports: Vec::new(),
            initial_memory: inspected.as_ref().map_or(0, |found| found.initial_memory),
            snapshot: Snapshot::default(),
            inspected,
        };
        let handler = match compiled {
            Ok(compiled) => {
                let about = compiled.about();
                examined.initial_memory = about.initial_memory;
                examined.snapshot = about.snapshot;
                self.ask(&mut examined, &compiling, Some(&compiled))?;
                match self.verdict(&compiling, &compiled, size, started) {
                    Ok(loaded) => Ok(WasmHandler::of(loaded)),
                    Err(error) => Err(self.reasons(&error, &compiling, &compiled)),
                }
            }
            Err(error) => {
                self.ask(&mut examined, &compiling, None)?;
                let grants = grants.err().into_iter();
                let reasons = grants.chain([error]).flat_map(|error| error.reasons());
                Err(reasons.collect())
            }
        };
        Ok((examined, handler))
    }

    /// What `serve` makes of it, by the same steps.
    fn verdict(
        &self,
        compiling: &Engine,
        compiled: &Compiled,
        size: u64,
        started: Instant,
    ) -> Result<Loaded, LoadError> {
        self.checked(self.grants()?, compiling, compiled, size, started)
    }

    /// `serve` ends at the first step that fails: here each is taken.
    fn reasons(&self, first: &LoadError, compiling: &Engine, compiled: &Compiled) -> Vec<String> {
        let grants = self.grants();
        let network = match &grants {
            Ok(grants) if !compiled.is_component() => check_network(grants),
            _ => Ok(()),
        };
        let (linked, imports) = match compiled.is_component() {
            true => match compiled.component(compiling) {
                Ok(found) => (
                    ComponentHandler::new(&found).map(|_| ()),
                    component::refused_imports(&found),
                ),
                Err(error) => (Err(LoadError::Engine(error)), Ok(Vec::new())),
            },
            false => match compiled.module(compiling) {
                Ok(found) => (
                    ModuleHandler::new(&found).map(|_| ()),
                    module::refused_imports(&found),
                ),
                Err(error) => (Err(LoadError::Engine(error)), Ok(Vec::new())),
            },
        };
        // What exports nothing that could be called is not linked.
        let imports = match (&linked, imports) {
            (Err(LoadError::NoHandler(_)), Ok(reasons)) => reasons,
            _ => Vec::new(),
        };
        let steps = [
            grants.map(|_| ()),
            self.check_initial_memory(compiled.about().initial_memory),
            self.required(compiling, compiled).map(|_| ()),
            network,
            linked,
        ];
        let failed = steps.into_iter().filter_map(Result::err);
        let mut reasons: Vec<_> = failed.flat_map(|error| error.reasons()).collect();
        reasons.extend(imports);
        if reasons.is_empty() {
            reasons = first.reasons();
        }
        reasons
    }

    /// Imports and exports, and what there is of what is asked for.
    fn ask(
        &self,
        examined: &mut Examined,
        compiling: &Engine,
        compiled: Option<&Compiled>,
    ) -> Result<(), LoadError> {
        let Some(inspected) = &examined.inspected else {
            return Ok(());
        };
        let granted = Granted::new(&self.grants, examined.kind);
        examined.exports = inspected.exports.kept.clone();
        examined.requested = match (inspected.is_component, compiled) {
            (false, _) => {
                let offered = OfferedToModules::new(compiling).map_err(LoadError::Engine)?;
                of_module(&inspected.imports, &offered, granted)
            }
            (true, None) => of_names(&inspected.imports, granted),
            (true, Some(compiled)) => {
                let component = compiled.component(compiling).map_err(LoadError::Engine)?;
                let linker = component::linker(compiling).map_err(LoadError::Engine)?;
                let asked = interfaces::asked(&component, &linker).map_err(LoadError::Engine)?;
                examined.exports = interfaces::exports(&component);
                asked
                    .into_iter()
                    .map(|asked| of_interface(asked, granted))
                    .collect()
            }
        };
        Ok(())
    }
}

/// What a file would be served as, by what it exports.
fn kind(found: &Inspected) -> Option<Kind> {
    match (found.has_handle, found.is_component) {
        (true, true) => Some(Kind::Component),
        (true, false) => Some(Kind::Module),
        (false, _) => found.has_start.then_some(Kind::Command),
    }
}

/// Imports of a module, by the module that they are from.
fn of_module(
    imports: &Counted<Import>,
    offered: &OfferedToModules,
    granted: Granted,
) -> Vec<Requested> {
    let mut all: Vec<Requested> = Vec::new();
    for import in &imports.kept {
        let status = offered.status(import, granted);
        let item = Asked {
            name: import.name.clone(),
            ty: import.ty.clone(),
            status,
        };
        match all.iter_mut().find(|group| group.from == import.from) {
            Some(group) => group.items.push(item),
            None => all.push(Requested {
                from: import.from.clone(),
                status: Status::Given,
                items: vec![item],
            }),
        }
    }
    for group in &mut all {
        group.status = least(&group.items, Status::Given);
    }
    all
}

fn of_interface(asked: interfaces::Asked, granted: Granted) -> Requested {
    let whole = status_of_interface(&asked.name, granted);
    let items: Vec<_> = asked
        .items
        .into_iter()
        .map(|item| Asked {
            status: match item.fit {
                Fit::Missing if asked.is_offered => Status::NotOffered(None),
                Fit::Mistyped(difference) => Status::Mistyped(difference),
                Fit::Same | Fit::Missing => whole.clone(),
            },
            name: item.name,
            ty: item.ty,
        })
        .collect();
    Requested {
        status: least(&items, whole),
        from: asked.name,
        items,
    }
}

/// Imports of a component that could not be compiled: only the names of the interfaces are known.
fn of_names(imports: &Counted<Import>, granted: Granted) -> Vec<Requested> {
    let names = imports.kept.iter().map(|import| &import.from);
    names
        .map(|name| Requested {
            status: status_of_interface(name, granted),
            from: name.clone(),
            items: Vec::new(),
        })
        .collect()
}

fn status_of_interface(name: &str, granted: Granted) -> Status {
    match interfaces::is_offered(name) {
        true => granted.of_interface(interfaces::without_version(name)),
        false => Status::NotOffered(interfaces::nearest_interface(name)),
    }
}

/// The worst of them.
fn least(items: &[Asked], whole: Status) -> Status {
    let rank = |status: &Status| match status {
        Status::Given => 0,
        Status::NeedsGrant(_) => 1,
        Status::Denied(_) => 2,
        Status::Mistyped(_) => 3,
        Status::NotOffered(_) => 4,
    };
    let all = items.iter().map(|item| &item.status).chain([&whole]);
    all.max_by_key(|status| rank(status))
        .cloned()
        .unwrap_or(Status::Given)
}
