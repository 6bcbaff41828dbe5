//! What it costs that a request ends otherwise than by returning: an exit, of which nothing is reported but its code, and
//! a panic, whose trap has a backtrace with names.

use super::short::one_client;
use super::{Bound, Section, Subject, ratio};
use crate::competitors::{Competitor, Program};
use crate::figures::{CPU, P50, P99, RATE};
use crate::world::World;
use Bound::AtMost;
use Program::Sandsock;

/// The guest, as `cargo build --release` leaves it.
const ENDS: &str = "test-guests/ends.release.wasm";

const RETURNS: &str = "returns";

/// What is ordered, and what that is called.
const ORDERS: [(&str, &[u8]); 4] = [
    (RETURNS, b"return\n"),
    ("exit 0", b"exit 0\n"),
    ("exit 1", b"exit 1\n"),
    ("panics", b"panic\n"),
];

pub(super) fn section(world: &World) -> Section {
    let subject = |(name, order): (&'static str, &'static [u8])| {
        let competitor = Competitor::new(name, Sandsock(ENDS, "threads"));
        Subject::server(world, competitor, move |world, amount, competitor| {
            one_client(world, amount, competitor, order, b"told\n")
        })
    };
    let others = ORDERS.into_iter().map(|(name, _)| name).skip(1);
    Section {
        key: "endings",
        title: "Ways to end",
        work: "A program in Rust as `cargo build --release` leaves it: it reads a line, answers, and ends as the line says; \
               one client, `threads`."
            .to_owned(),
        subjects: ORDERS.map(subject).into(),
        metrics: vec![CPU, RATE, P50, P99],
        picture: CPU,
        targets: others
            .map(|name| ratio(name, CPU, RETURNS, AtMost(2.0)))
            .collect(),
    }
}
