//! When things that expire are fetched again. Pure; time and chance are arguments.

use std::time::{Duration, SystemTime};

/// When what arrived at `arrived` and ends at `expiry` is to be replaced: five minutes before their end, or
/// a fifth of their life for short ones. `chance`, from 0 to 1, lets many connectors ask at different moments.
pub(super) fn renew_at(arrived: SystemTime, expiry: SystemTime, chance: f64) -> SystemTime {
    let life = expiry.duration_since(arrived).unwrap_or_default();
    let ahead = (life / 5).min(AHEAD_MAX);
    // Later rather than earlier: some services have no newer ones to give before that.
    expiry.checked_sub(ahead.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 10.0)).unwrap_or(arrived)
}

/// How long it is used. What comes expired is used for a moment all the same: more likely this clock is
/// wrong than that, and the peer is the judge.
pub(super) fn dead_at(arrived: SystemTime, expiry: SystemTime) -> SystemTime {
    expiry.max(arrived + EXPIRED_ON_ARRIVAL)
}

/// The pause after `tries` fetches in a row that brought nothing new. `alive`: the ones at hand still serve.
pub(super) fn pause(tries: u32, alive: bool, chance: f64) -> Duration {
    let longest = if alive { PAUSE_MAX_ALIVE } else { PAUSE_MAX };
    let whole = PAUSE_MIN.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(longest);
    whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

const AHEAD_MAX: Duration = Duration::from_secs(5 * 60);
const EXPIRED_ON_ARRIVAL: Duration = Duration::from_secs(60);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX_ALIVE: Duration = Duration::from_secs(60);
/// With nothing at hand nothing is delivered, so this is shorter.
const PAUSE_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const ARRIVED: SystemTime = SystemTime::UNIX_EPOCH;

    fn ahead(life_s: u64, chance: f64) -> f64 {
        let expiry = ARRIVED + Duration::from_secs(life_s);
        expiry.duration_since(renew_at(ARRIVED, expiry, chance)).unwrap().as_secs_f64()
    }

    #[test]
    fn renewed_five_minutes_ahead_or_a_fifth() {
        for (life_s, expected) in
            [(6 * 3600, 300.0), (3600, 300.0), (1500, 300.0), (900, 180.0), (30, 6.0), (0, 0.0)]
        {
            assert_eq!(ahead(life_s, 0.0), expected, "{life_s}");
            assert!((ahead(life_s, 1.0) - expected * 0.9).abs() < 1e-6, "{life_s}");
        }
    }

    #[test]
    fn what_comes_expired_is_tried_for_a_moment() {
        let (past, later) = (ARRIVED + Duration::from_secs(60), ARRIVED + Duration::from_secs(3600));
        let arrived = ARRIVED + Duration::from_secs(420);
        assert_eq!(dead_at(arrived, past), arrived + Duration::from_secs(60));
        assert_eq!(dead_at(arrived, later), later);
        assert!(renew_at(arrived, past, 0.5) <= arrived);
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        let whole = |tries, alive| pause(tries, alive, 1.0).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 99].map(|tries| whole(tries, true)), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!([1, 4, 5, u32::MAX].map(|tries| whole(tries, false)), [1, 8, 10, 10]);
        assert_eq!(pause(1, true, 0.0), Duration::from_millis(500));
    }
}
