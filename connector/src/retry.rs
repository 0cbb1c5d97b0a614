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
}

/// Upper bound of the second pause where failures are the exception, and what it grows by with each attempt. There is no first:
/// nearly all succeed at the second attempt, and until then all that came behind them on their connections waits for its answer.
const ISOLATED: (Duration, u32) = (Duration::from_millis(1), 4);

/// The same where most attempts fail: the destination itself is in trouble and wants to be left alone.
const TROUBLED: (Duration, u32) = (Duration::from_millis(100), 2);

/// Upper bound of any pause that the peer did not ask for.
const CAP: Duration = Duration::from_secs(1);

impl RetryPolicy {
    /// At most `attempts_max` attempts.
    pub fn new(attempts_max: u32) -> Self {
        Self { attempts_max }
    }

    /// The pause before the next attempt after `attempts` failed ones, or `None` to stop trying.
    ///
    /// `troubled` says that most of the destination's recent attempts failed, `jitter` in `0.0..1.0` scales the bound
    /// (full jitter). An isolated failure costs its record next to nothing; because answers leave in order, it
    /// would hold back every record behind it too. A peer that asked for more (`Retry-After`) gets it, spread by up to a
    /// tenth so that waiting records do not return in one wave.
    pub fn delay(
        &self,
        attempts: u32,
        retry_after: Option<Duration>,
        troubled: bool,
        jitter: f64,
    ) -> Option<Duration> {
        if attempts >= self.attempts_max {
            return None;
        }
        let ((base, factor), pauses) =
            if troubled { (TROUBLED, attempts) } else { (ISOLATED, attempts.saturating_sub(1)) };
        let bound =
            if pauses == 0 { Duration::ZERO } else { base.saturating_mul(factor.saturating_pow(pauses - 1)) };
        let backoff = bound.min(CAP).mul_f64(jitter);
        let asked = retry_after.map(|pause| pause.mul_f64(1.0 + jitter / 10.0));
        Some(asked.map_or(backoff, |asked| asked.max(backoff)))
    }
}

/// The share of attempts that failed lately.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failing(f64);

impl Failing {
    /// Weight of one attempt: the last hundred or so count.
    const WEIGHT: f64 = 1.0 / 64.0;

    /// Takes note of one attempt.
    pub fn attempt(&mut self, failed: bool) {
        self.share(f64::from(u8::from(failed)));
    }

    /// Takes note of an attempt of which a share failed, `0.0..=1.0`.
    pub fn share(&mut self, failed: f64) {
        self.0 += (failed - self.0) * Self::WEIGHT;
    }

    /// How many failures in a row are no coincidence where so many attempts fail: once in a thousand million would be.
    pub fn no_coincidence(self) -> u32 {
        const ONCE_IN: f64 = 1e9;
        // A share that seems small may only be so for lack of attempts.
        let share = self.0.clamp(0.05, 0.5);
        (ONCE_IN.ln() / (1.0 / share).ln()).ceil() as u32
    }

    /// Whether more attempts failed than not: the destination itself is in trouble.
    pub fn is_the_rule(self) -> bool {
        self.0 > 0.5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SELDOM: bool = false;
    const OUTAGE: bool = true;

    #[test]
    fn pauses_grow_from_almost_nothing_and_then_stop() {
        let policy = RetryPolicy::new(5);
        let bounds =
            |failing| (1..=5).map(|tried| policy.delay(tried, None, failing, 1.0)).collect::<Vec<_>>();
        let ms = |n| Some(Duration::from_millis(n));
        assert_eq!(bounds(SELDOM), [ms(0), ms(1), ms(4), ms(16), None]);
        assert_eq!(bounds(OUTAGE), [ms(100), ms(200), ms(400), ms(800), None]);
        assert_eq!(policy.delay(1, None, OUTAGE, 0.0), Some(Duration::ZERO), "full jitter reaches zero");
        assert_eq!(RetryPolicy::new(20).delay(15, None, OUTAGE, 1.0), Some(CAP));
    }

    #[test]
    fn a_peer_that_asks_for_more_gets_it_with_a_little_spread() {
        let policy = RetryPolicy::new(5);
        let asked = Some(Duration::from_secs(2));
        assert_eq!(policy.delay(1, asked, SELDOM, 0.5), Some(Duration::from_millis(2100)));
        let little = Some(Duration::from_millis(1));
        assert_eq!(policy.delay(4, little, OUTAGE, 0.5), Some(Duration::from_millis(400)));
    }

    #[test]
    fn one_attempt_means_no_retry() {
        assert_eq!(RetryPolicy::new(1).delay(1, None, SELDOM, 0.5), None);
    }

    #[test]
    fn the_more_fails_anyway_the_more_failures_in_a_row_mean_nothing() {
        for (share, failures) in [(0.0, 7), (0.1, 9), (0.2, 13), (0.9, 30)] {
            assert_eq!(Failing(share).no_coincidence(), failures, "{share}");
        }
    }

    #[test]
    fn the_share_of_failures_follows_within_a_hundred_attempts() {
        let mut failing = Failing::default();
        (0..100).for_each(|_| failing.attempt(true));
        assert!(failing.is_the_rule(), "{failing:?}");
        (0..100).for_each(|n| failing.attempt(n % 5 == 0));
        assert!(!failing.is_the_rule(), "{failing:?}");
    }
}
