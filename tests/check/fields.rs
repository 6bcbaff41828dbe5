//! The fields of `check --json` are those of docs/check.md.

use super::{WRONG, file, json};
use crate::harness::{guest_component, handler, handler_component, workspace};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Every field that an object has, as the table names it: `imports[].items[].name`.
fn fields(value: &Value, before: &str, found: &mut BTreeMap<String, BTreeSet<&'static str>>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    if !before.is_empty() {
        found.entry(before.to_owned()).or_default().insert(kind);
    }
    match value {
        Value::Array(values) => {
            for value in values {
                fields(value, &format!("{before}[]"), found);
            }
        }
        // Its keys are words of the log.
        Value::Object(_) if before == "measured.outcomes" => {}
        Value::Object(values) => {
            let dot = if before.is_empty() { "" } else { "." };
            for (name, value) in values {
                fields(value, &format!("{before}{dot}{name}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_documented_fields_are_those_of_the_program() {
    let page = fs::read_to_string(workspace().join("docs/check.md")).expect("the page");
    let mut documented: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`').to_owned();
        documented.insert(name, cells[2].split(" or ").collect());
    }
    assert!(documented.len() > 20, "{documented:?}");

    let (_dir, wrong) = file("wrong.wat", WRONG);
    let (_dir, page) = file("page.wasm", "<!DOCTYPE html>");
    let (_dir, trap) = file(
        "trap.wat",
        r#"(module (func (export "handle") unreachable))"#,
    );
    let mut found = BTreeMap::new();
    for (options, path) in [
        ("--measure=3", handler("echo")),
        ("--memory-limit none", handler_component("echo")),
        ("", guest_component("probe")),
        ("", wrong),
        ("", page),
        ("--measure=3", trap),
    ] {
        fields(&json(options, &path), "", &mut found);
    }
    found.retain(|name, _| !name.ends_with("[]"));
    for (name, kinds) in &found {
        let said = documented.get(name);
        let said = said.unwrap_or_else(|| panic!("docs/check.md does not name {name}"));
        assert!(
            kinds.is_subset(said),
            "{name} is {kinds:?}, docs/check.md says {said:?}"
        );
    }
    for name in documented.keys() {
        assert!(
            found.contains_key(name),
            "docs/check.md names {name}, which is not there"
        );
    }
}
