//! Kind *component*, and commands that are components: what exports `handle`, or `wasi:cli/run`.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre, Linker, Type};
use wasmtime::{Engine, Store};

use super::interfaces::{Asked, asked, is_offered};
use super::life::{self, Step, StepError};
use super::load_error::{LoadError, MOST_REASONS, names};
use super::wit;
use crate::sandbox::{Guest, link_preview2};

/// A component that is ready to be set up.
pub(super) struct ComponentHandler {
    pre: InstancePre<Guest>,
    body: Body,
}

enum Body {
    /// Kind component, by [`Step::ALL`].
    Handler([Option<ComponentExportIndex>; 3]),
    /// Kind command: `run` of `wasi:cli/run`.
    Command(ComponentExportIndex),
}

/// What there is to do about a handler that was built for more.
const NEWER: &str = "it was built for another version of the contract: use a newer sandsock, or build it with the SDK of this one";

fn is_of_another_contract(import: &str) -> bool {
    import.starts_with("socketserver:handler/") && !import.ends_with("@1.0.0")
}

impl ComponentHandler {
    /// Checks a component completely and links it.
    pub(super) fn new(component: &Component) -> Result<Self, LoadError> {
        let engine = component.engine();
        let mut problems = Vec::new();
        let has_handle = component.get_export_index(None, Step::Handle.name());
        let body = if has_handle.is_some() {
            let exports = Step::ALL.map(|step| step_export(component, step.name(), &mut problems));
            Body::Handler(exports)
        } else if let Some(run) = run_export(component, &mut problems) {
            Body::Command(run)
        } else {
            let component_type = component.component_type();
            let exports = component_type.exports(engine);
            return Err(LoadError::NoHandler(names(
                exports.map(|(name, _)| name.to_owned()),
            )));
        };
        let linker = linker(engine).map_err(LoadError::Engine)?;
        let component_type = component.component_type();
        let mut imports = component_type.imports(engine);
        let mut does_not_link = None;
        if problems.is_empty() && imports.all(|(name, _)| is_offered(name)) {
            match linker.instantiate_pre(component) {
                Ok(pre) => return Ok(ComponentHandler { pre, body }),
                Err(error) => does_not_link = Some(format!("{error:#}")),
            }
        }
        // Linking ends at the first import that is wrong.
        let asked = asked(component, &linker).map_err(LoadError::Engine)?;
        problems.extend(asked.iter().flat_map(Asked::problems));
        if problems.is_empty() {
            problems.extend(does_not_link);
        }
        problems.truncate(MOST_REASONS);
        if asked
            .iter()
            .any(|asked| is_of_another_contract(&asked.name))
        {
            problems.push(NEWER.to_owned());
        }
        Err(LoadError::NotServed(problems))
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
        match &self.body {
            Body::Command(run) => {
                let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, run)?;
                match run.call(&mut *store, ())? {
                    (Ok(()),) => Ok(()),
                    (Err(()),) => Err(StepError::Reported("it failed".to_owned())),
                }
            }
            Body::Handler(exports) => life::run(|step| match &exports[step as usize] {
                Some(export) => call(store, &instance, export),
                None => Ok(()),
            }),
        }
    }
}

/// Why a component's imports would be refused, whatever it exports.
pub(super) fn refused_imports(component: &Component) -> Result<Vec<String>, LoadError> {
    let linker = linker(component.engine()).map_err(LoadError::Engine)?;
    let asked = asked(component, &linker).map_err(LoadError::Engine)?;
    Ok(asked.iter().flat_map(Asked::problems).collect())
}

fn call(
    store: &mut Store<Guest>,
    instance: &Instance,
    export: &ComponentExportIndex,
) -> Result<(), StepError> {
    let function = instance.get_typed_func::<(), (Result<(), String>,)>(&mut *store, export)?;
    let (result,) = function.call(&mut *store, ())?;
    result.map_err(StepError::Reported)
}

/// Everything that a component is given.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    link_preview2(&mut linker)?;
    wit::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// `run` of whatever patch version of `wasi:cli/run@0.2` is there.
fn run_export(component: &Component, problems: &mut Vec<String>) -> Option<ComponentExportIndex> {
    let component_type = component.component_type();
    let engine = component.engine();
    let (name, _) = component_type
        .exports(engine)
        .find(|(name, _)| name.starts_with("wasi:cli/run@0.2."))?;
    let interface = component.get_export_index(None, name)?;
    let (item, index) = component.get_export(Some(&interface), "run")?;
    if !returns(
        &item,
        |result| matches!(result, Type::Result(result) if result.ok().is_none() && result.err().is_none()),
    ) {
        problems.push(format!(
            "export `run` of `{name}` must be a function `func() -> result`"
        ));
    }
    Some(index)
}

fn step_export(
    component: &Component,
    name: &str,
    problems: &mut Vec<String>,
) -> Option<ComponentExportIndex> {
    let (item, index) = component.get_export(None, name)?;
    if !returns(&item, |result| {
        matches!(result, Type::Result(result)
            if result.ok().is_none() && matches!(result.err(), Some(Type::String)))
    }) {
        problems.push(format!(
            "export `{name}` must be a function `func() -> result<_, string>`"
        ));
    }
    Some(index)
}

/// Whether it is a function without parameters whose one result is as wanted.
fn returns(item: &ComponentItem, is_wanted: impl Fn(&Type) -> bool) -> bool {
    let ComponentItem::ComponentFunc(function) = item else {
        return false;
    };
    let mut results = function.results();
    function.params().len() == 0
        && results.next().is_some_and(|result| is_wanted(&result))
        && results.next().is_none()
}
