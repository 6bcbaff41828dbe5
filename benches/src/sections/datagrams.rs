//! Datagrams: a question, an answer, and a fresh instance for each.

use super::short::{CLIENTS, measured};
use super::{Bound, Section, Subject, ratio};
use crate::competitors::{COMPONENT, Competitor, MESSAGE, MODULE, Program};
use crate::figures::{CLIENT_CPU, CPU, Figures, Metric, P50, P99, P999, PEAK, RATE};
use crate::load::datagrams;
use crate::world::{Amount, World};
use Bound::AtLeast;
use Program::{Native, Python, Sandsock};
use anyhow::Result;
use std::cell::Cell;

/// Packets that were not answered within a second.
const LOST: Metric = "lost";

pub(super) fn section(world: &World) -> Section {
    let (native, python) = ("native, recvfrom and sendto", "Python ThreadingUDPServer");
    let module = |concurrency| Sandsock(MODULE, concurrency);
    let component = |concurrency| Sandsock(COMPONENT, concurrency);
    let competitors = [
        Competitor::new(native, Native("udp")),
        Competitor::new("sandsock, module, threads", module("threads")),
        Competitor::new("sandsock, component, threads", component("threads")),
        Competitor::new("sandsock, module, serial", module("serial")),
        Competitor::new("sandsock, component, serial", component("serial")),
        Competitor::new("sandsock, module, fork", module("fork")),
        Competitor::new(python, Python("ThreadingUDPServer")),
        Competitor::new("Python UDPServer", Python("UDPServer")),
    ];
    let mut targets = Vec::new();
    for ours in ["sandsock, module, threads", "sandsock, component, threads"] {
        targets.extend([
            ratio(ours, RATE, native, AtLeast(0.6)),
            ratio(ours, RATE, python, AtLeast(3.0)),
        ]);
    }
    Section {
        key: "datagrams",
        title: "Datagrams",
        work: format!(
            "Send `hello,server\\n` over UDP and wait for the echo; {CLIENTS} clients, each with one packet under way."
        ),
        subjects: competitors
            .into_iter()
            .map(|competitor| Subject::server(world, competitor.over_udp(), measure))
            .collect(),
        metrics: vec![RATE, P50, P99, P999, CPU, CLIENT_CPU, PEAK, LOST],
        picture: RATE,
        targets,
    }
}

fn measure(world: &World, amount: &Amount, competitor: &Competitor) -> Result<Figures> {
    let mut server = competitor.start(world)?;
    let to = server.address();
    let lost = Cell::new(0);
    let figures = measured(&server, amount, |time| {
        let load = datagrams::closed_loop(to, MESSAGE, CLIENTS, time)?;
        lost.set(load.failed);
        Ok(load)
    });
    let figures = server.explain(figures)?;
    server.stop()?;
    Ok(figures.with(LOST, lost.get() as f64))
}
