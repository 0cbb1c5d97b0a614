//! One destination at run time: a queue, workers that deliver, retries, and the bound on what is accepted.
//!
//! There is one lane for each destination, not for each route, so two versions of a record cannot overtake each
//! other even when their routes differ (a delete may come without its set name), and ten thousand configured sets
//! cost no more than one. A worker has one request in flight; a failed record is parked and its worker goes on. What
//! becomes of records that fail is decided in `lane/state.rs`.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use adapters::{Cause, Outcome, Payload, SharedTarget};
use tokio::{sync::Notify, task::JoinSet};

use self::{
    gate::Gate,
    life::Retired,
    queue::{Pushed, Queue},
    state::{End, Rules, State},
    told::Told,
    turns::Turn,
};
use crate::{
    admission::Admission, batch::BatchPolicy, dead_letter::DeadLetters, metrics::LaneStats,
    retry::RetryPolicy,
};

mod fates;
mod gate;
mod group;
mod items;
mod job;
mod life;
mod queue;
mod settle;
mod state;
mod suspects;
mod timed;
mod told;
mod turns;

pub(crate) use self::told::what_to_do;
pub use self::{
    job::{Job, Order, Tickets},
    life::{After, Life},
};

/// How long a record waits for room at most in a lane that was not found full lately.
const PATIENCE_MAX: Duration = Duration::from_millis(250);

/// How long a lane that was full after all that patience is taken to be full.
const SATURATED: Duration = Duration::from_secs(10);

/// Limits of a lane, from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in flight.
    pub workers: usize,
    /// Records in a request.
    pub batch_max: usize,
    /// Records held, in flight included.
    pub held_max: usize,
    /// Bytes that they keep. The window bounds what is unanswered; a destination that hangs still holds what was
    /// answered for it meanwhile.
    pub held_bytes_max: usize,
    /// Retries.
    pub retry: RetryPolicy,
    /// Statuses with which a record that is refused alone is given up, where there is no place for dead letters.
    pub give_up_on: Vec<u16>,
}

