//! How many records a destination may hold: what it can deliver in good time, and no more.
//!
//! A source can offer far more than a destination takes. Whatever waits longer than XDR's ten seconds was
//! accepted in vain, so the number accepted follows the delivery rate measured while the destination is busy.
//! Pure: the clock is an argument.

use std::time::{Duration, Instant};

/// How long an accepted record should wait at most when the destination keeps its rate. Far below the deadline,
/// so that a rate that drops to a quarter still costs no record its place.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Span over which the rate is measured.
const TICK: Duration = Duration::from_millis(50);

/// Share of a new measurement in the running rate when it is lower; a higher one counts at once.
const DECAY: f64 = 0.25;

/// A record that waits may find every worker at the beginning of its request, and then needs as long again. Both
/// together must fit into this, well below the deadline, or the worker's time is spent on a record that expires.
const TWO_REQUESTS_MAX: Duration = Duration::from_secs(7);

/// A request that takes longer has too many records in it, if it has several. Two of them fit well below the deadline.
const SLOW_REQUEST: Duration = Duration::from_secs(2);

/// Records in a request before anything is known of the destination.
const BATCH_AT_FIRST: usize = 16;

/// The running estimate for one destination.
#[derive(Debug)]
pub struct Admission {
    workers: usize,
    /// Most records in a request.
    batch_max: usize,
    ceiling: usize,
    /// Records in a request for which there is room at every worker.
    batch: usize,
    /// Records delivered in a second.
    rate: f64,
    /// Seconds that a request takes; 0 before the first.
    request: f64,
    tick_start: Instant,
    sent: u64,
    delivered: u64,
    requests: u64,
    requests_took: Duration,
    capacity: usize,
}

impl Admission {
    /// `workers` requests of up to `batch_max` records can run at once; at most `ceiling` records may ever be held.
    ///
    /// Two requests for each worker are let in whatever rate was measured, one if requests are very slow: this is also
    /// how a recovered destination is noticed. They begin with few records each, and have twice as many as long as that
    /// many come and are answered soon.
    pub fn new(workers: usize, batch_max: usize, ceiling: usize, now: Instant) -> Self {
        let ceiling = ceiling.max(1);
        let workers = workers.clamp(1, ceiling);
        let mut admission = Self {
            workers,
            batch_max: batch_max.clamp(1, ceiling),
            ceiling,
            batch: batch_max.clamp(1, ceiling).min(BATCH_AT_FIRST),
            rate: 0.0,
            request: 0.0,
            tick_start: now,
            sent: 0,
            delivered: 0,
            requests: 0,
            requests_took: Duration::ZERO,
            capacity: 0,
        };
        admission.capacity = (admission.in_requests() * 2).min(ceiling);
        admission
    }

    /// Records that may be held now.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes note of a request of `sent` records that `took` so long and finished `delivered` of them, while `held` were
    /// waiting or in flight.
    pub fn answered(&mut self, sent: usize, delivered: usize, took: Duration, held: usize, now: Instant) {
        self.sent += sent as u64;
        self.delivered += delivered as u64;
        self.requests += 1;
        self.requests_took += took;
        self.tick(held, now);
    }

    /// Closes a measurement when one is due. `held` tells whether the destination was kept busy: a low rate says
    /// nothing when there was nothing to do.
    pub fn tick(&mut self, held: usize, now: Instant) {
        let elapsed = now.saturating_duration_since(self.tick_start);
        if elapsed < TICK {
            return;
        }
        if self.requests > 0 {
            let mean = self.requests_took.as_secs_f64() / self.requests as f64;
            let share = if self.request == 0.0 { 1.0 } else { DECAY };
            self.request += (mean - self.request) * share;
            self.adapt_batch();
        }
        let measured = self.possible(self.delivered as f64 / elapsed.as_secs_f64());
        if measured > self.rate {
            self.rate = measured;
        } else if held >= self.in_requests() {
            let ticks = (elapsed.as_secs_f64() / TICK.as_secs_f64()).min(1000.0);
            let keep = (1.0 - DECAY).powf(ticks);
            self.rate = self.rate * keep + measured * (1.0 - keep);
        }
        self.tick_start = now;
        self.sent = 0;
        self.delivered = 0;
        self.requests = 0;
        self.requests_took = Duration::ZERO;
        self.capacity = self.in_requests().saturating_add(self.waiting_max()).min(self.ceiling);
    }

    /// Records that may wait beside one for each worker.
    fn waiting_max(&self) -> usize {
        let spare = TWO_REQUESTS_MAX.as_secs_f64() - 2.0 * self.request;
        if spare < 0.0 {
            return 0;
        }
        // One more request for each worker waits no longer than one, and bridges the time until the source sends.
        ((self.rate * WAIT_MAX.as_secs_f64().min(spare)) as usize).max(self.in_requests())
    }

    /// Records in flight when every worker has a request.
    fn in_requests(&self) -> usize {
        self.workers.saturating_mul(self.batch)
    }

