//! The rounds: everything in turn, again and again, so that whatever the machine does besides meets all alike.

use crate::figures::{Figures, Metric, Spread, short};
use crate::machine::{Meanwhile, Watch};
use crate::sections::{Section, Target};
use crate::world::{Amount, World};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::time::Instant;

/// What all rounds have measured.
#[derive(Default)]
pub struct Results {
    /// By section, by subject, by round.
    figures: BTreeMap<(&'static str, &'static str), Vec<Figures>>,
    /// What the machine did besides.
    pub meanwhile: Meanwhile,
}

impl Results {
    /// One figure of a subject over the rounds.
    pub fn spread(&self, section: &Section, subject: &str, metric: Metric) -> Option<Spread> {
        let rounds = self.rounds(section, subject).iter();
        Spread::of(rounds.filter_map(|figures| figures.get(metric)))
    }

    /// What a target is held against: the figure, or its ratio to the base's of the same round.
    pub fn against(&self, section: &Section, target: &Target) -> Option<Spread> {
        let rounds = self.rounds(section, target.of);
        let Some(base) = target.base else {
            return self.spread(section, target.of, target.metric);
        };
        let pairs = rounds.iter().zip(self.rounds(section, base));
        Spread::of(pairs.filter_map(|(figures, base)| {
            Some(figures.get(target.metric)? / base.get(target.metric)?)
        }))
    }

    fn rounds(&self, section: &Section, subject: &str) -> &[Figures] {
        let mut all = self.figures.iter();
        let found = all.find(|((key, name), _)| *key == section.key && *name == subject);
        found.map_or(&[], |(_, rounds)| rounds)
    }
}

/// Measures all sections, and says each figure as it comes.
pub fn run(world: &World, amount: &Amount, sections: &[Section]) -> Result<Results> {
    for section in sections {
        for subject in &section.subjects {
            if let Some(lacks) = &subject.lacks {
                eprintln!(
                    "SKIPPED: {}: {}, since {lacks}",
                    section.title, subject.name
                );
            }
        }
    }
    if sections.iter().all(|section| section.subjects.is_empty()) {
        bail!("nothing to measure");
    }
    let mut results = Results::default();
    let began = Instant::now();
    let watch = Watch::begin();
    for round in 0..amount.rounds {
        eprintln!(
            "==> round {} of {}, after {:.0?}",
            round + 1,
            amount.rounds,
            began.elapsed()
        );
        for section in sections {
            eprintln!("{}", section.title);
            let present: Vec<_> = section
                .subjects
                .iter()
                .filter(|subject| subject.lacks.is_none())
                .collect();
            for place in 0..present.len() {
                // Another one is first in each round.
                let subject = present[(place + round) % present.len()];
                let figures = (subject.measure)(world, amount)
                    .with_context(|| format!("{}: {}", section.title, subject.name))?;
                eprintln!("    {:38} {}", subject.name, said(section, &figures));
                let key = (section.key, subject.name);
                results.figures.entry(key).or_default().push(figures);
            }
        }
    }
    results.meanwhile = watch.end();
    eprintln!(
        "==> {:.0?}; other programs meanwhile: {}",
        began.elapsed(),
        results.meanwhile
    );
    Ok(results)
}

fn said(section: &Section, figures: &Figures) -> String {
    let each = section.metrics.iter().filter_map(|metric| {
        let value = figures.get(metric)?;
        Some(format!("{metric} {}", short(value)))
    });
    each.collect::<Vec<_>>().join(" | ")
}
