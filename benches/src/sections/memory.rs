//! Cost as a request may have more memory: room for it is reserved, and not touched.

use super::short::one_client;
use super::{Section, Subject};
use crate::competitors::{Competitor, MESSAGE, MODULE, Program};
use crate::figures::{CPU, P50, P99, PEAK, RATE};
use crate::world::World;

pub(super) fn section(world: &World) -> Section {
    let limits: [(&str, [&str; 3]); 4] = [
        ("1 MiB", ["-q", "--memory-limit", "1MiB"]),
        ("16 MiB", ["-q", "--memory-limit", "16MiB"]),
        ("64 MiB, as by default", ["-q", "--memory-limit", "64MiB"]),
        ("1 GiB", ["-q", "--memory-limit", "1GiB"]),
    ];
    Section {
        key: "memory",
        title: "More memory for a request",
        work: "`echo` as a module, a short connection each, one client, `threads`, under `--memory-limit`.".to_owned(),
        subjects: limits
            .into_iter()
            .map(|(name, options)| {
                let competitor =
                    Competitor::new(name, Program::Sandsock(MODULE, "threads")).with(&options);
                Subject::server(world, competitor, |world, amount, competitor| {
                    one_client(world, amount, competitor, MESSAGE, MESSAGE)
                })
            })
            .collect(),
        metrics: vec![CPU, RATE, P50, P99, PEAK],
        picture: CPU,
        targets: Vec::new(),
    }
}
