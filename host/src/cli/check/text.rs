//! The report for people: the verdict first, then what there is to know.

use std::fmt::Write;

use bytesize::ByteSize;

use super::Report;
use super::json::layer;
use super::measure::Measured;
use crate::handler::{Form, Requested, Status, Tool};
use crate::sandbox::Snapshot;
use crate::text::Printable;

/// Lines are broken before this column.
const WIDTH: usize = 100;

/// Before each line of a section, and between columns.
const INDENT: usize = 2;

impl Report<'_> {
    /// Some lines, sections apart from each other.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.verdict(&mut text);
        self.facts(&mut text);
        if self.examined.inspected.is_some() {
            self.exports(&mut text);
            self.imports(&mut text);
        }
        if let Some(measured) = self.measured {
            cost(measured, &mut text);
        }
        text
    }

    fn verdict(&self, text: &mut String) {
        let name = self.args.handler.display().to_string();
        let kind = match (self.examined.kind, self.examined.form) {
            (Some(kind), _) => kind.as_str(),
            (None, Form::Other) => "not WebAssembly",
            (None, _) => "not a handler",
        };
        let verdict = match self.refused.is_empty() {
            true => "would be served",
            false => "would not be served",
        };
        put(
            text,
            format_args!("{}: {kind}, {verdict}\n", Printable(&name)),
        );
    }

    fn facts(&self, text: &mut String) {
        let examined = self.examined;
        let mut facts: Vec<(&str, String)> = Vec::new();
        let size = bytes(examined.size);
        let found = examined.inspected.as_ref();
        let is_whole = found.is_none_or(|found| found.is_whole);
        let mut form = match (examined.form, found) {
            (Form::Binary, Some(found)) => format!("{}, {size}", layer(found)),
            (Form::Text, Some(found)) => format!("{} as text, {size}", layer(found)),
            _ => size,
        };
        if !is_whole {
            form.push_str(", read in part:");
        }
        facts.push(("file", form));
        if let Some(found) = found {
            facts.push(("language", tools(&found.producers.languages)));
            let made_by = [&found.producers.tools[..], &found.producers.sdks].concat();
            facts.push(("made by", tools(&made_by)));
            let limit = self.args.limits.limits().memory;
            let most = match (found.maximum_memory, limit) {
                (Some(maximum), Some(limit)) if maximum <= limit => {
                    format!("at most {}", bytes(maximum))
                }
                (_, Some(limit)) => format!("at most {} (--memory-limit)", bytes(limit)),
                (Some(maximum), None) => format!("at most {}", bytes(maximum)),
                (None, None) => "no maximum".to_owned(),
            };
            let initial = bytes(examined.initial_memory);
            facts.push(("memory", format!("{initial} at the start, {most}")));
            match &examined.snapshot {
                Snapshot::NotWanted => {}
                Snapshot::Taken => facts.push((
                    "snapshot",
                    "initialised once, when it is compiled".to_owned(),
                )),
                Snapshot::Refused(why) => facts.push((
                    "snapshot",
                    format!("none, each request initialises: {}", Printable(why)),
                )),
            }
            let has = |has: bool, what: &str| match has {
                true => what.to_owned(),
                false => format!("no {what}"),
            };
            facts.push((
                "traces",
                format!(
                    "{}, {}",
                    has(found.has_function_names, "function names"),
                    has(found.has_line_numbers, "line numbers")
                ),
            ));
        }
        text.push('\n');
        columns(text, &facts);
    }

    fn exports(&self, text: &mut String) {
        let exports = self.examined.exports.iter();
        let rows: Vec<_> = exports
            .map(|export| (&*export.name, export.ty.clone()))
            .collect();
        let all = self.examined.inspected.as_ref();
        section(
            text,
            "exports",
            &rows,
            all.map_or(0, |found| found.exports.count),
        );
    }

    fn imports(&self, text: &mut String) {
        let requested = self.examined.requested.iter();
        let mut rows: Vec<(String, String)> = requested.flat_map(lines).collect();
        // What would be refused is what one looks for; what is given comes last.
        rows.sort_by_key(|(status, _)| (status == "given", status.starts_with("needs")));
        let mut before = "";
        let rows: Vec<(&str, String)> = rows
            .iter()
            .map(|(status, what)| {
                let shown = if status == before { "" } else { status };
                before = status;
                (shown, what.clone())
            })
            .collect();
        let all = self.examined.inspected.as_ref();
        let left = all.map_or(0, |found| {
            found.imports.count.saturating_sub(found.imports.kept.len())
        });
        section(text, "imports", &rows, rows.len() + left);
    }
}

