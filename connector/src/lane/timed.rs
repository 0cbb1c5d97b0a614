//! Jobs, or whole requests of them, in the order of an instant, first come first served among equals.

use std::{cmp::Reverse, collections::BinaryHeap, time::Instant};

use super::job::Job;

/// Jobs, each with the instant that orders it.
#[derive(Debug)]
pub(super) struct Timed<T = Job> {
    heap: BinaryHeap<Reverse<At<T>>>,
    pushed: u64,
}

#[derive(Debug)]
struct At<T> {
    at: Instant,
    order: u64,
    job: T,
}

impl<T> Default for Timed<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), pushed: 0 }
    }
}

impl<T> Timed<T> {
    pub(super) fn push(&mut self, at: Instant, job: T) {
        self.pushed += 1;
        self.heap.push(Reverse(At { at, order: self.pushed, job }));
    }

    /// The first instant and its job.
    pub(super) fn first(&self) -> Option<(Instant, &T)> {
        self.heap.peek().map(|Reverse(first)| (first.at, &first.job))
    }

    /// Takes the first job.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.heap.pop().map(|Reverse(first)| first.job)
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

impl<T> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl<T> Eq for At<T> {}

impl<T> PartialOrd for At<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for At<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
