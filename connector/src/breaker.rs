//! Whether a destination that takes nothing is left alone: failures in a row open the breaker, one success closes it.
//!
//! "In a row" counts round trips, not requests: a connection that breaks fails everything on it at once, and that is one
//! failure. While the breaker is open one request at a time asks again, after pauses that grow. Pure: the clock and the
//! random number are arguments.

use std::time::{Duration, Instant};

/// Round trips in a row without any success before it opens, where failures usually pass.
const ROUNDS_MAX: u32 = 8;

/// The same where a round trip takes long: without any success for so long, two are enough.
const FUTILE: Duration = Duration::from_secs(10);

/// The same where they do not pass by themselves.
const OPERATOR_ROUNDS_MAX: u32 = 3;

/// Shortest pause before a probe, where failures usually pass.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The same where they do not pass by themselves.
const OPERATOR_PAUSE_MIN: Duration = Duration::from_secs(1);

/// Longest pause before a probe.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What kind of trouble a failed request tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It may well pass.
    Passing,
    /// It stays until an operator acts.
    Operator,
}

/// Whether requests go. The numbers are those of the gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// They go.
    Closed = 0,
    /// None goes before the pause is over.
    Open = 1,
    /// One is on its way, to ask.
    Probing = 2,
}

/// The breaker of one destination.
#[derive(Debug)]
pub struct Breaker {
    phase: Phase,
    /// When it opened; `None` while it is closed.
    opened: Option<Instant>,
    /// When a probe may go.
    probe_at: Instant,
    /// Pauses since it opened.
    pauses: u32,
    /// Round trips without a success, and how many of them only an operator can help.
    rounds: u32,
    operator_rounds: u32,
    /// When the first request of them began.
    failing_since: Instant,
    /// Requests that began before this belong to a round trip that was counted.
    counted: Instant,
}

impl Breaker {
    /// A closed one.
    pub fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Closed,
            opened: None,
            probe_at: now,
            pauses: 0,
            rounds: 0,
            operator_rounds: 0,
            failing_since: now,
            counted: now,
        }
    }

    /// Whether requests go.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// When it opened, unless it is closed.
    pub fn opened(&self) -> Option<Instant> {
        self.opened
    }

    /// When the next probe may go; `None` while it is closed, or one is on its way.
    pub fn probe_at(&self) -> Option<Instant> {
        (self.phase == Phase::Open).then_some(self.probe_at)
    }

    /// What kept the destination from taking anything may be over: the next probe may go at once.
    pub fn ask_now(&mut self, now: Instant) {
        self.probe_at = self.probe_at.min(now);
    }

    /// Whether a request may begin.
    pub fn admits(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Closed => true,
            Phase::Open => self.probe_at <= now,
            Phase::Probing => false,
        }
    }

    /// A request begins that [`Breaker::admits`] said may. True when it is the probe.
    pub fn begin(&mut self) -> bool {
        let probe = self.phase == Phase::Open;
        if probe {
            self.phase = Phase::Probing;
        }
        probe
    }

    /// A request succeeded, whenever it began. True when this closes the breaker.
    pub fn succeeded(&mut self) -> bool {
        (self.rounds, self.operator_rounds, self.pauses) = (0, 0, 0);
        self.opened = None;
        std::mem::replace(&mut self.phase, Phase::Closed) != Phase::Closed
    }

    /// A request that began at `began` failed as a whole. `rule` says that most requests failed lately: without it
    /// failures that may pass do not open the breaker. True when it opens, or stays open after a probe.
    pub fn failed(
        &mut self,
        began: Instant,
        probe: bool,
        trouble: Trouble,
        rule: bool,
        now: Instant,
        jitter: f64,
    ) -> bool {
        match self.phase {
            Phase::Closed if began >= self.counted => {
                if self.rounds == 0 {
                    self.failing_since = began;
                }
                self.rounds += 1;
                self.operator_rounds += u32::from(trouble == Trouble::Operator);
                self.counted = now;
            }
            Phase::Closed => {}
            Phase::Probing if probe => {}
            // It was sent before the breaker opened: nothing new.
            Phase::Open | Phase::Probing => return false,
        }
        let opens = match trouble {
            _ if self.phase == Phase::Probing => true,
            Trouble::Passing => {
                let futile = now.saturating_duration_since(self.failing_since) >= FUTILE;
                rule && (self.rounds >= ROUNDS_MAX || self.rounds > 1 && futile)
            }
            Trouble::Operator => self.operator_rounds >= OPERATOR_ROUNDS_MAX,
        };
        if opens {
            self.phase = Phase::Open;
            self.opened = self.opened.or(Some(now));
            self.probe_at = now + pause(trouble, self.pauses, jitter);
            self.pauses += 1;
        }
        opens
    }
}

