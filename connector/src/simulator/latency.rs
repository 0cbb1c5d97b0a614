//! Latencies in fixed space: buckets that grow with the value, so that any quantile is right within 7 %.

use std::time::Duration;

/// Counts of durations by size.
#[derive(Clone, Debug)]
pub struct Latencies {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    max_us: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0, max_us: 0 }
    }
}

impl Latencies {
    /// Adds one.
    pub fn record(&mut self, us: u64) {
        self.buckets[bucket(us)] += 1;
        self.count += 1;
        self.max_us = self.max_us.max(us);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// The value that `share` of all stay at or below; zero when there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(upper_bound(index).min(self.max_us));
            }
        }
        Duration::ZERO
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max_us)
    }
}

/// Sixteen buckets for each power of two.
fn bucket(us: u64) -> usize {
    let bits = 64 - us.leading_zeros();
    if bits <= 4 {
        return us as usize;
    }
    let shift = bits - 5;
    ((shift as usize + 1) * 16 + (us >> shift) as usize - 16).min(BUCKETS - 1)
}

fn upper_bound(index: usize) -> u64 {
    if index < 16 {
        return index as u64;
    }
    let shift = index / 16 - 1;
    ((16 + index as u64 % 16 + 1) << shift) - 1
}

const BUCKETS: usize = 16 * 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        for us in (0..70).chain([100, 1000, 12_345, 999_999, 10_000_000]) {
            let index = bucket(us);
            assert!(us <= upper_bound(index), "{us}");
            assert!(index == 0 || us > upper_bound(index - 1), "{us}");
            assert!(upper_bound(index) as f64 <= us as f64 * 1.07 + 1.0, "{us}");
        }
    }

    #[test]
    fn quantiles_of_a_known_spread() {
        let mut low = Latencies::default();
        let mut high = Latencies::default();
        for us in 1..=1000 {
            if us <= 500 { low.record(us) } else { high.record(us) }
        }
        low.merge(&high);
        let p50 = low.quantile(0.5).as_micros();
        assert!((500..540).contains(&p50), "{p50}");
        let p99 = low.quantile(0.99).as_micros();
        assert!((990..=1000).contains(&p99), "{p99}");
        assert_eq!(low.max(), Duration::from_millis(1));
        assert_eq!(Latencies::default().quantile(0.5), Duration::ZERO);
    }
}
