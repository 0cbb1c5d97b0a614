//! One destination at run time: a queue, workers that deliver, retries, and the bound on what is accepted.
//!
//! There is one lane for each destination, not for each route, so two versions of a record cannot overtake each
//! other even when their routes differ (a delete may come without its set name), and ten thousand configured sets
//! cost no more than one. A worker has one request in flight; a failed record is parked and its worker goes on.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use adapters::{Cause, Outcome, Outcomes, Report, SharedTarget};
use tokio::{sync::Notify, task::JoinSet};
use tracing::warn;

use crate::{
    admission::Admission,
    metrics::LaneStats,
    replies::Ticket,
    retry::{Failing, RetryPolicy},
};

mod queue;

pub use queue::Job;
use queue::Queue;

/// How long a record waits for room at most in a lane that was not found full lately.
const PATIENCE_MAX: Duration = Duration::from_millis(250);

/// How long a lane that was full after all that patience is taken to be full.
const SATURATED: Duration = Duration::from_secs(10);

/// Limits of a lane, from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests in flight.
    pub workers: usize,
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
    state: Mutex<State>,
    /// Something is ready for a worker.
    work: Notify,
    /// A record was finished.
    room: Notify,
    /// The earliest parked job changed.
    parked: Notify,
    closed: AtomicBool,
    stats: Arc<LaneStats>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    admission: Admission,
    failing: Failing,
    saturated_until: Option<Instant>,
}

