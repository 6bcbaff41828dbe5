//! Growth: the same work with one client and with many.

use super::short::{micros, work};
use super::{Section, Subject};
use crate::competitors::{COMPONENT, Competitor, MODULE, Program};
use crate::figures::{Figures, Metric};
use crate::world::{Amount, World};
use Program::{Native, Python, Sandsock};
use anyhow::Result;

/// Clients, and the names of their columns.
const STEPS: [(usize, Metric, Metric); 4] = [
    (1, "requests/s, 1 client", "p99 µs, 1 client"),
    (8, "requests/s, 8 clients", "p99 µs, 8 clients"),
    (64, "requests/s, 64 clients", "p99 µs, 64 clients"),
    (512, "requests/s, 512 clients", "p99 µs, 512 clients"),
];

pub(super) fn section(world: &World) -> Section {
    let competitors = [
        Competitor::new("native, threads kept", Native("threads")),
        Competitor::new("native, a thread each", Native("spawn")),
        Competitor::new("sandsock, module", Sandsock(MODULE, "threads")),
        Competitor::new("sandsock, component", Sandsock(COMPONENT, "threads")),
        Competitor::new("Python ThreadingTCPServer", Python("ThreadingTCPServer")),
    ];
    let rates = STEPS.map(|(_, rate, _)| rate);
    let latencies = STEPS.map(|(_, _, latency)| latency);
    Section {
        key: "growth",
        title: "More clients",
        work: "Short connections as above, `threads`, with 1, 8, 64 and 512 clients; all servers have a queue of 1,024."
            .to_owned(),
        subjects: competitors
            .into_iter()
            .map(|competitor| Subject::server(world, competitor, measure))
            .collect(),
        metrics: rates.into_iter().chain(latencies).collect(),
        picture: rates[3],
        targets: Vec::new(),
    }
}

fn measure(world: &World, amount: &Amount, competitor: &Competitor) -> Result<Figures> {
    let mut server = competitor.start(world)?;
    let work = work(&server, competitor);
    let mut figures = Figures::default();
    for (clients, rate, latency) in STEPS {
        let load = work
            .closed_loop(clients, amount.warm, 1)
            .and_then(|_| work.closed_loop(clients, amount.time, 1));
        let mut load = server.explain(load)?;
        figures = figures
            .with(rate, load.rate())
            .with(latency, micros(load.per_mille(990)));
    }
    server.stop()?;
    Ok(figures)
}
