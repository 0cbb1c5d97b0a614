//! Jobs in the order of an instant, first come first served among equals.

use std::{cmp::Reverse, collections::BinaryHeap, time::Instant};

use super::job::Job;

/// Jobs, each with the instant that orders it.
#[derive(Debug, Default)]
pub(super) struct Timed {
    heap: BinaryHeap<Reverse<At>>,
    pushed: u64,
}

#[derive(Debug)]
struct At {
    at: Instant,
    order: u64,
    job: Job,
}

impl Timed {
    pub(super) fn push(&mut self, at: Instant, job: Job) {
        self.pushed += 1;
        self.heap.push(Reverse(At { at, order: self.pushed, job }));
    }

    /// The first instant and its job.
    pub(super) fn first(&self) -> Option<(Instant, &Job)> {
        self.heap.peek().map(|Reverse(first)| (first.at, &first.job))
    }

    /// Takes the first job.
    pub(super) fn pop(&mut self) -> Option<Job> {
        self.heap.pop().map(|Reverse(first)| first.job)
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
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
