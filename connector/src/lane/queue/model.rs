//! A queue behind its gate with workers and a clock in virtual time, at random: what a lane promises holds after every
//! step, whatever fails and however requests are split, held back and let go again.

use std::{collections::HashMap, time::Duration};

use adapters::{Cause, Class};
use bytes::Bytes;

use super::*;
use crate::{
    config::{BatchBody, Batching, Format, JsonRules},
    encode::Encoder,
    lane::{
        Order,
        gate::{Gate, Sign},
        turns::{Turn, Turns},
    },
    notification::Digest,
    ordering::LutCache,
    replies::{Answer, Replies},
};

/// One record that was handed in, and what is known of it.
struct Sent {
    replies: Arc<Replies>,
    arrived: Instant,
    key: u8,
    lut_unix_ms: Option<u64>,
    /// A newer version had been seen when it was pushed.
    stale: bool,
    answered: bool,
}

struct Worker {
    turn: Turn,
    batch: Vec<Job>,
    until: Instant,
}

struct Model {
    random: fastrand::Rng,
    turns: Turns,
    seen: Arc<LutCache>,
    now: Instant,
    steps: u64,
    wake_at: Option<Instant>,
    /// Until then everything fails.
    outage_until: Instant,
    workers: Vec<Option<Worker>>,
    /// In flight when a request ended last: a limit that was lowered ends none.
    most_running: usize,
    sent: Vec<Sent>,
    /// Numbers of what was delivered, and the newest version of each key that was sent or delivered.
    delivered: Vec<bool>,
    newest_sent: HashMap<u8, u64>,
    newest_delivered: HashMap<u8, u64>,
}

fn policies() -> Arc<[BatchPolicy]> {
    let encoder = Encoder::new(Format::Json(JsonRules::default())).expect("a format");
    let batching = |body, max_records: usize, max_bytes: usize, ms| Batching {
        enabled: true,
        body: Some(body),
        max_records: max_records.try_into().expect("not zero"),
        max_bytes: max_bytes.try_into().expect("not zero"),
        interval: Duration::from_millis(ms),
    };
    let policy = |batching: Option<&Batching>| encoder.batch_policy(batching).expect("a policy");
    [
        policy(None),
        policy(Some(&batching(BatchBody::JsonArray, 5, 40, 30))),
        policy(Some(&batching(BatchBody::Ndjson, 1_000, 60, 8_000))),
        policy(Some(&batching(BatchBody::Concatenated, 3, usize::MAX, 1))),
    ]
    .into()
}