/// Full jitter below a bound that doubles.
fn pause(trouble: Trouble, pauses: u32, jitter: f64) -> Duration {
    let min = match trouble {
        Trouble::Passing => PAUSE_MIN,
        Trouble::Operator => OPERATOR_PAUSE_MIN,
    };
    let bound = min.saturating_mul(2_u32.saturating_pow(pauses + 1)).min(PAUSE_MAX);
    bound.mul_f64(jitter).max(min)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A breaker that saw `rounds` round trips of 10 ms fail, one request each.
    fn after(rounds: u32, trouble: Trouble, rule: bool) -> (Breaker, Instant) {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(now);
        for _ in 0..rounds {
            let began = now;
            now += 10 * MS;
            breaker.failed(began, false, trouble, rule, now, 1.0);
        }
        (breaker, now)
    }

    #[test]
    fn it_opens_after_some_round_trips_without_success_and_sooner_where_an_operator_is_needed() {
        assert!(after(7, Trouble::Passing, true).0.admits(Instant::now()));
        let (breaker, now) = after(8, Trouble::Passing, true);
        assert!(!breaker.admits(now + 199 * MS) && breaker.admits(now + 200 * MS));
        assert_eq!(after(2, Trouble::Operator, false).0.phase(), Phase::Closed);
        let (breaker, now) = after(3, Trouble::Operator, false);
        assert_eq!((breaker.phase(), breaker.probe_at()), (Phase::Open, Some(now + 2_000 * MS)));
    }

    #[test]
    fn a_destination_that_hangs_is_not_waited_for_eight_times() {
        let start = Instant::now();
        let seconds = |n| start + Duration::from_secs(n);
        let mut breaker = Breaker::new(start);
        assert!(!breaker.failed(start, false, Trouble::Passing, true, seconds(7), 0.0));
        assert!(!breaker.failed(start, false, Trouble::Passing, true, seconds(12), 0.0), "of the same round");
        assert!(breaker.failed(seconds(7), false, Trouble::Passing, true, seconds(14), 0.0));
    }

    #[test]
    fn failures_that_are_not_the_rule_do_not_open_it() {
        assert_eq!(after(100, Trouble::Passing, false).0.phase(), Phase::Closed);
    }

    #[test]
    fn everything_that_was_in_flight_together_fails_once() {
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        for n in 1..=1_000 {
            breaker.failed(start, false, Trouble::Operator, true, start + n * MS, 0.5);
        }
        assert_eq!(breaker.phase(), Phase::Closed);
        // A success in between, of whatever age, begins anew.
        for n in 0..100 {
            let now = start + (2_000 + n) * MS;
            breaker.failed(now, false, Trouble::Operator, true, now + MS, 0.5);
            if n % 2 == 0 {
                assert!(!breaker.succeeded(), "it was not open");
            }
        }
        assert_eq!(breaker.phase(), Phase::Closed);
    }

    #[test]
    fn one_probe_at_a_time_and_pauses_that_grow_to_half_a_minute() {
        let (mut breaker, mut now) = after(8, Trouble::Passing, true);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let probe_at = breaker.probe_at().expect("open");
            pauses.push((probe_at - now).as_millis());
            now = probe_at;
            assert!(breaker.admits(now) && breaker.begin());
            assert!(!breaker.admits(now + 1_000_000 * MS), "the probe is on its way");
            assert!(!breaker.failed(now - MS, false, Trouble::Passing, true, now, 1.0), "an older request");
            assert_eq!(breaker.phase(), Phase::Probing);
            assert!(breaker.failed(now, true, Trouble::Passing, true, now, 1.0));
        }
        assert_eq!(pauses[..5], [200, 400, 800, 1_600, 3_200]);
        assert_eq!(pauses[10], 30_000);
    }

    #[test]
    fn jitter_spreads_the_pauses_and_leaves_a_least_one() {
        for (trouble, jitter, ms) in [
            (Trouble::Passing, 0.0, 100),
            (Trouble::Passing, 0.75, 2_400),
            (Trouble::Operator, 0.0, 1_000),
            (Trouble::Operator, 0.5, 15_000),
        ] {
            assert_eq!(pause(trouble, 4, jitter), ms * MS, "{trouble:?} {jitter}");
        }
        assert_eq!(pause(Trouble::Operator, u32::MAX - 1, 1.0), PAUSE_MAX);
    }

    #[test]
    fn one_success_closes_it_and_the_next_trouble_begins_with_a_short_pause() {
        let (mut breaker, now) = after(3, Trouble::Operator, true);
        let probe_at = breaker.probe_at().expect("open");
        assert!(breaker.opened().is_some() && breaker.begin());
        assert!(breaker.succeeded() && breaker.admits(now) && breaker.opened().is_none());
        assert!(!breaker.begin(), "an ordinary request");
        for n in 0..3 {
            breaker.failed(probe_at + n * MS, false, Trouble::Operator, true, probe_at + n * MS, 1.0);
        }
        assert_eq!(breaker.probe_at(), Some(probe_at + 2_002 * MS));
    }
}
