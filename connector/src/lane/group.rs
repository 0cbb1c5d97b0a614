//! Jobs that may share a request, because one batch policy applies to them.

use std::{collections::VecDeque, time::Instant};

use super::{job::Job, timed::Timed};
use crate::batch::BatchPolicy;

/// Jobs that may go as far as their records are concerned, in the order of their deadlines.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// New jobs, in the order they came, which is that of their deadlines.
    ready: VecDeque<Job>,
    /// Jobs that had to wait for another version or another attempt, and those with less time, by deadline.
    delayed: Timed,
    /// Bytes of their pieces.
    bytes: usize,
    /// Requests of this group in flight.
    requests: usize,
}

impl Group {
    pub(super) fn push(&mut self, job: Job) {
        // Some have less time than others that came before them.
        if self.ready.back().is_some_and(|last| job.deadline < last.deadline) {
            return self.push_delayed(job);
        }
        self.bytes += job.piece.len();
        self.ready.push_back(job);
    }

    pub(super) fn push_delayed(&mut self, job: Job) {
        self.bytes += job.piece.len();
        self.delayed.push(job.deadline, job);
    }

    /// The job that goes first.
    pub(super) fn head(&self) -> Option<&Job> {
        if self.delayed_first() { self.delayed.first().map(|(_, job)| job) } else { self.ready.front() }
    }

    pub(super) fn pop(&mut self) -> Option<Job> {
        let job = if self.delayed_first() { self.delayed.pop() } else { self.ready.pop_front() }?;
        self.bytes -= job.piece.len();
        Some(job)
    }

    fn delayed_first(&self) -> bool {
        match (self.delayed.first(), self.ready.front()) {
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
