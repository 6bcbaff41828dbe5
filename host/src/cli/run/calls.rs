//! Which functions of the host a handler calls, and how often. The host's functions are callsites of `tracing`, which
//! cost the reading of one number where nobody listens; `run` does.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use crate::events::HOST_CALL;
use crate::request::lock;

/// How often each function was called, by its name. Clones count together.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<BTreeMap<String, u64>>>);

impl Calls {
    /// What was counted, the most frequent first; counting starts anew.
    pub(super) fn take(&self) -> Vec<(String, u64)> {
        let counted = std::mem::take(&mut *lock(&self.0));
        let mut counted: Vec<_> = counted.into_iter().collect();
        counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counted
    }

    fn count(&self, name: Name) {
        // WIT's mark of a method is no part of what a person calls it.
        let function = name.function.rsplit(']').next().unwrap_or_default();
        let name = format!("{}.{function}", name.module);
        *lock(&self.0).entry(name).or_default() += 1;
    }
}

/// What the callsites of functions of the host are.
pub(super) struct OfCalls;

impl<S> Filter<S> for OfCalls {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        // Beside ours, what wasmtime's generators make for modules and for components.
        metadata.target() == HOST_CALL
            || metadata.is_span()
                && *metadata.level() == Level::TRACE
                && ["wiggle abi", "wit-bindgen import"].contains(&metadata.name())
    }

    fn max_level_hint(&self) -> Option<tracing_subscriber::filter::LevelFilter> {
        Some(tracing_subscriber::filter::LevelFilter::TRACE)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Calls {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut name = Name::default();
        event.record(&mut name);
        self.count(name);
    }

    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, context: Context<'_, S>) {
        // What a function of ours calls was not called by the handler.
        if context.lookup_current().is_none() {
            let mut name = Name::default();
            span.record(&mut name);
            self.count(name);
        }
    }
}

/// Two of a callsite's fields.
#[derive(Default)]
struct Name {
    module: String,
    function: String,
}

impl Visit for Name {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "module" => value.clone_into(&mut self.module),
            "function" => value.clone_into(&mut self.function),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// For the summary.
pub(super) struct Counted(pub(super) Vec<(String, u64)>);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (number, (name, count)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{name} {count}")?;
        }
        Ok(())
    }
}
