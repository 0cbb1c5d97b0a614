//! How many requests a destination gets at once: more while they are used and come back as soon as before, half when it
//! asks for less.
//!
//! What is known before anything was sent is only where to start, and the most that could be of use. Pure: the clock is
//! an argument.

use std::time::{Duration, Instant};

/// Requests that take this much longer than the best of their size lately, and [`SLACK`], wait in a queue of the
/// destination: more at once would only make it longer.
const LATER: f64 = 1.5;

/// Successes for each step at least, once it was throttled: where few are borne, one more is much.
const STEP_MIN: usize = 10;

/// Differences below this are no sign of anything.
const SLACK: Duration = Duration::from_millis(2);

/// Weight of one request in the running time of its size.
const WEIGHT: f64 = 1.0 / 8.0;

/// The best of the last one to two of these is what requests are compared with: a destination may get slower for good.
const WINDOW: Duration = Duration::from_secs(30);

/// Sizes by powers of two, because a request of many records may well take longer.
const SIZES: usize = 17;

/// The limit of one destination.
#[derive(Debug)]
pub struct Concurrency {
    limit: usize,
    start: usize,
    max: usize,
    /// Successes towards the next step.
    credit: usize,
    /// Whether a request was held back by the limit since it was raised last.
    wanted: bool,
    /// Whether nothing spoke against more so far: then each success allows one more, which doubles it each round trip.
    unhindered: bool,
    /// When it was halved last: requests that began before say nothing new.
    halved: Option<Instant>,
    window_start: Instant,
    sizes: [Took; SIZES],
}

/// Seconds that requests of one size take; 0 before the first.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    recent: f64,
    best: f64,
    best_before: f64,
}

impl Concurrency {
    /// Between one and `max`, `start` at first.
    pub fn new(start: usize, max: usize, now: Instant) -> Self {
        let max = max.max(1);
        let start = start.clamp(1, max);
        Self {
            limit: start,
            start,
            max,
            credit: 0,
            wanted: false,
            unhindered: true,
            halved: None,
            window_start: now,
            sizes: [Took::default(); SIZES],
        }
    }

    /// Most requests at once.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// A request was held back by the limit.
    pub fn wanted(&mut self) {
        self.wanted = true;
    }

    /// A request of `records` succeeded after `took`.
    pub fn succeeded(&mut self, records: usize, took: Duration, now: Instant) {
        if self.limit == self.max && self.halved.is_none() {
            return;
        }
        self.turn_window(now);
        let size = &mut self.sizes[(records.max(1).ilog2() as usize).min(SIZES - 1)];
        let holds = size.take_note(took.as_secs_f64());
        if !holds {
            self.unhindered = false;
        }
        if !holds || !self.wanted || self.limit == self.max {
            return;
        }
        self.credit += 1;
        if self.unhindered || self.credit >= self.limit.max(STEP_MIN) {
            self.credit = 0;
            self.wanted = false;
            self.limit += 1;
        }
    }

    /// The destination asked for less in answer to a request that began at `began`. True when this lowers the limit.
    pub fn throttled(&mut self, began: Instant, now: Instant) -> bool {
        if self.halved.is_some_and(|halved| began < halved) {
            return false;
        }
        let before = self.limit;
        self.halved = Some(now);
        self.unhindered = false;
        self.credit = 0;
        self.limit = (self.limit / 2).max(1);
        self.limit < before
    }

    /// After an outage: no more at once than at first, so that what just came back is not flooded.
    pub fn restart(&mut self) {
        self.limit = self.limit.min(self.start);
        self.credit = 0;
    }

    fn turn_window(&mut self, now: Instant) {
        if now.saturating_duration_since(self.window_start) >= WINDOW {
            self.window_start = now;
            for size in &mut self.sizes {
                (size.best_before, size.best) = (size.best, 0.0);
            }
        }
    }
}

