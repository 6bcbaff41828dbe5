//! What a request needs that does not depend on the machine's speed: system calls, instructions, allocations.
//! They are compared with what is known (`benches/counts.txt`): a change that makes them grow is seen where
//! no clock could tell.

mod instructions;
mod system_calls;

use crate::competitors::{COMMAND, COMPONENT, MODULE};
use crate::world::World;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// What is known.
const FILE: &str = "benches/counts.txt";

/// By how much a count may grow: a fifth. System calls of a request are few, so less than one more is nothing either.
const MORE: f64 = 1.2;
const NOTHING: f64 = 0.95;

/// So often is counted where something has grown: how often a thread has to wait depends on who is first, so of
/// each count the least is taken.
const ROUNDS: usize = 5;

/// A count's name, and how much it is of one request.
type Counts = BTreeMap<String, f64>;

/// The handlers, as the counts name them.
const HANDLERS: [(&str, &str); 3] = [
    ("module", MODULE),
    ("component", COMPONENT),
    ("command", COMMAND),
];

/// Counts, prints, and compares with what is known; or writes it down as what is known.
pub fn counts(world: &World, update: bool) -> Result<()> {
    let file = world.root.join(FILE);
    let mut known = match fs::read_to_string(&file) {
        Ok(text) => parse(&text).with_context(|| format!("in {}", file.display()))?,
        Err(_) if update => Counts::new(),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", file.display()));
        }
    };
    let (mut found, skipped) = count(world)?;
    for _ in 1..ROUNDS {
        if update || grown(&known, &found).is_empty() {
            break;
        }
        eprintln!("==> more than is known: counting again");
        least(&mut found, &count(world)?.0);
    }
    let text = written(&found);
    print!("{text}");
    if update {
        // What could not be counted here stays as it was.
        known.retain(|name, _| skipped.iter().any(|what| name.contains(what)));
        known.extend(found);
        fs::write(&file, written(&known))
            .with_context(|| format!("cannot write {}", file.display()))?;
        eprintln!("==> written to {FILE}");
        return Ok(());
    }
    let grown = grown(&known, &found);
    if !grown.is_empty() {
        bail!(
            "more than is known ({FILE}; `cargo xtask bench counts --update`, where it is meant):\n{}",
            grown.join("\n")
        );
    }
    Ok(())
}

/// All that can be counted here, and what cannot.
fn count(world: &World) -> Result<(Counts, Vec<&'static str>)> {
    let mut found = Counts::new();
    let mut skipped = Vec::new();
    allocations(world, &mut found)?;
    for (what, lacks) in [
        ("instructions", instructions::count(world, &mut found)?),
        ("system calls", system_calls::count(world, &mut found)?),
    ] {
        if let Some(lacks) = lacks {
            eprintln!("SKIPPED: {what}, since {lacks}");
            skipped.push(what);
        }
    }
    Ok((found, skipped))
}

/// Of each count the lesser one. What one round has not counted at all is none of a request's.
fn least(counts: &mut Counts, others: &Counts) {
    counts.retain(|name, count| match others.get(name) {
        Some(other) => {
            *count = count.min(*other);
            true
        }
        None => false,
    });
}

/// On the heap of the host.
fn allocations(world: &World, found: &mut Counts) -> Result<()> {
    for (name, handler) in HANDLERS {
        let path = world.handler(handler).context("`cargo xtask build`")?;
        let program = world.program("bench-allocations");
        let output = Command::new(&program)
            .arg(&path)
            .output()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut numbers = text.split_whitespace().map(str::parse::<f64>);
        let (Some(Ok(count)), Some(Ok(bytes))) = (numbers.next(), numbers.next()) else {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("bench-allocations {}: {said}", path.display());
        };
        found.insert(format!("in memory, {name}: allocations"), count);
        found.insert(format!("in memory, {name}: allocations, bytes"), bytes);
    }
    Ok(())
}

fn grown(known: &Counts, found: &Counts) -> Vec<String> {
    let each = found.iter().filter_map(|(name, count)| {
        let before = known.get(name).copied().unwrap_or(0.0);
        let is_more = *count > before * MORE && *count > before + NOTHING;
        is_more.then(|| {
            format!(
                "    {name}: {} in place of {}",
                shown(*count),
                shown(before)
            )
        })
    });
    each.collect()
}

/// Whole where it is large: a tenth of an instruction is nothing.
fn shown(count: f64) -> String {
    match count < 100.0 {
        true => format!("{count:.1}"),
        false => format!("{count:.0}"),
    }
}

fn written(counts: &Counts) -> String {
    let lines = counts
        .iter()
        .map(|(name, count)| format!("{:>10}  {name}\n", shown(*count)));
    lines.collect()
}

fn parse(text: &str) -> Result<Counts> {
    let lines = text.lines().map(|line| {
        let (count, name) = line
            .trim_start()
            .split_once("  ")
            .with_context(|| format!("not a count and its name: {line:?}"))?;
        Ok((name.to_owned(), count.parse()?))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str) -> Counts {
        parse(text).expect("counts")
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = "       2.0  tcp: close\n    163000  in memory: instructions\n";
        let read = counts(text);
        assert_eq!(read["tcp: close"], 2.0);
        assert_eq!(parse(&written(&read)).expect("counts"), read);
        assert!(parse("close").is_err());
    }

    #[test]
    fn of_several_rounds_the_least_is_taken() {
        let mut found = counts("3.0  a\n2.0  b\n1.0  once\n");
        least(&mut found, &counts("2.0  a\n2.5  b\n1.0  another\n"));
        assert_eq!(found, counts("2.0  a\n2.0  b\n"));
    }

    #[test]
    fn a_fifth_more_is_too_much_and_less_is_not() {
        let known = counts("1000  a\n2.0  b\n");
        assert!(grown(&known, &counts("1190  a\n2.5  b\n")).is_empty());
        assert!(grown(&known, &counts("10  a\n")).is_empty());
        assert_eq!(grown(&known, &counts("1210  a\n")).len(), 1);
        assert_eq!(grown(&known, &counts("3.0  b\n")).len(), 1);
        assert_eq!(grown(&known, &counts("1.0  new\n")).len(), 1);
    }
}
