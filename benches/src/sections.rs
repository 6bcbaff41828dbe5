//! The rows of the target table: what is measured, of whom, and what it is held against.

mod bulk;
mod datagrams;
mod endings;
mod generator;
mod growth;
mod handlers;
mod held;
mod instance;
mod memory;
mod overload;
mod short;
mod start;

use crate::competitors::Competitor;
use crate::figures::{Figures, Metric};
use crate::world::{Amount, World};
use anyhow::Result;

/// One row of the target table, with all who are compared in it.
pub struct Section {
    /// A short name, which is also its picture's.
    pub key: &'static str,
    /// A heading.
    pub title: &'static str,
    /// What the work is.
    pub work: String,
    /// Those who are compared, the base of ratios first.
    pub subjects: Vec<Subject>,
    /// The columns.
    pub metrics: Vec<Metric>,
    /// What the picture shows.
    pub picture: Metric,
    /// What is aimed at.
    pub targets: Vec<Target>,
}

/// How one measurement is taken.
pub type Measure = Box<dyn Fn(&World, &Amount) -> Result<Figures>>;

/// One of those who are compared.
pub struct Subject {
    /// As the report calls it.
    pub name: &'static str,
    /// Why it is not measured here, if so.
    pub lacks: Option<String>,
    /// A measurement.
    pub measure: Measure,
}

impl Subject {
    /// A server, and what is done with it.
    fn server(
        world: &World,
        competitor: Competitor,
        measure: impl Fn(&World, &Amount, &Competitor) -> Result<Figures> + 'static,
    ) -> Self {
        Subject {
            name: competitor.name,
            lacks: competitor.lacks(world),
            measure: Box::new(move |world, amount| measure(world, amount, &competitor)),
        }
    }
}

/// What a figure should be.
pub struct Target {
    /// Whose.
    pub of: &'static str,
    /// Which.
    pub metric: Metric,
    /// By whose figure it is divided, in each round; by none, where the target is a figure itself.
    pub base: Option<&'static str>,
    /// How it should lie.
    pub bound: Bound,
}

/// How a figure should lie.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// So much, or more.
    AtLeast(f64),
    /// So much, or less.
    AtMost(f64),
}

impl Bound {
    /// Whether it does.
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Bound::AtLeast(bound) => value >= bound,
            Bound::AtMost(bound) => value <= bound,
        }
    }
}

fn ratio(of: &'static str, metric: Metric, base: &'static str, bound: Bound) -> Target {
    Target {
        of,
        metric,
        base: Some(base),
        bound,
    }
}

fn figure(of: &'static str, metric: Metric, bound: Bound) -> Target {
    Target {
        of,
        metric,
        base: None,
        bound,
    }
}

/// All of them.
pub fn all(world: &World, amount: &Amount) -> Vec<Section> {
    vec![
        short::threads(world),
        short::fork(world),
        short::serial(world),
        bulk::section(world),
        datagrams::section(world),
        instance::section(world),
        held::section(world, amount),
        start::section(world),
        handlers::section(world),
        endings::section(world),
        growth::section(world),
        memory::section(world),
        overload::section(world),
        generator::section(world),
    ]
}
