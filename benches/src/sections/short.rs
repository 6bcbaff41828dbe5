//! Short connections, under each concurrency: the work that a server is mostly set-up and tear-down for.

use super::{Bound, Section, Subject, ratio};
use crate::competitors::{COMMAND, COMPONENT, Competitor, MESSAGE, MODULE, Program};
use crate::figures::{CLIENT_CPU, CPU, Figures, P50, P99, P999, PEAK, RATE};
use crate::load::Load;
use crate::load::connections::Connections;
use crate::server::Server;
use crate::world::{Amount, World};
use Bound::{AtLeast, AtMost};
use Program::{Native, Python, Sandsock, Tcpserver};
use anyhow::Result;
use std::time::Duration;

/// Clients at one time, where nothing else is said.
pub(super) const CLIENTS: usize = 8;

const KEPT: &str = "native, threads kept";
const SPAWN: &str = "native, a thread each";

pub(super) fn threads(world: &World) -> Section {
    let python = "Python ThreadingTCPServer";
    let mut targets = Vec::new();
    for ours in ["sandsock, module", "sandsock, component"] {
        targets.extend([
            ratio(ours, RATE, KEPT, AtLeast(0.97)),
            ratio(ours, RATE, SPAWN, AtLeast(1.0)),
            ratio(ours, RATE, python, AtLeast(2.7)),
            ratio(ours, CPU, KEPT, AtMost(1.25)),
            ratio(ours, P99, SPAWN, AtMost(1.0)),
        ]);
    }
    section(
        world,
        "short-threads",
        "Short connections, threads",
        vec![
            Competitor::new(KEPT, Native("threads")),
            Competitor::new(SPAWN, Native("spawn")),
            Competitor::new("sandsock, module", Sandsock(MODULE, "threads")),
            Competitor::new("sandsock, component", Sandsock(COMPONENT, "threads")),
            Competitor::new("sandsock, command", Sandsock(COMMAND, "threads")),
            Competitor::new("sandsock, module, logging", Sandsock(MODULE, "threads")).with(&[]),
            Competitor::new(python, Python("ThreadingTCPServer")),
        ],
        targets,
    )
}

pub(super) fn fork(world: &World) -> Section {
    let (native, python) = ("native, fork", "Python ForkingTCPServer");
    let tcpserver = "tcpserver + cat";
    let mut targets = Vec::new();
    for ours in ["sandsock, module", "sandsock, component"] {
        targets.extend([
            ratio(ours, RATE, python, AtLeast(3.0)),
            ratio(ours, RATE, tcpserver, AtLeast(1.5)),
            ratio(ours, RATE, native, AtLeast(0.6)),
        ]);
    }
    section(
        world,
        "short-fork",
        "Short connections, fork",
        vec![
            Competitor::new(native, Native("fork")),
            Competitor::new("sandsock, module", Sandsock(MODULE, "fork")),
            Competitor::new("sandsock, component", Sandsock(COMPONENT, "fork")),
            Competitor::new("sandsock, command", Sandsock(COMMAND, "fork")),
            Competitor::new(python, Python("ForkingTCPServer")),
            Competitor::new(tcpserver, Tcpserver),
        ],
        targets,
    )
}

pub(super) fn serial(world: &World) -> Section {
    section(
        world,
        "short-serial",
        "Short connections, one after the other",
        vec![
            Competitor::new("native, serial", Native("serial")),
            Competitor::new("sandsock, module", Sandsock(MODULE, "serial")),
            Competitor::new("sandsock, component", Sandsock(COMPONENT, "serial")),
            Competitor::new("sandsock, command", Sandsock(COMMAND, "serial")),
            Competitor::new("Python TCPServer", Python("TCPServer")),
        ],
        Vec::new(),
    )
}

fn section(
    world: &World,
    key: &'static str,
    title: &'static str,
    competitors: Vec<Competitor>,
    targets: Vec<super::Target>,
) -> Section {
    Section {
        key,
        title,
        work: format!(
            "Connect over TCP, send `hello,server\\n`, end the own side, read the echo to the server's end, close; \
             {CLIENTS} clients, each with its next connection once the last has ended."
        ),
        subjects: competitors
            .into_iter()
            .map(|competitor| {
                Subject::server(world, competitor, |world, amount, competitor| {
                    closed_loop(world, amount, competitor, CLIENTS, 1)
                })
            })
            .collect(),
        metrics: vec![RATE, P50, P99, P999, CPU, CLIENT_CPU, PEAK],
        picture: RATE,
        targets,
    }
}

/// Warmed, then measured.
pub(super) fn closed_loop(
    world: &World,
    amount: &Amount,
    competitor: &Competitor,
    clients: usize,
    threads: usize,
) -> Result<Figures> {
    let mut server = competitor.start(world)?;
    let work = work(&server, competitor);
    let load = |time| work.closed_loop(clients, time, threads);
    let figures = measured(&server, amount, load);
    let figures = server.explain(figures)?;
    server.stop()?;
    Ok(figures)
}

pub(super) fn work(server: &Server, competitor: &Competitor) -> Connections<'static> {
    Connections {
        to: server.address(),
        message: MESSAGE,
        reply: competitor.reply(),
    }
}

/// A load, and what it cost the server and the clients.
pub(super) fn measured(
    server: &Server,
    amount: &Amount,
    load: impl Fn(Duration) -> Result<Load>,
) -> Result<Figures> {
    load(amount.warm)?;
    let before = server.processes().cpu();
    let mut load = load(amount.time)?;
    let cpu = server.processes().cpu().saturating_sub(before);
    let requests = load.latencies.len().max(1) as f64;
    Ok(Figures::default()
        .with(RATE, load.rate())
        .with(P50, micros(load.per_mille(500)))
        .with(P99, micros(load.per_mille(990)))
        .with(P999, micros(load.per_mille(999)))
        .with(CPU, micros(cpu) / requests)
        .with(CLIENT_CPU, micros(load.cpu) / requests)
        .with(PEAK, server.processes().peak() as f64 / 1024.0))
}

pub(super) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// One client, with a question and an answer of its own.
pub(super) fn one_client(
    world: &World,
    amount: &Amount,
    competitor: &Competitor,
    message: &'static [u8],
    reply: &'static [u8],
) -> Result<Figures> {
    let mut server = competitor.start(world)?;
    let work = Connections {
        to: server.address(),
        message,
        reply,
    };
    let figures = measured(&server, amount, |time| work.closed_loop(1, time, 1));
    let figures = server.explain(figures)?;
    server.stop()?;
    Ok(figures)
}
