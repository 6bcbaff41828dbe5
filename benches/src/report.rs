//! The report: what was aimed at and what came of it, then every section with its table and picture.

use crate::figures::{Spread, short};
use crate::machine;
use crate::pictures::draw;
use crate::run::Results;
use crate::sections::{Bound, Section, Target};
use crate::world::{Amount, World};
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Written by hand, of the machine and the version that the report in this repository is of.
const REASONS: &str = include_str!("../reasons.md");

/// `report.md`, and a picture of each section.
pub fn write(
    folder: &Path,
    world: &World,
    amount: &Amount,
    sections: &[Section],
    results: &Results,
) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let text = text(world, amount, sections, results)?;
    for section in sections {
        let picture = folder.join(section.key).with_extension("svg");
        draw(section, results, &picture)
            .with_context(|| format!("cannot draw {}", picture.display()))?;
    }
    let report = folder.join("report.md");
    fs::write(&report, text).with_context(|| format!("cannot write {}", report.display()))
}

fn text(world: &World, amount: &Amount, sections: &[Section], results: &Results) -> Result<String> {
    let mut out = String::from("# sandsock side by side\n\n| | |\n|---|---|\n");
    for (what, which) in machine::describe(world)? {
        writeln!(out, "| {what} | {which} |")?;
    }
    writeln!(out, "| other programs meanwhile | {} |", results.meanwhile)?;
    writeln!(
        out,
        "\n`cargo xtask bench --report`: {} rounds; in each, all competitors one after the other, in an order that moves \
         on by one; each started anew, warmed for {:?}, then measured for {:?}. Servers and clients share the machine. A figure \
         is the median over the rounds, with the least and the most in brackets; a ratio is taken within each round. CPU time \
         is user and system time of all of a server's processes, those that ended included. All servers echo and do \
         nothing else; sandsock writes no line a request (`-q`) but where it says so.\n",
        amount.rounds, amount.warm, amount.time
    )?;
    out.push_str("## Targets\n\n");
    out.push_str(&targets(sections, results));
    out.push('\n');
    out.push_str(REASONS);
    for section in sections {
        write!(out, "\n## {}\n\n{}\n\n", section.title, section.work)?;
        out.push_str(&table(section, results));
        writeln!(out, "\n![{}]({}.svg)", section.title, section.key)?;
        for subject in &section.subjects {
            if let Some(lacks) = &subject.lacks {
                writeln!(out, "\nSkipped: {}, since {lacks}.", subject.name)?;
            }
        }
    }
    Ok(out)
}

/// The target table with what was measured.
pub fn targets(sections: &[Section], results: &Results) -> String {
    let mut out =
        String::from("| work | figure | target | measured | met |\n|---|---|---|---|---|\n");
    for section in sections {
        for target in &section.targets {
            let base = target
                .base
                .map_or_else(String::new, |base| format!(" ÷ {base}"));
            let (measured, met) = match results.against(section, target) {
                Some(spread) => (bracketed(spread), verdict(target, spread)),
                None => ("–".to_owned(), "not measured"),
            };
            out.push_str(&format!(
                "| {} | {}: {}{base} | {} | {measured} | {met} |\n",
                section.title,
                target.of,
                target.metric,
                bound(target.bound),
            ));
        }
    }
    out
}

/// A median near the bound says little where the rounds lie on both sides of it.
fn verdict(target: &Target, spread: Spread) -> &'static str {
    let met = |value| target.bound.is_met(value);
    let is_sure = met(spread.least) == met(spread.most);
    match (met(spread.median), is_sure) {
        (true, true) => "yes",
        (true, false) => "yes, not in all rounds",
        (false, true) => "**no**",
        (false, false) => "**no**, but in some rounds",
    }
}

fn bound(bound: Bound) -> String {
    match bound {
        Bound::AtLeast(value) => format!("≥ {}", short(value)),
        Bound::AtMost(value) => format!("≤ {}", short(value)),
    }
}

fn bracketed(spread: Spread) -> String {
    let Spread {
        median,
        least,
        most,
    } = spread;
    format!("{} ({}–{})", short(median), short(least), short(most))
}

fn table(section: &Section, results: &Results) -> String {
    let mut out = format!("| | {} |\n|---|", section.metrics.join(" | "));
    out.push_str(&"---|".repeat(section.metrics.len()));
    out.push('\n');
    for subject in &section.subjects {
        if subject.lacks.is_some() {
            continue;
        }
        let cells = section.metrics.iter().map(|metric| {
            let spread = results.spread(section, subject.name, metric);
            spread.map_or_else(|| "–".to_owned(), bracketed)
        });
        let cells: Vec<_> = cells.collect();
        out.push_str(&format!("| {} | {} |\n", subject.name, cells.join(" | ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::RATE;

    fn judged(median: f64, least: f64, most: f64) -> &'static str {
        let target = Target {
            of: "x",
            metric: RATE,
            base: None,
            bound: Bound::AtLeast(1.0),
        };
        let spread = Spread {
            median,
            least,
            most,
        };
        verdict(&target, spread)
    }

    #[test]
    fn a_target_is_met_by_the_median_and_surely_by_all_rounds() {
        assert_eq!(judged(1.2, 1.1, 1.3), "yes");
        assert_eq!(judged(1.2, 0.9, 1.3), "yes, not in all rounds");
        assert_eq!(judged(0.9, 0.8, 0.95), "**no**");
        assert_eq!(judged(0.9, 0.8, 1.1), "**no**, but in some rounds");
    }
}
