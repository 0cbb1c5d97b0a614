//! Whether another request may go to a destination now: not while it asked to be left alone, not while it takes nothing,
//! and not more at once than it bears. Pure: the clock and the random number are arguments.

use std::time::{Duration, Instant};

use adapters::{Cause, Class};

use crate::{
    breaker::{Breaker, Phase, Trouble},
    concurrency::Concurrency,
};

/// Longest that a peer is left alone because it asked for it: the source must not be silenced for hours by one header.
const PAUSE_MAX: Duration = Duration::from_secs(5 * 60);

/// Nothing waits longer for a destination that takes nothing: what waits holds back the answers of other records on its
/// connection.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// So long after a request might have asked whether the destination takes something, and none did, nothing is known of it.
const UNASKED_MAX: Duration = Duration::from_secs(30);

/// What stands between a lane's queue and its destination.
#[derive(Debug)]
pub(super) struct Gate {
    breaker: Breaker,
    concurrency: Concurrency,
    /// Until then the destination wants no new request.
    paused_until: Option<Instant>,
    /// When it asked for that first, with nothing taken since.
    paused_since: Option<Instant>,
    /// Requests in flight.
    running: usize,
    /// Calls for workers were left out, or in vain, while no request might go: whoever may go next makes up for them.
    turned_away: bool,
    /// What the last request that failed as a whole failed of, and when.
    trouble: (Class, Cause),
    troubled: Instant,
}

/// A request that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// When it began.
    pub(super) began: Instant,
    probe: bool,
}

/// What a request tells of its destination, whatever became of its records.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sign {
    /// It works.
    Works {
        /// So many records went in a request that it processed; none when it refused them, which takes another time.
        records: usize,
        /// The share of them for which it asked for less.
        throttled: f64,
    },
    /// It does not, or says nothing of itself.
    Fails {
        /// The kind of end.
        class: Class,
        /// Why.
        cause: Cause,
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
        /// Whether most requests failed lately.
        rule: bool,
    },
    /// The request held nothing but records that fail alone, which says nothing of the destination.
    Nothing,
}

/// What changed with a request's end that an operator should hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Requests go again, after the breaker was open for so long.
    Opened(Duration),
    /// No request goes for so long, but for one that asks.
    Shut(Duration),
    /// The destination asked for less: it is left alone for so long, and gets at most so many requests at once.
    Throttled(Duration, usize),
}

impl Gate {
    pub(super) fn new(start: usize, workers: usize, now: Instant) -> Self {
        Self {
            breaker: Breaker::new(now),
            concurrency: Concurrency::new(start, workers, now),
            paused_until: None,
            paused_since: None,
            running: 0,
            turned_away: false,
            trouble: (Class::Transient, Cause::Unreachable),
            troubled: now,
        }
    }

    /// Whether a request may go now.
    pub(super) fn admits(&self, now: Instant) -> bool {
        self.running < self.concurrency.limit() && !self.is_closed(now)
    }

    /// Whether the destination takes nothing now, however few requests are in flight.
    pub(super) fn is_closed(&self, now: Instant) -> bool {
        self.pause(now) > Duration::ZERO || !self.breaker.admits(now)
    }

    /// How long the destination wants no new request.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        self.paused_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// What records are refused with, when they would wait too long until a request may go.
    pub(super) fn refuses(&self, now: Instant) -> Option<Cause> {
        let long = |since: Instant| now.saturating_duration_since(since) > WAIT_MAX;
        let pause = self.pause(now);
        let paused = pause > WAIT_MAX || pause > Duration::ZERO && self.paused_since.is_some_and(long);
        let refuses = paused || self.breaker.opened().is_some_and(long) && !self.breaker.admits(now);
        refuses.then_some(self.trouble.1)
    }

    /// Whether a call for a worker is of any use; otherwise it is made up for later.
    pub(super) fn calls(&mut self, now: Instant) -> bool {
        let admits = self.admits(now);
        if !admits {
            self.turn_away();
        }
        admits
    }

    /// Somebody wanted to send and might not.
    pub(super) fn turn_away(&mut self) {
        self.turned_away = true;
        if self.running >= self.concurrency.limit() {
            self.concurrency.wanted();
        }
    }

    /// Whether calls have to be made up for.
    pub(super) fn owes_calls(&self) -> bool {
        self.turned_away
    }

    /// There is nothing to send.
    pub(super) fn owes_nothing(&mut self) {
        self.turned_away = false;
    }

    /// Lets a request through that may go.
    pub(super) fn begin(&mut self, now: Instant) -> Pass {
        self.running += 1;
        Pass { began: now, probe: self.breaker.begin() }
    }

