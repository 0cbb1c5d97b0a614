//! How many records go into a request: few at first, more as long as they are used and answered soon, fewer where
//! large requests take long.

use super::Sample;

/// A request that takes longer, in seconds, may have too many records in it. Two of them fit well below the deadline.
const SLOW: f64 = 2.0;

/// Records in a request before anything is known of the destination.
const AT_FIRST: usize = 16;

/// Smaller requests that take less than this share of the time were worth it.
const SOONER: f64 = 0.75;

/// Requests that take this much longer than when their size did not matter are too large again.
const LATER: f64 = 1.25;

/// Share of a new measurement in [`RequestSize::unblamed`].
const DECAY: f64 = 0.25;

/// The bound on the records of a request, which follows what becomes of them.
#[derive(Debug)]
pub(super) struct RequestSize {
    ceiling: usize,
    max: usize,
    /// Mean size and seconds of the slow requests that were followed by smaller ones, to see whether that helps.
    tried: Option<(f64, f64)>,
    /// Seconds that requests take whatever their size, where it is known that size is not why they are slow; otherwise 0.
    unblamed: f64,
}

impl RequestSize {
    /// Never more than `ceiling`.
    pub(super) fn new(ceiling: usize) -> Self {
        Self { ceiling, max: ceiling.min(AT_FIRST), tried: None, unblamed: 0.0 }
    }

    /// Most records that a request should have now.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Learns from requests that were answered. `busy` says that there was more to send.
    pub(super) fn adapt(&mut self, sample: &Sample, busy: bool) {
        let (size, took) = (sample.mean_size(), sample.mean_seconds());
        if took > SLOW.max(self.unblamed * LATER) && size > 1.0 {
            return self.slow(size, took, sample.delivered > 0);
        }
        self.tried = None;
        self.unblamed = match took {
            took if took < SLOW / 2.0 => 0.0,
            // Requests of one record are as small as can be.
            took if took > SLOW && size <= 1.0 => took,
            took => self.unblamed + (took - self.unblamed).min(0.0) * DECAY,
        };
        let soon = took < SLOW / 2.0 || self.unblamed > 0.0;
        // Where they might soon take too long, only one step beyond what was tried.
        let used =
            if soon { sample.largest.saturating_mul(2) > self.max } else { sample.largest >= self.max };
        if used && sample.delivered > 0 {
            let more = if soon { self.max } else { self.max / 4 + 1 };
            self.max = self.max.saturating_add(more).min(self.ceiling);
        } else if busy && sample.largest.saturating_mul(4) < self.max {
            // Whatever bounds them, it is not this. Half of it may be but newer than the requests.
            self.max = (self.max / 2).max(1);
        }
    }

    /// Tries smaller requests, and goes back when they take as long. Nothing delivered tells nothing: then it is better
    /// to ask for little.
    fn slow(&mut self, size: f64, took: f64, delivered: bool) {
        match self.tried {
            Some((tried, _)) if delivered && size > tried * SOONER => {}
            Some((tried, tried_took)) if delivered && took > tried_took * SOONER => {
                self.tried = None;
                self.unblamed = took.max(tried_took);
                self.max = (tried.ceil() as usize).clamp(self.max, self.ceiling);
            }
            _ => {
                self.tried = delivered.then_some((size, took));
                self.unblamed = 0.0;
                self.max = self.max.min((size / 2.0).ceil() as usize).max(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The bound after `times` full requests, each of which took what `took_ms` says.
    fn after(times: usize, size: &mut RequestSize, took_ms: impl Fn(u64) -> u64, delivered: bool) -> usize {
        for _ in 0..times {
            let sent = size.max();
            let sample = Sample {
                requests: 1,
                sent: sent as u64,
                delivered: if delivered { sent as u64 } else { 0 },
                took: Duration::from_millis(took_ms(sent as u64)),
                largest: sent,
            };
            size.adapt(&sample, true);
        }
        size.max()
    }

    #[test]
    fn requests_stay_as_small_as_the_time_for_each_record_asks() {
        let mut size = RequestSize::new(1_000);
        for n in 1..50 {
            let max = after(n, &mut size, |records| 100 * records, true);
            assert!((5..=25).contains(&max), "{max} records take {} ms", max * 100);
        }
    }

    #[test]
    fn requests_grow_where_their_size_is_not_why_they_are_slow() {
        for took_ms in [10, 1_500, 5_000] {
            assert_eq!(after(50, &mut RequestSize::new(1_000), |_| took_ms, true), 1_000, "{took_ms} ms");
        }
    }

    #[test]
    fn a_destination_that_got_slower_for_each_record_gets_smaller_requests_again() {
        let mut size = RequestSize::new(1_000);
        after(50, &mut size, |_| 5_000, true);
        after(50, &mut size, |records| 100 * records, true);
        assert!(size.max() <= 25, "{}", size.max());
    }

    #[test]
    fn requests_that_time_out_whatever_their_size_become_small_and_come_back() {
        let mut size = RequestSize::new(1_000);
        after(20, &mut size, |_| 10, true);
        assert_eq!(after(20, &mut size, |_| 5_000, false), 1);
        assert_eq!(after(20, &mut size, |_| 10, true), 1_000);
    }

    #[test]
    fn what_is_not_used_is_given_up() {
        let mut size = RequestSize::new(1_000);
        let sample = Sample { requests: 9, sent: 9, delivered: 9, took: Duration::from_secs(9), largest: 0 };
        (0..10).for_each(|_| size.adapt(&sample, true));
        assert_eq!(size.max(), 1, "every request was of a kind that holds one record");
    }
}
