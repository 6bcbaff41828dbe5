//! From the start of the program to the line that it listens, with the handler's code in the cache.

use super::{Bound, Section, Subject, figure};
use crate::competitors::{COMPONENT, Competitor, MODULE, Program};
use crate::figures::{Figures, Metric, Spread};
use crate::world::{Amount, World};
use Bound::AtMost;
use Program::{Native, Python, Sandsock, Tcpserver};
use anyhow::{Context, Result};

const TIME: Metric = "ms";

pub(super) fn section(world: &World) -> Section {
    let competitors = [
        Competitor::new("sandsock, module", Sandsock(MODULE, "threads")),
        Competitor::new("sandsock, component", Sandsock(COMPONENT, "threads")),
        Competitor::new("sandsock, module, fork", Sandsock(MODULE, "fork")),
        Competitor::new("sandsock, component, fork", Sandsock(COMPONENT, "fork")),
        Competitor::new(
            "sandsock, Python handler",
            Sandsock("languages/python.wasm", "threads"),
        ),
        Competitor::new("native, threads kept", Native("threads")),
        Competitor::new("Python ThreadingTCPServer", Python("ThreadingTCPServer")),
        Competitor::new("tcpserver + cat", Tcpserver),
    ];
    Section {
        key: "start",
        title: "Start to `listening`",
        work: "From the start of the program to the line on its standard output that it listens; the handler was \
               compiled before. The median of several starts."
            .to_owned(),
        targets: competitors
            .iter()
            .filter(|competitor| matches!(competitor.program, Sandsock(..)))
            .map(|competitor| figure(competitor.name, TIME, AtMost(40.0)))
            .collect(),
        subjects: competitors
            .into_iter()
            .map(|competitor| Subject::server(world, competitor, measure))
            .collect(),
        metrics: vec![TIME],
        picture: TIME,
    }
}

fn measure(world: &World, amount: &Amount, competitor: &Competitor) -> Result<Figures> {
    // The first one compiles.
    competitor.start(world)?.stop()?;
    let mut took = Vec::new();
    for _ in 0..amount.starts {
        let server = competitor.start(world)?;
        took.push(server.took().as_secs_f64() * 1e3);
        server.stop()?;
    }
    let spread = Spread::of(took).context("no start")?;
    Ok(Figures::default().with(TIME, spread.median))
}
