//! What was measured: figures of one measurement, and what several rounds of them say together.

/// A quantity's name with its unit, as a column of the report has it.
pub type Metric = &'static str;

/// Requests answered in a second.
pub const RATE: Metric = "requests/s";
/// Latency that half of the requests stay below.
pub const P50: Metric = "p50 µs";
/// Latency that 99 of 100 stay below.
pub const P99: Metric = "p99 µs";
/// Latency that 999 of 1,000 stay below.
pub const P999: Metric = "p99.9 µs";
/// User and system time of the server's processes, by the requests that they served meanwhile.
pub const CPU: Metric = "server CPU µs/request";
/// The most that was resident of the server's processes.
pub const PEAK: Metric = "peak MiB";
/// CPU time of the load generator, by requests.
pub const CLIENT_CPU: Metric = "client CPU µs/request";

/// The figures of one measurement.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<(Metric, f64)>);

impl Figures {
    /// With one more.
    #[must_use]
    pub fn with(mut self, metric: Metric, value: f64) -> Self {
        self.0.push((metric, value));
        self
    }

    /// One of them.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        let mut all = self.0.iter();
        Some(all.find(|(name, _)| *name == metric)?.1)
    }
}

/// The median of several rounds, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub most: f64,
}

impl Spread {
    /// `None` where there is nothing.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Spread {
            median,
            least,
            most,
        })
    }
}

/// Three digits that count, and thousands apart: no figure of a shared machine has more.
pub fn short(value: f64) -> String {
    let digits = match value.abs() {
        ..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    if digits > 0 || text.len() < 5 {
        return text;
    }
    let mut apart = String::new();
    for (place, digit) in text.chars().enumerate() {
        if place > 0 && (text.len() - place).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_rounds_is_their_median_and_their_ends() {
        let of = |values: &[f64]| Spread::of(values.iter().copied());
        let spread = |median, least, most| {
            Some(Spread {
                median,
                least,
                most,
            })
        };
        assert_eq!(of(&[3.0, 1.0, 2.0]), spread(2.0, 1.0, 3.0));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), spread(2.5, 1.0, 4.0));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn figures_are_shown_with_the_digits_that_count() {
        for (value, text) in [
            (0.973, "0.97"),
            (17.34, "17.3"),
            (345.6, "346"),
            (14_220.4, "14,220"),
            (1_234_567.0, "1,234,567"),
            (9999.6, "10,000"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
