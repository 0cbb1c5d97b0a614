//! How many records a destination may hold: what it can deliver in good time, and no more.
//!
//! A source can offer far more than a destination takes. Whatever waits longer than XDR's ten seconds was
//! accepted in vain, so the number accepted follows the delivery rate measured while the destination is busy.
//! Pure: the clock is an argument.

use std::time::{Duration, Instant};

use self::request_size::RequestSize;

mod request_size;

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

/// The running estimate for one destination.
#[derive(Debug)]
pub struct Admission {
    workers: usize,
    ceiling: usize,
    request_size: RequestSize,
    /// Records in a request, on average.
    mean_size: f64,
    /// Records delivered in a second.
    rate: f64,
    /// Seconds that a request takes; 0 before the first.
    request: f64,
    tick_start: Instant,
    sample: Sample,
    capacity: usize,
}

/// One request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Records in it.
    pub sent: usize,
    /// Those that are done with.
    pub delivered: usize,
    /// Whether it may have had several records.
    pub batch: bool,
    /// How long it took.
    pub took: Duration,
}

/// The requests of one tick.
#[derive(Debug, Default)]
struct Sample {
    requests: u64,
    sent: u64,
    delivered: u64,
    took: Duration,
    /// Records in the largest request that may have had several.
    largest: usize,
}

impl Sample {
    fn add(&mut self, request: Request) {
        self.requests += 1;
        self.sent += request.sent as u64;
        self.delivered += request.delivered as u64;
        self.took += request.took;
        if request.batch {
            self.largest = self.largest.max(request.sent);
        }
    }

    fn mean_size(&self) -> f64 {
        self.sent as f64 / self.requests as f64
    }

    fn mean_seconds(&self) -> f64 {
        self.took.as_secs_f64() / self.requests as f64
    }
}

impl Admission {
    /// `workers` requests of up to `batch_max` records can run at once; at most `ceiling` records may ever be held.
    ///
    /// Two requests for each worker are let in whatever rate was measured, one if requests are very slow: this is also
    /// how a recovered destination is noticed.
    pub fn new(workers: usize, batch_max: usize, ceiling: usize, now: Instant) -> Self {
        let ceiling = ceiling.max(1);
        let request_size = RequestSize::new(batch_max.clamp(1, ceiling));
        let mut admission = Self {
            workers: workers.clamp(1, ceiling),
            ceiling,
            mean_size: request_size.max() as f64,
            request_size,
            rate: 0.0,
            request: 0.0,
            tick_start: now,
            sample: Sample::default(),
            capacity: 0,
        };
        admission.capacity = (admission.in_requests() * 2).min(ceiling);
        admission
    }

    /// Records that may be held now.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// From now on only so many requests run at once.
    pub fn limit_workers(&mut self, workers: usize) {
        self.workers = workers.clamp(1, self.ceiling);
    }

    /// Most records that a request should have now.
    pub fn batch_max(&self) -> usize {
        self.request_size.max()
    }

    /// Takes note of a request, while `held` records were waiting or in flight.
    pub fn answered(&mut self, request: Request, held: usize, now: Instant) {
        self.sample.add(request);
        self.tick(held, now);
    }

    /// Closes a measurement when one is due. `held` tells whether the destination was kept busy: a low rate says
    /// nothing when there was nothing to do.
    pub fn tick(&mut self, held: usize, now: Instant) {
        let elapsed = now.saturating_duration_since(self.tick_start);
        if elapsed < TICK {
            return;
        }
        let sample = std::mem::take(&mut self.sample);
        let busy = held >= self.in_requests();
        if sample.requests > 0 {
            let share = if self.request == 0.0 { 1.0 } else { DECAY };
            self.request += (sample.mean_seconds() - self.request) * share;
            self.mean_size += (sample.mean_size() - self.mean_size) * share;
            self.mean_size = self.mean_size.max(sample.mean_size());
            self.request_size.adapt(&sample, busy);
        }
        let measured = self.possible(sample.delivered as f64 / elapsed.as_secs_f64(), &sample);
        if measured > self.rate {
            self.rate = measured;
        } else if busy {
            let ticks = (elapsed.as_secs_f64() / TICK.as_secs_f64()).min(1000.0);
            let keep = (1.0 - DECAY).powf(ticks);
            self.rate = self.rate * keep + measured * (1.0 - keep);
        }
        self.tick_start = now;
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

    /// Records in flight when every worker has a request. They are no larger than what is asked for, and where most of
    /// them are small not much larger than those.
    fn in_requests(&self) -> usize {
        let size = self.request_size.max().min((self.mean_size * 2.0).ceil() as usize).max(1);
        self.workers.saturating_mul(size)
    }

    /// Answers come in bursts when requests began together; over longer, the workers deliver no more than this.
    fn possible(&self, measured: f64, sample: &Sample) -> f64 {
        if self.request == 0.0 || sample.requests == 0 {
            return measured;
        }
        measured.min(self.workers as f64 * sample.mean_size() / self.request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request that delivered all its records.
    fn request(sent: usize, took: Duration) -> Request {
        Request { sent, delivered: sent, batch: true, took }
    }

    /// A destination that delivers `rate` records a second, kept busy, for `ms` milliseconds.
    fn run(admission: &mut Admission, now: &mut Instant, rate: usize, ms: u64) {
        for _ in 0..ms / 10 {
            *now += Duration::from_millis(10);
            let request = request(rate / 100, Duration::from_micros(500));
            admission.answered(request, admission.capacity(), *now);
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
            (0..100).for_each(|_| admission.answered(request(1, Duration::from_secs(1)), 300, now));
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
            admission.answered(request(1, Duration::from_secs(5)), 10, now);
        }
        assert_eq!(admission.capacity(), 10);
    }

    /// A destination with one worker that is offered all there is room for and answers after `took`, `times` times.
    fn fill(admission: &mut Admission, now: &mut Instant, took: Duration, times: usize) {
        for _ in 0..times {
            *now += took;
            let sent = admission.capacity().min(admission.batch_max());
            admission.answered(request(sent, took), admission.capacity(), *now);
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
            let sent = admission.capacity().min(admission.batch_max());
            let took = Duration::from_millis(100) * sent as u32;
            now += took;
            admission.answered(request(sent, took), admission.capacity(), now);
        }
        assert!((5..=60).contains(&admission.capacity()), "10 records/s: {}", admission.capacity());
    }

    #[test]
    fn records_that_go_alone_get_no_room_for_batches_that_others_make() {
        let mut now = Instant::now();
        let mut admission = Admission::new(100, 1_000, 32_768, now);
        for _ in 0..20 {
            now += Duration::from_millis(900);
            let held = admission.capacity();
            let alone = Request { batch: false, ..request(1, Duration::from_millis(900)) };
            (0..100).for_each(|_| admission.answered(alone, held, now));
            now += TICK;
            admission.tick(held, now);
        }
        assert!(admission.capacity() <= 400, "{} of 105 records/s", admission.capacity());
    }
}