/// A destination's queue and its workers' meeting point.
#[derive(Debug)]
pub struct Lane {
    name: String,
    target: SharedTarget,
    limits: Limits,
    dead_letters: DeadLetters,
    policies: Arc<[BatchPolicy]>,
    /// Most bytes of a body that the destination takes, by batch policy.
    body_bytes_max: Box<[usize]>,
    state: Mutex<State>,
    /// Something is ready for a worker.
    work: Notify,
    /// A record was finished.
    room: Notify,
    /// Something is due earlier than the clock is set to.
    sooner: Notify,
    closed: AtomicBool,
    /// Its workers were started: one that takes another's place has to wait for that.
    started: AtomicBool,
    retired: Retired,
    stats: Arc<LaneStats>,
    told: Told,
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
        let letters = Arc::clone(dead_letters.stats());
        let stats = Arc::new(LaneStats { letters, ..LaneStats::default() });
        Self::counting_on(stats, name, target, limits, policies, dead_letters, now)
    }

    /// The same, with the numbers of the lane whose place it takes, which it goes on with.
    pub fn counting_on(
        stats: Arc<LaneStats>,
        name: String,
        target: SharedTarget,
        limits: Limits,
        policies: Arc<[BatchPolicy]>,
        dead_letters: DeadLetters,
        now: Instant,
    ) -> Arc<Self> {
        let body_bytes_max: Box<[usize]> =
            policies.iter().map(|policy| target.body_bytes_max(policy.body.content_type())).collect();
        let policies = within(policies, &body_bytes_max);
        let start = target.concurrency_start().get().min(limits.workers);
        let mut admission = Admission::new(limits.workers, limits.batch_max, limits.held_max, now);
        admission.limit_workers(start);
        let rules = Rules {
            retry: limits.retry,
            // Nothing is thrown away on a suspicion.
            poison: !dead_letters.gives_up(),
            buried: dead_letters.keeps_originals(),
        };
        let queue = Queue::new(Arc::clone(&policies), now);
        let state = State::new(queue, Gate::new(start, limits.workers, now), admission, rules);
        let lane = Self {
            name,
            target,
            limits,
            dead_letters,
            policies,
            body_bytes_max,
            state: Mutex::new(state),
            work: Notify::new(),
            room: Notify::new(),
            sooner: Notify::new(),
            closed: AtomicBool::new(false),
            started: AtomicBool::new(false),
            retired: Retired::default(),
            stats,
            told: Told::default(),
        };
        lane.gauge_destination(&mut lane.lock(), now);
        Arc::new(lane)
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

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Counters and gauges.
    pub fn stats(&self) -> &Arc<LaneStats> {
        &self.stats
    }

    /// Starts the workers and the clock. The tasks end after [`Lane::close`].
    pub fn start(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        self.started.store(true, Ordering::Release);
        for _ in 0..self.limits.workers {
            tasks.spawn(Arc::clone(self).work());
        }
        tasks.spawn(Arc::clone(self).watch_clock());
    }

    /// Comes back as soon as nobody is at work on the lane's state, which is never for long.
    pub fn touch(&self) {
        drop(self.lock());
    }

    /// Ends the tasks: workers finish the request they are in. What is still queued is dropped, which refuses it.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.work.notify_waiters();
        self.sooner.notify_one();
        let empty = Queue::new(Arc::clone(&self.policies), now());
        let unfinished = std::mem::replace(&mut self.lock().turns.queue, empty);
        drop(unfinished);
    }

    /// Hands a record over at the instant `at`, which is now, or refuses it when the lane holds as much as its destination can
    /// deliver in time, or the destination takes nothing.
    ///
    /// A lane that merely starts up or hiccups gets a moment of patience, until `patience` at most, which holds the
    /// source back through TCP instead of refusing; one that was full lately refuses at once, so that a stuck
    /// destination does not stop the reading for the others.
    ///
    /// False when the lane is retired: the record was refused for now, and whoever brought it should look where the next one
    /// goes.
    pub async fn enqueue(&self, job: Job, at: Instant, patience: Instant) -> bool {
        let (policy, bytes) = (&self.policies[job.policy], job.piece.len());
        if policy.body.bytes(1, bytes) > self.body_bytes_max[job.policy] {
            self.settle(job, End::Rejected { cause: Cause::TooLarge, reason: None }, None, 1, now());
            return true;
        }
        let entry = match self.try_enqueue(job, at) {
            Entry::Full(job) => self.wait_for_room(job, patience).await,
            entry => entry,
        };
        match entry {
            Entry::In => {}
            Entry::Full(job) => {
                self.stats.refused_full.fetch_add(1, Ordering::Relaxed);
                job.tickets.refuse(Cause::Overloaded);
            }
            Entry::Closed(job, cause) => self.settle(job, End::Closed(cause), None, 1, now()),
            Entry::Retired(job) => {
                job.tickets.settle(Outcome::Retryable(Cause::Shutdown));
                return false;
            }
        }
        true
    }

    /// Waits until the job fits, or patience ends.
    async fn wait_for_room(&self, mut job: Job, patience: Instant) -> Entry {
        let start = now();
        let futile = |state: &State| {
            state.saturated_until.is_some_and(|until| start < until) || state.turns.gate.is_closed(start)
        };
        if start >= patience || futile(&self.lock()) {
            return Entry::Full(job);
        }
        let patience = patience.min(start + PATIENCE_MAX);
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            job = match self.try_enqueue(job, now()) {
                Entry::Full(job) => job,
                entry => return entry,
            };
            if tokio::time::timeout_at(patience.into(), room).await.is_err() {
                // One that does not work yet is full for another reason.
                if self.started.load(Ordering::Acquire) {
                    self.lock().saturated_until = Some(patience + SATURATED);
                }
                self.told.full(&self.name, self.stats.capacity.load(Ordering::Relaxed), now());
                return Entry::Full(job);
            }
        }
    }

    /// Gives the job back when there is no room, or no use.
    fn try_enqueue(&self, job: Job, now: Instant) -> Entry {
        let mut state = self.lock();
        if self.retired.is() {
            return Entry::Retired(job);
        }
        // Nobody would take it out of a closed lane.
        if !state.has_room(job.bytes(), self.limits.held_bytes_max) || self.closed.load(Ordering::Acquire) {
            return Entry::Full(job);
        }
        if let Some(cause) = state.turns.gate.refuses(now) {
            return Entry::Closed(job, cause);
        }
        let pushed = state.turns.push(job, now);
        let sooner = match pushed {
            Pushed::Until(at) => state.is_sooner(Some(at)),
            Pushed::Work | Pushed::Nothing => false,
        };
        self.gauge(&mut state);
        drop(state);
        if pushed == Pushed::Work {
            self.work.notify_one();
        } else if sooner {
            self.sooner.notify_one();
        }
        Entry::In
    }

    async fn work(self: Arc<Self>) {
        // Every worker keeps its list, so that a request costs no allocation for it.
        let mut batch = Vec::new();
        let mut looked_at = now();
        while let Some(turn) = self.next(&mut batch, looked_at).await {
            let payload = self.payload(turn.taken.policy, &batch);
            self.stats.sending(payload.count.get(), payload.body.len());
            let report = self.target.deliver(&payload).await;
            self.stats.ended(report.status);
            // One look at the clock for the end of a request and the begin of the next.
            looked_at = self.conclude(turn, &mut batch, &report);
        }
    }

    fn payload(&self, policy: usize, batch: &[Job]) -> Payload {
        let form = &self.policies[policy].body;
        Payload {
            body: form.join(batch.iter().map(|job| &job.piece)),
            content_type: form.media_type(),
            count: NonZeroUsize::new(batch.len()).unwrap_or(NonZeroUsize::MIN),
            // Records that share a request have what it is in common.
            request: batch.first().and_then(|job| job.request.clone()),
        }
    }

    /// Puts what to send next into `batch`, which is empty; `None` once the lane is closed. `now` is a moment ago at most.
    async fn next(&self, batch: &mut Vec<Job>, mut now: Instant) -> Option<Turn> {
        loop {
            if self.closed.load(Ordering::Acquire) {
                return None;
            }
            if let Some(taken) = self.take(batch, now) {
                return Some(taken);
            }
            // Registering before the second look means no wake-up can fall between looking and waiting.
            let mut work = std::pin::pin!(self.work.notified());
            work.as_mut().enable();
            if self.closed.load(Ordering::Acquire) {
                return None;
            }
            if let Some(taken) = self.take(batch, self::now()) {
                return Some(taken);
            }
            work.await;
            now = self::now();
        }
    }

    fn take(&self, batch: &mut Vec<Job>, now: Instant) -> Option<Turn> {
        let mut state = self.lock();
        let held = state.turns.queue.held();
        let turn = state.turns.take(now, batch);
        if state.turns.queue.held() < held {
            self.room.notify_waiters();
        }
        let alarm = state.turns.alarm(now);
        let sooner = state.is_sooner(alarm);
        self.gauge(&mut state);
        drop(state);
        if sooner {
            self.sooner.notify_one();
        }
        let turn = turn?;
        if turn.more {
            self.work.notify_one();
        }
        Some(turn)
    }

    /// Calls workers for parked jobs that are due and for batches that waited long enough, and keeps the admission's
    /// clock going while nothing is delivered.
    async fn watch_clock(self: Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        while !self.closed.load(Ordering::Acquire) {
            // One look at the clock for both, or what falls due between two of them is nobody's.
            let (calls, refused, wake_at) = {
                let now = now();
                let mut state = self.lock();
                if state.turns.gate.waits_for_credentials()
                    && let Some(age) = self.target.access().and_then(|access| access.age)
                {
                    state.turns.gate.renewed(age, now);
                }
                let (calls, refused) = state.tick(now);
                self.gauge_destination(&mut state, now);
                (calls, refused, state.wake_at)
            };
            for _ in 0..calls {
                self.work.notify_one();
            }
            self.settle_all(refused);
            let wait = async {
                match wake_at {
                    Some(wake_at) => tokio::time::sleep_until(wake_at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = wait => {}
                () = self.sooner.notified() => {}
                _ = tick.tick() => {}
            }
        }
    }

    fn gauge(&self, state: &mut State) {
        let queue = &mut state.turns.queue;
        let superseded = queue.take_superseded();
        if superseded > 0 {
            self.stats.superseded.fetch_add(superseded, Ordering::Relaxed);
        }
        // How things stand is told by the lane that took its place.
        if self.retired.is_succeeded() {
            return;
        }
        self.stats.queued.store(queue.waiting() as u64, Ordering::Relaxed);
        self.stats.parked.store(queue.parked() as u64, Ordering::Relaxed);
    }

    /// What changes with requests only, not with records.
    fn gauge_destination(&self, state: &mut State, now: Instant) {
        self.gauge(state);
        if self.retired.is_succeeded() {
            return;
        }
        let gate = &state.turns.gate;
        let pause_ms = u64::try_from(gate.pause(now).as_millis()).unwrap_or(u64::MAX);
        self.stats.capacity.store(state.admission.capacity() as u64, Ordering::Relaxed);
        self.stats.concurrency.store(gate.limit() as u64, Ordering::Relaxed);
        self.stats.breaker.store(gate.phase() as u64, Ordering::Relaxed);
        self.stats.pause_ms.store(pause_ms, Ordering::Relaxed);
        self.stats.holding.set(gate.holds(now));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a job that was handed over.
enum Entry {
    In,
    /// There is no room for it.
    Full(Job),
    /// It would wait too long for a destination that takes nothing.
    Closed(Job, Cause),
    /// The lane only works off what it has.
    Retired(Job),
}

/// The policies with batches no larger than the destination takes them. A record that is larger alone is refused.
fn within(policies: Arc<[BatchPolicy]>, body_bytes_max: &[usize]) -> Arc<[BatchPolicy]> {
    let fits = |(policy, max): (&BatchPolicy, &usize)| policy.records_max == 1 || policy.bytes_max <= *max;
    if policies.iter().zip(body_bytes_max).all(fits) {
        return policies;
    }
    let below = |(policy, max): (&BatchPolicy, &usize)| BatchPolicy {
        bytes_max: policy.bytes_max.min(*max),
        ..policy.clone()
    };
    policies.iter().zip(body_bytes_max).map(below).collect()
}

/// The runtime's clock, which tests can pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
