//! The table as it is printed.

use super::scenario::{Concurrency, Expected, Scenario};
use super::table::{CASES, OUT_OF_SIGHT};
use crate::harness::Transport;
use std::fmt::Write as _;
use std::process::Command;

/// A scenario that was played in one of its cells.
pub(crate) struct Played {
    pub(crate) scenario: &'static Scenario,
    pub(crate) cell: (Transport, Concurrency),
    /// What was not as the table has it.
    pub(crate) problem: Option<String>,
}

/// Agreements, departures with their reasons, and how many of each.
pub(crate) fn report(played: &[Played]) -> String {
    let mut rows: Vec<Vec<&Played>> = Vec::new();
    for one in played {
        match rows.last_mut() {
            Some(row) if row[0].scenario.name == one.scenario.name => row.push(one),
            _ => rows.push(vec![one]),
        }
    }
    let (same, departures): (Vec<_>, Vec<_>) = rows
        .iter()
        .partition(|row| row[0].scenario.expected == Expected::Same);
    let unexplained = played.iter().filter(|one| one.problem.is_some()).count();

    let mut text = format!("\nParity with socketserver of {}\n", python());
    let mut line = |line: String| writeln!(text, "{line}").expect("a String takes it");
    line("\nAlike:".to_owned());
    for row in &same {
        line(title(row));
    }
    line("\nDepartures: what Python does, and why sandsock does not:".to_owned());
    for row in &departures {
        line(title(row));
        match row[0].scenario.expected {
            Expected::Departure(reason) => line(format!("      {reason}")),
            Expected::DepartureUnlessCompat(reason) => line(format!(
                "      {reason}; with --compat python as Python does"
            )),
            Expected::Same => {}
        }
    }
    line(format!(
        "\n{} scenarios in {} cells (transport × concurrency): {} alike, {} departures, {} unexplained",
        rows.len(),
        played.len(),
        same.len(),
        departures.len(),
        unexplained,
    ));
    line(format!(
        "CPython's own {CASES} cases: {} among them, {} out of a client's sight ({})",
        CASES - OUT_OF_SIGHT.len(),
        OUT_OF_SIGHT.len(),
        OUT_OF_SIGHT
            .map(|(case, why)| format!("{case}: {why}"))
            .join("; "),
    ));
    text
}

/// The name of a row, where it was played, and whether all was as it should be.
fn title(row: &[&Played]) -> String {
    let mark = match row.iter().any(|one| one.problem.is_some()) {
        true => " FAILED",
        false => "",
    };
    let list = |words: Vec<String>| {
        let mut once: Vec<String> = Vec::new();
        words.into_iter().for_each(|word| {
            if !once.contains(&word) {
                once.push(word);
            }
        });
        once.join(" ")
    };
    let over = |one: &&Played| format!("{:?}", one.cell.0).to_lowercase();
    let under = |one: &&Played| one.cell.1.name().to_owned();
    format!(
        "  - {}{mark} [{} × {}]",
        row[0].scenario.name,
        list(row.iter().map(over).collect()),
        list(row.iter().map(under).collect()),
    )
}

fn python() -> String {
    let version = Command::new("python3").arg("--version").output();
    let version = version.expect("python3 is installed").stdout;
    format!("C{}", String::from_utf8_lossy(&version).trim())
}
