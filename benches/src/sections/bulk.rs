//! One bulk stream: what the copies between the socket and the sandbox cost.

use super::short::micros;
use super::{Bound, Section, Subject, ratio};
use crate::competitors::{COMPONENT, Competitor, MODULE, Program};
use crate::figures::{Figures, Metric, PEAK};
use crate::load::bulk;
use crate::world::{Amount, World};
use Bound::AtLeast;
use Program::{Native, Python, Sandsock};
use anyhow::Result;

const SPEED: Metric = "MiB/s";
const CPU: Metric = "server CPU µs/MiB";
const CLIENT_CPU: Metric = "client CPU µs/MiB";

const NATIVE: &str = "native, threads kept";

pub(super) fn section(world: &World) -> Section {
    let competitors = [
        Competitor::new(NATIVE, Native("threads")),
        Competitor::new("sandsock, module", Sandsock(MODULE, "threads")),
        Competitor::new("sandsock, component", Sandsock(COMPONENT, "threads")),
        Competitor::new("Python ThreadingTCPServer", Python("ThreadingTCPServer")),
    ];
    Section {
        key: "bulk",
        title: "One bulk stream",
        work: "One connection, on which chunks of 64 KiB go there and come back; they are written as fast as the \
               connection takes them, and compared when they return."
            .to_owned(),
        subjects: competitors
            .into_iter()
            .map(|competitor| Subject::server(world, competitor, measure))
            .collect(),
        metrics: vec![SPEED, CPU, CLIENT_CPU, PEAK],
        picture: SPEED,
        targets: vec![
            ratio("sandsock, module", SPEED, NATIVE, AtLeast(0.97)),
            ratio("sandsock, component", SPEED, NATIVE, AtLeast(0.90)),
        ],
    }
}

fn measure(world: &World, amount: &Amount, competitor: &Competitor) -> Result<Figures> {
    let mut server = competitor.start(world)?;
    let warm = bulk::stream(server.address(), amount.warm);
    server.explain(warm)?;
    let before = server.processes().cpu();
    let stream = bulk::stream(server.address(), amount.time);
    let stream = server.explain(stream)?;
    let cpu = server.processes().cpu().saturating_sub(before);
    let mib = stream.bytes as f64 / f64::from(1 << 20);
    let figures = Figures::default()
        .with(SPEED, mib / stream.wall.as_secs_f64())
        .with(CPU, micros(cpu) / mib)
        .with(CLIENT_CPU, micros(stream.cpu) / mib)
        .with(PEAK, server.processes().peak() as f64 / 1024.0);
    server.stop()?;
    Ok(figures)
}
