use std::{num::NonZeroUsize, time::Duration};

use bytes::Bytes;

use super::*;
use crate::{
    config::{Batching, Format, JsonRules},
    dead_letter::Original,
    encode::Encoder,
    lane::Order,
    notification::Digest,
    ordering::LutCache,
    replies::Replies,
};

struct Source {
    replies: Arc<Replies>,
    now: Instant,
}

impl Source {
    fn new() -> Self {
        Self { replies: Arc::new(Replies::default()), now: Instant::now() }
    }

    fn job(&self, key: u8, body: &'static str) -> Job {
        let deadline = self.now + Duration::from_secs(8);
        let ticket = self.replies.push_record(self.now, deadline, 0, 1).next().expect("one ticket");
        Job {
            record: RecordId::new(b"test", Digest([key; 20])),
            piece: Bytes::from_static(body.as_bytes()),
            request: None,
            policy: 0,
            order: None,
            tickets: ticket.into(),
            entered: self.now,
            deadline,
            attempts: 0,
            original: None,
        }
    }

    /// A version of record 1, of which its last-update time was taken note.
    fn version(&self, body: &'static str, lut_unix_ms: u64, seen: &Arc<LutCache>) -> Job {
        let job = self.job(1, body);
        seen.observe(&job.record, lut_unix_ms, self.now);
        Job { order: Some(Order { lut_unix_ms, whole: true, seen: Arc::clone(seen) }), ..job }
    }

    /// What the source was told so far, in order.
    fn answers(&self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        self.replies.collect(self.now, 0.0, usize::MAX, |answer| {
            if let crate::replies::Answer::Record(answered) = answer {
                outcomes.push(answered.outcome);
            }
        });
        outcomes
    }
}

#[test]
fn the_message_that_a_record_came_in_counts_as_long_as_it_is_kept() {
    let source = Source::new();
    let kept = |key| {
        let original = Some(Arc::new(Original::new(&[0; 100], 0)));
        Job { original, ..source.job(key, "12345") }
    };
    let mut queue = queue(None);
    for key in 1..=3 {
        queue.push(kept(key), source.now);
    }
    let seen = Arc::new(LutCache::new(Duration::from_secs(60), 100, source.now));
    for lut_unix_ms in [1, 2] {
        let version = source.version("12345", lut_unix_ms, &seen);
        queue.push(Job { original: kept(1).original, ..version }, source.now);
    }
    assert_eq!((queue.held(), queue.held_bytes()), (4, 420), "one was superseded");
    let mut batch = take(&mut queue, source.now);
    let job = batch.pop().unwrap();
    queue.request_ended(TOGETHER, 1);
    queue.finish(&job, source.now);
    assert_eq!((queue.held(), queue.held_bytes()), (3, 315));
    queue.drain();
    assert_eq!((queue.held(), queue.held_bytes()), (0, 0));
}

fn queue(batching: Option<&Batching>) -> Queue {
    let encoder = Encoder::new(Format::Json(JsonRules::default())).expect("a format");
    Queue::new([encoder.batch_policy(batching).expect("a policy")].into(), Instant::now())
}

fn batching(max_records: usize, max_bytes: usize, interval_ms: u64) -> Batching {
    Batching {
        enabled: true,
        body: None,
        max_records: NonZeroUsize::new(max_records).expect("not zero"),
        max_bytes: NonZeroUsize::new(max_bytes).expect("not zero"),
        interval: Duration::from_millis(interval_ms),
    }
}

/// A request of what is there, of the first policy.
const TOGETHER: Taken = Taken { policy: 0, apart: false, more: false };
const APART: Taken = Taken { policy: 0, apart: true, more: false };

/// The jobs of the next request.
fn take(queue: &mut Queue, now: Instant) -> Vec<Job> {
    let mut batch = Vec::new();
    queue.take(now, &mut batch);
    batch
}

/// Ends the request of these jobs well.
fn deliver(queue: &mut Queue, jobs: Vec<Job>) {
    queue.request_ended(TOGETHER, jobs.len());
    for job in jobs {
        queue.finish(&job, job.entered);
        job.tickets.settle(Outcome::Delivered);
    }
}

