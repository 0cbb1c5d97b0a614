//! A request's end, as a lane acts on it: workers called, waiting parties told, numbers and lines written.

use std::{
    sync::atomic::Ordering::{Acquire, Relaxed},
    time::Instant,
};

use adapters::{Outcome, Report};

use super::{
    Lane,
    fates::{About, Fates},
    job::Job,
    now,
    state::{Concluded, End},
    turns::Turn,
};
use crate::{dead_letter::Why, replies};

impl Lane {
    /// Settles the jobs of a request, or sees to it that they go again. Leaves `batch` empty. Returns when that was.
    pub(super) fn conclude(&self, turn: Turn, batch: &mut Vec<Job>, report: &Report) -> Instant {
        let (count, now) = (batch.len(), now());
        let mut state = self.lock();
        if self.closed.load(Acquire) {
            // The queue knows nothing of these jobs any more.
            drop(state);
            self.conclude_closed(batch, report, now);
            return now;
        }
        let concluded = state.conclude(turn, batch, report, &self.stats, now, fastrand::f64());
        let alarm = state.turns.alarm(now);
        let sooner = state.is_sooner(alarm);
        let holds = state.turns.gate.holds(now);
        self.gauge_destination(&mut state, now);
        drop(state);
        if sooner {
            self.sooner.notify_one();
        }
        let Concluded { settled, class, delivered, retried, split, change } = concluded;
        match settled.len() + batch.len() {
            0 => {}
            1 => self.room.notify_one(),
            _ => self.room.notify_waiters(),
        }
        self.stats.classes.add(class);
        self.stats.records_delivered.fetch_add(delivered as u64, Relaxed);
        self.stats.retries.fetch_add(retried as u64, Relaxed);
        if split > 0 {
            self.stats.splits.fetch_add(1, Relaxed);
            self.told.split(&self.name, split, class, report.status, now);
        }
        self.told.ended(&self.name, class, report.status, holds.is_some(), now);
        if let Some(change) = change {
            self.told.changed(&self.name, change, class, report.status, now);
        }
        batch.iter_mut().for_each(|job| job.tickets.settle_others(Outcome::Delivered));
        replies::deliver(batch.drain(..).map(|job| job.tickets.into_own()));
        for (job, end) in settled {
            self.settle(job, end, report.status, count, now);
        }
        now
    }

    fn conclude_closed(&self, batch: &mut Vec<Job>, report: &Report, now: Instant) {
        let (count, fates) = (batch.len(), Fates::new(report, batch));
        for (job, fate) in batch.drain(..).zip(fates.iter()) {
            let end = match (fate.outcome, fate.about) {
                (Outcome::Delivered, _) => End::Delivered,
                (Outcome::Rejected(cause), About::Alone | About::Named) => {
                    End::Rejected { cause, reason: fate.reason }
                }
                (Outcome::Rejected(cause) | Outcome::Retryable(cause), _) => End::Later(cause),
            };
            self.settle(job, end, report.status, count, now);
        }
    }

    /// Tells those who wait for jobs that were not tried what became of them.
    pub(super) fn settle_all(&self, jobs: Vec<(Job, End<'_>)>) {
        if !jobs.is_empty() {
            self.room.notify_waiters();
        }
        let now = now();
        jobs.into_iter().for_each(|(job, end)| self.settle(job, end, None, 1, now));
    }

    /// Tells everyone who waits for a job what became of it, in a request of `records` that was answered with `status`.
    pub(super) fn settle(&self, job: Job, end: End<'_>, status: Option<u16>, records: usize, now: Instant) {
        match end {
            End::Delivered => job.tickets.settle(Outcome::Delivered),
            End::Later(cause) => {
                self.told.later(&self.name, &job, cause, records, now);
                job.tickets.settle(Outcome::Retryable(cause));
            }
            End::MuchLater(cause) => {
                self.told.later(&self.name, &job, cause, records, now);
                job.tickets.refuse(cause);
            }
            End::Closed(cause) => {
                self.stats.refused_closed.fetch_add(1, Relaxed);
                job.tickets.refuse(cause);
            }
            End::Rejected { cause, reason } => {
                let why = Why { destination: &self.name, cause, status, reason };
                if status.is_some_and(|status| self.limits.give_up_on.contains(&status)) {
                    self.dead_letters.take_final(job, &why);
                } else {
                    self.dead_letters.take(job, &why);
                }
            }
            End::Poison { cause, reason } => {
                self.dead_letters.take(job, &Why { destination: &self.name, cause, status, reason });
            }
        }
    }
}