impl Model {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let mut random = fastrand::Rng::with_seed(seed);
        let workers = random.usize(1..40);
        // Some gates bear as much as there are workers, as with plain HTTP.
        let start = if random.bool() { workers } else { random.usize(1..=workers) };
        let mut queue = Queue::new(policies(), now);
        queue.limit_apart(random.usize(0..4));
        Self {
            turns: Turns { queue, gate: Gate::new(start, workers, now) },
            outage_until: now,
            seen: Arc::new(LutCache::new(Duration::from_secs(30), 10_000, now)),
            now,
            steps: 0,
            wake_at: None,
            workers: (0..workers).map(|_| None).collect(),
            most_running: 0,
            sent: Vec::new(),
            delivered: Vec::new(),
            newest_sent: HashMap::new(),
            newest_delivered: HashMap::new(),
            random,
        }
    }

    /// The number of a job is what its piece begins with.
    fn push(&mut self) {
        let key = self.random.u8(..40);
        let id = self.sent.len();
        let newest = id as u64 + 1;
        let lut_unix_ms = match self.random.u8(..8) {
            0 => None,
            1 => Some(newest.saturating_sub(self.random.u64(..20))),
            _ => Some(newest),
        };
        let record = RecordId::new(b"test", Digest([key; 20]));
        // Some lost a race: newer versions were seen after they were.
        let ordered = lut_unix_ms.filter(|_| self.random.u8(..4) > 0);
        if let Some(lut) = ordered {
            if !self.seen.observe(&record, lut, self.now) && self.random.bool() {
                return;
            }
            if self.random.u8(..20) == 0 {
                self.seen.observe(&record, lut + 3, self.now);
            }
        }
        let stale = ordered.is_some_and(|lut| self.seen.is_stale(&record, lut, self.now));
        let replies = Arc::new(Replies::default());
        let deadline = self.now + Duration::from_millis(self.random.u64(1..800));
        let tickets = replies.push_record(self.now, deadline, 0, 1).next().expect("one ticket").into();
        let piece = format!("{id}{}", " ".repeat(self.random.usize(..30)));
        let job = Job {
            record,
            piece: Bytes::from(piece),
            request: None,
            policy: self.random.usize(..4),
            order: ordered.map(|lut_unix_ms| Order {
                lut_unix_ms,
                whole: true,
                seen: Arc::clone(&self.seen),
            }),
            tickets,
            entered: self.now,
            deadline,
            attempts: 0,
            original: None,
        };
        self.sent.push(Sent {
            replies,
            arrived: self.now,
            key,
            lut_unix_ms: ordered,
            stale,
            answered: false,
        });
        self.delivered.push(false);
        match self.turns.push(job, self.now) {
            Pushed::Work => self.call(),
            Pushed::Until(at) => self.alarm(Some(at)),
            Pushed::Nothing => {}
        }
    }

    fn alarm(&mut self, at: Option<Instant>) {
        self.wake_at = self.wake_at.into_iter().chain(at).min();
    }

    /// Calls a worker, if one sleeps. The others look for work when they are done.
    fn call(&mut self) {
        if let Some(idle) = self.workers.iter().position(Option::is_none) {
            self.look(idle);
        }
    }

    fn look(&mut self, worker: usize) {
        let mut batch = Vec::new();
        let turn = self.turns.take(self.now, &mut batch);
        let alarm = self.turns.alarm(self.now);
        self.alarm(alarm);
        let Some(turn) = turn else { return };
        for job in &batch {
            let mut others = self.workers.iter().flatten().flat_map(|worker| &worker.batch);
            assert!(others.all(|other| other.record != job.record), "two versions on their way");
            if let Some(order) = &job.order {
                let newest = self.newest_sent.entry(job.record.digest().0[0]).or_default();
                assert!(order.lut_unix_ms >= *newest, "a version after a newer one");
                *newest = order.lut_unix_ms;
            }
        }
        let queue = &self.turns.queue;
        let rules = &queue.policies[turn.taken.policy];
        let most = if turn.taken.apart { rules.records_max } else { rules.records_max.min(queue.batch_max) };
        assert!(batch.len() <= most);
        let isolated = batch.iter().any(|job| queue.suspects.is_isolated(&job.record));
        assert!(batch.len() == 1 || !isolated || turn.taken.apart, "a record that goes alone");
        assert!(!turn.taken.apart || queue.apart_running <= queue.apart_max);
        assert!(batch.iter().all(|job| job.policy == turn.taken.policy));
        let body = rules.body.join(batch.iter().map(|job| &job.piece));
        assert!(batch.len() == 1 || body.len() <= rules.bytes_max, "{} bytes", body.len());
        let until = self.now + Duration::from_millis(self.random.u64(1..60));
        self.workers[worker] = Some(Worker { turn, batch, until });
        let running = self.workers.iter().flatten().count();
        assert!(running <= self.turns.gate.limit().max(self.most_running), "more than the destination bears");
        if turn.more {
            self.call();
        }
    }

    fn conclude(&mut self, worker: usize) {
        let Some(Worker { turn, batch, .. }) = self.workers[worker].take() else { return };
        let outage = self.now < self.outage_until;
        let all_fail = outage || self.random.u8(..10) == 0;
        // Poison: everything that is sent with it fails.
        let refused = !outage && batch.iter().any(|job| job.record.digest().0[0] == 13);
        let class = [Class::Transient, Class::Throttled, Class::Hold][self.random.usize(..3)];
        let retry_after = self.random.bool().then(|| Duration::from_millis(self.random.u64(..80)));
        let sign = match all_fail {
            _ if refused => Sign::Works { records: 0, throttled: 0.0 },
            true => Sign::Fails { class, cause: Cause::Overloaded, retry_after, rule: outage },
            false => Sign::Works { records: batch.len(), throttled: 0.0 },
        };
        let jitter = self.random.f64();
        self.most_running = self.workers.iter().flatten().count();
        self.turns.ended(turn, batch.len(), sign, self.now, jitter);
        let batch = match batch.len() {
            1 if refused => {
                self.turns.queue.suspects().isolate(&batch[0].record, self.now);
                batch
            }
            // What failed together may be split whatever it failed of.
            2.. if refused || all_fail && self.random.u8(..3) == 0 => {
                self.turns.queue.split(batch);
                Vec::new()
            }
            _ => batch,
        };
        for mut job in batch {
            if refused || all_fail || self.random.u8(..10) == 0 {
                job.attempts += 1;
                let due = self.now + Duration::from_millis(self.random.u64(..50));
                if job.attempts < 3 && job.is_wanted(due) {
                    self.turns.queue.park(job, due, self.now);
                } else {
                    self.turns.queue.finish(&job, self.now);
                    job.tickets.settle(Outcome::Retryable(Cause::Overloaded));
                }
                continue;
            }
            let id: usize = str::from_utf8(&job.piece).expect("text").trim().parse().expect("its number");
            self.delivered[id] = true;
            let newest = self.newest_delivered.entry(job.record.digest().0[0]).or_default();
            *newest = (*newest).max(job.order.as_ref().map_or(0, |order| order.lut_unix_ms));
            self.turns.queue.suspects().clear(&job.record);
            self.turns.queue.finish(&job, self.now);
            job.tickets.settle(Outcome::Delivered);
        }
        self.refuse_what_waits();
        let alarm = self.turns.alarm(self.now);
        self.alarm(alarm);
        self.look(worker);
    }

    fn refuse_what_waits(&mut self) {
        if let Some(cause) = self.turns.gate.refuses(self.now) {
            for job in self.turns.queue.drain() {
                job.tickets.settle(Outcome::Retryable(cause));
            }
        }
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(1);
        if self.wake_at.is_some_and(|at| at <= self.now) {
            let (calls, wake_at) = self.turns.look(self.now);
            self.wake_at = wake_at;
            (0..calls).for_each(|_| self.call());
        }
        self.steps += 1;
        if self.steps.is_multiple_of(500) {
            self.refuse_what_waits();
        }
        for worker in 0..self.workers.len() {
            if self.workers[worker].as_ref().is_some_and(|working| working.until <= self.now) {
                self.conclude(worker);
            }
        }
    }

    fn check(&mut self) {
        let Turns { queue, gate } = &self.turns;
        if self.workers.iter().any(Option::is_none) && gate.admits(self.now) {
            let left = (0..queue.groups.len()).find(|&group| queue.may_go(group, self.now));
            assert_eq!(left, None, "a request may go and a worker sleeps");
            assert!(!queue.apart_may_go(), "a part may go and a worker sleeps");
        }
        assert!(queue.parked.first().is_none_or(|(due, _)| self.wake_at.is_some_and(|at| at <= due)));
        for (id, sent) in self.sent.iter_mut().enumerate().filter(|(_, sent)| !sent.answered) {
            // What failed is not always answered as early as this.
            sent.replies.collect(sent.arrived, 0.0, 1, |answer| {
                let Answer::Record(answered) = answer else { return };
                sent.answered = true;
                if answered.outcome != Outcome::Delivered {
                    return;
                }
                let newer = sent.lut_unix_ms.is_some_and(|lut| {
                    self.newest_delivered.get(&sent.key).is_some_and(|newest| *newest >= lut)
                });
                assert!(self.delivered[id] || newer || sent.stale, "nobody has what is acknowledged");
            });
        }
    }

    fn finish(mut self) {
        for _ in 0..5_000 {
            self.step();
        }
        self.check();
        let queue = &self.turns.queue;
        assert_eq!((queue.held(), queue.held_bytes(), queue.waiting()), (0, 0, 0));
        assert!(queue.records.is_empty() && queue.busy.is_empty() && queue.apart.len() == 0);
        assert_eq!(queue.apart_running, 0);
        for sent in self.sent.iter().filter(|sent| !sent.answered) {
            sent.replies.collect(self.now + Duration::from_secs(10), 0.0, 1, |answer| {
                let Answer::Record(answered) = answer else { return };
                assert_ne!(answered.outcome, Outcome::Retryable(Cause::Timeout), "forgotten");
            });
        }
    }
}

#[test]
fn what_a_lane_promises_holds_whatever_comes() {
    for seed in 0..60 {
        let mut model = Model::new(seed);
        let mut often = 0.0;
        for step in 0..400 {
            if step % 50 == 0 {
                often = [0.02, 0.1, 0.5, 1.0][model.random.usize(..4)];
                let batch_max = [1, 2, 4, 16, usize::MAX][model.random.usize(..5)];
                model.turns.queue.limit_batches(batch_max);
                // As whoever limits them does.
                let (calls, wake_at) = model.turns.look(model.now);
                model.wake_at = wake_at;
                (0..calls).for_each(|_| model.call());
                if model.random.u8(..10) == 0 {
                    model.outage_until = model.now + Duration::from_millis(model.random.u64(..400));
                }
            }
            // Many or few come at once.
            if model.random.f64() < often {
                (0..model.random.usize(..12)).for_each(|_| model.push());
            }
            if step % 10 == 0
                && let Some(gone) = model.random.usize(..200).checked_sub(150)
                && let Some(sent) = model.sent.iter().rev().nth(gone)
            {
                sent.replies.abandon();
            }
            model.step();
            model.check();
        }
        model.finish();
    }
}
