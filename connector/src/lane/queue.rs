//! The waiting room of a lane: which records may go next, and together.
//!
//! One version of a record is on its way at a time; later versions of the same record wait behind it, in order,
//! and everything else goes in parallel. A record that failed is parked until it is due again and delays
//! only its own later versions. Whatever may go goes in the order of the deadlines, so that a record with many
//! versions does not get ahead of those that came before them. Requests that failed may come back in halves, and a record
//! that fails alone goes alone. Pure: the clock is an argument.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    hash::{BuildHasher, Hasher},
    sync::Arc,
    time::Instant,
};

use adapters::Outcome;
use foldhash::{fast, quality};

use super::{group::Group, job::Job, suspects::Suspects, timed::Timed};
use crate::{batch::BatchPolicy, notification::RecordId};

/// Jobs of one lane that are not finished. Those in flight are only counted.
#[derive(Debug)]
pub(super) struct Queue {
    policies: Arc<[BatchPolicy]>,
    /// Most records in any request, however many a policy allows.
    batch_max: usize,
    /// Jobs that may go, by batch policy.
    groups: Vec<Group>,
    /// Groups that have any.
    busy: Vec<usize>,
    /// Requests that stay as they are: parts of one that failed, and records that go alone. By their first deadline.
    apart: Timed<Vec<Job>>,
    /// How many of those are in flight, and may be: records that are known to fail must not take every worker.
    apart_running: usize,
    apart_max: usize,
    suspects: Suspects,
    /// Every record with a job that may go, is parked or in flight, and the later versions behind it. A number stands for the
    /// record, because tens of thousands may be here; two records with the same one go one after the other, and never stand
    /// for each other.
    records: HashMap<Key, Later, fast::RandomState>,
    keys: quality::RandomState,
    /// Jobs that wait for another attempt, by when it is due.
    parked: Timed,
    /// See [`Queue::alarm`].
    alarm: Option<Instant>,
    /// Jobs handed in and not finished, those in flight included.
    held: usize,
    /// Bytes that they keep.
    held_bytes: usize,
    /// Jobs in flight.
    in_flight: usize,
    /// Jobs that a newer version made needless; see [`Queue::take_superseded`].
    superseded: u64,
}

/// A number that is that of one record, but for an accident that costs that one a moment.
type Key = u64;

/// The versions behind the one that may go, is parked or in flight: seldom any, so that most records keep no room for them.
type Later = Option<Box<VecDeque<Job>>>;

/// What a job that was handed in calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// A worker, now.
    Work,
    /// A worker at this instant, if none came before.
    Until(Instant),
    /// Nothing: whatever it waits for, or was there before it, calls a worker.
    Nothing,
}

/// What the next request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// The batch policy of its jobs.
    pub(super) policy: usize,
    /// Whether nothing else may go with them.
    pub(super) apart: bool,
    /// Whether there is more to do that nobody was called for.
    pub(super) more: bool,
}

impl Queue {
    pub(super) fn new(policies: Arc<[BatchPolicy]>, now: Instant) -> Self {
        let groups = policies.iter().map(|_| Group::default()).collect();
        Self {
            policies,
            batch_max: usize::MAX,
            groups,
            busy: Vec::new(),
            apart: Timed::default(),
            apart_running: 0,
            apart_max: usize::MAX,
            suspects: Suspects::new(now),
            records: HashMap::default(),
            keys: quality::RandomState::default(),
            parked: Timed::default(),
            alarm: None,
            held: 0,
            held_bytes: 0,
            in_flight: 0,
            superseded: 0,
        }
    }

    /// Sets the most records in a request, however many a policy allows; at least one. Ask for calls afterwards.
    pub(super) fn limit_batches(&mut self, batch_max: usize) {
        self.batch_max = batch_max;
    }

    /// Sets the most requests in flight of those that stay as they are; at least one.
    pub(super) fn limit_apart(&mut self, apart_max: usize) {
        self.apart_max = apart_max.max(1);
    }

    /// What is held against records that failed.
    pub(super) fn suspects(&mut self) -> &mut Suspects {
        &mut self.suspects
    }

