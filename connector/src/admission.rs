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

/// The running estimate for one destination.
#[derive(Debug)]
pub struct Admission {
    floor: usize,
    ceiling: usize,
    rate: f64,
    tick_start: Instant,
    delivered: u64,
    capacity: usize,
}

impl Admission {
    /// `concurrency` requests can run at once; at most `ceiling` records may ever be held.
    ///
    /// The floor of twice the concurrency keeps every connection busy whatever was measured, which is also how a
    /// recovered destination is noticed.
    pub fn new(concurrency: usize, ceiling: usize, now: Instant) -> Self {
        let floor = concurrency.saturating_mul(2).min(ceiling).max(1);
        Self { floor, ceiling: ceiling.max(1), rate: 0.0, tick_start: now, delivered: 0, capacity: floor }
    }

    /// Records that may be held now.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes note of `records` delivered while `held` were waiting or in flight.
    pub fn delivered(&mut self, records: usize, held: usize, now: Instant) {
        self.delivered += records as u64;
        self.tick(held, now);
    }

    /// Closes a measurement when one is due. `held` tells whether the destination was kept busy: a low rate says
    /// nothing when there was nothing to do.
    pub fn tick(&mut self, held: usize, now: Instant) {
        let elapsed = now.saturating_duration_since(self.tick_start);
        if elapsed < TICK {
            return;
        }
        let measured = self.delivered as f64 / elapsed.as_secs_f64();
        if measured > self.rate {
            self.rate = measured;
        } else if held >= self.floor / 2 {
            let ticks = (elapsed.as_secs_f64() / TICK.as_secs_f64()).min(1000.0);
            let keep = (1.0 - DECAY).powf(ticks);
            self.rate = self.rate * keep + measured * (1.0 - keep);
        }
        self.tick_start = now;
        self.delivered = 0;
        let wanted = self.rate * WAIT_MAX.as_secs_f64();
        self.capacity = (wanted as usize).clamp(self.floor, self.ceiling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A destination that delivers `rate` records a second, kept busy, for `ms` milliseconds.
    fn run(admission: &mut Admission, now: &mut Instant, rate: usize, ms: u64) {
        for _ in 0..ms / 10 {
            *now += Duration::from_millis(10);
            admission.delivered(rate / 100, admission.capacity(), *now);
        }
    }

    #[test]
    fn capacity_settles_at_two_seconds_of_the_measured_rate() {
        let mut now = Instant::now();
        let mut admission = Admission::new(64, 32_768, now);
        assert_eq!(admission.capacity(), 128, "before anything is known: enough to keep it busy");
        run(&mut admission, &mut now, 1_000, 1_000);
        assert!((1_900..=2_100).contains(&admission.capacity()), "{}", admission.capacity());
    }

    #[test]
    fn a_slower_destination_is_believed_within_a_second() {
        let mut now = Instant::now();
        let mut admission = Admission::new(8, 32_768, now);
        run(&mut admission, &mut now, 10_000, 500);
        run(&mut admission, &mut now, 1_000, 1_000);
        assert!(admission.capacity() < 2_300, "{}", admission.capacity());
    }

    #[test]
    fn a_hung_destination_falls_to_the_floor_and_comes_back_at_once() {
        let mut now = Instant::now();
        let mut admission = Admission::new(8, 32_768, now);
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
        let mut admission = Admission::new(8, 32_768, now);
        run(&mut admission, &mut now, 5_000, 500);
        let before = admission.capacity();
        now += Duration::from_secs(60);
        admission.tick(0, now);
        assert_eq!(admission.capacity(), before);
    }
}
