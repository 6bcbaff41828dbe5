//! Kind *module*: a core module that exports `handle`.

use wasmtime::{ExternType, Instance, InstancePre, Linker, Module, ModuleExport, Store, ValType};

use super::abi;
use super::life::{self, Step, StepError};
use super::load_error::{LoadError, MOST_REASONS, names};
use super::offered::{OfferedToModules, linker, type_store};
use crate::sandbox::Guest;
use crate::text::{LONGEST_NAME, clipped, quoted};

/// A module that is ready to be set up.
pub(super) struct ModuleHandler {
    pre: InstancePre<Guest>,
    memory: Option<ModuleExport>,
    initialize: Option<Export>,
    body: Body,
}

/// What is called in an instance.
enum Body {
    /// Kind module, by [`Step::ALL`].
    Handler([Option<Export>; 3]),
    /// Kind command: `_start`.
    Command(Export),
}

/// A function of the contract: `() -> ()`, or `() -> i32` with 0 for success.
#[derive(Clone, Copy)]
struct Export {
    index: ModuleExport,
    name: &'static str,
    has_result: bool,
}

impl ModuleHandler {
    /// Checks a module completely and links it.
    pub(super) fn new(module: &Module) -> Result<Self, LoadError> {
        let engine = module.engine();
        let mut problems = Vec::new();
        let body = if module.get_export("handle").is_some() {
            let exports = Step::ALL.map(|step| export(module, step.name(), &mut problems));
            Body::Handler(exports)
        } else {
            match export(module, "_start", &mut problems) {
                Some(start) => Body::Command(start),
                None if problems.is_empty() => {
                    return Err(LoadError::NoHandler(names(
                        module.exports().map(|export| export.name().to_owned()),
                    )));
                }
                None => return Err(LoadError::NotServed(problems)),
            }
        };
        let initialize = export(module, "_initialize", &mut problems);
        let memory = module.get_export_index("memory");
        match module.get_export("memory") {
            Some(ExternType::Memory(_)) => {}
            Some(_) => problems.push("export `memory` is not a memory".to_owned()),
            None if module.imports().len() == 0 => {}
            None => problems.push("export `memory` is missing".to_owned()),
        }
        let linker = linker(engine).map_err(LoadError::Engine)?;
        check_imports(module, &linker, &mut problems)?;
        if !problems.is_empty() {
            return Err(LoadError::NotServed(problems));
        }
        let pre = linker
            .instantiate_pre(module)
            .map_err(|error| LoadError::NotServed(vec![format!("{error:#}")]))?;
        Ok(ModuleHandler {
            pre,
            memory,
            initialize,
            body,
        })
    }

    pub(super) fn is_command(&self) -> bool {
        matches!(self.body, Body::Command(_))
    }

    /// Instantiates, and calls what the contract says.
    pub(super) fn run(&self, store: &mut Store<Guest>) -> Result<(), StepError> {
        let instance = self
            .pre
            .instantiate(&mut *store)
            .map_err(StepError::of_set_up)?;
        if let Some(memory) = &self.memory
            && let Some(memory) = instance.get_module_export(&mut *store, memory)
            && let Some(memory) = memory.into_memory()
        {
            store.data_mut().set_linear_memory(memory);
        }
        if let Some(initialize) = self.initialize {
            initialize.call(store, &instance)?;
        }
        match &self.body {
            Body::Command(start) => start.call(store, &instance),
            Body::Handler(exports) => life::run(|step| match exports[step as usize] {
                Some(export) => export.call(store, &instance),
                None => Ok(()),
            }),
        }
    }
}

