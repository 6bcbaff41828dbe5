//! Connections held idle: what each of them costs, and whether the next request notices.

use super::short::{micros, work};
use super::{Bound, Section, Subject, figure};
use crate::competitors::{COMPONENT, Competitor, MODULE, Program};
use crate::figures::{Figures, Metric};
use crate::load::held::hold;
use crate::server::Server;
use crate::world::{Amount, World};
use Bound::{AtLeast, AtMost};
use Program::{Native, Python, Sandsock};
use anyhow::Result;

const HELD: Metric = "held";
const EACH: Metric = "resident KiB/connection";
const ALONE: Metric = "p50 µs with none";
const BESIDE: Metric = "p50 µs with all";
const SLOWER: Metric = "with all / with none";

/// What the target table wants held in one process.
const WANTED: f64 = 6000.0;

/// Descriptors that a process needs for other things.
const RESERVE: u64 = 256;

/// Room for those who come beside the connections that are held.
const BESIDE_THEM: usize = 20;

/// As many of `wanted` as descriptors allow.
fn held(world: &World, wanted: usize) -> usize {
    let most = world.descriptors.saturating_sub(RESERVE);
    wanted.min(usize::try_from(most).unwrap_or(usize::MAX))
}

pub(super) fn section(world: &World, amount: &Amount) -> Section {
    let ours = |name, handler| {
        Competitor::new(name, Sandsock(handler, "threads")).with(&[
            "-q",
            "--deadline",
            "none",
            "--idle-timeout",
            "none",
        ])
    };
    let competitors = [
        Competitor::new("native, threads kept", Native("threads")),
        ours("sandsock, module", MODULE),
        ours("sandsock, component", COMPONENT),
        Competitor::new("Python ThreadingTCPServer", Python("ThreadingTCPServer")),
    ];
    let mut targets = Vec::new();
    for ours in ["sandsock, module", "sandsock, component"] {
        targets.extend([
            figure(ours, HELD, AtLeast(WANTED)),
            figure(ours, EACH, AtMost(28.0)),
            figure(ours, SLOWER, AtMost(1.1)),
        ]);
    }
    Section {
        key: "held",
        title: "Connections held idle",
        work: format!(
            "{} connections (fewer, in steps, where the server does not start with room for so many), each of which has sent a \
             byte and had it back, and then nothing; what is resident of the server with and without them, and short \
             connections, one client's, before they come and beside them.",
            held(world, amount.held)
        ),
        subjects: competitors
            .into_iter()
            .map(|competitor| Subject::server(world, competitor, measure))
            .collect(),
        metrics: vec![HELD, EACH, ALONE, BESIDE, SLOWER],
        picture: EACH,
        targets,
    }
}

fn measure(world: &World, amount: &Amount, competitor: &Competitor) -> Result<Figures> {
    let wanted = held(world, amount.held);
    let (mut server, count) = start(world, competitor, wanted)?;
    let figures = with_server(amount, competitor, &server, count);
    let figures = server.explain(figures)?;
    server.stop()?;
    Ok(figures)
}

/// With room for `wanted` connections, or for as many eighths of that as it starts with.
fn start(world: &World, competitor: &Competitor, wanted: usize) -> Result<(Server, usize)> {
    let mut eighths = 8;
    loop {
        let count = wanted * eighths / 8;
        let mut command = competitor.command(world)?;
        if let Sandsock(..) = competitor.program {
            command.arg("--max-in-flight");
            command.arg((count + BESIDE_THEM).to_string());
        }
        match Server::start(&mut command) {
            Ok(server) => return Ok((server, count)),
            Err(error) if eighths == 1 => return Err(error),
            Err(error) => eprintln!("    {}: not with {count}: {error:#}", competitor.name),
        }
        eighths -= 1;
    }
}

fn with_server(
    amount: &Amount,
    competitor: &Competitor,
    server: &Server,
    count: usize,
) -> Result<Figures> {
    let alone = single(server, competitor, amount)?;
    let before = server.processes().resident()?;
    let streams = hold(server.address(), count)?;
    let after = server.processes().resident()?;
    let beside = single(server, competitor, amount)?;
    drop(streams);
    Ok(Figures::default()
        .with(HELD, count as f64)
        .with(EACH, after.saturating_sub(before) as f64 / count as f64)
        .with(ALONE, alone)
        .with(BESIDE, beside)
        .with(SLOWER, beside / alone))
}

/// The median latency of one client's requests.
fn single(server: &Server, competitor: &Competitor, amount: &Amount) -> Result<f64> {
    let work = work(server, competitor);
    work.closed_loop(1, amount.warm, 1)?;
    let mut load = work.closed_loop(1, amount.time, 1)?;
    Ok(micros(load.per_mille(500)))
}