    fn key(&self, record: &RecordId) -> Key {
        let mut hasher = self.keys.build_hasher();
        hasher.write(&record.digest().0);
        hasher.write(record.namespace());
        hasher.finish()
    }

    /// Whether a request of a group could go now.
    fn may_go(&self, index: usize, now: Instant) -> bool {
        self.groups[index].may_go(&self.policies[index], self.batch_max, now)
    }

    /// Adds a job. One that is stale already is not sent; one that was taken in is, unless a newer version follows it here.
    pub(super) fn push(&mut self, job: Job, now: Instant) -> Pushed {
        self.held += 1;
        let (bytes, stale) = (job.bytes(), job.is_stale(now));
        self.held_bytes += bytes;
        let key = self.key(&job.record);
        match self.records.entry(key) {
            Entry::Occupied(mut busy) => {
                let waiting = busy.get_mut().get_or_insert_default();
                let mut job = Some(job);
                match waiting.back_mut().and_then(|last| last.supersede(&mut job)) {
                    Some(dropped_bytes) => self.drop_one(dropped_bytes),
                    None if stale => self.acknowledge(job, bytes),
                    None => waiting.extend(job),
                }
                Pushed::Nothing
            }
            Entry::Vacant(_) if stale => {
                self.acknowledge(Some(job), bytes);
                Pushed::Nothing
            }
            Entry::Vacant(free) => {
                free.insert(None);
                if self.suspects.is_isolated(&job.record) {
                    self.apart.push(job.deadline, vec![job]);
                    return Pushed::Work;
                }
                let (index, policy) = (job.policy, &self.policies[job.policy]);
                let flush_at = policy.flush_at(job.entered, job.deadline);
                // Who could share a request with others relies on the call that was made for the first of them.
                let called = policy.records_max > 1 && self.may_go(index, now);
                self.enter(index, |group| group.push(job));
                match self.may_go(index, now) {
                    true if called => Pushed::Nothing,
                    true => Pushed::Work,
                    false => Pushed::Until(flush_at),
                }
            }
        }
    }

    /// Moves the jobs of the next request into `batch`, which is empty. Those that nobody waits for any more and those
    /// that a newer version waits behind are not sent.
    pub(super) fn take(&mut self, now: Instant, batch: &mut Vec<Job>) -> Option<Taken> {
        while batch.is_empty() {
            let may_go = |index: &&usize| self.may_go(**index, now);
            let first = |index: &&usize| self.groups[**index].head().map(|head| head.deadline);
            let group = self.busy.iter().filter(may_go).min_by_key(first).copied();
            let apart = self.apart.first().filter(|_| self.apart_may_go()).map(|(deadline, _)| deadline);
            let apart = apart.is_some_and(|apart| group.is_none_or(|group| Some(apart) <= first(&&group)));
            match group {
                _ if apart => self.fill_apart(now, batch),
                Some(policy) => self.fill(policy, now, batch),
                None => return None,
            }
            if let Some(policy) = batch.first().map(|job| job.policy) {
                self.in_flight += batch.len();
                if apart {
                    self.apart_running += 1;
                } else {
                    self.groups[policy].request_started();
                    self.flush_later(policy, now);
                }
                return Some(Taken { policy, apart, more: self.has_more_to_go(now) });
            }
        }
        None
    }

    /// The next of the requests that stay as they are, without what need not go any more.
    fn fill_apart(&mut self, now: Instant, batch: &mut Vec<Job>) {
        for job in self.apart.pop().into_iter().flatten() {
            if !job.is_wanted(now) {
                self.finish(&job, now);
            } else if self.is_overtaken(&job) {
                self.give_way(job, now);
            } else {
                batch.push(job);
            }
        }
    }

