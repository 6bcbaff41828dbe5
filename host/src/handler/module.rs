//! Kind *module*: a core module that exports `handle`.

use std::sync::Arc;

use wasmtime::{
    Engine, ExternType, Instance, InstancePre, Linker, Module, ModuleExport, Store, ValType,
};

use super::abi;
use super::life::{self, Step, StepError};
use super::load_error::{LoadError, names};
use crate::config::Limits;
use crate::request::{InMemory, Request};
use crate::sandbox::{Guest, Stdio, link_preview1};

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

fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    link_preview1(&mut linker)?;
    abi::add_to_linker(&mut linker)?;
    Ok(linker)
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

/// Every import that the host does not offer, or offers with another type.
fn check_imports(
    module: &Module,
    linker: &Linker<Guest>,
    problems: &mut Vec<String>,
) -> Result<(), LoadError> {
    let offered: Vec<_> = {
        let mut store = abi_types(module.engine()).map_err(LoadError::Engine)?;
        module
            .imports()
            .map(|import| {
                let found = linker.get_by_import(&mut store, &import);
                (import, found.map(|found| found.ty(&store)))
            })
            .collect()
    };
    for (import, found) in offered {
        let name = format!("`{}` `{}`", import.module(), import.name());
        match (import.ty(), found) {
            (_, None) => problems.push(format!(
                "import {name} is not offered; the host has {}{}",
                abi::OFFERED,
                match import.module() {
                    "rfile" | "wfile" | "request" =>
                        ": a handler that was built for a newer contract needs a newer sandsock",
                    _ => "",
                }
            )),
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

/// A store in which types can be looked at; nothing runs in it.
fn abi_types(engine: &Engine) -> wasmtime::Result<Store<Guest>> {
    Guest::store(
        engine,
        &Arc::new(Request::in_memory(InMemory::default(), &Limits::default())),
        0,
        &Arc::default(),
        Stdio::Log,
    )
}

fn signature(of: &ExternType) -> String {
    match of {
        ExternType::Func(function) => {
            let list = |types: Vec<ValType>| {
                let types: Vec<_> = types.iter().map(ToString::to_string).collect();
                types.join(", ")
            };
            format!(
                "({}) -> ({})",
                list(function.params().collect()),
                list(function.results().collect())
            )
        }
        ExternType::Memory(_) => "a memory".to_owned(),
        ExternType::Table(_) => "a table".to_owned(),
        ExternType::Global(_) => "a global".to_owned(),
        _ => "something else".to_owned(),
    }
}
