//! The waiting room of a lane: which record may go next.
//!
//! One version of a record is on its way at a time; later versions of the same key wait behind it, in order,
//! and everything else goes in parallel. A record that failed is parked until it is due again and delays
//! only its own key. Whatever may go goes in the order of the deadlines, so that a key with many versions does
//! not get ahead of those that came before them. Pure: the clock is an argument.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    time::Instant,
};

use adapters::Payload;
use foldhash::fast::RandomState;

use crate::{notification::Digest, replies::Ticket};

/// One record on its way to one destination.
#[derive(Debug)]
pub struct Job {
    /// The record; two jobs with the same digest never run at once.
    pub digest: Digest,
    /// What to send.
    pub payload: Payload,
    /// Whom to tell.
    pub ticket: Ticket,
    /// After this no answer is needed: XDR has been told to ship the record again.
    pub deadline: Instant,
    /// Attempts made.
    pub attempts: u32,
}

/// Jobs of one lane that are not in flight.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// New jobs, in the order they came.
    ready: VecDeque<Job>,
    /// Jobs that may go after they had to wait, by deadline.
    delayed: BinaryHeap<Reverse<At>>,
    /// Every key with a job that is ready, parked or in flight, and the later versions behind it.
    keys: HashMap<Digest, VecDeque<Job>, RandomState>,
    /// Jobs that wait for another attempt, by when it is due.
    parked: BinaryHeap<Reverse<At>>,
    ordered_so_far: u64,
    /// Jobs handed in and not finished, those in flight included.
    held: usize,
    /// Bytes of their bodies.
    held_bytes: usize,
}

/// A job with the instant that orders it.
#[derive(Debug)]
struct At {
    at: Instant,
    order: u64,
    job: Job,
}

impl Queue {
    /// Adds a job. True when it can go at once, false when it waits behind an earlier version.
    pub(crate) fn push(&mut self, job: Job) -> bool {
        self.held += 1;
        self.held_bytes += job.payload.body.len();
        match self.keys.entry(job.digest) {
            std::collections::hash_map::Entry::Occupied(mut busy) => {
                busy.get_mut().push_back(job);
                false
            }
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(VecDeque::new());
                self.ready.push_back(job);
                true
            }
        }
    }

    /// The next job to send, skipping those nobody waits for any more.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Job> {
        while let Some(job) = self.next() {
            if job.deadline > now && job.ticket.is_wanted() {
                return Some(job);
            }
            self.finish(&job);
        }
        None
    }

    fn next(&mut self) -> Option<Job> {
        let delayed_first = match (self.delayed.peek(), self.ready.front()) {
            (Some(Reverse(delayed)), Some(ready)) => delayed.at <= ready.deadline,
            (delayed, _) => delayed.is_some(),
        };
        if delayed_first { self.delayed.pop().map(|Reverse(at)| at.job) } else { self.ready.pop_front() }
    }

    /// Lets the next version of a record go, after `job` is done with. True when there is one.
    pub(crate) fn finish(&mut self, job: &Job) -> bool {
        self.held -= 1;
        self.held_bytes -= job.payload.body.len();
        let Some(waiting) = self.keys.get_mut(&job.digest) else { return false };
        match waiting.pop_front() {
            Some(next) => {
                let delayed = self.at(next.deadline, next);
                self.delayed.push(delayed);
                true
            }
            None => {
                self.keys.remove(&job.digest);
                false
            }
        }
    }

    /// Puts a failed job aside until `due`. Its key stays busy.
    pub(crate) fn park(&mut self, job: Job, due: Instant) {
        let parked = self.at(due, job);
        self.parked.push(parked);
    }

    fn at(&mut self, at: Instant, job: Job) -> Reverse<At> {
        self.ordered_so_far += 1;
        Reverse(At { at, order: self.ordered_so_far, job })
    }

    /// Makes the parked jobs that are due ready; returns how many.
    pub(crate) fn unpark(&mut self, now: Instant) -> usize {
        let mut count = 0;
        while self.next_due().is_some_and(|due| due <= now) {
            if let Some(Reverse(parked)) = self.parked.pop() {
                let delayed = self.at(parked.job.deadline, parked.job);
                self.delayed.push(delayed);
                count += 1;
            }
        }
        count
    }

    /// When the next parked job is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.parked.peek().map(|Reverse(parked)| parked.at)
    }

    /// Jobs handed in and not finished, those in flight included.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Bytes of their bodies.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Jobs parked.
    pub(crate) fn parked(&self) -> usize {
        self.parked.len()
    }
}

