//! How many requests a destination gets at once: more while they are used and come back as soon as before, fewer when it
//! asks for less.
//!
//! How many fewer is told by the share of what it throttles. Where that is nearly all, half; where it is a request here and
//! there, as behind a limit for each key or shard, nothing: those go again by themselves, and the others would only be slower.
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

/// The throttled share up to which there may be more at once; beyond, only after a round trip without any. Around a limit it
/// settles here, so that few are sent in vain.
const GROWS_UP_TO: f64 = 1.0 / 16.0;

/// The throttled share up to which it stays as it is. Chance alone takes a share of one in twenty beyond this seldom.
const BORNE_UP_TO: f64 = 1.0 / 8.0;

/// How many answers the throttled share is about: those of two round trips, within these bounds. Of fewer, one would be a large
/// share, and chance would take one in twenty for much more; more would be long past.
const ANSWERS: [usize; 2] = [32, 128];

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
    /// The share of what was throttled lately.
    throttled: f64,
    /// When it was lowered last: requests that began before say nothing new.
    lowered: Option<Instant>,
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
            throttled: 0.0,
            lowered: None,
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
        self.answered(0.0);
        if self.limit == self.max && self.lowered.is_none() {
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

    /// The destination asked for less for a `share` of a request that began at `began`. Where it `asks` to be left alone
    /// as well, it means all of them. True when this lowers the limit.
    pub fn throttled(&mut self, share: f64, asks: bool, began: Instant, now: Instant) -> bool {
        self.answered(share);
        self.unhindered = false;
        if self.throttled > GROWS_UP_TO {
            self.credit = 0;
        }
        if self.lowered.is_some_and(|lowered| began < lowered) {
            return false;
        }
        let share = if asks { 1.0 } else { self.throttled };
        if share <= BORNE_UP_TO {
            return false;
        }
        let before = self.limit;
        self.lowered = Some(now);
        self.credit = 0;
        let fewer = (self.limit as f64 * share / 2.0).round() as usize;
        self.limit = (self.limit - fewer.clamp(1, self.limit)).max(1);
        self.limit < before
    }

    /// Whether throttling is more than an exception at present.
    pub fn is_throttled(&self) -> bool {
        self.throttled > BORNE_UP_TO
    }

    /// Takes note of which share of a request was throttled.
    fn answered(&mut self, share: f64) {
        let answers = (2 * self.limit).clamp(ANSWERS[0], ANSWERS[1]);
        self.throttled += (share - self.throttled) / answers as f64;
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
    fn throttling_lowers_it_once_for_all_that_was_in_flight_and_it_comes_back_by_steps() {
        let mut now = Instant::now();
        let mut concurrency = Concurrency::new(64, 64, now);
        let mut limits = Vec::new();
        for _ in 0..9 {
            let (began, at_once) = (now, concurrency.limit());
            now += 10 * MS;
            let lowered = (0..at_once).filter(|_| concurrency.throttled(1.0, false, began, now)).count();
            assert!(lowered <= 1, "at most once for each round trip: {lowered}");
            limits.push(concurrency.limit());
            now += MS;
        }
        assert_eq!(
            limits,
            [60, 48, 32, 18, 10, 5, 3, 2, 1],
            "by half where all is throttled, and never none"
        );
        run(&mut concurrency, &mut now, 1_000, 9);
        assert_eq!(concurrency.limit(), 1, "one more would be twice as much");
        run(&mut concurrency, &mut now, 1_000, 30);
        assert!(
            (15..25).contains(&concurrency.limit()),
            "one more for each round trip: {}",
            concurrency.limit()
        );
        run(&mut concurrency, &mut now, 1_000, 200);
        assert_eq!(concurrency.limit(), 64);
    }

    #[test]
    fn who_asks_to_be_left_alone_gets_half_of_it_whatever_the_share() {
        let now = Instant::now();
        let mut concurrency = Concurrency::new(64, 64, now);
        assert!(concurrency.throttled(1.0, true, now, now + MS));
        assert!(!concurrency.throttled(1.0, true, now, now + MS), "the same round trip");
        assert_eq!(concurrency.limit(), 32);
    }

    /// Full rounds of requests of which chance throttles a share, 10 ms each; how many there are at once in the end.
    fn throttled_by_chance(start: usize, share: f64, rounds: usize) -> usize {
        let (mut now, mut random) = (Instant::now(), fastrand::Rng::with_seed(7));
        let mut concurrency = Concurrency::new(start, start, now);
        for _ in 0..rounds {
            let (began, at_once) = (now, concurrency.limit());
            now += 10 * MS;
            for _ in 0..at_once {
                concurrency.wanted();
                if random.f64() < share {
                    concurrency.throttled(1.0, false, began, now);
                } else {
                    concurrency.succeeded(1, 10 * MS, now);
                }
            }
        }
        concurrency.limit()
    }

    #[test]
    fn what_is_throttled_here_and_there_slows_nobody_else_down() {
        for start in [8, 64, 200] {
            let limits: Vec<_> =
                (100..1_000).step_by(100).map(|n| throttled_by_chance(start, 0.05, n)).collect();
            let mean = limits.iter().sum::<usize>() / limits.len();
            assert!(mean * 10 >= start * 9, "{limits:?} of {start}");
        }
        assert!(throttled_by_chance(200, 0.4, 100) <= 10, "that is no exception");
    }

    #[test]
    fn chance_is_hardly_ever_taken_for_more() {
        let (now, mut random) = (Instant::now(), fastrand::Rng::with_seed(7));
        let mut concurrency = Concurrency::new(64, 64, now);
        let mut taken_for_more = 0;
        for _ in 0..100_000 {
            concurrency.answered(if random.f64() < 0.05 { 1.0 } else { 0.0 });
            taken_for_more += u32::from(concurrency.is_throttled());
        }
        assert!(taken_for_more < 10, "{taken_for_more} times");
    }

    #[test]
    fn around_what_a_destination_bears_it_settles_with_little_sent_in_vain() {
        for bears in [10, 50, 100] {
            let mut now = Instant::now();
            let mut concurrency = Concurrency::new(200, 200, now);
            let (mut taken, mut sent) = (0, 0);
            for round in 0..1_000 {
                let (began, at_once) = (now, concurrency.limit());
                now += 10 * MS;
                for n in 0..at_once {
                    concurrency.wanted();
                    if n < bears {
                        concurrency.succeeded(1, 10 * MS, now);
                    } else {
                        concurrency.throttled(1.0, false, began, now);
                    }
                }
                if round >= 200 {
                    taken += at_once.min(bears);
                    sent += at_once;
                }
            }
            assert!(taken * 100 >= 800 * bears * 98, "{taken} of {}", 800 * bears);
            assert!(sent * 100 <= taken * 115, "{sent} sent for {taken}");
        }
    }

    #[test]
    fn the_share_of_a_request_that_was_throttled_counts_as_much() {
        let mut now = Instant::now();
        let mut concurrency = Concurrency::new(64, 64, now);
        for _ in 0..100 {
            concurrency.throttled(0.05, false, now, now + MS);
            now += 2 * MS;
        }
        assert_eq!((concurrency.limit(), concurrency.is_throttled()), (64, false));
        for _ in 0..100 {
            concurrency.throttled(0.6, false, now, now + MS);
            now += 2 * MS;
        }
        assert!(concurrency.limit() <= 4 && concurrency.is_throttled(), "{}", concurrency.limit());
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
        concurrency.throttled(1.0, true, now, now);
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