impl Export {
    fn call(self, store: &mut Store<Guest>, instance: &Instance) -> Result<(), StepError> {
        let Some(function) = instance
            .get_module_export(&mut *store, &self.index)
            .and_then(wasmtime::Extern::into_func)
        else {
            return Err(wasmtime::format_err!("export `{}` is gone", self.name).into());
        };
        let code = if self.has_result {
            function.typed::<(), i32>(&*store)?.call(&mut *store, ())?
        } else {
            function.typed::<(), ()>(&*store)?.call(&mut *store, ())?;
            0
        };
        match code {
            0 => Ok(()),
            code => Err(StepError::Reported(format!(
                "{} returned {code}",
                self.name
            ))),
        }
    }
}

fn export(module: &Module, name: &'static str, problems: &mut Vec<String>) -> Option<Export> {
    let index = module.get_export_index(name)?;
    let has_result = match module.get_export(name)? {
        ExternType::Func(function) => {
            let mut results = function.results();
            match (function.params().len(), results.next(), results.next()) {
                (0, None, None) => Some(false),
                (0, Some(ValType::I32), None) => Some(true),
                _ => None,
            }
        }
        _ => None,
    };
    if has_result.is_none() {
        problems.push(format!(
            "export `{name}` must be a function without parameters that returns nothing or an i32"
        ));
    }
    Some(Export {
        index,
        name,
        has_result: has_result?,
    })
}

/// Why a module's imports would be refused, whatever it exports.
pub(super) fn refused_imports(module: &Module) -> Result<Vec<String>, LoadError> {
    let linker = linker(module.engine()).map_err(LoadError::Engine)?;
    let mut problems = Vec::new();
    check_imports(module, &linker, &mut problems)?;
    Ok(problems)
}

/// Every import that the host does not offer, or offers with another type.
fn check_imports(
    module: &Module,
    linker: &Linker<Guest>,
    problems: &mut Vec<String>,
) -> Result<(), LoadError> {
    let mut store = type_store(module.engine()).map_err(LoadError::Engine)?;
    let found: Vec<_> = module
        .imports()
        .map(|import| {
            let found = linker.get_by_import(&mut store, &import);
            (import, found.map(|found| found.ty(&store)))
        })
        .collect();
    // Of what is there nothing is asked.
    let mut offered = None;
    for (import, found) in found {
        if problems.len() >= MOST_REASONS {
            break;
        }
        let name = format!("{} {}", quoted(import.module()), quoted(import.name()));
        match (import.ty(), found) {
            (_, None) => {
                let offered = match &mut offered {
                    Some(offered) => offered,
                    None => offered
                        .insert(OfferedToModules::new(module.engine()).map_err(LoadError::Engine)?),
                };
                problems.push(format!(
                    "import {name} is not offered; {}the host has {}{}",
                    match offered.nearest(import.module(), import.name()) {
                        Some((module, name)) => format!("the nearest is `{module}` `{name}`; "),
                        None => String::new(),
                    },
                    abi::OFFERED,
                    match import.module() {
                        "rfile" | "wfile" | "request" =>
                            ": a handler that was built for a newer contract needs a newer sandsock",
                        _ => "",
                    }
                ));
            }
            (ExternType::Func(wanted), Some(ExternType::Func(found))) if found.matches(&wanted) => {
            }
            (wanted, Some(found)) => problems.push(format!(
                "import {name} is {}, the host has {}",
                signature(&wanted),
                signature(&found)
            )),
        }
    }
    Ok(())
}

/// A type as the contract writes it.
pub(super) fn signature(of: &ExternType) -> String {
    match of {
        ExternType::Func(function) => {
            let list = |types: Vec<ValType>| {
                let types: Vec<_> = types.iter().map(ToString::to_string).collect();
                types.join(", ")
            };
            let text = format!(
                "({}) -> ({})",
                list(function.params().collect()),
                list(function.results().collect())
            );
            clipped(&text, LONGEST_NAME)
        }
        ExternType::Memory(_) => "memory".to_owned(),
        ExternType::Table(_) => "table".to_owned(),
        ExternType::Global(_) => "global".to_owned(),
        ExternType::Tag(_) => "tag".to_owned(),
    }
}