    /// A request ended.
    pub(super) fn end(&mut self, pass: Pass, sign: Sign, now: Instant, jitter: f64) -> Option<Change> {
        self.running -= 1;
        match sign {
            Sign::Works { records, throttled } => {
                self.paused_since = None;
                if throttled > 0.0 {
                    self.concurrency.throttled(throttled, false, pass.began, now);
                } else if records > 0 {
                    self.concurrency.succeeded(records, now.saturating_duration_since(pass.began), now);
                }
                let opened = self.breaker.opened();
                let open_for = || now.saturating_duration_since(opened.unwrap_or(now));
                self.breaker.succeeded().then(|| Change::Opened(open_for()))
            }
            Sign::Nothing if !pass.probe => None,
            // Whatever it is about, the probe brought no good news.
            Sign::Nothing => self.fail(pass, self.trouble.0, true, now, jitter),
            Sign::Fails { class, cause, retry_after, rule } => {
                if pass.probe || self.breaker.phase() == Phase::Closed {
                    (self.trouble, self.troubled) = ((class, cause), now);
                }
                let throttled = class == Class::Throttled && self.throttle(pass, retry_after, now, jitter);
                let shut = self.fail(pass, class, rule, now, jitter);
                let limit = self.concurrency.limit();
                shut.or_else(|| throttled.then(|| Change::Throttled(self.pause(now), limit)))
            }
        }
    }

    /// True when this is news.
    fn throttle(&mut self, pass: Pass, retry_after: Option<Duration>, now: Instant, jitter: f64) -> bool {
        let asks = retry_after.is_some_and(|asked| asked > Duration::ZERO);
        let lowered = self.concurrency.throttled(1.0, asks, pass.began, now);
        let asked = retry_after.unwrap_or_default().min(PAUSE_MAX).mul_f64(1.0 + jitter / 10.0);
        let was_paused = self.pause(now) > Duration::ZERO;
        self.paused_until = self.paused_until.max(Some(now + asked));
        self.paused_since = self.paused_since.or(Some(now));
        lowered || asked > Duration::ZERO && !was_paused
    }

    /// Whether the destination takes nothing because it does not accept who we say we are.
    pub(super) fn waits_for_credentials(&self) -> bool {
        self.trouble.0 == Class::Credentials && self.breaker.opened().is_some()
    }

    /// What proves who we are came `age` ago. When it was refused since, that is nothing new; otherwise one request asks at
    /// once whether it is accepted.
    pub(super) fn renewed(&mut self, age: Duration, now: Instant) {
        if self.waits_for_credentials() && age < now.saturating_duration_since(self.troubled) {
            self.breaker.ask_now(now);
        }
    }

    fn fail(&mut self, pass: Pass, class: Class, rule: bool, now: Instant, jitter: f64) -> Option<Change> {
        let trouble = match class {
            Class::Credentials | Class::Hold => Trouble::Operator,
            _ => Trouble::Passing,
        };
        let shut = self.breaker.failed(pass.began, pass.probe, trouble, rule, now, jitter);
        if !shut {
            return None;
        }
        self.concurrency.restart();
        self.breaker.probe_at().map(|at| Change::Shut(at.saturating_duration_since(now)))
    }

    /// When the clock has to look whether a request may go, or whether too much waits; not before `now`.
    pub(super) fn alarm(&self, now: Instant) -> Option<Instant> {
        let pause = self.paused_until.filter(|until| *until > now);
        let probe = self.breaker.probe_at().filter(|at| *at > now);
        pause.max(probe)
    }

    /// Requests in flight.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Most requests at once.
    pub(super) fn limit(&self) -> usize {
        self.concurrency.limit()
    }

    /// Whether the destination asks for less more often than now and then.
    pub(super) fn is_throttled(&self) -> bool {
        self.concurrency.is_throttled()
    }

    /// The phase of the breaker.
    pub(super) fn phase(&self) -> Phase {
        self.breaker.phase()
    }

