//! A log-linear histogram of whole numbers: eight buckets per power of two.
//!
//! A bucket includes its upper bound, as Prometheus' `le` demands, and powers of two are bucket bounds, so
//! counts up to a power of two are exact. A value read back is off by at most one part in sixteen.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// A distribution that many threads add to at once.
pub(crate) struct Histogram {
    counts: Box<[AtomicU64; BUCKETS]>,
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([const { AtomicU64::new(0) }; BUCKETS]), sum: AtomicU64::new(0) }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot();
        f.debug_struct("Histogram").field("count", &snapshot.count()).field("sum", &snapshot.sum).finish()
    }
}

impl Histogram {
    /// Counts one value. Zero is counted with one.
    pub(crate) fn record(&self, value: u64) {
        self.counts[bucket(value)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// The distribution now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            counts: self.counts.iter().map(|count| count.load(Relaxed)).collect(),
            sum: self.sum.load(Relaxed),
        }
    }
}

/// A distribution at one moment, or what was added to it between two.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    counts: Box<[u64]>,
    /// All values added up.
    pub(crate) sum: u64,
}

impl Snapshot {
    /// Nothing counted yet.
    pub(crate) fn empty() -> Self {
        Self { counts: Box::new([0; BUCKETS]), sum: 0 }
    }

    /// How many values.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What was added since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let counts = self.counts.iter().zip(&earlier.counts).map(|(now, then)| now.saturating_sub(*then));
        Self { counts: counts.collect(), sum: self.sum.saturating_sub(earlier.sum) }
    }

    /// Both together.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        let counts = self.counts.iter().zip(&other.counts).map(|(one, other)| one + other);
        Self { counts: counts.collect(), sum: self.sum + other.sum }
    }

    /// How many values are at most two to the power of `exponent`.
    pub(crate) fn up_to_power(&self, exponent: u32) -> u64 {
        self.counts[..=bucket(1 << exponent)].iter().sum()
    }

    /// The value that a `share` (0 to 1) of all values does not exceed; `None` when there are no values.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        let rank = ((share * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        let found = self.counts.iter().position(|in_bucket| {
            seen += in_bucket;
            seen >= rank
        })?;
        let (low, high) = bounds(found);
        Some((low + 1 + high) as f64 / 2.0)
    }
}

/// The bucket of a value.
fn bucket(value: u64) -> usize {
    let value = value.saturating_sub(1).min(LARGEST);
    if value < SUB_BUCKETS {
        return value as usize;
    }
    let exponent = value.ilog2();
    let within = (value >> (exponent - SUB_BITS)) & (SUB_BUCKETS - 1);
    ((u64::from(exponent - SUB_BITS) + 1) * SUB_BUCKETS + within) as usize
}

/// The values of a bucket: above the first bound, up to and including the second.
fn bounds(bucket: usize) -> (u64, u64) {
    let (octave, within) = (bucket as u64 / SUB_BUCKETS, bucket as u64 % SUB_BUCKETS);
    if octave == 0 {
        return (within, within + 1);
    }
    let width = 1 << (octave - 1);
    let low = (SUB_BUCKETS + within) * width;
    (low, low + width)
}

const SUB_BITS: u32 = 3;
const SUB_BUCKETS: u64 = 1 << SUB_BITS;
/// Values above 2^40 (12 days in microseconds) are counted in the last bucket.
const LARGEST: u64 = (1 << 40) - 1;
const BUCKETS: usize = (40 - SUB_BITS as usize + 1) * SUB_BUCKETS as usize;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_join_without_gap_and_end_at_the_last() {
        assert_eq!(bounds(0).0, 0);
        for i in 1..BUCKETS {
            assert_eq!(bounds(i).0, bounds(i - 1).1, "bucket {i}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(bounds(BUCKETS - 1).1, 1 << 40);
    }

    #[test]
    fn powers_of_two_are_inclusive_bounds() {
        let histogram = Histogram::default();
        [1023, 1024, 1025].into_iter().for_each(|value| histogram.record(value));
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.up_to_power(9), snapshot.up_to_power(10), snapshot.up_to_power(11)), (0, 2, 3));
        assert_eq!((snapshot.count(), snapshot.sum), (3, 3072));
    }

    #[test]
    fn no_values_no_quantile() {
        assert_eq!(Snapshot::empty().quantile(0.5), None);
    }

    #[test]
    fn quantiles_of_a_known_distribution() {
        let histogram = Histogram::default();
        (1..=1000).for_each(|value| histogram.record(value));
        let snapshot = histogram.snapshot();
        for (share, exact) in [(0.0, 1.0), (0.5, 500.0), (0.95, 950.0), (0.999, 999.0), (1.0, 1000.0)] {
            let told = snapshot.quantile(share).unwrap();
            assert!((told - exact).abs() <= exact / 16.0, "{share}: {told} for {exact}");
        }
    }

    proptest! {
        #[test]
        fn a_value_is_in_its_bucket(value in 1_u64..=1 << 40) {
            let (low, high) = bounds(bucket(value));
            prop_assert!(low < value && value <= high);
        }

        #[test]
        fn a_single_value_is_told_within_a_sixteenth(value in 1_u64..=1 << 40) {
            let histogram = Histogram::default();
            histogram.record(value);
            let told = histogram.snapshot().quantile(0.5).unwrap();
            prop_assert!((told - value as f64).abs() <= value as f64 / 16.0, "{told}");
        }
    }
}
