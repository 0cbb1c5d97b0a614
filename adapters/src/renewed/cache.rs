//! What is at hand, and the one task that replaces it.
//!
//! Invariant: only that task asks the source, one fetch at a time, however many wait for it or stop waiting. What is at
//! hand is given up only for something newer, or when its life is over.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use futures_util::FutureExt as _;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tracing::{info, warn};

use super::{Item, Source, schedule};
use crate::{Access, authorize::Unproven};

/// Tells the time of day, which things expire by.
pub(super) type Clock = Box<dyn Fn() -> SystemTime + Send + Sync>;

pub(crate) struct Cache<S: Source> {
    destination: String,
    source: S,
    clock: Clock,
    state: Mutex<State<S::Item>>,
    /// Fetches that ended.
    ended: watch::Sender<u64>,
    /// Someone does not want to wait until the next fetch is due.
    wanted: Notify,
}

struct State<T> {
    held: Option<Held<T>>,
    /// A fetch is under way.
    running: bool,
    /// When the next one is due at the latest, because a peer refused what is at hand.
    forced_at: Option<Instant>,
    /// Until when no one may force another.
    no_force_until: Option<Instant>,
    /// Fetches in a row that brought nothing new, and until when there is none.
    tries: u32,
    pause_until: Option<Instant>,
    /// When to look again, at a source that is looked at all the time.
    look_at: Option<Instant>,
    /// What the last fetch failed of.
    failure: Option<String>,
    complained: Option<Instant>,
    fetched: u64,
    failures: u64,
}

struct Held<T> {
    item: T,
    arrived: SystemTime,
    /// Since when it is used instead of another.
    since: Option<Instant>,
    /// Neither, when they do not expire.
    renew_at: Option<SystemTime>,
    dead_at: Option<SystemTime>,
}

impl<T> Held<T> {
    fn is_alive(&self, now: SystemTime) -> bool {
        self.dead_at.is_none_or(|end| now < end)
    }

    /// For how long.
    fn left(&self, now: SystemTime) -> Duration {
        self.dead_at.map_or(Duration::MAX, |end| end.duration_since(now).unwrap_or_default())
    }
}

impl<S: Source> Cache<S> {
    pub(super) fn new(destination: &str, source: S, clock: Clock) -> Self {
        Self {
            destination: destination.to_owned(),
            source,
            clock,
            state: Mutex::new(State::new()),
            ended: watch::Sender::new(0),
            wanted: Notify::new(),
        }
    }

