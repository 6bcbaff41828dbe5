//! Cost as handlers grow: a runtime or an interpreter that each request has anew.

use super::short::one_client;
use super::{Bound, Section, Subject, figure};
use crate::competitors::{Competitor, Program};
use crate::figures::{CPU, P50, P99, PEAK, RATE};
use crate::world::World;
use Bound::AtMost;
use Program::Sandsock;

const PYTHON: &str = "Python";
const JAVASCRIPT: &str = "JavaScript";
const GO: &str = "Go";

pub(super) fn section(world: &World) -> Section {
    let of = |name, handler| Competitor::new(name, Sandsock(handler, "threads"));
    let competitors = [
        of("Rust, module", "languages/rust.wasm"),
        of("Rust, component", "languages/rust.component.wasm"),
        of("AssemblyScript", "languages/assemblyscript.wasm"),
        of("C", "languages/c.wasm"),
        of("Zig", "languages/zig.wasm"),
        of(GO, "languages/go.wasm"),
        of(JAVASCRIPT, "languages/javascript.wasm"),
        of(PYTHON, "languages/python.wasm"),
    ];
    Section {
        key: "handlers",
        title: "Cost as handlers grow",
        work: "The handler that every SDK has (guest-sdk/conformance): a short connection each, which sends \
               `hello\\nserver\\n` and reads `hello, server\\n`; one client, `threads`."
            .to_owned(),
        subjects: competitors
            .into_iter()
            .map(|competitor| {
                Subject::server(world, competitor, |world, amount, competitor| {
                    one_client(world, amount, competitor, b"hello\nserver\n", b"hello, server\n")
                })
            })
            .collect(),
        metrics: vec![CPU, RATE, P50, P99, PEAK],
        picture: CPU,
        targets: vec![
            figure(PYTHON, CPU, AtMost(700.0)),
            figure(JAVASCRIPT, CPU, AtMost(400.0)),
            figure(GO, CPU, AtMost(30.0)),
        ],
    }
}
