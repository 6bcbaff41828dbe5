//! Overload: what is still served at twice the load that can be.

use super::short::{micros, work};
use super::{Section, Subject};
use crate::competitors::{COMPONENT, Competitor, MODULE, Program};
use crate::figures::{Figures, Metric};
use crate::server::Server;
use crate::world::{Amount, World, installed};
use Program::{Native, Python, Sandsock};
use anyhow::Result;
use std::process::Command;
use std::time::Duration;

const CAPACITY: Metric = "can be served/s";
const OFFERED: Metric = "offered / that";
const GOODPUT: Metric = "served in time / that";
const P99: Metric = "p99 µs of those served";

/// So many that the server has always something to do.
const CLIENTS: usize = 64;

/// Descriptors of the clients that are not connections.
const RESERVE: u64 = 256;

/// A client gives up after so long.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn section(world: &World) -> Section {
    let competitors = [
        Competitor::new("native, threads kept", Native("threads")),
        Competitor::new("native, a thread each", Native("spawn")),
        Competitor::new("sandsock, module", Sandsock(MODULE, "threads")),
        Competitor::new("sandsock, component", Sandsock(COMPONENT, "threads")),
        Competitor::new("Python ThreadingTCPServer", Python("ThreadingTCPServer")),
    ];
    Section {
        key: "overload",
        title: "Twice the load that can be served",
        work: format!(
            "Short connections as above, the server on one CPU. First what {CLIENTS} clients are served; then connections at \
             twice that rate, whatever becomes of those before, each given up after {PATIENCE:?}. Where the clients cannot \
             make so many, or 16,384 of them wait already, there are fewer: the table says how many."
        ),
        subjects: competitors
            .into_iter()
            .map(|competitor| Subject::server(world, competitor, measure))
            .collect(),
        metrics: vec![CAPACITY, OFFERED, GOODPUT, P99],
        picture: GOODPUT,
        targets: Vec::new(),
    }
}

fn measure(world: &World, amount: &Amount, competitor: &Competitor) -> Result<Figures> {
    let mut server = Server::start(&mut on_one_cpu(competitor.command(world)?))?;
    let work = work(&server, competitor);
    let figures = (|| {
        work.closed_loop(CLIENTS, amount.warm, 1)?;
        let capacity = work.closed_loop(CLIENTS, amount.time, 1)?.rate();
        let most = usize::try_from(world.descriptors.saturating_sub(RESERVE))?.min(1 << 14);
        let (mut load, begun) = work.open_loop(2.0 * capacity, amount.time, PATIENCE, most)?;
        let time = amount.time.as_secs_f64();
        Ok(Figures::default()
            .with(CAPACITY, capacity)
            .with(OFFERED, begun as f64 / time / capacity)
            .with(GOODPUT, load.rate() / capacity)
            .with(P99, micros(load.per_mille(990))))
    })();
    let figures = server.explain(figures)?;
    server.stop()?;
    Ok(figures)
}

/// By taskset(1), which becomes the program; where there is none, on all of them.
fn on_one_cpu(command: Command) -> Command {
    if installed("taskset").is_none() {
        return command;
    }
    let mut pinned = Command::new("taskset");
    pinned
        .args(["--cpu-list", "0"])
        .arg(command.get_program())
        .args(command.get_args());
    pinned
}