    /// Fetches whenever it is time to, for ever.
    pub(super) async fn keep(self: Arc<Self>) {
        loop {
            self.until_due().await;
            let fetch = AssertUnwindSafe(timeout(FETCH_TIMEOUT, self.source.fetch())).catch_unwind();
            let result = match fetch.await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(format!("no answer within {} s", FETCH_TIMEOUT.as_secs())),
                Err(_) => Err("the fetch ended unexpectedly".to_owned()),
            };
            self.settle(result);
            self.ended.send_modify(|ended| *ended += 1);
        }
    }

    /// Those at hand, while they live.
    pub(crate) fn current(&self) -> Option<S::Item> {
        let now = (self.clock)();
        self.state().held.as_ref().filter(|held| held.is_alive(now)).map(|held| held.item.clone())
    }

    /// The last one that came, dead or alive.
    pub(crate) fn last(&self) -> Option<S::Item> {
        self.state().held.as_ref().map(|held| held.item.clone())
    }

    pub(super) fn source(&self) -> &S {
        &self.source
    }

    /// Waits for the first ones. Once a fetch has failed no one waits for the next: they come from time to time.
    pub(super) async fn prepare(&self) -> Result<(), Unproven> {
        let mut ended = self.ended.subscribe();
        loop {
            let now = (self.clock)();
            {
                let state = self.state();
                if state.held.as_ref().is_some_and(|held| held.is_alive(now)) {
                    return Ok(());
                }
                if let Some(failure) = &state.failure {
                    return Err(Unproven(format!(
                        "no {} from {}: {failure}",
                        self.source.what(),
                        self.source.name()
                    )));
                }
            }
            // They may have ended while this machine slept.
            self.wanted.notify_one();
            if ended.changed().await.is_err() {
                return Err(Unproven("the connector is stopping".to_owned()));
            }
        }
    }

    /// Whether there are others than `used`, once the source was asked for them.
    pub(super) async fn renew(&self, used: &S::Item) -> bool {
        let mut ended = self.ended.subscribe();
        {
            let mut state = self.state();
            if self.has_other(&state, used) {
                return true;
            }
            let now = Instant::now();
            if !state.running && state.forced_at.is_none_or(|at| now < at) {
                let at = state.no_force_until.filter(|until| now < *until).unwrap_or(now);
                state.forced_at = Some(at);
                if now < at {
                    // Not now, but not only when somebody is refused again: nobody may ask for long.
                    self.wanted.notify_one();
                    return false;
                }
            }
        }
        self.wanted.notify_one();
        let _ = ended.changed().await;
        self.has_other(&self.state(), used)
    }

    /// Whether there is another than that which a call used that began at `began`, once the source was asked for it.
    pub(super) async fn renew_since(&self, began: Instant) -> bool {
        let used = match &self.state().held {
            None => return false,
            // Another is used by now: maybe not that which was refused.
            Some(held) if held.since.is_some_and(|since| since > began) => return true,
            Some(held) => held.item.clone(),
        };
        self.renew(&used).await
    }

    pub(super) fn access(&self) -> Access {
        let now = (self.clock)();
        let state = self.state();
        let held = state.held.as_ref();
        Access {
            age: held.map(|held| now.duration_since(held.arrived).unwrap_or_default()),
            expires_in: held.map(|held| held.left(now)).filter(|left| *left != Duration::MAX),
            fetched: state.fetched,
            fetch_failures: state.failures,
            clock_offset_ms: 0,
        }
    }

    fn has_other(&self, state: &State<S::Item>, used: &S::Item) -> bool {
        let now = (self.clock)();
        let held = state.held.as_ref().filter(|held| held.is_alive(now));
        held.is_some_and(|held| !held.item.is_same(used))
    }

    /// Returns when a fetch is due, and says that it is under way.
    async fn until_due(&self) {
        loop {
            let wait = {
                let mut state = self.state();
                let wait = state.wait((self.clock)(), Instant::now());
                if wait.is_zero() {
                    if state.forced_at.take().is_some() {
                        state.no_force_until = Some(Instant::now() + FORCE_INTERVAL);
                    }
                    state.running = true;
                    return;
                }
                wait
            };
            tokio::select! {
                biased;
                // In steps: the time of day may jump, and does when a machine has slept.
                () = sleep(wait.min(STEP)) => (),
                () = self.wanted.notified() => (),
            }
        }
    }

    /// Takes in how a fetch ended.
    fn settle(&self, result: Result<S::Item, String>) {
        let (now, instant, chance) = ((self.clock)(), Instant::now(), fastrand::f64());
        let mut state = self.state();
        state.running = false;
        state.look_at = self.source.look_every().map(|every| instant + every);
        let fresh = match result {
            Ok(item) => {
                let fresh = self.take(&mut state, item, now, chance);
                // A look that shows nothing new is no fetch.
                state.fetched += u64::from(fresh || state.look_at.is_none());
                fresh
            }
            Err(failure) => {
                state.failures += 1;
                state.failure = Some(failure);
                false
            }
        };
        if fresh {
            (state.tries, state.pause_until) = (0, None);
            return;
        }
        state.tries = state.tries.saturating_add(1);
        let left = state.held.as_ref().filter(|held| held.is_alive(now)).map(|held| held.left(now));
        let pause = schedule::pause(state.tries, left.is_some(), chance);
        // When those at hand end is the moment to ask once more, whatever the pause.
        state.pause_until = Some(instant + pause.min(left.unwrap_or(pause)));
        self.complain(&mut state, left, instant);
    }

    /// The source gave something. False when it is no better than what is at hand.
    fn take(&self, state: &mut State<S::Item>, item: S::Item, now: SystemTime, chance: f64) -> bool {
        let expiry = item.expiry();
        let other = state.held.as_ref().map(|held| !held.item.is_same(&item));
        if let (Some(held), Some(false)) = (&state.held, other)
            && held.item.expiry() == expiry
        {
            // Nothing failed while it lives: the source has nothing newer yet.
            state.failure = (!held.is_alive(now)).then(|| "it gives the expired ones again".to_owned());
            return false;
        }
        state.failure = None;
        let (destination, source, what) = (self.destination.as_str(), self.source.name(), self.source.what());
        let expired = expiry.is_some_and(|expiry| expiry <= now);
        if expired {
            // Before anyone is told that it is refused for that.
            warn!(destination, source, "{what} came expired; is the clock of this machine right?");
        } else if state.complained.take().is_some() {
            info!(destination, source, "new {what} came");
        }
        let since = match other {
            Some(true) => Some(Instant::now()),
            _ => state.held.as_ref().and_then(|held| held.since),
        };
        state.held = Some(Held {
            item,
            arrived: now,
            since,
            renew_at: expiry.map(|expiry| schedule::renew_at(now, expiry, chance)),
            dead_at: expiry.map(|expiry| schedule::dead_at(now, expiry)),
        });
        !expired
    }

    /// Says now and then that fetches fail. `left`: how long those at hand live.
    fn complain(&self, state: &mut State<S::Item>, left: Option<Duration>, instant: Instant) {
        let Some(failure) = &state.failure else { return };
        if state.complained.is_some_and(|last| instant.duration_since(last) < COMPLAINT_INTERVAL) {
            return;
        }
        state.complained = Some(instant);
        let (destination, source, what) = (self.destination.as_str(), self.source.name(), self.source.what());
        match left {
            Some(Duration::MAX) => {
                warn!(destination, source, "{what} cannot be fetched again: {failure}");
            }
            Some(left) => warn!(
                destination,
                source,
                left_s = left.as_secs(),
                "{what} cannot be renewed; what is at hand is used while it lives: {failure}"
            ),
            None => warn!(destination, source, "there is nothing to use for {what}: {failure}"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<S::Item>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn new() -> Self {
        Self {
            held: None,
            running: false,
            forced_at: None,
            no_force_until: None,
            tries: 0,
            pause_until: None,
            look_at: None,
            failure: None,
            complained: None,
            fetched: 0,
            failures: 0,
        }
    }

    /// How long until a fetch is due.
    fn wait(&self, now: SystemTime, instant: Instant) -> Duration {
        let forced = self.forced_at.map_or(Duration::MAX, |at| at.saturating_duration_since(instant));
        forced.min(self.regular_wait(now, instant))
    }

    /// The same, whoever was refused.
    fn regular_wait(&self, now: SystemTime, instant: Instant) -> Duration {
        if let Some(at) = self.look_at {
            return at.saturating_duration_since(instant);
        }
        let due = match &self.held {
            None => Duration::ZERO,
            Some(held) => match held.renew_at {
                Some(at) => at.duration_since(now).unwrap_or_default(),
                None => Duration::MAX,
            },
        };
        let pause =
            self.pause_until.map(|until| until.saturating_duration_since(instant)).unwrap_or_default();
        due.max(pause)
    }
}

impl<S: Source> fmt::Debug for Cache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("destination", &self.destination)
            .field("source", &self.source.name())
            .finish_non_exhaustive()
    }
}

/// The slowest chain of providers, each with tries of its own, takes less.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer that refuses everything must not make us ask the metadata service all the time.
const FORCE_INTERVAL: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_secs(60);
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
#[path = "cache/tests.rs"]
mod tests;
