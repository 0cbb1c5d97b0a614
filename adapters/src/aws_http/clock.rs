//! How far the clocks of receivers are ahead of ours, as far as refusals told. Pure; clocks are arguments.
//!
//! A signature is valid for minutes around the receiver's time. Where ours is wrong, the receiver's `Date` is what to sign by.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

/// One correction for each host that asked for one.
#[derive(Debug, Default)]
pub(super) struct Clocks(BTreeMap<String, Corrected>);

#[derive(Clone, Copy, Debug)]
struct Corrected {
    ahead: Ahead,
    since: Instant,
}

/// How far ahead of our clock another is, milliseconds; negative when it is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead(pub(super) i64);

/// How much a refusal says of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// It is about the time, or about the signature, which may be the time.
    Named,
    /// Nothing; only the `Date` of the answer can.
    None,
}

impl Clocks {
    /// What to sign by for `host`.
    pub(super) fn now(&self, host: &str, own: SystemTime) -> SystemTime {
        self.0.get(host).map_or(own, |corrected| corrected.ahead.add_to(own))
    }

    /// A request to `host` that began at `began` was refused at `now`, when our clock said `own` and the answer `date`.
    ///
    /// True when the time to sign by is another one now than it was then.
    pub(super) fn refused(
        &mut self,
        host: &str,
        (began, now): (Instant, Instant),
        own: SystemTime,
        date: Option<SystemTime>,
        hint: Hint,
    ) -> bool {
        let known = self.0.get(host).copied();
        // Somebody else was told meanwhile.
        if known.is_some_and(|known| known.since > began) {
            return true;
        }
        let Some(date) = date else { return false };
        let ahead = Ahead::of(date, own);
        let used = known.map(|known| known.ahead).unwrap_or_default();
        let tolerance = match hint {
            Hint::Named => TOLERANCE_NAMED,
            Hint::None => TOLERANCE,
        };
        if used.difference(ahead) <= tolerance {
            return false;
        }
        self.0.insert(host.to_owned(), Corrected { ahead, since: now });
        true
    }

    /// The correction that is furthest from none.
    pub(super) fn largest(&self) -> Ahead {
        let all = self.0.values().map(|corrected| corrected.ahead);
        all.max_by_key(|ahead| ahead.0.unsigned_abs()).unwrap_or_default()
    }
}

impl Ahead {
    pub(super) fn of(other: SystemTime, own: SystemTime) -> Self {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(match other.duration_since(own) {
            Ok(ahead) => millis(ahead),
            Err(behind) => -millis(behind.duration()),
        })
    }

    pub(super) fn magnitude(self) -> Duration {
        Duration::from_millis(self.0.unsigned_abs())
    }

    fn difference(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }

    /// `own` itself where the sum is no time.
    fn add_to(self, own: SystemTime) -> SystemTime {
        let sum =
            if self.0 < 0 { own.checked_sub(self.magnitude()) } else { own.checked_add(self.magnitude()) };
        sum.unwrap_or(own)
    }
}

/// Services take five minutes; a `Date` this far off explains a refusal by itself.
const TOLERANCE: Duration = Duration::from_secs(4 * 60);
/// A `Date` is whole seconds, and as old as the answer took.
const TOLERANCE_NAMED: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        clocks: Clocks,
        own: SystemTime,
        begin: Instant,
    }

    fn case() -> Case {
        let own = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        Case { clocks: Clocks::default(), own, begin: Instant::now() }
    }

    impl Case {
        /// A request that took from second `began` to `ended` is refused with a date so many seconds ahead.
        fn refused(&mut self, began: u64, ended: u64, ahead: Option<i64>, hint: Hint) -> bool {
            let at = |second| self.begin + Duration::from_secs(second);
            let (began, now) = (at(began), at(ended));
            let date = ahead.map(|ahead| Ahead(ahead * 1000).add_to(self.own));
            self.clocks.refused("a", (began, now), self.own, date, hint)
        }

        fn ahead(&self) -> i64 {
            Ahead::of(self.clocks.now("a", self.own), self.own).0 / 1000
        }
    }

    #[test]
    fn a_refusal_with_another_date_corrects_the_clock() {
        for ahead in [420, -420, 31, -31, 86_400 * 365] {
            let mut case = case();
            assert!(case.refused(0, 1, Some(ahead), Hint::Named));
            assert_eq!(case.ahead(), ahead);
            assert_eq!(case.clocks.largest(), Ahead(ahead * 1000));
            assert_eq!(case.clocks.now("b", case.own), case.own, "each host has its own");
        }
    }

    #[test]
    fn what_is_not_about_the_clock_changes_nothing() {
        let mut case = case();
        assert!(!case.refused(0, 1, Some(30), Hint::Named));
        assert!(!case.refused(0, 1, Some(-240), Hint::None));
        assert!(!case.refused(0, 1, None, Hint::Named));
        assert_eq!(case.ahead(), 0);
        assert!(case.refused(0, 1, Some(241), Hint::None));
        assert_eq!(case.ahead(), 241);
    }

    #[test]
    fn a_second_refusal_with_the_same_date_is_about_something_else() {
        let mut case = case();
        assert!(case.refused(0, 1, Some(420), Hint::Named));
        assert!(!case.refused(2, 3, Some(421), Hint::Named));
        // Ours was set right meanwhile.
        assert!(case.refused(4, 5, Some(0), Hint::Named));
        assert_eq!(case.ahead(), 0);
    }

    #[test]
    fn who_signed_before_the_correction_tries_again() {
        let mut case = case();
        assert!(case.refused(0, 10, Some(420), Hint::Named));
        assert!(case.refused(9, 11, Some(420), Hint::Named));
        assert!(case.refused(9, 11, None, Hint::None));
        assert!(!case.refused(11, 12, None, Hint::None));
        assert_eq!(case.ahead(), 420);
    }

    #[test]
    fn dates_beyond_all_time_do_no_harm() {
        let mut case = case();
        let furthest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        let instants = (case.begin, case.begin);
        assert!(case.clocks.refused("a", instants, case.own, Some(furthest), Hint::None));
        assert_eq!(case.clocks.now("a", case.own), furthest);
        assert_eq!(Ahead(i64::MIN).magnitude(), Duration::from_millis(1 << 63));
        assert!(Ahead(i64::MAX).add_to(case.own).duration_since(case.own).is_ok());
    }
}
