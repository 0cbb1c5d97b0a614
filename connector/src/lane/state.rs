//! Everything a lane knows that changes, and the one policy for failures. Pure: the clock and the random number are
//! arguments.
//!
//! | a request ends | its records | the destination |
//! | --- | --- | --- |
//! | done | settled | works |
//! | partial | the named ones as transient, or refused where it says so; the others settled | works, if any is delivered |
//! | transient | back off, a few times; the third time in halves | the breaker counts |
//! | throttled | back off | left alone as long as it asks; fewer requests at once, by the share of what is throttled |
//! | credentials, hold | refused for now, slowly | the breaker opens soon; not ready |
//! | record | in halves, at once; one alone is refused for good | works; after a hundred in a row with nothing delivered, as hold |

use std::time::Instant;

use adapters::{Cause, Class, Outcome, Report};

use super::{
    fates::{About, Fate, Fates, may_be_of_gateway, may_be_poison},
    gate::{Change, Gate, Sign},
    job::Job,
    queue::Queue,
    suspects::Alone,
    turns::{Turn, Turns},
};
use crate::{
    admission::{Admission, Request},
    metrics::LaneStats,
    retry::{Failing, RetryPolicy},
};

/// The changing part of a lane.
#[derive(Debug)]
pub(super) struct State {
    pub(super) turns: Turns,
    pub(super) admission: Admission,
    rules: Rules,
    failing: Failing,
    /// The share of records that are named as failed where others are not.
    named: Failing,
    pub(super) saturated_until: Option<Instant>,
    /// When the clock next looks.
    pub(super) wake_at: Option<Instant>,
}

/// What an operator decides of the policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) retry: RetryPolicy,
    /// Whether a record is given up that nobody refused but that fails again and again while others pass.
    pub(super) poison: bool,
    /// Whether it then goes elsewhere, and does not come again as it is.
    pub(super) buried: bool,
}

/// What a request's end comes to.
#[derive(Debug)]
pub(super) struct Concluded<'r> {
    /// The jobs that are done with, those that cannot wait any longer among them; where the request was delivered, not its
    /// own.
    pub(super) settled: Vec<(Job, End<'r>)>,
    pub(super) class: Class,
    pub(super) delivered: usize,
    pub(super) retried: usize,
    /// Records that go again in halves.
    pub(super) split: usize,
    pub(super) change: Option<Change>,
}

/// What a job's waiting parties are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End<'r> {
    Delivered,
    /// Not now.
    Later(Cause),
    /// Not now, and not soon either.
    MuchLater(Cause),
    /// The destination takes nothing at present, so it was not tried.
    Closed(Cause),
    /// The destination refused it, and would again.
    Rejected {
        cause: Cause,
        reason: Option<&'r str>,
    },
    /// It failed again and again while others passed.
    Poison {
        cause: Cause,
        reason: Option<&'r str>,
    },
}

impl State {
    pub(super) fn new(queue: Queue, gate: Gate, admission: Admission, rules: Rules) -> Self {
        let mut state = Self {
            turns: Turns { queue, gate },
            admission,
            rules,
            failing: Failing::default(),
            named: Failing::default(),
            saturated_until: None,
            wake_at: None,
        };
        state.limit_batches();
        state
    }

    /// Lets requests have as many records as the destination answers soon.
    fn limit_batches(&mut self) {
        self.turns.queue.limit_batches(self.admission.batch_max());
    }

    /// Whether the clock has to be told of an instant. It then knows of it.
    pub(super) fn is_sooner(&mut self, at: Option<Instant>) -> bool {
        let sooner = at.is_some_and(|at| self.wake_at.is_none_or(|wake_at| at < wake_at));
        if sooner {
            self.wake_at = at;
        }
        sooner
    }

    /// Whether there is room for `bytes` more. One record is always let in, however large, as into the window.
    pub(super) fn has_room(&self, bytes: usize, bytes_max: usize) -> bool {
        let queue = &self.turns.queue;
        let full =
            queue.held() >= self.admission.capacity() || queue.held_bytes().saturating_add(bytes) > bytes_max;
        !full || queue.held() == 0
    }