impl Took {
    /// Learns from one request; whether such requests come back as soon as before.
    fn take_note(&mut self, seconds: f64) -> bool {
        self.recent =
            if self.recent == 0.0 { seconds } else { self.recent + (seconds - self.recent) * WEIGHT };
        if self.best == 0.0 || self.recent < self.best {
            self.best = self.recent;
        }
        let best = if self.best_before == 0.0 { self.best } else { self.best.min(self.best_before) };
        self.recent <= best * LATER + SLACK.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Full rounds of requests to a destination that has `servers` and needs 20 ms for each request.
    fn run(concurrency: &mut Concurrency, now: &mut Instant, servers: usize, rounds: usize) {
        for _ in 0..rounds {
            let at_once = concurrency.limit();
            let took = 20 * MS * at_once.div_ceil(servers) as u32;
            *now += took;
            for _ in 0..at_once {
                concurrency.wanted();
                concurrency.succeeded(100, took, *now);
            }
        }
    }

    #[test]
    fn it_doubles_while_requests_come_back_as_soon_as_before() {
        let mut now = Instant::now();
        let mut concurrency = Concurrency::new(8, 200, now);
        run(&mut concurrency, &mut now, 1_000, 2);
        assert_eq!(concurrency.limit(), 32);
        run(&mut concurrency, &mut now, 1_000, 10);
        assert_eq!(concurrency.limit(), 200, "never more than the most");
    }

    #[test]
    fn a_destination_that_only_queues_what_comes_gets_no_more() {
        let mut now = Instant::now();
        let mut concurrency = Concurrency::new(8, 1_000, now);
        run(&mut concurrency, &mut now, 40, 50);
        assert!((40..=100).contains(&concurrency.limit()), "{}", concurrency.limit());
    }

    #[test]
    fn it_stays_where_it_is_while_it_is_not_used() {
        let now = Instant::now();
        let mut concurrency = Concurrency::new(8, 200, now);
        (0..1_000).for_each(|n| concurrency.succeeded(1, MS, now + n * MS));
        assert_eq!(concurrency.limit(), 8);
    }

    #[test]
    fn throttling_halves_it_once_for_all_that_was_in_flight_and_it_comes_back_by_steps() {
        let mut now = Instant::now();
        let mut concurrency = Concurrency::new(64, 64, now);
        let began = now;
        now += 10 * MS;
        let lowered = (0..64).filter(|_| concurrency.throttled(began, now)).count();
        assert_eq!((concurrency.limit(), lowered), (32, 1));
        assert!(concurrency.throttled(now, now + MS), "one that began after that");
        assert_eq!(concurrency.limit(), 16);
        now += 2 * MS;
        run(&mut concurrency, &mut now, 1_000, 4);
        assert_eq!(concurrency.limit(), 20, "one more for each round trip");
        for n in 0..100 {
            concurrency.throttled(now + n * MS, now + n * MS);
        }
        assert_eq!(concurrency.limit(), 1, "never none");
        run(&mut concurrency, &mut now, 1_000, 9);
        assert_eq!(concurrency.limit(), 1, "one more would be twice as much");
        run(&mut concurrency, &mut now, 1_000, 200);
        assert_eq!(concurrency.limit(), 64);
    }

    #[test]
    fn larger_requests_may_take_longer() {
        let now = Instant::now();
        let mut concurrency = Concurrency::new(8, 200, now);
        for records in [1, 2, 4, 8, 16, 32, 64, 128] {
            concurrency.wanted();
            concurrency.succeeded(records, 20 * MS * records as u32, now);
        }
        assert_eq!(concurrency.limit(), 16);
    }

    #[test]
    fn a_destination_that_became_slower_for_good_is_got_used_to() {
        let mut now = Instant::now();
        let mut concurrency = Concurrency::new(8, 200, now);
        concurrency.throttled(now, now);
        run(&mut concurrency, &mut now, 1_000, 5);
        let before = concurrency.limit();
        for _ in 0..2_000 {
            now += 50 * MS;
            concurrency.wanted();
            concurrency.succeeded(100, 100 * MS, now);
        }
        assert!(concurrency.limit() > before + 10, "{before}, then {}", concurrency.limit());
    }

    #[test]
    fn after_an_outage_it_begins_anew() {
        let mut now = Instant::now();
        let mut concurrency = Concurrency::new(8, 200, now);
        run(&mut concurrency, &mut now, 1_000, 10);
        concurrency.restart();
        assert_eq!(concurrency.limit(), 8);
        let mut plain = Concurrency::new(64, 64, now);
        plain.restart();
        assert_eq!(plain.limit(), 64);
    }
}