fn bodies(jobs: &[Job]) -> Vec<&str> {
    jobs.iter().map(|job| str::from_utf8(&job.piece).expect("text")).collect()
}

/// Takes the next request, and parks its jobs until `due`.
fn park(queue: &mut Queue, now: Instant, due: Instant) {
    let jobs = take(queue, now);
    queue.request_ended(TOGETHER, jobs.len());
    jobs.into_iter().for_each(|job| queue.park(job, due, now));
}

#[test]
fn two_records_never_stand_for_each_other() {
    let source = Source::new();
    let seen = Arc::new(LutCache::new(Duration::from_secs(60), 100, source.now));
    let (mut one, mut newer) = (source.version("a1", 1, &seen), Some(source.version("a2", 2, &seen)));
    newer.iter_mut().for_each(|job| job.record = RecordId::new(b"other", *one.record.digest()));
    assert_eq!(
        (one.supersede(&mut newer), newer.is_some()),
        (None, true),
        "the same key in another namespace"
    );
    newer.iter_mut().for_each(|job| job.record = one.record);
    assert_eq!((one.supersede(&mut newer), newer.is_none()), (Some(2), true));
}

#[test]
fn versions_of_a_record_go_one_after_the_other_and_records_in_parallel() {
    let (source, mut queue) = (Source::new(), queue(None));
    assert_eq!(queue.push(source.job(1, "a1"), source.now), Pushed::Work);
    assert_eq!(queue.push(source.job(1, "a2"), source.now), Pushed::Nothing);
    assert_eq!(queue.push(source.job(2, "b1"), source.now), Pushed::Work);
    let a1 = take(&mut queue, source.now);
    assert_eq!(bodies(&a1), ["a1"]);
    assert_eq!(bodies(&take(&mut queue, source.now)), ["b1"]);
    assert!(take(&mut queue, source.now).is_empty(), "a2 waits for a1");
    deliver(&mut queue, a1);
    let a2 = take(&mut queue, source.now);
    assert_eq!(bodies(&a2), ["a2"]);
    deliver(&mut queue, a2);
    assert_eq!(queue.push(source.job(1, "a3"), source.now), Pushed::Work, "the record is free again");
}

#[test]
fn a_parked_record_delays_only_itself() {
    let (source, mut queue) = (Source::new(), queue(None));
    queue.push(source.job(1, "a1"), source.now);
    let due = source.now + Duration::from_millis(40);
    park(&mut queue, source.now, due);
    queue.push(source.job(1, "a2"), source.now);
    queue.push(source.job(2, "b1"), source.now);
    assert_eq!(bodies(&take(&mut queue, source.now)), ["b1"]);
    assert!(take(&mut queue, source.now).is_empty());
    assert_eq!((queue.next_wake(source.now), queue.wake(source.now)), (Some(due), 0));
    assert_eq!(queue.wake(due), 1);
    assert_eq!(bodies(&take(&mut queue, due)), ["a1"], "the old version before the new one");
}

#[test]
fn what_nobody_waits_for_is_skipped_and_frees_its_record() {
    let (source, mut queue) = (Source::new(), queue(None));
    queue.push(source.job(1, "expired"), source.now);
    let late = source.now + Duration::from_secs(9);
    let mut fresh = source.job(1, "fresh");
    fresh.deadline = late + Duration::from_secs(8);
    queue.push(fresh, late);
    assert_eq!(bodies(&take(&mut queue, late)), ["fresh"]);
    assert_eq!((queue.held(), queue.waiting()), (1, 0));
    source.replies.abandon();
    queue.push(source.job(2, "connection gone"), source.now);
    assert!(take(&mut queue, source.now).is_empty());
    assert_eq!(queue.held_bytes(), 5);
}

#[test]
fn a_hot_record_does_not_get_ahead_of_what_came_before_its_versions() {
    let (mut source, mut queue) = (Source::new(), queue(None));
    for (key, body) in [(1, "a1"), (1, "a2"), (2, "b1"), (1, "a3")] {
        source.now += Duration::from_millis(1);
        queue.push(source.job(key, body), source.now);
    }
    let mut order = Vec::new();
    loop {
        let batch = take(&mut queue, source.now);
        let Some(job) = batch.first() else { break };
        order.push(String::from_utf8_lossy(&job.piece).into_owned());
        deliver(&mut queue, batch);
    }
    assert_eq!(order, ["a1", "a2", "b1", "a3"]);
    assert_eq!((queue.held(), queue.held_bytes()), (0, 0));
}

