//! A counter per cause of failure.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use adapters::Cause;

/// Counters by [`Cause`]; all statuses share one.
#[derive(Debug, Default)]
pub struct ByCause([AtomicU64; CAUSES.len()]);

impl ByCause {
    /// Counts `times` failures of one cause.
    pub fn add(&self, cause: Cause, times: u64) {
        self.0[index(cause)].fetch_add(times, Relaxed);
    }

    /// All causes together.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// The word for each cause, those that never occurred included, and its count.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CAUSES.iter().zip(&self.0).map(|(cause, count)| (cause.as_str(), count.load(Relaxed)))
    }
}

fn index(cause: Cause) -> usize {
    match cause {
        Cause::Timeout => 0,
        Cause::Unreachable => 1,
        Cause::Overloaded => 2,
        Cause::Unauthorized => 3,
        Cause::Status(_) => 4,
        Cause::FunctionError => 5,
        Cause::TooLarge => 6,
        Cause::Malformed => 7,
        Cause::Shutdown => 8,
        Cause::Storage => 9,
    }
}

/// In the order of [`index`].
const CAUSES: [Cause; 10] = [
    Cause::Timeout,
    Cause::Unreachable,
    Cause::Overloaded,
    Cause::Unauthorized,
    Cause::Status(0),
    Cause::FunctionError,
    Cause::TooLarge,
    Cause::Malformed,
    Cause::Shutdown,
    Cause::Storage,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_read_back_under_its_own_word() {
        let causes = ByCause::default();
        for (i, cause) in CAUSES.into_iter().enumerate() {
            assert_eq!(index(cause), i, "{cause}");
            causes.add(cause, i as u64 + 1);
        }
        causes.add(Cause::Status(503), 10);
        for (i, (word, count)) in causes.read().enumerate() {
            let expected = i as u64 + 1 + if word == "status" { 10 } else { 0 };
            assert_eq!((word, count), (CAUSES[i].as_str(), expected));
        }
        assert_eq!(causes.total(), 55 + 10);
    }
}
