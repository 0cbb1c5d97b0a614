//! The recent part of a histogram, for quantiles that follow what happens now.
//!
//! Quantiles since the start say less every hour. So whoever reads a histogram leaves a copy here from time
//! to time, and the recent part is what was added since a copy of about a minute ago. The record path never
//! comes here.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::histogram::{Histogram, Snapshot};

/// Copies of one histogram, oldest first, never none.
#[derive(Debug)]
pub(crate) struct Recent {
    copies: Mutex<VecDeque<(Instant, Snapshot)>>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { copies: Mutex::new(VecDeque::from([(Instant::now(), Snapshot::empty())])) }
    }
}

impl Recent {
    /// What was added to `histogram` in the last minute, or since it was last read if that is longer ago.
    pub(crate) fn read(&self, histogram: &Histogram, now: Instant) -> Snapshot {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let current = histogram.snapshot();
        while copies.get(1).is_some_and(|(taken, _)| now.saturating_duration_since(*taken) >= WINDOW) {
            copies.pop_front();
        }
        let recent = match copies.front() {
            Some((_, oldest)) => current.since(oldest),
            None => current.clone(),
        };
        if copies.back().is_none_or(|(taken, _)| now.saturating_duration_since(*taken) >= STEP) {
            copies.push_back((now, current));
        }
        recent
    }
}

/// How far back the recent part reaches.
const WINDOW: Duration = Duration::from_secs(60);
/// Least time between two copies: bounds how many there are.
const STEP: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_what_is_more_than_a_minute_old() {
        let (histogram, recent) = (Histogram::default(), Recent::default());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);

        histogram.record(1_000);
        assert_eq!(recent.read(&histogram, at(10)).count(), 1, "all since the start");
        histogram.record(5);
        assert_eq!(recent.read(&histogram, at(40)).count(), 2);
        assert_eq!(recent.read(&histogram, at(75)).count(), 1, "the copy of second 10 is the base");
        assert_eq!(recent.read(&histogram, at(120)).count(), 0);
        assert_eq!(histogram.snapshot().count(), 2);
    }

    #[test]
    fn keeps_few_copies_however_often_it_is_read() {
        let (histogram, recent) = (Histogram::default(), Recent::default());
        let start = Instant::now();
        for tenth in 0..10_000 {
            recent.read(&histogram, start + Duration::from_millis(tenth * 100));
        }
        let copies = recent.copies.lock().unwrap().len();
        assert!(copies <= 14, "{copies}");
    }
}
