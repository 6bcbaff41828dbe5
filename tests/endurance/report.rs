//! What a soak was: numbers, and pictures of them over time.

use super::{CONCURRENCIES, Cell};
use crate::harness::Taken;
use plotters::prelude::*;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// All services of one concurrency at one moment.
pub(super) struct Sample {
    concurrency: &'static str,
    at: Duration,
    taken: Taken,
    /// Of the requests since the last sample.
    median: Duration,
    p99: Duration,
}

impl Sample {
    pub(super) fn of<'a>(
        concurrency: &'static str,
        at: Duration,
        cells: impl Iterator<Item = &'a Cell>,
    ) -> Self {
        let mut taken = Taken::default();
        let mut latencies = Vec::new();
        for cell in cells {
            taken += Taken::by(&cell.server);
            let all = cell.latencies.lock().unwrap();
            // Some seconds' worth: a percentile of twenty requests says little.
            let recent = all.len().saturating_sub(200);
            latencies.extend_from_slice(&all[recent..]);
        }
        Sample {
            concurrency,
            at,
            taken,
            median: percentile(&mut latencies, 50),
            p99: percentile(&mut latencies, 99),
        }
    }
}

fn percentile(latencies: &mut [Duration], percent: usize) -> Duration {
    latencies.sort_unstable();
    let last = latencies.len().saturating_sub(1);
    latencies
        .get(last * percent / 100)
        .copied()
        .unwrap_or_default()
}

/// A quantity over time.
struct Quantity {
    name: &'static str,
    file: &'static str,
    of: fn(&Sample) -> f64,
    /// How much more the end may have than the middle of the run.
    slack: Option<f64>,
}

const QUANTITIES: [Quantity; 6] = [
    Quantity {
        name: "memory that is no file's (MiB)",
        file: "memory.svg",
        of: |sample| sample.taken.kib as f64 / 1024.0,
        slack: Some(4.0),
    },
    Quantity {
        name: "descriptors",
        file: "descriptors.svg",
        of: |sample| sample.taken.descriptors as f64,
        slack: Some(20.0),
    },
    Quantity {
        name: "threads",
        file: "threads.svg",
        of: |sample| sample.taken.threads as f64,
        slack: Some(10.0),
    },
    Quantity {
        name: "processes",
        file: "processes.svg",
        of: |sample| sample.taken.processes as f64,
        slack: Some(10.0),
    },
    Quantity {
        name: "median latency (ms)",
        file: "median.svg",
        of: |sample| sample.median.as_secs_f64() * 1e3,
        slack: None,
    },
    Quantity {
        name: "p99 latency (ms)",
        file: "p99.svg",
        of: |sample| sample.p99.as_secs_f64() * 1e3,
        slack: None,
    },
];

pub(super) struct Report<'a> {
    time: Duration,
    samples: &'a [Sample],
    rows: Vec<Row>,
    events: BTreeMap<String, u64>,
}

/// One service.
struct Row {
    service: String,
    answered: usize,
    failed: u64,
    hits: u64,
    median: Duration,
    p99: Duration,
    worst: Duration,
}

impl<'a> Report<'a> {
    pub(super) fn new(time: Duration, cells: &[Cell], samples: &'a [Sample]) -> Self {
        let mut events = BTreeMap::new();
        let rows = cells.iter().map(|cell| {
            for (name, count) in cell.events.lock().unwrap().iter() {
                *events.entry(name.clone()).or_default() += count;
            }
            let mut latencies = cell.latencies.lock().unwrap().clone();
            Row {
                service: format!("{:?}, {}", cell.transport, cell.concurrency).to_lowercase(),
                answered: latencies.len(),
                failed: cell.failed.load(Relaxed),
                hits: cell.hits.load(Relaxed),
                median: percentile(&mut latencies, 50),
                p99: percentile(&mut latencies, 99),
                worst: percentile(&mut latencies, 100),
            }
        });
        Report {
            time,
            samples,
            rows: rows.collect(),
            events,
        }
    }

    /// `report.md` and its pictures.
    pub(super) fn write_into(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("a folder");
        fs::write(folder.join("report.md"), self.to_string()).expect("a file");
        for quantity in &QUANTITIES {
            self.draw(quantity, &folder.join(quantity.file));
        }
    }