impl Lane {
    /// A lane into `target`. Nothing runs before [`Lane::start`].
    pub fn new(name: String, target: SharedTarget, limits: Limits, now: Instant) -> Arc<Self> {
        let admission = Admission::new(limits.workers, limits.held_max, now);
        let stats = Arc::new(LaneStats::default());
        stats.capacity.store(admission.capacity() as u64, Ordering::Relaxed);
        Arc::new(Self {
            name,
            target,
            limits,
            state: Mutex::new(State {
                queue: Queue::default(),
                admission,
                failing: Failing::default(),
                saturated_until: None,
            }),
            work: Notify::new(),
            room: Notify::new(),
            parked: Notify::new(),
            closed: AtomicBool::new(false),
            stats,
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

    /// Counters and gauges.
    pub fn stats(&self) -> &Arc<LaneStats> {
        &self.stats
    }

    /// Starts the workers and the clock of the parked jobs. The tasks end after [`Lane::close`].
    pub fn start(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        for _ in 0..self.limits.workers {
            tasks.spawn(Arc::clone(self).work());
        }
        tasks.spawn(Arc::clone(self).watch_parked());
    }

    /// Ends the tasks: workers finish the request they are in. What is still queued is dropped, which refuses it.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.work.notify_waiters();
        self.parked.notify_one();
        let unfinished = std::mem::take(&mut self.lock().queue);
        drop(unfinished);
    }

    /// Hands a record over, or refuses it when the lane holds as much as its destination can deliver in time.
    ///
    /// A lane that merely starts up or hiccups gets a moment of patience, until `patience` at most, which holds the
    /// source back through TCP instead of refusing; one that was full lately refuses at once, so that a stuck
    /// destination does not stop the reading for the others.
    pub async fn enqueue(&self, job: Job, patience: Instant) {
        let Err(job) = self.try_enqueue(job) else { return };
        if let Some(job) = self.wait_for_room(job, patience).await {
            self.stats.refused_full.fetch_add(1, Ordering::Relaxed);
            job.ticket.refuse(Cause::Overloaded);
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
            job = self.try_enqueue(job).err()?;
            if tokio::time::timeout_at(patience.into(), room).await.is_err() {
                self.lock().saturated_until = Some(patience + SATURATED);
                warn!(
                    destination = self.name,
                    capacity = self.stats.capacity.load(Ordering::Relaxed),
                    "the source offers more than this destination takes; refusing what cannot be delivered in time"
                );
                return Some(job);
            }
        }
    }

    fn try_enqueue(&self, job: Job) -> Result<(), Job> {
        let mut state = self.lock();
        let bytes = state.queue.held_bytes() + job.payload.body.len();
        let full = state.queue.held() >= state.admission.capacity() || bytes > self.limits.held_bytes_max;
        // One record is always let in, however large, as into the window. Nobody would take it out of a closed lane.
        if full && state.queue.held() > 0 || self.closed.load(Ordering::Acquire) {
            return Err(job);
        }
        let ready = state.queue.push(job);
        self.gauge(&state);
        drop(state);
        if ready {
            self.work.notify_one();
        }
        Ok(())
    }

    async fn work(self: Arc<Self>) {
        while let Some((job, start)) = self.next().await {
            self.stats.in_flight.fetch_add(1, Ordering::Relaxed);
            self.stats.requests.fetch_add(1, Ordering::Relaxed);
            let report = self.target.deliver(&job.payload).await;
            self.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.conclude(job, &report, start);
        }
    }

    /// The next job to send and the time now, or `None` once the lane is closed.
    async fn next(&self) -> Option<(Job, Instant)> {
        loop {
            if self.closed.load(Ordering::Acquire) {
                return None;
            }
            if let Some(taken) = self.take() {
                return Some(taken);
            }
            // Registering before the second look means no wake-up can fall between looking and waiting.
            let mut work = std::pin::pin!(self.work.notified());
            work.as_mut().enable();
            if self.closed.load(Ordering::Acquire) {
                return None;
            }
            if let Some(taken) = self.take() {
                return Some(taken);
            }
            work.await;
        }
    }

    fn take(&self) -> Option<(Job, Instant)> {
        let now = now();
        let mut state = self.lock();
        let held = state.queue.held();
        let job = state.queue.take(now);
        if state.queue.held() < held {
            self.room.notify_waiters();
        }
        self.gauge(&state);
        job.map(|job| (job, now))
    }

    /// Settles the job, or parks it for another attempt.
    fn conclude(&self, job: Job, report: &Report, start: Instant) {
        let outcome = match &report.outcomes {
            Outcomes::All(outcome) => *outcome,
            Outcomes::Each(each) if each.len() == 1 => each[0],
            // A report of the wrong length is a bug of the adapter; nothing is lost by trying again.
            Outcomes::Each(_) => Outcome::Retryable(Cause::Malformed),
        };
        let now = now();
        let mut state = self.lock();
        let held = state.queue.held();
        let failed = matches!(outcome, Outcome::Retryable(_));
        state.failing.attempt(failed);
        let final_now = usize::from(!failed);
        state.admission.answered(final_now, now.saturating_duration_since(start), held, now);
        match outcome {
            Outcome::Retryable(cause) => self.retry_or_settle(state, job, cause, report.retry_after, now),
            outcome => {
                if outcome == Outcome::Delivered {
                    self.stats.records_delivered.fetch_add(1, Ordering::Relaxed);
                }
                self.finish(state, job).settle(outcome);
            }
        }
    }

    fn retry_or_settle(
        &self,
        mut state: MutexGuard<'_, State>,
        mut job: Job,
        cause: Cause,
        retry_after: Option<Duration>,
        now: Instant,
    ) {
        self.stats.failures.add(cause, 1);
        job.attempts += 1;
        let troubled = state.failing.is_the_rule();
        let pause = self.limits.retry.delay(job.attempts, retry_after, troubled, fastrand::f64());
        let due = pause.map(|pause| now + pause);
        match due {
            Some(due) if due < job.deadline && job.ticket.is_wanted() => {
                self.stats.retries.fetch_add(1, Ordering::Relaxed);
                let earlier = state.queue.next_due().is_none_or(|first| due < first);
                state.queue.park(job, due);
                self.gauge(&state);
                drop(state);
                if earlier {
                    self.parked.notify_one();
                }
            }
            _ => {
                let ticket = self.finish(state, job);
                if troubled { ticket.refuse(cause) } else { ticket.settle(Outcome::Retryable(cause)) }
            }
        }
    }

    /// Takes a job that needs no further attempt out of the queue.
    fn finish(&self, mut state: MutexGuard<'_, State>, job: Job) -> Ticket {
        // After close() the queue was replaced by an empty one that knows nothing of this job. A later version that
        // may go now needs no wake-up: the worker that settled this one looks for work next.
        if state.queue.held() > 0 {
            state.queue.finish(&job);
        }
        self.stats.capacity.store(state.admission.capacity() as u64, Ordering::Relaxed);
        self.gauge(&state);
        drop(state);
        self.room.notify_one();
        job.ticket
    }

    /// Makes parked jobs ready when they are due, and keeps the admission's clock going while nothing is delivered.
    async fn watch_parked(self: Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        while !self.closed.load(Ordering::Acquire) {
            let due = self.lock().queue.next_due();
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.parked.notified() => {}
                _ = tick.tick() => {}
            }
            let now = now();
            let mut state = self.lock();
            let held = state.queue.held();
            state.admission.tick(held, now);
            let unparked = state.queue.unpark(now);
            drop(state);
            for _ in 0..unparked {
                self.work.notify_one();
            }
        }
    }

    fn gauge(&self, state: &State) {
        let in_flight = self.stats.in_flight.load(Ordering::Relaxed);
        self.stats.queued.store((state.queue.held() as u64).saturating_sub(in_flight), Ordering::Relaxed);
        self.stats.parked.store(state.queue.parked() as u64, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The runtime's clock, which tests can pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