#[test]
fn a_batch_goes_at_once_when_idle_and_grows_while_one_is_in_flight() {
    let (source, mut queue) = (Source::new(), queue(Some(&batching(3, 1000, 500))));
    let now = source.now;
    assert_eq!(queue.push(source.job(1, "1"), now), Pushed::Work);
    assert_eq!(queue.push(source.job(2, "2"), now), Pushed::Nothing, "the worker that was called takes both");
    let first = take(&mut queue, now);
    assert_eq!(bodies(&first), ["1", "2"]);
    let flush_at = now + Duration::from_millis(500);
    assert_eq!(queue.push(source.job(3, "3"), now), Pushed::Until(flush_at));
    assert_eq!(queue.next_wake(now), Some(flush_at));
    assert!(take(&mut queue, now).is_empty(), "it waits for others");
    queue.push(source.job(4, "4"), now);
    assert_eq!(queue.push(source.job(5, "5"), now), Pushed::Work, "full");
    queue.push(source.job(6, "6"), now);
    let second = take(&mut queue, now);
    assert_eq!(bodies(&second), ["3", "4", "5"]);
    deliver(&mut queue, first);
    assert!(take(&mut queue, now).is_empty(), "another one is still in flight");
    deliver(&mut queue, second);
    assert_eq!(bodies(&take(&mut queue, now)), ["6"]);
}

#[test]
fn the_interval_ends_the_wait_behind_a_slow_request() {
    let (source, mut queue) = (Source::new(), queue(Some(&batching(100, 1000, 500))));
    queue.push(source.job(1, "1"), source.now);
    let slow = take(&mut queue, source.now);
    queue.push(source.job(2, "2"), source.now);
    let early = source.now + Duration::from_millis(499);
    assert_eq!(queue.wake(early), 0);
    let due = source.now + Duration::from_millis(500);
    assert_eq!(queue.wake(due), 1);
    assert_eq!(queue.next_wake(due), None, "who waits for a worker needs no clock");
    assert_eq!(bodies(&take(&mut queue, due)), ["2"]);
    deliver(&mut queue, slow);
}

#[test]
fn the_bound_on_bytes_holds_for_the_whole_body() {
    let (source, mut queue) = (Source::new(), queue(Some(&batching(100, 10, 500))));
    for (key, body) in [(1, "4444"), (2, "333"), (3, "22"), (4, "much longer than ten"), (5, "1")] {
        queue.push(source.job(key, body), source.now);
    }
    let mut requests = Vec::new();
    for _ in 0..4 {
        let batch = take(&mut queue, source.now);
        requests.push(bodies(&batch).join(","));
        deliver(&mut queue, batch);
    }
    assert_eq!(
        requests,
        ["4444,333", "22", "much longer than ten", "1"],
        "with brackets 10 bytes, but for one record"
    );
}

#[test]
fn a_record_is_in_a_batch_once() {
    let (source, mut queue) = (Source::new(), queue(Some(&batching(100, 1000, 500))));
    for (key, body) in [(1, "a1"), (1, "a2"), (2, "b1")] {
        queue.push(source.job(key, body), source.now);
    }
    let first = take(&mut queue, source.now);
    assert_eq!(bodies(&first), ["a1", "b1"]);
    deliver(&mut queue, first);
    assert_eq!(bodies(&take(&mut queue, source.now)), ["a2"]);
}

#[test]
fn records_of_a_failed_batch_come_back_together() {
    let (source, mut queue) = (Source::new(), queue(Some(&batching(100, 1000, 500))));
    for key in 1..=3 {
        queue.push(source.job(key, "x"), source.now);
    }
    let due = source.now + Duration::from_millis(10);
    park(&mut queue, source.now, due);
    assert_eq!((queue.parked(), queue.wake(due)), (3, 1), "one worker is enough");
    assert_eq!(take(&mut queue, due).len(), 3);
}