    fn of(&self, concurrency: &str, quantity: &Quantity) -> Vec<(f64, f64)> {
        let samples = self.samples.iter();
        let its_own = samples.filter(|sample| sample.concurrency == concurrency);
        its_own
            .map(|sample| (sample.at.as_secs_f64() / 60.0, (quantity.of)(sample)))
            .collect()
    }

    fn draw(&self, quantity: &Quantity, file: &Path) {
        let most = |all: &[(f64, f64)]| all.iter().map(|point| point.1).fold(0.0, f64::max);
        let lines = CONCURRENCIES.map(|concurrency| self.of(concurrency, quantity));
        let top = lines.iter().map(|line| most(line)).fold(1.0, f64::max) * 1.1;
        let canvas = SVGBackend::new(file, (720, 260)).into_drawing_area();
        canvas.fill(&WHITE).expect("a picture");
        let mut chart = ChartBuilder::on(&canvas)
            .caption(quantity.name, ("sans-serif", 16))
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..self.time.as_secs_f64() / 60.0, 0.0..top)
            .expect("a chart");
        let mut mesh = chart.configure_mesh();
        mesh.x_desc("minutes").draw().expect("axes");
        for ((concurrency, line), color) in CONCURRENCIES.iter().zip(lines).zip([BLUE, GREEN, RED])
        {
            chart
                .draw_series(LineSeries::new(line, color))
                .expect("a line")
                .label(*concurrency)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], color));
        }
        let mut legend = chart.configure_series_labels();
        legend
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()
            .expect("a legend");
        canvas.present().expect("a file");
    }

    /// The mean of the second quarter, when all is warm, and of the last.
    fn quarters(&self, concurrency: &str, quantity: &Quantity) -> (f64, f64) {
        let line = self.of(concurrency, quantity);
        let mean = |points: &[(f64, f64)]| {
            points.iter().map(|point| point.1).sum::<f64>() / points.len().max(1) as f64
        };
        let quarter = line.len() / 4;
        (
            mean(&line[quarter..2 * quarter]),
            mean(&line[3 * quarter..]),
        )
    }

    /// Nothing has at the end more than in the middle.
    pub(super) fn has_not_grown(&self) {
        for quantity in &QUANTITIES {
            let Some(slack) = quantity.slack else {
                continue;
            };
            for concurrency in CONCURRENCIES {
                let (second, last) = self.quarters(concurrency, quantity);
                assert!(
                    last <= second * 1.1 + slack,
                    "{concurrency}: {} grew from {second:.1} to {last:.1}",
                    quantity.name
                );
            }
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests: u64 = self
            .events
            .iter()
            .filter(|e| e.0.starts_with("request "))
            .map(|e| e.1)
            .sum();
        writeln!(
            f,
            "# A soak of {:.1} minutes\n",
            self.time.as_secs_f64() / 60.0
        )?;
        writeln!(
            f,
            "{requests} requests of good and hostile clients to {} services, with faults in between: handlers read again, \
             processes killed, no descriptors for a while.\n",
            self.rows.len()
        )?;
        writeln!(f, "| event | times |\n|---|---|")?;
        for (name, count) in &self.events {
            writeln!(f, "| {name} | {count} |")?;
        }
        writeln!(
            f,
            "\nRequests of neighbours, who should be served (`hit`: processes that were killed, each of which may cost one):\n"
        )?;
        writeln!(
            f,
            "| service | answered | failed | hit | median | p99 | worst |\n|---|---|---|---|---|---|---|"
        )?;
        let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
        for row in &self.rows {
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} | {} |",
                row.service,
                row.answered,
                row.failed,
                row.hits,
                millis(row.median),
                millis(row.p99),
                millis(row.worst)
            )?;
        }
        writeln!(
            f,
            "\nOver time, all services of a concurrency together; the mean of the second quarter, and of the last:\n"
        )?;
        writeln!(f, "| | {} |\n|---|---|---|---|", CONCURRENCIES.join(" | "))?;
        for quantity in &QUANTITIES {
            let cells = CONCURRENCIES.map(|concurrency| {
                let (second, last) = self.quarters(concurrency, quantity);
                format!("{second:.1} → {last:.1}")
            });
            writeln!(f, "| {} | {} |", quantity.name, cells.join(" | "))?;
        }
        writeln!(f)?;
        for quantity in &QUANTITIES {
            writeln!(f, "![{}]({})", quantity.name, quantity.file)?;
        }
        Ok(())
    }
}