/// What is asked for of one module or interface: the word for what becomes of it, and the names.
fn lines(requested: &Requested) -> Vec<(String, String)> {
    let mut items = requested.items.iter();
    let is_interface = requested.from.contains('/');
    if is_interface && items.all(|item| item.status == requested.status) {
        let what = match requested.items.len() {
            0 => requested.from.clone(),
            count => format!("{} ({count})", requested.from),
        };
        return vec![(word(&requested.status), what + &remark(&requested.status))];
    }
    let mut lines: Vec<(&Status, String)> = Vec::new();
    for item in &requested.items {
        match lines.iter_mut().find(|(status, _)| **status == item.status) {
            Some((_, what)) => {
                let _ = write!(what, ", {}", item.name);
            }
            None => lines.push((&item.status, format!("{}: {}", requested.from, item.name))),
        }
    }
    let lines = lines.into_iter();
    lines
        .map(|(status, what)| (word(status), what + &remark(status)))
        .collect()
}

fn word(status: &Status) -> String {
    match status {
        Status::Given => "given".to_owned(),
        Status::NeedsGrant(option) => format!("needs {option}"),
        Status::Denied(_) => "fails".to_owned(),
        Status::Mistyped(_) => "wrong type".to_owned(),
        Status::NotOffered(_) => "not offered".to_owned(),
    }
}

fn remark(status: &Status) -> String {
    match status {
        Status::Denied(remark) => format!(" ({remark})"),
        Status::Mistyped(remark) => format!(" ({remark})"),
        Status::NotOffered(Some(nearest)) => format!(" (nearest: {nearest})"),
        _ => String::new(),
    }
}

fn cost(measured: &Measured, text: &mut String) {
    let mut rows: Vec<(&str, String)> = vec![
        (
            "requests",
            format!(
                "{} in {:.1?}, one after the other, without sockets; each read {}",
                measured.requests,
                measured.took,
                bytes(measured.input)
            ),
        ),
        (
            "wall",
            format!(
                "median {:.1?}, p99 {:.1?}",
                measured.wall.median, measured.wall.p99
            ),
        ),
        (
            "CPU",
            format!(
                "median {:.1?}, p99 {:.1?}",
                measured.cpu.median, measured.cpu.p99
            ),
        ),
        ("memory", format!("{} at most", bytes(measured.memory_peak))),
    ];
    let outcomes = measured.outcomes.iter();
    let outcomes: Vec<_> = outcomes
        .map(|(outcome, count)| format!("{outcome} {count}"))
        .collect();
    rows.push(("outcomes", outcomes.join(", ")));
    if let Some(failure) = &measured.first_failure {
        rows.push(("failure", failure.clone()));
    }
    section(
        text,
        "cost of a request, set-up and tear-down included",
        &rows,
        rows.len(),
    );
}

/// A heading, rows, and how many there are that are not told.
fn section(text: &mut String, heading: &str, rows: &[(&str, String)], count: usize) {
    put(text, format_args!("\n{heading}\n"));
    if rows.is_empty() {
        put(text, format_args!("{:INDENT$}none\n", ""));
    }
    columns(text, rows);
    if count > rows.len() {
        let more = count - rows.len();
        put(text, format_args!("{:INDENT$}and {more} more\n", ""));
    }
}

/// The longest first column that the second one stands beside, in characters.
const LONGEST_FIRST: usize = 40;

/// Two columns, the second broken where it is too long.
fn columns(text: &mut String, rows: &[(&str, String)]) {
    let rows: Vec<_> = rows
        .iter()
        .map(|(first, second)| (Printable(first).to_string(), Printable(second).to_string()))
        .collect();
    let width = rows.iter().map(|(first, _)| first.chars().count());
    let width = width.filter(|width| *width <= LONGEST_FIRST).max();
    let at = INDENT + width.unwrap_or(0) + INDENT;
    for (first, second) in &rows {
        let mut column = INDENT + first.chars().count();
        put(text, format_args!("{:INDENT$}{first}", ""));
        if column + INDENT > at {
            text.push('\n');
            column = 0;
        }
        put(text, format_args!("{:1$}", "", at - column));
        column = at;
        for (number, word) in second.split(' ').enumerate() {
            let length = word.chars().count();
            if number > 0 && column + 1 + length > WIDTH {
                put(text, format_args!("\n{:at$}", ""));
                column = at;
            } else if number > 0 {
                text.push(' ');
                column += 1;
            }
            text.push_str(word);
            column += length;
        }
        text.push('\n');
    }
}

/// Names and versions, without what tools write in parentheses: commits, dates.
fn tools(all: &[Tool]) -> String {
    let short = |text: &str| match text.split_once(" (") {
        Some((short, _)) => short.to_owned(),
        None => text.to_owned(),
    };
    let all: Vec<_> = all
        .iter()
        .map(|tool| format!("{} {}", short(&tool.name), short(&tool.version)))
        .map(|tool| tool.trim_end().to_owned())
        .collect();
    match all.is_empty() {
        true => "not said".to_owned(),
        false => all.join(", "),
    }
}

fn bytes(count: u64) -> String {
    ByteSize::b(count).display().iec().to_string()
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = text.write_fmt(what);
}