    /// Room for larger requests as long as those there is room for are used and come back soon.
    fn adapt_batch(&mut self) {
        let mean = self.sent / self.requests;
        if self.request > SLOW_REQUEST.as_secs_f64() {
            self.batch = (self.batch / 2).max(1);
        } else if self.request < SLOW_REQUEST.as_secs_f64() / 2.0
            && mean.saturating_mul(2) > self.batch as u64
        {
            self.batch = self.batch.saturating_mul(2).min(self.batch_max);
        }
    }

    /// Answers come in bursts when requests began together; over longer, the workers deliver no more than this.
    fn possible(&self, measured: f64) -> f64 {
        if self.request == 0.0 || self.requests == 0 {
            return measured;
        }
        let mean = self.sent as f64 / self.requests as f64;
        measured.min(self.workers as f64 * mean / self.request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A destination that delivers `rate` records a second, kept busy, for `ms` milliseconds.
    fn run(admission: &mut Admission, now: &mut Instant, rate: usize, ms: u64) {
        for _ in 0..ms / 10 {
            *now += Duration::from_millis(10);
            admission.answered(
                rate / 100,
                rate / 100,
                Duration::from_micros(500),
                admission.capacity(),
                *now,
            );
        }
    }

    #[test]
    fn capacity_settles_at_two_seconds_of_the_measured_rate() {
        let mut now = Instant::now();
        let mut admission = Admission::new(64, 1, 32_768, now);
        assert_eq!(admission.capacity(), 128, "before anything is known: enough to keep it busy");
        run(&mut admission, &mut now, 1_000, 1_000);
        assert!((1_900..=2_200).contains(&admission.capacity()), "{}", admission.capacity());
    }

    #[test]
    fn a_slower_destination_is_believed_within_a_second() {
        let mut now = Instant::now();
        let mut admission = Admission::new(8, 1, 32_768, now);
        run(&mut admission, &mut now, 10_000, 500);
        run(&mut admission, &mut now, 1_000, 1_000);
        assert!(admission.capacity() < 2_300, "{}", admission.capacity());
    }

    #[test]
    fn a_hung_destination_falls_to_the_floor_and_comes_back_at_once() {
        let mut now = Instant::now();
        let mut admission = Admission::new(8, 1, 32_768, now);
        run(&mut admission, &mut now, 10_000, 500);
        now += Duration::from_secs(5);
        admission.tick(admission.capacity(), now);
        assert_eq!(admission.capacity(), 16);
        run(&mut admission, &mut now, 10_000, 100);
        assert!(admission.capacity() > 15_000, "{}", admission.capacity());
    }

    #[test]
    fn an_idle_spell_does_not_lower_the_estimate() {
        let mut now = Instant::now();
        let mut admission = Admission::new(8, 1, 32_768, now);
        run(&mut admission, &mut now, 5_000, 500);
        let before = admission.capacity();
        now += Duration::from_secs(60);
        admission.tick(0, now);
        assert_eq!(admission.capacity(), before);
    }

    #[test]
    fn no_more_is_expected_of_a_burst_than_the_workers_can_keep_up() {
        let mut now = Instant::now();
        let mut admission = Admission::new(100, 1, 32_768, now);
        for _ in 0..4 {
            now += Duration::from_secs(1);
            (0..100).for_each(|_| admission.answered(1, 1, Duration::from_secs(1), 300, now));
            now += Duration::from_millis(50);
            admission.tick(300, now);
            assert!(admission.capacity() <= 300, "{}", admission.capacity());
        }
    }

    #[test]
    fn nothing_waits_where_two_requests_take_longer_than_there_is_time() {
        let mut now = Instant::now();
        let mut admission = Admission::new(10, 1, 32_768, now);
        for _ in 0..100 {
            now += Duration::from_millis(500);
            admission.answered(1, 1, Duration::from_secs(5), 10, now);
        }
        assert_eq!(admission.capacity(), 10);
    }

    /// A destination with one worker that is offered all there is room for and answers after `took`, `times` times.
    fn fill(admission: &mut Admission, now: &mut Instant, took: Duration, times: usize) {
        for _ in 0..times {
            *now += took;
            let sent = admission.capacity().min(100);
            admission.answered(sent, sent, took, admission.capacity(), *now);
        }
    }

    #[test]
    fn room_grows_to_whole_batches_while_they_come_back_soon() {
        for took_ms in [20, 200, 900] {
            let mut now = Instant::now();
            let mut admission = Admission::new(1, 100, 32_768, now);
            fill(&mut admission, &mut now, Duration::from_millis(took_ms), 50);
            assert!(admission.capacity() >= 200, "{took_ms} ms: {}", admission.capacity());
        }
    }

    #[test]
    fn a_destination_that_needs_long_for_a_large_request_gets_smaller_ones() {
        let mut now = Instant::now();
        let mut admission = Admission::new(1, 100, 32_768, now);
        for _ in 0..100 {
            let sent = admission.capacity().min(100);
            let took = Duration::from_millis(100) * sent as u32;
            now += took;
            admission.answered(sent, sent, took, admission.capacity(), now);
        }
        assert!((5..=60).contains(&admission.capacity()), "10 records/s: {}", admission.capacity());
    }
}
