//! When a failed record is tried again inside the connector.
//!
//! Retries here are few and quick: they absorb a blip. The long retry belongs to XDR, which ships a refused
//! record again. Pure: the random number and the past are arguments.

use std::time::Duration;

/// How often and how soon one record is attempted at one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts_max: u32,
    /// Upper bound of the first pause; doubles with each attempt.
    pub base: Duration,
    /// Upper bound of any pause that the peer did not ask for.
    pub cap: Duration,
}

impl RetryPolicy {
    /// `attempts_max` attempts with pauses that start below 10 ms, so that an isolated failure costs its record
    /// next to nothing, and end below half a second.
    pub fn new(attempts_max: u32) -> Self {
        Self { attempts_max, base: Duration::from_millis(10), cap: Duration::from_millis(500) }
    }

    /// The pause before the next attempt after `attempts` failed ones, or `None` to stop trying.
    ///
    /// Full jitter: `jitter` in `0.0..1.0` scales a bound that grows fourfold. A peer that asked for more
    /// (`Retry-After`) gets it, spread by up to a tenth so that waiting records do not return in one wave.
    pub fn delay(&self, attempts: u32, retry_after: Option<Duration>, jitter: f64) -> Option<Duration> {
        if attempts >= self.attempts_max {
            return None;
        }
        let growth = 4_u32.saturating_pow(attempts.saturating_sub(1));
        let backoff = self.base.saturating_mul(growth).min(self.cap).mul_f64(jitter);
        let asked = retry_after.map(|pause| pause.mul_f64(1.0 + jitter / 10.0));
        Some(asked.map_or(backoff, |asked| asked.max(backoff)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_almost_nothing_to_the_cap_and_then_stop() {
        let policy = RetryPolicy::new(5);
        let bounds: Vec<_> = (1..=5).map(|attempts| policy.delay(attempts, None, 1.0)).collect();
        let ms = |n| Some(Duration::from_millis(n));
        assert_eq!(bounds, [ms(10), ms(40), ms(160), ms(500), None]);
        assert_eq!(policy.delay(1, None, 0.0), Some(Duration::ZERO), "full jitter reaches zero");
    }

    #[test]
    fn a_peer_that_asks_for_more_gets_it_with_a_little_spread() {
        let policy = RetryPolicy::new(5);
        assert_eq!(policy.delay(1, Some(Duration::from_secs(2)), 0.5), Some(Duration::from_millis(2100)));
        assert_eq!(policy.delay(4, Some(Duration::from_millis(1)), 0.9), Some(Duration::from_millis(450)));
    }

    #[test]
    fn one_attempt_means_no_retry() {
        assert_eq!(RetryPolicy::new(1).delay(1, None, 0.5), None);
    }
}
