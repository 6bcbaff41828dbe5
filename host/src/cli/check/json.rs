//! The report for programs. Its fields stand in docs/check.md; a test compares.

use serde_json::{Value, json};

use super::Report;
use super::measure::{Measured, Spread};
use crate::handler::{Export, Form, Inspected, Requested, Status, Tool};
use crate::sandbox::Snapshot;
use crate::text::{is_unprintable, json_escape};

/// Of the fields that are said to be stable.
const SCHEMA: u32 = 1;

impl Report<'_> {
    /// One object on one line.
    pub(super) fn json(&self) -> String {
        let examined = self.examined;
        let found = examined.inspected.as_ref();
        let producers = found.map(|found| &found.producers);
        let limit = self.args.limits.limits().memory;
        let object = json!({
            "schema": SCHEMA,
            "handler": self.args.handler.to_string_lossy(),
            "served": self.refused.is_empty(),
            "refused": self.refused,
            "kind": examined.kind.map(|kind| kind.as_str()),
            "form": match examined.form {
                Form::Binary => "binary",
                Form::Text => "text",
                Form::Other => "other",
            },
            "layer": found.map(layer),
            "whole": found.map(|found| found.is_whole),
            "size": examined.size,
            "initial_memory": examined.initial_memory,
            "snapshot": match &examined.snapshot {
                Snapshot::NotWanted => Value::Null,
                Snapshot::Taken => json!("taken"),
                Snapshot::Refused(why) => json!(why),
            },
            "maximum_memory": found.and_then(|found| found.maximum_memory),
            "memory_limit": limit,
            "languages": producers.map_or(json!([]), |all| tools(&all.languages)),
            "tools": producers.map_or(json!([]), |all| tools(&all.tools)),
            "sdks": producers.map_or(json!([]), |all| tools(&all.sdks)),
            "function_names": found.map(|found| found.has_function_names),
            "line_numbers": found.map(|found| found.has_line_numbers),
            "exports": examined.exports.iter().map(export).collect::<Vec<_>>(),
            "export_count": found.map_or(0, |found| found.exports.count),
            "imports": examined.requested.iter().map(import).collect::<Vec<_>>(),
            "import_count": found.map_or(0, |found| found.imports.count),
            "measured": self.measured.map(measured),
        });
        escaped(&object)
    }
}

/// `module` or `component`.
pub(super) fn layer(found: &Inspected) -> &'static str {
    match found.is_component {
        true => "component",
        false => "module",
    }
}

fn tools(all: &[Tool]) -> Value {
    all.iter()
        .map(|tool| json!({ "name": tool.name, "version": tool.version }))
        .collect()
}

fn export(export: &Export) -> Value {
    json!({ "name": export.name, "type": export.ty })
}

fn import(requested: &Requested) -> Value {
    let items = requested.items.iter().map(|item| {
        let (status, note, nearest) = status(&item.status);
        json!({
            "name": item.name,
            "type": item.ty,
            "status": status,
            "note": note,
            "nearest": nearest,
        })
    });
    let (status, note, nearest) = status(&requested.status);
    // Of a group the worst is told; what there is to know of one item stands there.
    let mut items_of_it = requested.items.iter();
    let is_of_all = items_of_it.all(|item| item.status == requested.status);
    json!({
        "from": requested.from,
        "status": status,
        "note": note.filter(|_| is_of_all),
        "nearest": nearest.filter(|_| is_of_all),
        "items": items.collect::<Vec<_>>(),
    })
}

/// The word for it, what there is to know about it, and the nearest name.
fn status(status: &Status) -> (&'static str, Option<&str>, Option<&str>) {
    match status {
        Status::Given => ("given", None, None),
        Status::NeedsGrant(option) => ("needs-grant", Some(option), None),
        Status::Denied(reason) => ("denied", Some(reason), None),
        Status::Mistyped(offered) => ("mistyped", Some(offered), None),
        Status::NotOffered(nearest) => ("not-offered", None, nearest.as_deref()),
    }
}

fn measured(measured: &Measured) -> Value {
    let spread = |spread: &Spread| {
        json!({
            "median": spread.median.as_micros(),
            "p99": spread.p99.as_micros(),
        })
    };
    let outcomes = measured.outcomes.iter();
    json!({
        "requests": measured.requests,
        "took_us": measured.took.as_micros(),
        "input": measured.input,
        "wall_us": spread(&measured.wall),
        "cpu_us": spread(&measured.cpu),
        "memory_peak": measured.memory_peak,
        "outcomes": outcomes
            .map(|(outcome, count)| (outcome.as_str().to_owned(), json!(count)))
            .collect::<serde_json::Map<_, _>>(),
        "first_failure": measured.first_failure,
    })
}

/// JSON may hold most control characters as they are; a terminal that shows it must not act on them.
fn escaped(object: &Value) -> String {
    let mut line = String::new();
    for character in object.to_string().chars() {
        // They can stand within strings only.
        match is_unprintable(character) {
            // To write to memory does not fail.
            true => _ = json_escape(character, &mut line),
            false => line.push(character),
        }
    }
    line.push('\n');
    line
}