    fn fill(&mut self, index: usize, now: Instant, batch: &mut Vec<Job>) {
        let mut bytes = 0;
        while let Some(head) = self.groups[index].head() {
            let (needless, stale) = (!head.is_wanted(now), self.is_overtaken(head));
            let fits = batch.len() < self.batch_max
                && self.policies[index].fits(batch.len(), bytes, head.piece.len());
            if !needless && !stale && !fits {
                return;
            }
            let Some(job) = self.groups[index].pop() else { break };
            if needless {
                self.finish(&job, now);
            } else if stale {
                self.give_way(job, now);
            } else {
                bytes += job.piece.len();
                batch.push(job);
            }
        }
        if self.groups[index].len() == 0 {
            self.busy.retain(|busy| *busy != index);
        }
    }

    /// Whether a request could go now that nobody was called for. New jobs that go alone each had their own call; later
    /// versions of records had none, and many may have become ready together.
    fn has_more_to_go(&self, now: Instant) -> bool {
        self.apart_may_go()
            || self.busy.iter().any(|&index| {
                (self.policies[index].records_max > 1 || self.groups[index].has_delayed())
                    && self.may_go(index, now)
            })
    }

    /// Whether any request could go now, whoever was called for it.
    pub(super) fn has_any_to_go(&self, now: Instant) -> bool {
        self.apart_may_go() || self.busy.iter().any(|&index| self.may_go(index, now))
    }

    fn apart_may_go(&self) -> bool {
        self.apart_running < self.apart_max && self.apart.len() > 0
    }

    /// Whether jobs of a policy can share requests.
    pub(super) fn is_batching(&self, policy: usize) -> bool {
        self.policies[policy].records_max > 1
    }

    /// Busy groups whose jobs can share requests.
    fn batching(&self) -> impl Iterator<Item = usize> {
        self.busy.iter().copied().filter(|&index| self.policies[index].records_max > 1)
    }

    /// A request of `jobs` jobs ended; each of them is finished, parked or split next.
    pub(super) fn request_ended(&mut self, taken: Taken, jobs: usize) {
        if taken.apart {
            self.apart_running -= 1;
        } else {
            self.groups[taken.policy].request_ended();
        }
        self.in_flight -= jobs;
    }

    /// Sends jobs of a request that failed again, in halves. Their records stay busy.
    pub(super) fn split(&mut self, mut jobs: Vec<Job>) {
        let rest = jobs.split_off(jobs.len().div_ceil(2));
        for half in [jobs, rest] {
            if let Some(deadline) = half.iter().map(|job| job.deadline).min() {
                self.apart.push(deadline, half);
            }
        }
    }

