//! When waiting records become a request: the limits of a batch, and how long one may grow.
//!
//! A batch goes at once when none of its kind is in flight and grows while one is, so that latency is low when it is
//! quiet and requests are large when it is busy. Pure: the clock is an argument.

use std::time::{Duration, Instant};

use crate::encode::Body;

/// How the records of one kind are put into requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    /// Form of the request body.
    pub body: Body,
    /// Most records in a request.
    pub records_max: usize,
    /// Most bytes in a body. A record that is larger on its own goes alone: no batch could hold it.
    pub bytes_max: usize,
    /// The longest that a record waits for others.
    pub interval: Duration,
}

impl BatchPolicy {
    /// One record for each request, without any wait.
    pub fn single(body: Body) -> Self {
        Self { body, records_max: 1, bytes_max: usize::MAX, interval: Duration::ZERO }
    }

    /// Whether a piece of `next` bytes may join `count` pieces of `bytes` bytes.
    pub fn fits(&self, count: usize, bytes: usize, next: usize) -> bool {
        count == 0
            || count < self.records_max
                && self.body.bytes(count + 1, bytes.saturating_add(next)) <= self.bytes_max
    }

    /// Whether waiting longer could not fill a request any better, as far as the totals tell.
    pub fn is_full(&self, count: usize, bytes: usize) -> bool {
        count >= self.records_max || self.body.bytes(count, bytes) >= self.bytes_max
    }

    /// When a record must go that came at `entered` and must be answered by `deadline`: after the interval, but never
    /// later than half of its time, so that the request itself has the other half.
    pub fn flush_at(&self, entered: Instant, deadline: Instant) -> Instant {
        let half = deadline.saturating_duration_since(entered) / 2;
        entered + self.interval.min(half)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::{
        config::{Batching, Format, JsonRules},
        encode::Encoder,
    };

    fn policy(records_max: usize, bytes_max: usize) -> BatchPolicy {
        let batching = Batching {
            enabled: true,
            body: None,
            max_records: NonZeroUsize::new(records_max).expect("not zero"),
            max_bytes: NonZeroUsize::new(bytes_max).expect("not zero"),
            interval: Duration::from_secs(8),
        };
        let encoder = Encoder::new(Format::Json(JsonRules::default())).expect("a format");
        encoder.batch_policy(Some(&batching)).expect("a policy")
    }

    #[test]
    fn the_brackets_and_commas_count() {
        let policy = policy(100, 10);
        assert!(policy.fits(1, 4, 3), "[4444,333] is 10 bytes");
        assert!(!policy.fits(1, 4, 4), "[4444,4444] is 11 bytes");
        assert!(policy.fits(0, 0, 50), "alone it goes, whatever its size");
        assert!(policy.is_full(2, 7) && !policy.is_full(1, 7));
    }

    #[test]
    fn records_are_counted() {
        let policy = policy(2, 1000);
        assert!(policy.fits(1, 1, 1) && !policy.fits(2, 2, 1));
        assert!(policy.is_full(2, 2));
    }

    #[test]
    fn nothing_waits_longer_than_half_its_time() {
        let (policy, entered) = (policy(2, 1000), Instant::now());
        let in_ms = |ms| entered + Duration::from_millis(ms);
        assert_eq!(policy.flush_at(entered, in_ms(8000)), in_ms(4000));
        let quick = BatchPolicy { interval: Duration::from_millis(50), ..policy };
        assert_eq!(quick.flush_at(entered, in_ms(8000)), in_ms(50));
    }
}