#[test]
fn kinds_of_record_do_not_share_requests_and_none_is_left_behind() {
    let encoder = Encoder::new(Format::Json(JsonRules::default())).expect("a format");
    let policy = || encoder.batch_policy(Some(&batching(10, 1000, 500))).expect("a policy");
    let (source, mut queue) = (Source::new(), Queue::new([policy(), policy()].into(), Instant::now()));
    queue.push(source.job(1, "first kind"), source.now);
    let mut other = source.job(2, "second kind");
    other.policy = 1;
    assert_eq!(queue.push(other, source.now), Pushed::Work);
    let mut batch = Vec::new();
    assert_eq!(queue.take(source.now, &mut batch), Some(Taken { policy: 0, apart: false, more: true }));
    batch.clear();
    assert_eq!(queue.take(source.now, &mut batch), Some(Taken { policy: 1, apart: false, more: false }));
}

#[test]
fn the_newest_waiting_version_speaks_for_the_older_ones() {
    let (source, mut queue) = (Source::new(), queue(None));
    let seen = Arc::new(LutCache::new(Duration::from_secs(30), 100, source.now));
    let push = |queue: &mut Queue, body, lut| queue.push(source.version(body, lut, &seen), source.now);
    push(&mut queue, "v1", 1);
    let v1 = take(&mut queue, source.now);
    push(&mut queue, "v2", 2);
    push(&mut queue, "v4", 4);
    push(&mut queue, "v3", 3);
    assert_eq!((queue.held(), queue.held_bytes(), queue.take_superseded()), (2, 4, 2));
    deliver(&mut queue, v1);
    assert_eq!(source.answers(), [Outcome::Delivered], "nobody knows yet what becomes of the others");
    let v4 = take(&mut queue, source.now);
    assert_eq!(bodies(&v4), ["v4"]);
    deliver(&mut queue, v4);
    assert_eq!(source.answers(), [Outcome::Delivered; 3]);
    assert_eq!((queue.held(), queue.held_bytes()), (0, 0));
}

#[test]
fn a_version_that_became_stale_while_it_waited_is_not_sent() {
    let (source, mut queue) = (Source::new(), queue(None));
    let seen = Arc::new(LutCache::new(Duration::from_secs(30), 100, source.now));
    queue.push(source.version("v1", 1, &seen), source.now);
    let due = source.now + Duration::from_millis(40);
    park(&mut queue, source.now, due);
    queue.push(source.version("v2", 2, &seen), source.now);
    queue.wake(due);
    let v2 = take(&mut queue, due);
    assert_eq!(bodies(&v2), ["v2"], "the failed older version does not go again");
    assert_eq!(source.answers(), [], "and is answered with the newer one");
    deliver(&mut queue, v2);
    assert_eq!(source.answers(), [Outcome::Delivered; 2]);
    // One that lost the race to the queue, after the newer one was through.
    let mut late = source.version("v2", 2, &seen);
    seen.observe(&late.record, 3, source.now);
    late.attempts = 0;
    queue.push(late, source.now);
    assert!(take(&mut queue, source.now).is_empty());
    assert_eq!(source.answers(), [Outcome::Delivered]);
    assert_eq!((queue.held(), queue.held_bytes()), (0, 0));
}

#[test]
fn later_versions_that_go_alone_call_a_worker_each() {
    let encoder = Encoder::new(Format::Json(JsonRules::default())).expect("a format");
    let batches = encoder.batch_policy(Some(&batching(10, 1000, 500))).expect("a policy");
    let alone = encoder.batch_policy(None).expect("a policy");
    let (source, mut queue) = (Source::new(), Queue::new([batches, alone].into(), Instant::now()));
    for key in 1..=3 {
        queue.push(source.job(key, "first version"), source.now);
    }
    let together = take(&mut queue, source.now);
    for key in 1..=3 {
        let delete = Job { policy: 1, ..source.job(key, "delete") };
        assert_eq!(queue.push(delete, source.now), Pushed::Nothing);
    }
    deliver(&mut queue, together);
    // Only the worker that delivered looks for work by itself.
    let mut batch = Vec::new();
    for more in [true, true, false] {
        assert_eq!(queue.take(source.now, &mut batch), Some(Taken { policy: 1, apart: false, more }));
        batch.clear();
    }
}