    /// Takes out every job that is not in flight.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        let mut drained = Vec::with_capacity(self.waiting());
        for group in &mut self.groups {
            drained.extend(std::iter::from_fn(|| group.pop()));
        }
        drained.extend(std::iter::from_fn(|| self.parked.pop()));
        drained.extend(std::iter::from_fn(|| self.apart.pop()).flatten());
        self.busy.clear();
        for index in 0..drained.len() {
            let later = self.records.remove(&self.key(&drained[index].record)).flatten();
            drained.extend(later.into_iter().flat_map(|later| *later));
        }
        // Of those in flight only the later versions.
        let later = self.records.values_mut().filter_map(Option::take);
        drained.extend(later.flat_map(|later| *later));
        self.held -= drained.len();
        self.held_bytes -= drained.iter().map(Job::bytes).sum::<usize>();
        drained
    }

    /// Lets the next version of a record go, after `job` is done with.
    pub(super) fn finish(&mut self, job: &Job, now: Instant) {
        self.held -= 1;
        self.held_bytes -= job.bytes();
        self.release(&job.record, now);
    }

    fn release(&mut self, record: &RecordId, now: Instant) {
        let Entry::Occupied(mut busy) = self.records.entry(self.key(record)) else { return };
        let Some(next) = busy.get_mut().as_mut().and_then(|later| later.pop_front()) else {
            return drop(busy.remove());
        };
        let index = next.policy;
        self.enter_again(next);
        self.flush_later(index, now);
    }

    /// Lets a job go that had to wait.
    fn enter_again(&mut self, job: Job) {
        if self.suspects.is_isolated(&job.record) {
            return self.apart.push(job.deadline, vec![job]);
        }
        self.enter(job.policy, |group| group.push_delayed(job));
    }

    /// Sees to it that what cannot go yet goes in time, where no push told of it.
    fn flush_later(&mut self, index: usize, now: Instant) {
        if self.policies[index].records_max > 1 {
            let flush_at = self.groups[index].flush_at(&self.policies[index]);
            self.alarm = flush_at.filter(|flush_at| *flush_at > now).into_iter().chain(self.alarm).min();
        }
    }

    /// When the clock must look for what was left behind, released or parked since this was asked last. What may go
    /// already needs a worker, and whoever asks is one.
    pub(super) fn alarm(&mut self) -> Option<Instant> {
        self.alarm.take().into_iter().chain(self.parked.first().map(|(due, _)| due)).min()
    }

    /// Whether a newer version that stands for a job waits behind it.
    fn is_overtaken(&self, job: &Job) -> bool {
        let Some(order) = &job.order else { return false };
        let next = self.records.get(&self.key(&job.record)).and_then(|later| later.as_ref()?.front());
        next.filter(|next| next.record == job.record)
            .and_then(|next| next.order.as_ref())
            .is_some_and(|next| next.stands_for(order) && next.lut_unix_ms > order.lut_unix_ms)
    }

    /// Drops a job that was overtaken while it waited. What becomes of the version behind it is the answer.
    fn give_way(&mut self, job: Job, now: Instant) {
        let record = job.record;
        let key = self.key(&record);
        let next = self.records.get_mut(&key).and_then(|later| later.as_mut()?.front_mut());
        if let Some(dropped_bytes) = next.and_then(|next| next.supersede(&mut Some(job))) {
            self.drop_one(dropped_bytes);
        }
        self.release(&record, now);
    }

    /// Drops a job that lost the race to the queue: a newer version was taken in meanwhile.
    fn acknowledge(&mut self, job: Option<Job>, bytes: usize) {
        if let Some(job) = job {
            job.tickets.settle(Outcome::Delivered);
        }
        self.drop_one(bytes);
    }

    /// A version that another one stands for is held no longer.
    fn drop_one(&mut self, bytes: usize) {
        self.held -= 1;
        self.held_bytes -= bytes;
        self.superseded += 1;
    }

    /// Puts a failed job aside until `due`. Its record stays busy. What is due already needs a worker, and whoever asks is one.
    pub(super) fn park(&mut self, job: Job, due: Instant, now: Instant) {
        if due > now {
            return self.parked.push(due, job);
        }
        let index = job.policy;
        self.enter_again(job);
        self.flush_later(index, now);
    }

    /// Makes the parked jobs that are due ready. Returns how many workers have something to do.
    pub(super) fn wake(&mut self, now: Instant) -> usize {
        let mut alone = 0;
        while self.parked.first().is_some_and(|(due, _)| due <= now) {
            let Some(job) = self.parked.pop() else { break };
            let apart = self.suspects.is_isolated(&job.record);
            alone += usize::from(apart || self.policies[job.policy].records_max == 1);
            self.enter_again(job);
        }
        alone + self.batching().filter(|&index| self.may_go(index, now)).count()
    }

    /// When [`Queue::wake`] is worth calling next.
    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
        let flushes = self.batching().filter_map(|index| self.groups[index].flush_at(&self.policies[index]));
        // One that is due already had its call, and waits for a worker.
        let due = self.parked.first().map(|(due, _)| due);
        flushes.filter(|flush_at| *flush_at > now).chain(due).min()
    }

    fn enter(&mut self, index: usize, push: impl FnOnce(&mut Group)) {
        let group = &mut self.groups[index];
        if group.len() == 0 && !self.busy.contains(&index) {
            self.busy.push(index);
        }
        push(group);
    }

    /// Jobs handed in and not finished, those in flight included.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Bytes that they keep.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Jobs that are neither in flight nor finished.
    pub(super) fn waiting(&self) -> usize {
        self.held - self.in_flight
    }

    /// Jobs parked.
    pub(super) fn parked(&self) -> usize {
        self.parked.len()
    }

    /// Jobs that a newer version made needless, since this was asked last.
    pub(super) fn take_superseded(&mut self) -> u64 {
        std::mem::take(&mut self.superseded)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
