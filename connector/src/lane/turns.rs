//! Who may send next: the queue behind its gate. Sees to it that a worker is called whenever something may go.
//!
//! A call is left out while the gate lets nobody through, and made up for once it does: by the worker whose request ended,
//! or by the clock. Pure: the clock and the random number are arguments.

use std::time::Instant;

use super::{
    gate::{Change, Gate, Pass, Sign},
    job::Job,
    queue::{Pushed, Queue, Taken},
};

/// The queue and the gate of one lane.
#[derive(Debug)]
pub(super) struct Turns {
    pub(super) queue: Queue,
    pub(super) gate: Gate,
}

/// A request that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) taken: Taken,
    pub(super) pass: Pass,
    /// Another worker has something to do as well.
    pub(super) more: bool,
}

impl Turns {
    /// Adds a job; see [`Queue::push`].
    pub(super) fn push(&mut self, job: Job, now: Instant) -> Pushed {
        match self.queue.push(job, now) {
            Pushed::Work if !self.gate.calls(now) => Pushed::Nothing,
            pushed => pushed,
        }
    }

    /// Moves the jobs of the next request into `batch`, which is empty.
    pub(super) fn take(&mut self, now: Instant, batch: &mut Vec<Job>) -> Option<Turn> {
        if !self.gate.admits(now) {
            if self.queue.has_any_to_go(now) {
                self.gate.turn_away();
            }
            return None;
        }
        let Some(taken) = self.queue.take(now, batch) else {
            self.gate.owes_nothing();
            return None;
        };
        let pass = self.gate.begin(now);
        let more = taken.more || self.gate.owes_calls() && self.queue.has_any_to_go(now);
        if !more {
            self.gate.owes_nothing();
        }
        Some(Turn { taken, pass, more: more && self.gate.calls(now) })
    }

    /// The request of a turn, with `jobs` jobs, ended; each of them is finished, parked or split next.
    pub(super) fn ended(
        &mut self,
        turn: Turn,
        jobs: usize,
        sign: Sign,
        now: Instant,
        jitter: f64,
    ) -> Option<Change> {
        self.queue.request_ended(turn.taken, jobs);
        let change = self.gate.end(turn.pass, sign, now, jitter);
        self.queue.limit_apart(self.gate.limit() / 4);
        change
    }

    /// What the clock has to do now: how many workers to call, and when to look again.
    pub(super) fn look(&mut self, now: Instant) -> (usize, Option<Instant>) {
        let mut calls = self.queue.wake(now);
        if self.gate.owes_calls() && self.queue.has_any_to_go(now) {
            calls = calls.max(1);
        }
        if calls > 0 && !self.gate.calls(now) {
            calls = 0;
        }
        let wake_at = self.queue.next_wake(now).into_iter().chain(self.gate.alarm(now)).min();
        (calls, wake_at)
    }

    /// When the clock must look, if earlier than it knows of.
    pub(super) fn alarm(&mut self, now: Instant) -> Option<Instant> {
        self.queue.alarm().into_iter().chain(self.gate.alarm(now)).min()
    }
}