#[test]
fn the_interval_counts_from_the_oldest_version_that_a_record_stands_for() {
    let (mut source, mut queue) = (Source::new(), queue(Some(&batching(100, 1000, 500))));
    let seen = Arc::new(LutCache::new(Duration::from_secs(30), 100, source.now));
    let start = source.now;
    queue.push(source.version("v1", 1, &seen), source.now);
    let first = take(&mut queue, start);
    queue.push(source.job(2, "slow"), start);
    let flush_at = start + Duration::from_millis(500);
    let slow = take(&mut queue, flush_at);
    assert_eq!(bodies(&slow), ["slow"]);
    for (body, lut) in [("v2", 2), ("v3", 3)] {
        queue.push(source.version(body, lut, &seen), source.now);
        source.now += Duration::from_millis(400);
    }
    deliver(&mut queue, first);
    assert_eq!(queue.next_wake(start), Some(flush_at));
}

#[test]
fn one_that_has_less_time_than_those_before_it_waits_less() {
    let (source, mut queue) = (Source::new(), queue(Some(&batching(100, 1000, 4000))));
    queue.push(source.job(1, "slow"), source.now);
    let _slow = take(&mut queue, source.now);
    queue.push(source.job(2, "patient"), source.now);
    let flush_at = source.now + Duration::from_millis(500);
    let urgent = Job { deadline: source.now + Duration::from_secs(1), ..source.job(3, "urgent") };
    assert_eq!(queue.push(urgent, source.now), Pushed::Until(flush_at));
    assert_eq!(queue.next_wake(source.now), Some(flush_at));
    assert_eq!(queue.wake(flush_at), 1);
    assert_eq!(bodies(&take(&mut queue, flush_at)), ["urgent", "patient"]);
}

#[test]
fn a_version_with_some_of_the_bins_stands_for_no_other() {
    let (source, mut queue) = (Source::new(), queue(None));
    let seen = Arc::new(LutCache::new(Duration::from_secs(30), 100, source.now));
    let partial = |body, lut| {
        let mut job = source.version(body, lut, &seen);
        job.order.as_mut().expect("ordered").whole = false;
        job
    };
    queue.push(source.version("v1", 1, &seen), source.now);
    let mut sent = Vec::new();
    let mut next = take(&mut queue, source.now);
    queue.push(partial("v2", 2), source.now);
    queue.push(partial("v3", 3), source.now);
    queue.push(source.version("v4", 4, &seen), source.now);
    queue.push(partial("v5", 5), source.now);
    while !next.is_empty() {
        sent.push(bodies(&next).join(","));
        deliver(&mut queue, next);
        next = take(&mut queue, source.now);
    }
    assert_eq!(sent, ["v1", "v4", "v5"], "v4 is the whole record and stands for those before it, v5 is not");
    assert_eq!((queue.held(), queue.held_bytes(), source.answers().len()), (0, 0, 5));
}

/// Ends a request that failed, to be sent again in halves.
fn halve(queue: &mut Queue, taken: Taken, jobs: Vec<Job>) {
    queue.request_ended(taken, jobs.len());
    queue.split(jobs);
}

#[test]
fn halves_go_as_they_are_and_what_came_later_does_not_join_them() {
    let (source, mut queue) = (Source::new(), queue(Some(&batching(100, 1000, 500))));
    for (key, body) in [(1, "1"), (2, "2"), (3, "3"), (4, "4"), (5, "5")] {
        queue.push(source.job(key, body), source.now);
    }
    let whole = take(&mut queue, source.now);
    halve(&mut queue, TOGETHER, whole);
    queue.push(source.job(6, "6"), source.now);
    queue.push(source.job(1, "1 again"), source.now);
    assert_eq!((queue.held(), queue.waiting()), (7, 7));
    let mut first = Vec::new();
    let apart = queue.take(source.now, &mut first).expect("a half");
    assert_eq!((bodies(&first), apart), (vec!["1", "2", "3"], Taken { policy: 0, apart: true, more: true }));
    let second = take(&mut queue, source.now);
    assert_eq!(bodies(&second), ["4", "5"]);
    assert_eq!(bodies(&take(&mut queue, source.now)), ["6"], "halves are not in the way of a batch");
    halve(&mut queue, APART, first);
    assert_eq!(bodies(&take(&mut queue, source.now)), ["1", "2"]);
    assert_eq!(bodies(&take(&mut queue, source.now)), ["3"]);
    assert_eq!(queue.waiting(), 1, "the later version waits for its record");
}