impl PartialEq for At {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for At {}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for At {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, sync::Arc, time::Duration};

    use bytes::Bytes;

    use super::*;
    use crate::replies::Replies;

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
            let body = Bytes::from_static(body.as_bytes());
            let payload = Payload { body, content_type: "text/plain", count: NonZeroUsize::MIN };
            Job { digest: Digest([key; 20]), payload, ticket, deadline, attempts: 0 }
        }
    }

    fn body(job: Option<Job>) -> Option<String> {
        job.map(|job| String::from_utf8_lossy(&job.payload.body).into_owned())
    }

    #[test]
    fn versions_of_a_key_go_one_after_the_other_and_keys_in_parallel() {
        let (source, mut queue) = (Source::new(), Queue::default());
        assert!(queue.push(source.job(1, "a1")));
        assert!(!queue.push(source.job(1, "a2")));
        assert!(queue.push(source.job(2, "b1")));
        let a1 = queue.take(source.now).expect("a1");
        assert_eq!(body(queue.take(source.now)), Some("b1".into()));
        assert!(queue.take(source.now).is_none(), "a2 waits for a1");
        assert!(queue.finish(&a1));
        let a2 = queue.take(source.now).expect("a2");
        assert_eq!(&*a2.payload.body, b"a2");
        assert!(!queue.finish(&a2));
        assert!(queue.push(source.job(1, "a3")), "the key is free again");
    }

    #[test]
    fn a_parked_record_delays_only_its_key() {
        let (source, mut queue) = (Source::new(), Queue::default());
        queue.push(source.job(1, "a1"));
        let due = source.now + Duration::from_millis(40);
        let a1 = queue.take(source.now).expect("a1");
        queue.park(a1, due);
        queue.push(source.job(1, "a2"));
        queue.push(source.job(2, "b1"));
        assert_eq!(body(queue.take(source.now)), Some("b1".into()));
        assert!(queue.take(source.now).is_none());
        assert_eq!((queue.next_due(), queue.unpark(source.now)), (Some(due), 0));
        assert_eq!(queue.unpark(due), 1);
        assert_eq!(body(queue.take(due)), Some("a1".into()), "the old version before the new one");
    }

    #[test]
    fn what_nobody_waits_for_is_skipped_and_frees_its_key() {
        let (source, mut queue) = (Source::new(), Queue::default());
        queue.push(source.job(1, "expired"));
        let late = source.now + Duration::from_secs(9);
        let mut fresh = source.job(1, "fresh");
        fresh.deadline = late + Duration::from_secs(8);
        queue.push(fresh);
        assert_eq!(body(queue.take(late)), Some("fresh".into()));
        assert_eq!(queue.held(), 1);
        source.replies.abandon();
        queue.push(source.job(2, "connection gone"));
        assert!(queue.take(source.now).is_none());
    }

    #[test]
    fn a_hot_key_does_not_get_ahead_of_what_came_before_its_versions() {
        let (mut source, mut queue) = (Source::new(), Queue::default());
        let mut push = |queue: &mut Queue, key, body| {
            source.now += Duration::from_millis(1);
            queue.push(source.job(key, body));
            source.now
        };
        push(&mut queue, 1, "a1");
        push(&mut queue, 1, "a2");
        push(&mut queue, 2, "b1");
        let now = push(&mut queue, 1, "a3");
        let mut order = Vec::new();
        while let Some(job) = queue.take(now) {
            queue.finish(&job);
            order.push(body(Some(job)).expect("a body"));
        }
        assert_eq!(order, ["a1", "a2", "b1", "a3"]);
    }
}
