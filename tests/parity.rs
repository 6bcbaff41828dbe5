//! Parity with CPython's `socketserver`: one table of scenarios, each played by the machine's `python3`
//! and by sandsock, with and without `--compat python`, and compared.
//!
//! A scenario that should be alike must be; one that departs must differ, so that a reason that no longer
//! holds is noticed, too. `cargo test -p sandsock-tests parity -- --nocapture` shows the table.

mod report;
mod scenario;
mod seen;
mod stage;
mod table;

use crate::parity::report::{Played, report};
use crate::parity::scenario::{Concurrency, Expected, Scenario, Seen};
use crate::parity::stage::{Side, Stage};
use crate::parity::table::{CASES, OUT_OF_SIGHT, scenarios};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;

use crate::harness::Transport;

/// Scenarios that are played at a time. Most of their time they wait for Python's loop.
const AT_A_TIME: usize = 6;

#[test]
fn every_difference_from_pythons_socketserver_is_in_the_table() {
    let cells: Vec<_> = scenarios()
        .flat_map(|scenario| {
            scenario
                .cells()
                .into_iter()
                .map(move |cell| (scenario, cell))
        })
        .collect();
    let left = Mutex::new(cells.into_iter().enumerate());
    let played = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some((number, (scenario, cell))) = next(&left) {
                    let one = play(scenario, cell);
                    played.lock().unwrap().push((number, one));
                }
            });
        }
    });
    let mut played = played.into_inner().unwrap();
    played.sort_by_key(|(number, _)| *number);
    let played: Vec<Played> = played.into_iter().map(|(_, one)| one).collect();
    println!("{}", report(&played));
    let unexplained: Vec<_> = played
        .iter()
        .filter_map(|one| one.problem.as_deref())
        .collect();
    assert!(unexplained.is_empty(), "\n{}", unexplained.join("\n"));
}

#[test]
fn every_case_of_cpythons_own_suite_is_in_the_table_or_out_of_a_clients_sight() {
    let played = scenarios().flat_map(|scenario| scenario.covers).copied();
    let all: Vec<&str> = played.chain(OUT_OF_SIGHT.map(|(case, _)| case)).collect();
    let once: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), once.len()), (CASES, CASES), "{all:?}");
}

fn next<T>(left: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    left.lock().unwrap().next()
}

/// A scenario in one cell, played by all and judged.
fn play(scenario: &'static Scenario, (transport, concurrency): (Transport, Concurrency)) -> Played {
    let by = |side| {
        let stage = Stage {
            scenario,
            transport,
            concurrency,
            side,
        };
        catch_unwind(AssertUnwindSafe(|| (scenario.sees)(&stage)))
            .map_err(|_| format!("{side:?} could not play it; why is printed above"))
    };
    let [python, sandsock, compat] = Side::ALL.map(by);
    let problem = judge(scenario, python, sandsock, compat)
        .err()
        .map(|problem| {
            let cell = format!("{transport:?} {}", concurrency.name());
            format!("{} ({cell}): {problem}", scenario.name)
        });
    Played {
        scenario,
        cell: (transport, concurrency),
        problem,
    }
}

fn judge(
    scenario: &Scenario,
    python: Result<Seen, String>,
    sandsock: Result<Seen, String>,
    compat: Result<Seen, String>,
) -> Result<(), String> {
    let (python, sandsock, compat) = (python?, sandsock?, compat?);
    let seen =
        format!("\n  Python:   {python:?}\n  sandsock: {sandsock:?}\n  --compat: {compat:?}");
    let same = (sandsock == python, compat == python);
    match (scenario.expected, same) {
        (Expected::Same, (true, true))
        | (Expected::Departure(_), (false, false))
        | (Expected::DepartureUnlessCompat(_), (false, true)) => Ok(()),
        (Expected::Same, (false, _)) => Err(format!("a difference without a reason{seen}")),
        (Expected::Same, (true, false)) => {
            Err(format!("`--compat python` makes a difference{seen}"))
        }
        (Expected::DepartureUnlessCompat(_), (_, false)) => {
            Err(format!("`--compat python` does not make them alike{seen}"))
        }
        (_, (true, _)) => Err(format!("no difference any more{seen}")),
        (Expected::Departure(_), (false, true)) => {
            Err(format!("`--compat python` makes them alike{seen}"))
        }
    }
}
