//! Times of single records, exact, so that a quantile is one of them.

use serde::Serialize;

/// Microseconds of everything that was seen.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    micros: Vec<u32>,
}

/// What a report tells of them.
#[derive(Debug, Serialize)]
pub(crate) struct Quantiles {
    p50_us: u32,
    p90_us: u32,
    p99_us: u32,
    p999_us: u32,
    max_us: u32,
}

impl Spread {
    pub(crate) fn add(&mut self, micros: u64) {
        self.micros.push(u32::try_from(micros).unwrap_or(u32::MAX));
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.micros.extend(other.micros);
    }

    pub(crate) fn quantiles(mut self) -> Quantiles {
        self.micros.sort_unstable();
        let at = |share: f64| {
            let index = (self.micros.len() as f64 * share) as usize;
            self.micros.get(index.min(self.micros.len().saturating_sub(1))).copied().unwrap_or(0)
        };
        Quantiles { p50_us: at(0.5), p90_us: at(0.9), p99_us: at(0.99), p999_us: at(0.999), max_us: at(1.0) }
    }
}
