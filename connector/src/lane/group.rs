//! Jobs that may share a request, because one batch policy applies to them.
//!
//! Invariant: a place that is in `ready` or in `delayed` is in one of them, once, and holds a job.

use std::{collections::VecDeque, time::Instant};

use self::places::Places;
use super::{job::Job, timed::Timed};
use crate::batch::BatchPolicy;

mod places;

/// Jobs that may go as far as their records are concerned, in the order of their deadlines.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// All of them. Both orders may come to hold any number, so that each with room for jobs of its own would take twice as much.
    jobs: Places<Job>,
    /// New jobs, in the order they came, which is that of their deadlines.
    ready: VecDeque<u32>,
    /// Deadline of the last of them.
    last_ready: Option<Instant>,
    /// Jobs that had to wait for another version or another attempt, and those with less time, by deadline.
    delayed: Timed<u32>,
    /// Bytes of their pieces.
    bytes: usize,
    /// Requests of this group in flight.
    requests: usize,
}

impl Group {
    pub(super) fn push(&mut self, job: Job) {
        // Some have less time than others that came before them.
        if !self.ready.is_empty() && self.last_ready.is_some_and(|last| job.deadline < last) {
            return self.push_delayed(job);
        }
        self.bytes += job.piece.len();
        self.last_ready = Some(job.deadline);
        self.ready.push_back(self.jobs.put(job));
    }

    pub(super) fn push_delayed(&mut self, job: Job) {
        self.bytes += job.piece.len();
        self.delayed.push(job.deadline, self.jobs.put(job));
    }

    /// The job that goes first.
    pub(super) fn head(&self) -> Option<&Job> {
        let place = if self.delayed_first() { self.delayed.first()?.1 } else { self.ready.front()? };
        self.jobs.get(*place)
    }

    pub(super) fn pop(&mut self) -> Option<Job> {
        let place = if self.delayed_first() { self.delayed.pop() } else { self.ready.pop_front() }?;
        let job = self.jobs.take(place)?;
        self.bytes -= job.piece.len();
        Some(job)
    }

    fn delayed_first(&self) -> bool {
        let ready = self.ready.front().and_then(|place| self.jobs.get(*place));
        match (self.delayed.first(), ready) {
            (Some((deadline, _)), Some(ready)) => deadline <= ready.deadline,
            (delayed, _) => delayed.is_some(),
        }
    }

    /// Whether a request may be made of what is here: always when none is in flight, otherwise only a full one or one
    /// that has waited long enough. At `batch_max` jobs it is full whatever the policy says.
    pub(super) fn may_go(&self, policy: &BatchPolicy, batch_max: usize, now: Instant) -> bool {
        self.head().is_some_and(|head| {
            self.requests == 0
                || self.len() >= batch_max
                || policy.is_full(self.len(), self.bytes)
                || policy.flush_at(head.entered, head.deadline) <= now
        })
    }

    /// When what is here must go although more could join.
    pub(super) fn flush_at(&self, policy: &BatchPolicy) -> Option<Instant> {
        self.head().map(|head| policy.flush_at(head.entered, head.deadline))
    }

    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.delayed.len()
    }

    /// Whether there are jobs that had to wait for another version or another attempt.
    pub(super) fn has_delayed(&self) -> bool {
        self.delayed.len() > 0
    }

    pub(super) fn request_started(&mut self) {
        self.requests += 1;
    }

    pub(super) fn request_ended(&mut self) {
        self.requests -= 1;
    }
}