#[test]
fn what_nobody_waits_for_any_more_is_left_out_of_its_half() {
    let (source, mut queue) = (Source::new(), queue(Some(&batching(100, 1000, 500))));
    for (key, ms) in [(1, 100), (2, 8_000), (3, 100)] {
        let deadline = source.now + Duration::from_millis(ms);
        queue.push(Job { deadline, ..source.job(key, "x") }, source.now);
    }
    let whole = take(&mut queue, source.now);
    halve(&mut queue, TOGETHER, whole);
    let late = source.now + Duration::from_millis(200);
    assert_eq!(take(&mut queue, late).len(), 1);
    assert!(take(&mut queue, late).is_empty());
    assert_eq!((queue.held(), queue.waiting()), (1, 0));
}

#[test]
fn a_record_that_fails_alone_goes_alone_and_takes_not_every_worker() {
    let (source, mut queue) = (Source::new(), queue(Some(&batching(100, 1000, 500))));
    for key in 1..=3 {
        let record = source.job(key, "").record;
        queue.suspects().isolate(&record, source.now);
    }
    queue.limit_apart(2);
    for (key, body) in [(1, "1"), (4, "4"), (2, "2"), (5, "5"), (3, "3"), (1, "1 again")] {
        queue.push(source.job(key, body), source.now);
    }
    let requests: Vec<_> = (0..4).map(|_| take(&mut queue, source.now)).collect();
    let sent: Vec<_> = requests.iter().map(|jobs| bodies(jobs)).collect();
    assert_eq!(sent, [vec!["1"], vec!["2"], vec!["4", "5"], vec![]], "by deadline, and two alone at most");
    let one = requests.into_iter().next().expect("the first");
    queue.request_ended(APART, 1);
    let due = source.now + Duration::from_millis(10);
    one.into_iter().for_each(|job| queue.park(job, due, source.now));
    assert_eq!(bodies(&take(&mut queue, source.now)), ["3"]);
    queue.request_ended(APART, 1);
    assert_eq!(queue.wake(due), 1);
    assert_eq!(bodies(&take(&mut queue, due)), ["1"], "another attempt goes alone too");
}

#[test]
fn everything_that_waits_can_be_taken_out_at_once() {
    let (source, mut queue) = (Source::new(), queue(Some(&batching(2, 1000, 500))));
    let push = |queue: &mut Queue, key, body| queue.push(source.job(key, body), source.now);
    for (key, body) in
        [(1, "in flight"), (2, "in flight"), (3, "parked"), (4, "halved"), (5, "ready"), (6, "ready")]
    {
        push(&mut queue, key, body);
    }
    let in_flight = take(&mut queue, source.now);
    let mut failed = take(&mut queue, source.now);
    queue.request_ended(TOGETHER, 2);
    queue.split(failed.split_off(1));
    failed.into_iter().for_each(|job| queue.park(job, source.now + Duration::from_millis(1), source.now));
    for key in [1, 3, 4, 6] {
        push(&mut queue, key, "later version");
    }
    let drained = queue.drain();
    assert_eq!((drained.len(), in_flight.len()), (8, 2));
    assert_eq!((queue.held(), queue.held_bytes(), queue.waiting()), (2, 18, 0));
    assert_eq!((queue.wake(source.now), queue.has_any_to_go(source.now)), (0, false));
    push(&mut queue, 1, "waits");
    push(&mut queue, 3, "goes");
    deliver(&mut queue, in_flight);
    let next = take(&mut queue, source.now);
    assert_eq!(bodies(&next), ["waits", "goes"]);
    deliver(&mut queue, next);
    assert_eq!((queue.held(), queue.held_bytes()), (0, 0));
    assert!(queue.records.is_empty());
}
