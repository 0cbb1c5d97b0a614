//! A queue with workers and a clock in virtual time, at random: what a lane promises holds after every step.

use std::{collections::HashMap, time::Duration};

use adapters::Cause;
use bytes::Bytes;

use super::*;
use crate::{
    config::{BatchBody, Batching, Format, JsonRules},
    encode::Encoder,
    lane::Order,
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
    policy: usize,
    batch: Vec<Job>,
    until: Instant,
}

struct Model {
    random: fastrand::Rng,
    queue: Queue,
    seen: Arc<LutCache>,
    now: Instant,
    wake_at: Option<Instant>,
    workers: Vec<Option<Worker>>,
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
        Self {
            queue: Queue::new(policies()),
            seen: Arc::new(LutCache::new(Duration::from_secs(30), 10_000, now)),
            now,
            wake_at: None,
            workers: (0..workers).map(|_| None).collect(),
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
        match self.queue.push(job, self.now) {
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
        let taken = self.queue.take(self.now, &mut batch);
        let alarm = self.queue.alarm();
        self.alarm(alarm);
        let Some(Taken { policy, more }) = taken else { return };
        for job in &batch {
            let mut others = self.workers.iter().flatten().flat_map(|worker| &worker.batch);
            assert!(others.all(|other| other.record != job.record), "two versions on their way");
            if let Some(order) = &job.order {
                let newest = self.newest_sent.entry(job.record.digest().0[0]).or_default();
                assert!(order.lut_unix_ms >= *newest, "a version after a newer one");
                *newest = order.lut_unix_ms;
            }
        }
        let rules = &self.queue.policies[policy];
        assert!(batch.len() <= rules.records_max.min(self.queue.batch_max));
        let body = rules.body.join(batch.iter().map(|job| &job.piece));
        assert!(batch.len() == 1 || body.len() <= rules.bytes_max, "{} bytes", body.len());
        let until = self.now + Duration::from_millis(self.random.u64(1..60));
        self.workers[worker] = Some(Worker { policy, batch, until });
        if more {
            self.call();
        }
    }

    fn conclude(&mut self, worker: usize) {
        let Some(Worker { policy, batch, .. }) = self.workers[worker].take() else { return };
        self.queue.request_ended(policy, batch.len());
        let all_fail = self.random.u8(..10) == 0;
        for mut job in batch {
            if all_fail || self.random.u8(..10) == 0 {
                job.attempts += 1;
                let due = self.now + Duration::from_millis(self.random.u64(..50));
                if job.attempts < 3 && job.is_wanted(due) {
                    self.queue.park(job, due);
                } else {
                    self.queue.finish(&job, self.now);
                    job.tickets.settle(Outcome::Retryable(Cause::Overloaded));
                }
                continue;
            }
            let id: usize = str::from_utf8(&job.piece).expect("text").trim().parse().expect("its number");
            self.delivered[id] = true;
            let newest = self.newest_delivered.entry(job.record.digest().0[0]).or_default();
            *newest = (*newest).max(job.order.as_ref().map_or(0, |order| order.lut_unix_ms));
            self.queue.finish(&job, self.now);
            job.tickets.settle(Outcome::Delivered);
        }
        let alarm = self.queue.alarm();
        self.alarm(alarm);
        self.look(worker);
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(1);
        if self.wake_at.is_some_and(|at| at <= self.now) {
            let calls = self.queue.wake(self.now);
            self.wake_at = self.queue.next_wake(self.now);
            (0..calls).for_each(|_| self.call());
        }
        for worker in 0..self.workers.len() {
            if self.workers[worker].as_ref().is_some_and(|working| working.until <= self.now) {
                self.conclude(worker);
            }
        }
    }

    fn check(&mut self) {
        if self.workers.iter().any(Option::is_none) {
            let left = (0..self.queue.groups.len()).find(|&group| self.queue.may_go(group, self.now));
            assert_eq!(left, None, "a request may go and a worker sleeps");
        }
        assert!(self.queue.parked.first().is_none_or(|(due, _)| self.wake_at.is_some_and(|at| at <= due)));
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
        for _ in 0..2_000 {
            self.step();
        }
        self.check();
        assert_eq!((self.queue.held(), self.queue.held_bytes(), self.queue.waiting()), (0, 0, 0));
        assert!(self.queue.records.is_empty() && self.queue.busy.is_empty());
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
                model.queue.limit_batches(batch_max);
                // As whoever limits them does.
                let calls = model.queue.wake(model.now);
                (0..calls).for_each(|_| model.call());
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
