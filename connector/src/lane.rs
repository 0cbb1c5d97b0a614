//! One destination at run time: a queue, workers that deliver, retries, and the bound on what is accepted.
//!
//! There is one lane for each destination, not for each route, so two versions of a record cannot overtake each
//! other even when their routes differ (a delete may come without its set name), and ten thousand configured sets
//! cost no more than one. A worker has one request in flight; a failed record is parked and its worker goes on.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use adapters::{Cause, ItemFailure, Outcome, Outcomes, Payload, Report, SharedTarget};
use tokio::{sync::Notify, task::JoinSet};

use self::told::Told;
use crate::{
    admission::{Admission, Request},
    batch::BatchPolicy,
    dead_letter::{DeadLetters, Why},
    metrics::LaneStats,
    retry::{Failing, RetryPolicy},
};

mod group;
mod job;
mod queue;
mod timed;
mod told;

pub use self::job::{Job, Order, Tickets};
use self::queue::{Pushed, Queue, Taken};

/// How long a record waits for room at most in a lane that was not found full lately.
const PATIENCE_MAX: Duration = Duration::from_millis(250);

/// How long a lane that was full after all that patience is taken to be full.
const SATURATED: Duration = Duration::from_secs(10);

/// Limits of a lane, from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests in flight.
    pub workers: usize,
    /// Records in a request.
    pub batch_max: usize,
    /// Records held, in flight included.
    pub held_max: usize,
    /// Bytes of their bodies. The window bounds what is unanswered; a destination that hangs still holds what was
    /// answered for it meanwhile.
    pub held_bytes_max: usize,
    /// Retries.
    pub retry: RetryPolicy,
}

/// A destination's queue and its workers' meeting point.
#[derive(Debug)]
pub struct Lane {
    name: String,
    target: SharedTarget,
    limits: Limits,
    dead_letters: DeadLetters,
    policies: Arc<[BatchPolicy]>,
    state: Mutex<State>,
    /// Something is ready for a worker.
    work: Notify,
    /// A record was finished.
    room: Notify,
    /// Something is due earlier than the clock is set to.
    sooner: Notify,
    closed: AtomicBool,
    stats: Arc<LaneStats>,
    told: Told,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    admission: Admission,
    failing: Failing,
    saturated_until: Option<Instant>,
    /// When the clock next looks.
    wake_at: Option<Instant>,
}

impl State {
    /// Lets requests have as many records as the destination answers soon.
    fn limit_batches(&mut self) {
        self.queue.limit_batches(self.admission.batch_max());
    }

    /// Whether the clock has to be told of an instant. It then knows of it.
    fn is_sooner(&mut self, at: Option<Instant>) -> bool {
        let sooner = at.is_some_and(|at| self.wake_at.is_none_or(|wake_at| at < wake_at));
        if sooner {
            self.wake_at = at;
        }
        sooner
    }
}

impl Lane {
    /// A lane into `target` for jobs to which one of `policies` applies. Nothing runs before [`Lane::start`].
    pub fn new(
        name: String,
        target: SharedTarget,
        limits: Limits,
        policies: Arc<[BatchPolicy]>,
        dead_letters: DeadLetters,
        now: Instant,
    ) -> Arc<Self> {
        let admission = Admission::new(limits.workers, limits.batch_max, limits.held_max, now);
        let stats = Arc::new(LaneStats::default());
        stats.capacity.store(admission.capacity() as u64, Ordering::Relaxed);
        let mut state = State {
            queue: Queue::new(Arc::clone(&policies)),
            admission,
            failing: Failing::default(),
            saturated_until: None,
            wake_at: None,
        };
        state.limit_batches();
        Arc::new(Self {
            name,
            target,
            limits,
            dead_letters,
            state: Mutex::new(state),
            policies,
            work: Notify::new(),
            room: Notify::new(),
            sooner: Notify::new(),
            closed: AtomicBool::new(false),
            stats,
            told: Told::default(),
        })
    }

    /// Name of the destination.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What delivers.
    pub fn target(&self) -> &SharedTarget {
        &self.target
    }