    /// What an operator has to see to, while the breaker is open for it and records come that ask. Who is not ready may get
    /// none, and would never be again.
    pub(super) fn holds(&self, now: Instant) -> Option<(Class, Cause)> {
        let operator = matches!(self.trouble.0, Class::Credentials | Class::Hold);
        let unasked = |since: Instant| now.saturating_duration_since(since) >= UNASKED_MAX;
        let asks = !self.breaker.probe_at().is_some_and(unasked);
        (operator && asks && self.breaker.opened().is_some()).then_some(self.trouble)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const WORKS: Sign = Sign::Works { records: 1, throttled: 0.0 };

    fn fails(class: Class, retry_after: Option<Duration>) -> Sign {
        Sign::Fails { class, cause: Cause::Status(403), retry_after, rule: true }
    }

    #[test]
    fn no_more_at_once_than_the_limit() {
        let now = Instant::now();
        let mut gate = Gate::new(2, 4, now);
        let first = gate.begin(now);
        assert!(gate.calls(now) && !gate.owes_calls());
        gate.begin(now);
        assert!(!gate.calls(now) && gate.owes_calls());
        assert!(!gate.is_closed(now), "it is only busy");
        assert_eq!(gate.end(first, WORKS, now + MS, 0.0), None);
        assert!(gate.admits(now + MS));
        assert_eq!(gate.limit(), 3, "somebody was turned away and it was quick");
    }

    #[test]
    fn who_asks_to_be_left_alone_is_left_alone_by_all() {
        let start = Instant::now();
        let mut gate = Gate::new(8, 8, start);
        let passes: Vec<_> = (0..8).map(|_| gate.begin(start)).collect();
        let now = start + 10 * MS;
        let asked = Some(1_000 * MS);
        let change = gate.end(passes[0], fails(Class::Throttled, asked), now, 0.5);
        assert_eq!(change, Some(Change::Throttled(1_050 * MS, 4)));
        assert_eq!(gate.end(passes[1], fails(Class::Throttled, asked), now, 0.0), None, "no news, no less");
        assert_eq!(gate.end(passes[2], WORKS, now, 0.0), None);
        assert!(gate.is_closed(now + 1_049 * MS) && !gate.is_closed(now + 1_050 * MS));
        assert_eq!((gate.alarm(now), gate.refuses(now)), (Some(now + 1_050 * MS), None));
        let late = gate.end(passes[3], fails(Class::Throttled, Some(Duration::MAX)), now, 1.0);
        assert_eq!((late, gate.pause(now)), (None, PAUSE_MAX.mul_f64(1.1)));
        assert_eq!(gate.refuses(now), Some(Cause::Status(403)), "too long to wait for");
    }

    #[test]
    fn who_throttles_some_records_of_its_requests_gets_fewer_requests() {
        let mut now = Instant::now();
        let mut gate = Gate::new(32, 32, now);
        for _ in 0..200 {
            let pass = gate.begin(now);
            now += MS;
            gate.end(pass, Sign::Works { records: 100, throttled: 0.5 }, now, 0.0);
        }
        assert!(gate.limit() < 8 && gate.is_throttled(), "{}", gate.limit());
        assert!(gate.admits(now), "what it takes goes on");
    }

    #[test]
    fn who_asks_again_and_again_takes_nothing_either() {
        let start = Instant::now();
        let mut gate = Gate::new(8, 8, start);
        let asks = fails(Class::Throttled, Some(1_000 * MS));
        let mut refused = Vec::new();
        for n in 0..4 {
            let now = start + n * 1_000 * MS;
            let pass = gate.begin(now);
            gate.end(pass, asks, now, 0.0);
            refused.push(gate.refuses(now + MS).is_some());
            assert!(gate.refuses(now + 1_000 * MS).is_none(), "one may ask");
        }
        assert_eq!(refused, [false, false, true, true]);
        let pass = gate.begin(start + 4_000 * MS);
        gate.end(pass, WORKS, start + 4_001 * MS, 0.0);
        let pass = gate.begin(start + 5_000 * MS);
        gate.end(pass, asks, start + 5_000 * MS, 0.0);
        assert_eq!(gate.refuses(start + 5_001 * MS), None, "it took something meanwhile");
    }

    #[test]
    fn while_it_takes_nothing_records_wait_for_two_seconds_and_then_only_to_ask() {
        let mut now = Instant::now();
        let mut gate = Gate::new(8, 8, now);
        for n in 0..3 {
            let pass = gate.begin(now);
            now += 10 * MS;
            let change = gate.end(pass, fails(Class::Hold, None), now, 1.0);
            assert_eq!(change.is_some(), n == 2, "{change:?}");
        }
        assert_eq!(gate.holds(now), Some((Class::Hold, Cause::Status(403))));
        assert_eq!((gate.refuses(now), gate.alarm(now)), (None, Some(now + 2_000 * MS)));
        now += 2_001 * MS;
        assert!(gate.admits(now) && gate.refuses(now).is_none(), "one may ask");
        let probe = gate.begin(now);
        assert!(!gate.admits(now) && gate.refuses(now).is_some());
        assert!(gate.end(probe, Sign::Nothing, now, 1.0).is_some(), "a poor probe, but the answer is no");
        now += 4_000 * MS;
        let probe = gate.begin(now);
        assert_eq!(gate.end(probe, WORKS, now, 0.0), Some(Change::Opened(6_001 * MS)));
        assert_eq!((gate.holds(now), gate.refuses(now), gate.admits(now)), (None, None, true));
    }

    #[test]
    fn where_nobody_comes_to_ask_nothing_is_held_against_a_destination_for_ever() {
        let mut now = Instant::now();
        let mut gate = Gate::new(8, 8, now);
        for _ in 0..3 {
            let pass = gate.begin(now);
            now += 10 * MS;
            gate.end(pass, fails(Class::Hold, None), now, 1.0);
        }
        let may_ask = now + 2_000 * MS;
        assert!(gate.holds(may_ask + UNASKED_MAX - MS).is_some());
        now = may_ask + UNASKED_MAX;
        assert_eq!(gate.holds(now), None);
        let probe = gate.begin(now);
        assert!(gate.holds(now).is_some(), "somebody asks");
        gate.end(probe, fails(Class::Hold, None), now, 1.0);
        assert!(gate.holds(now).is_some());
    }
}
