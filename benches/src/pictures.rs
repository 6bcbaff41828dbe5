//! A picture of a section: a bar for each who was compared, with a line from the least round to the greatest.

use crate::figures::{Spread, short};
use crate::run::Results;
use crate::sections::Section;
use anyhow::{Result, anyhow};
use plotters::prelude::*;
use std::path::Path;

const WIDTH: u32 = 720;
const BAR: u32 = 24;
const LABELS: i32 = 220;
/// Room at the right for the figure.
const FIGURES: i32 = 80;
const TOP: i32 = 34;

const OURS: RGBColor = RGBColor(0x2b, 0x6c, 0xb0);
const THEIRS: RGBColor = RGBColor(0xa0, 0xae, 0xc0);

/// Draws it into an SVG file.
pub fn draw(section: &Section, results: &Results, file: &Path) -> Result<()> {
    let bars: Vec<(&str, Spread)> = section
        .subjects
        .iter()
        .filter_map(|subject| {
            let spread = results.spread(section, subject.name, section.picture)?;
            Some((subject.name, spread))
        })
        .collect();
    let most = bars
        .iter()
        .map(|(_, spread)| spread.most)
        .fold(0.0, f64::max);
    let height = TOP.cast_unsigned() + BAR * u32::try_from(bars.len())? + 8;
    let canvas = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    paint(&canvas, section, &bars, most).map_err(|error| anyhow!("{error}"))
}

fn paint(
    canvas: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    section: &Section,
    bars: &[(&str, Spread)],
    most: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    canvas.fill(&WHITE)?;
    let text = ("sans-serif", 13).into_font();
    let title = format!("{}: {}", section.title, section.picture);
    canvas.draw(&Text::new(title, (8, 8), ("sans-serif", 15).into_font()))?;
    let room = f64::from(WIDTH.cast_signed() - LABELS - FIGURES);
    let at = |value: f64| LABELS + (value / most.max(1e-9) * room) as i32;
    for ((name, spread), top) in bars.iter().zip((TOP..).step_by(BAR as usize)) {
        let color = match is_ours(section, name) {
            true => OURS,
            false => THEIRS,
        };
        let corners = [(LABELS, top + 2), (at(spread.median), top + 18)];
        canvas.draw(&Rectangle::new(corners, color.filled()))?;
        let line = vec![(at(spread.least), top + 10), (at(spread.most), top + 10)];
        canvas.draw(&PathElement::new(line, BLACK))?;
        canvas.draw(&Text::new((*name).to_owned(), (8, top + 4), text.clone()))?;
        let figure = (at(spread.most) + 6, top + 4);
        canvas.draw(&Text::new(short(spread.median), figure, text.clone()))?;
    }
    canvas.present()?;
    Ok(())
}

/// Where nobody else takes part, all are ours.
fn is_ours(section: &Section, name: &str) -> bool {
    let named = |name: &str| name.starts_with("sandsock");
    named(name) || !section.subjects.iter().any(|subject| named(subject.name))
}