    /// What becomes of records that no retry can help.
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.dead_letters
    }

    /// Counters and gauges.
    pub fn stats(&self) -> &Arc<LaneStats> {
        &self.stats
    }

    /// Starts the workers and the clock. The tasks end after [`Lane::close`].
    pub fn start(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        for _ in 0..self.limits.workers {
            tasks.spawn(Arc::clone(self).work());
        }
        tasks.spawn(Arc::clone(self).watch_clock());
    }

    /// Ends the tasks: workers finish the request they are in. What is still queued is dropped, which refuses it.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.work.notify_waiters();
        self.sooner.notify_one();
        let unfinished = std::mem::replace(&mut self.lock().queue, Queue::new(Arc::clone(&self.policies)));
        drop(unfinished);
    }

    /// Hands a record over, or refuses it when the lane holds as much as its destination can deliver in time.
    ///
    /// A lane that merely starts up or hiccups gets a moment of patience, until `patience` at most, which holds the
    /// source back through TCP instead of refusing; one that was full lately refuses at once, so that a stuck
    /// destination does not stop the reading for the others.
    pub async fn enqueue(&self, job: Job, patience: Instant) {
        let Some(job) = self.try_enqueue(job) else { return };
        if let Some(job) = self.wait_for_room(job, patience).await {
            self.stats.refused_full.fetch_add(1, Ordering::Relaxed);
            job.tickets.refuse(Cause::Overloaded);
        }
    }

    /// Waits until the job fits; gives it back when patience ends first.
    async fn wait_for_room(&self, mut job: Job, patience: Instant) -> Option<Job> {
        let start = now();
        if start >= patience || self.lock().saturated_until.is_some_and(|until| start < until) {
            return Some(job);
        }
        let patience = patience.min(start + PATIENCE_MAX);
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            job = self.try_enqueue(job)?;
            if tokio::time::timeout_at(patience.into(), room).await.is_err() {
                self.lock().saturated_until = Some(patience + SATURATED);
                self.told.full(&self.name, self.stats.capacity.load(Ordering::Relaxed), now());
                return Some(job);
            }
        }
    }

    /// Gives the job back when there is no room.
    fn try_enqueue(&self, job: Job) -> Option<Job> {
        let mut state = self.lock();
        let bytes = state.queue.held_bytes() + job.piece.len();
        let full = state.queue.held() >= state.admission.capacity() || bytes > self.limits.held_bytes_max;
        // One record is always let in, however large, as into the window. Nobody would take it out of a closed lane.
        if full && state.queue.held() > 0 || self.closed.load(Ordering::Acquire) {
            return Some(job);
        }
        let pushed = state.queue.push(job, now());
        let sooner = match pushed {
            Pushed::Until(at) => state.is_sooner(Some(at)),
            Pushed::Work | Pushed::Nothing => false,
        };
        self.gauge(&state);
        drop(state);
        if pushed == Pushed::Work {
            self.work.notify_one();
        } else if sooner {
            self.sooner.notify_one();
        }
        None
    }

    async fn work(self: Arc<Self>) {
        // Every worker keeps its list, so that a request costs no allocation for it.
        let mut batch = Vec::new();
        while let Some((policy, start)) = self.next(&mut batch).await {
            self.stats.in_flight.fetch_add(1, Ordering::Relaxed);
            self.stats.requests.fetch_add(1, Ordering::Relaxed);
            let report = self.target.deliver(&self.payload(policy, &batch)).await;
            self.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.conclude(policy, &mut batch, &report, start);
        }
    }

    fn payload(&self, policy: usize, batch: &[Job]) -> Payload {
        let form = &self.policies[policy].body;
        Payload {
            body: form.join(batch.iter().map(|job| &job.piece)),
            content_type: form.content_type(),
            count: NonZeroUsize::new(batch.len()).unwrap_or(NonZeroUsize::MIN),
        }
    }

    /// Puts what to send next into `batch`, which is empty; returns its batch policy and the time now, or `None` once
    /// the lane is closed.
    async fn next(&self, batch: &mut Vec<Job>) -> Option<(usize, Instant)> {
        loop {
            if self.closed.load(Ordering::Acquire) {
                return None;
            }
            if let Some(taken) = self.take(batch) {
                return Some(taken);
            }
            // Registering before the second look means no wake-up can fall between looking and waiting.
            let mut work = std::pin::pin!(self.work.notified());
            work.as_mut().enable();
            if self.closed.load(Ordering::Acquire) {
                return None;
            }
            if let Some(taken) = self.take(batch) {
                return Some(taken);
            }
            work.await;
        }
    }

    fn take(&self, batch: &mut Vec<Job>) -> Option<(usize, Instant)> {
        let now = now();
        let mut state = self.lock();
        let held = state.queue.held();
        let taken = state.queue.take(now, batch);
        if state.queue.held() < held {
            self.room.notify_waiters();
        }
        let alarm = state.queue.alarm();
        let sooner = state.is_sooner(alarm);
        self.gauge(&state);
        drop(state);
        if sooner {
            self.sooner.notify_one();
        }
        let Taken { policy, more } = taken?;
        if more {
            self.work.notify_one();
        }
        Some((policy, now))
    }

    /// Settles the jobs of a request, or parks them for another attempt. Leaves `batch` empty.
    fn conclude(&self, policy: usize, batch: &mut Vec<Job>, report: &Report, start: Instant) {
        let count = batch.len();
        let outcome = |index: usize| match &report.outcomes {
            Outcomes::All(outcome) => *outcome,
            Outcomes::Except(failures) => {
                let position = index.to_string();
                match failures.iter().find(|failure| failure.identifier == position) {
                    Some(failure) if failure.retryable => Outcome::Retryable(Cause::FunctionError),
                    Some(_) => Outcome::Rejected(Cause::FunctionError),
                    None if failures.iter().all(|failure| names_one_of(failure, count)) => Outcome::Delivered,
                    // Nothing is known of any record.
                    None => Outcome::Retryable(Cause::Malformed),
                }
            }
        };
        let is_final = |index: &usize| !matches!(outcome(*index), Outcome::Retryable(_));
        let finished = (0..count).filter(is_final).count();
        let now = now();
        let mut state = self.lock();
        if self.closed.load(Ordering::Acquire) {
            // The queue knows nothing of these jobs any more.
            drop(state);
            for (index, mut job) in batch.drain(..).enumerate() {
                job.attempts += 1;
                self.settle(job, outcome(index), count, false, now);
            }
            return;
        }
        let held = state.queue.held();
        state.queue.request_ended(policy, count);
        state.failing.attempt(finished == 0);
        let took = now.saturating_duration_since(start);
        let several = self.policies[policy].records_max > 1;
        let request = Request { sent: count, delivered: finished, batch: several, took };
        state.admission.answered(request, held, now);
        state.limit_batches();
        let troubled = state.failing.is_the_rule();
        // One for all, so that records that failed together come back together.
        let jitter = fastrand::f64();
        let mut settled = Vec::with_capacity(count);
        let (mut delivered, mut retried) = (0, 0);
        for (index, mut job) in batch.drain(..).enumerate() {
            let outcome = outcome(index);
            if let Outcome::Retryable(cause) = outcome {
                self.stats.failures.add(cause, 1);
                job.attempts += 1;
                let pause = self.limits.retry.delay(job.attempts, report.retry_after, troubled, jitter);
                if let Some(due) = pause.map(|pause| now + pause).filter(|due| job.is_wanted(*due)) {
                    retried += 1;
                    state.queue.park(job, due);
                    continue;
                }
            }
            delivered += u64::from(outcome == Outcome::Delivered);
            // A later version that may go now needs no call: this worker looks for work next.
            state.queue.finish(&job, now);
            settled.push((job, outcome));
        }
        self.stats.records_delivered.fetch_add(delivered, Ordering::Relaxed);
        self.stats.retries.fetch_add(retried, Ordering::Relaxed);
        self.stats.capacity.store(state.admission.capacity() as u64, Ordering::Relaxed);
        let alarm = state.queue.alarm();
        let sooner = state.is_sooner(alarm);
        self.gauge(&state);
        drop(state);
        if sooner {
            self.sooner.notify_one();
        }
        match settled.len() {
            0 => {}
            1 => self.room.notify_one(),
            _ => self.room.notify_waiters(),
        }
        for (job, outcome) in settled {
            self.settle(job, outcome, count, troubled, now);
        }
    }

    /// Tells everyone who waits for a job what became of it, in a request of `records`.
    fn settle(&self, job: Job, outcome: Outcome, records: usize, troubled: bool, now: Instant) {
        self.told.undelivered(&self.name, &job.record, outcome, (job.attempts, records), now);
        match outcome {
            Outcome::Retryable(cause) if troubled => job.tickets.refuse(cause),
            Outcome::Rejected(cause) => {
                let why = Why { destination: &self.name, cause, status: None, reason: None };
                self.dead_letters.take(job, &why);
            }
            outcome => job.tickets.settle(outcome),
        }
    }

    /// Calls workers for parked jobs that are due and for batches that waited long enough, and keeps the admission's
    /// clock going while nothing is delivered.
    async fn watch_clock(self: Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        while !self.closed.load(Ordering::Acquire) {
            // One look at the clock for both, or what falls due between two of them is nobody's.
            let (calls, wake_at) = {
                let now = now();
                let mut state = self.lock();
                let held = state.queue.held();
                state.admission.tick(held, now);
                state.limit_batches();
                let calls = state.queue.wake(now);
                state.wake_at = state.queue.next_wake(now);
                (calls, state.wake_at)
            };
            for _ in 0..calls {
                self.work.notify_one();
            }
            let wait = async {
                match wake_at {
                    Some(wake_at) => tokio::time::sleep_until(wake_at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.sooner.notified() => {}
                _ = tick.tick() => {}
            }
        }
    }

    fn gauge(&self, state: &State) {
        self.stats.queued.store(state.queue.waiting() as u64, Ordering::Relaxed);
        self.stats.parked.store(state.queue.parked() as u64, Ordering::Relaxed);
        self.stats.superseded.store(state.queue.superseded(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The runtime's clock, which tests can pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
/// Whether a failure is about a record of a request of `count`.
fn names_one_of(failure: &ItemFailure, count: usize) -> bool {
    failure.identifier.parse::<usize>().is_ok_and(|position| position < count)
}