    /// Takes note of how a request ended, and decides what becomes of its jobs. Leaves in `batch` those that are delivered
    /// where all are, so that the usual end needs no list, and otherwise none.
    pub(super) fn conclude<'r>(
        &mut self,
        turn: Turn,
        batch: &mut Vec<Job>,
        report: &'r Report,
        stats: &LaneStats,
        now: Instant,
        jitter: f64,
    ) -> Concluded<'r> {
        let mut fates = Fates::new(report, batch);
        if self.turns.queue.suspects().are_all_refused() {
            fates.hold();
        }
        let (count, delivered, retryable) = (batch.len(), fates.delivered(), fates.retryable());
        let held = self.turns.queue.held();
        let sign = self.sign(&fates, batch, now);
        let change = self.turns.ended(turn, count, sign, now, jitter);
        let several = turn.taken.apart || self.turns.queue.is_batching(turn.taken.policy);
        let took = now.saturating_duration_since(turn.pass.began);
        let request = Request { sent: count, delivered: count - retryable, batch: several, took };
        self.admission.limit_workers(self.turns.gate.limit());
        self.admission.answered(request, held, now);
        self.limit_batches();

        let mut concluded =
            Concluded { settled: Vec::new(), class: fates.class, delivered, retried: 0, split: 0, change };
        if fates.are_all_delivered() {
            self.all_delivered(batch, now);
            self.refuse_what_waits(now, &mut concluded.settled);
            return concluded;
        }
        concluded.settled.reserve(count);
        let mut parts = Vec::new();
        for (mut job, fate) in batch.drain(..).zip(fates.iter()) {
            if let Outcome::Retryable(cause) | Outcome::Rejected(cause) = fate.outcome {
                stats.failures.add(cause, 1);
            }
            let end = match self.judge(&job, fate, fates.class, now) {
                Verdict::Settle(end) => {
                    job.attempts += 1;
                    end
                }
                Verdict::Split => {
                    parts.push(job);
                    continue;
                }
                Verdict::Retry(cause, slowly) => {
                    job.attempts += 1;
                    // One jitter for all, so that records that failed together come back together.
                    let pause = self.rules.retry.delay(job.attempts, report.retry_after, slowly, jitter);
                    if let Some(due) = pause.map(|pause| now + pause).filter(|due| job.is_wanted(*due)) {
                        concluded.retried += 1;
                        self.turns.queue.park(job, due, now);
                        continue;
                    }
                    if slowly { End::MuchLater(cause) } else { End::Later(cause) }
                }
            };
            // A later version that may go now needs no call: this worker looks for work next.
            self.turns.queue.finish(&job, now);
            concluded.settled.push((job, end));
        }
        if !parts.is_empty() {
            concluded.split = parts.len();
            self.turns.queue.split(parts);
        }
        self.refuse_what_waits(now, &mut concluded.settled);
        concluded
    }

    /// Lets go of jobs that are delivered.
    fn all_delivered(&mut self, batch: &[Job], now: Instant) {
        let queue = &mut self.turns.queue;
        if !queue.suspects().is_empty() {
            batch.iter().for_each(|job| queue.suspects().clear(&job.record));
        }
        // A later version that may go now needs no call: this worker looks for work next.
        batch.iter().for_each(|job| queue.finish(job, now));
    }

    /// What a request tells of its destination; takes note of it.
    fn sign(&mut self, fates: &Fates<'_>, batch: &[Job], now: Instant) -> Sign {
        let suspects = self.turns.queue.suspects();
        let held_against = !suspects.is_empty();
        let sign = fates.sign(self.failing.is_the_rule());
        match sign {
            Sign::Fails { class, cause, .. }
                if held_against
                    && may_be_poison(class, cause)
                    && batch.iter().all(|job| suspects.is_excused(&job.record)) =>
            {
                return Sign::Nothing;
            }
            Sign::Fails { .. } => {
                if !held_against || !batch.iter().any(|job| suspects.is_suspected(&job.record)) {
                    let alone = if let [job] = batch { Some(&job.record) } else { None };
                    self.turns.queue.suspects().failed(alone);
                }
                self.failing.attempt(true);
            }
            Sign::Works { .. } | Sign::Nothing => {
                if fates.delivered() > 0 {
                    self.turns.queue.suspects().passed(now);
                    self.named.share(fates.named_share());
                }
                self.failing.attempt(false);
            }
        }
        // With this one counted.
        fates.sign(self.failing.is_the_rule())
    }

    /// What becomes of one job.
    fn judge<'r>(&mut self, job: &Job, fate: Fate<'r>, class: Class, now: Instant) -> Verdict<'r> {
        let troubled = self.failing.is_the_rule();
        let Fate { outcome, reason, about } = fate;
        let suspects = self.turns.queue.suspects();
        let cause = match (outcome, about) {
            (Outcome::Delivered, _) => {
                if !suspects.is_empty() {
                    suspects.clear(&job.record);
                }
                return Verdict::Settle(End::Delivered);
            }
            (Outcome::Rejected(_), About::Several) => return Verdict::Split,
            (Outcome::Rejected(cause), About::Alone | About::Named) => {
                if about == About::Alone {
                    suspects.isolate(&job.record, now);
                }
                return Verdict::Settle(End::Rejected { cause, reason });
            }
            (Outcome::Retryable(cause), _) => cause,
        };
        let left_alone = match class {
            // What is throttled now and then goes again soon: behind it wait the answers of all that came after it.
            Class::Throttled => self.turns.gate.is_throttled(),
            Class::Credentials | Class::Hold => true,
            _ => false,
        };
        let enough = self.failing.no_coincidence().max(self.named.no_coincidence());
        let enough = enough.max(self.rules.retry.attempts_max);
        let by_gateway = may_be_of_gateway(cause);
        let known = !suspects.is_empty() && suspects.is_suspected(&job.record);
        if !may_be_poison(class, cause) || troubled && !known {
            return Verdict::Retry(cause, troubled || left_alone);
        }
        let alone = match about {
            About::Several => {
                let split = suspects.blame(&job.record, now) && !troubled;
                return if split { Verdict::Split } else { Verdict::Retry(cause, troubled) };
            }
            About::Named if self.named.is_the_rule() => Alone::Seldom,
            About::Named => suspects.failed_alone(&job.record, enough, by_gateway, now),
            About::Alone if suspects.blame(&job.record, now) => {
                suspects.isolate(&job.record, now);
                suspects.failed_alone(&job.record, enough, by_gateway, now)
            }
            About::Alone => Alone::Seldom,
        };
        match alone {
            Alone::Poison if self.rules.poison => {
                if self.rules.buried {
                    suspects.settled(&job.record, now);
                }
                Verdict::Settle(End::Poison { cause, reason })
            }
            Alone::Seldom => Verdict::Retry(cause, troubled),
            Alone::Often | Alone::Poison => Verdict::Retry(cause, true),
        }
    }

    /// Refuses what would wait too long for a destination that takes nothing.
    pub(super) fn refuse_what_waits(&mut self, now: Instant, settled: &mut Vec<(Job, End<'_>)>) {
        if let Some(cause) = self.turns.gate.refuses(now) {
            settled.extend(self.turns.queue.drain().into_iter().map(|job| (job, End::Closed(cause))));
        }
    }

    /// What time alone changes: how many workers to call, and the jobs that cannot wait any longer.
    pub(super) fn tick(&mut self, now: Instant) -> (usize, Vec<(Job, End<'static>)>) {
        let held = self.turns.queue.held();
        self.admission.tick(held, now);
        self.limit_batches();
        self.turns.queue.suspects().sweep(now);
        let mut refused = Vec::new();
        self.refuse_what_waits(now, &mut refused);
        let (calls, wake_at) = self.turns.look(now);
        self.wake_at = wake_at;
        (calls, refused)
    }
}

/// What becomes of a job.
#[derive(Debug)]
enum Verdict<'r> {
    Settle(End<'r>),
    /// It goes again at once, in a part of its request.
    Split,
    /// It goes again after a pause; a long one, if so, and refused slowly when it was tried often enough.
    Retry(Cause, bool),
}
