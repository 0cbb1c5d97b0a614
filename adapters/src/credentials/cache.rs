//! The credentials at hand, and the one task that replaces them.
//!
//! Invariant: only that task asks the source, one fetch at a time, however many wait for it or stop waiting. What is at
//! hand is given up only for something newer, or when its life is over.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use aws_config::SdkConfig;
use futures_util::FutureExt as _;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tracing::{info, warn};

use super::{
    Current, schedule,
    source::{Fetched, Source},
};
use crate::{Access, authorize::Unproven};

/// Tells the time of day, which credentials expire by.
pub(super) type Clock = Box<dyn Fn() -> SystemTime + Send + Sync>;

pub(super) struct Cache {
    destination: String,
    source: Box<dyn Source>,
    clock: Clock,
    state: Mutex<State>,
    /// Fetches that ended.
    ended: watch::Sender<u64>,
    /// Someone does not want to wait until the next fetch is due.
    wanted: Notify,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// A fetch is under way.
    running: bool,
    /// The next one is due at once.
    forced: bool,
    /// Until when no one may force another.
    no_force_until: Option<Instant>,
    /// Fetches in a row that brought nothing new, and until when there is none.
    tries: u32,
    pause_until: Option<Instant>,
    /// What the last fetch failed of.
    failure: Option<String>,
    complained: Option<Instant>,
    fetched: u64,
    failures: u64,
}

struct Held {
    fetched: Fetched,
    arrived: SystemTime,
    /// Neither, when they do not expire.
    renew_at: Option<SystemTime>,
    dead_at: Option<SystemTime>,
}

impl Held {
    fn is_alive(&self, now: SystemTime) -> bool {
        self.dead_at.is_none_or(|end| now < end)
    }

    /// For how long.
    fn left(&self, now: SystemTime) -> Duration {
        self.dead_at.map_or(Duration::MAX, |end| end.duration_since(now).unwrap_or_default())
    }

    fn current(&self) -> Current {
        let region = self.fetched.base.region().map(|region| region.as_ref().to_owned());
        Current { credentials: self.fetched.credentials.clone(), region }
    }
}

impl Cache {
    pub(super) fn new(destination: &str, source: Box<dyn Source>, clock: Clock) -> Self {
        Self {
            destination: destination.to_owned(),
            source,
            clock,
            state: Mutex::default(),
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
    pub(super) fn current(&self) -> Option<Current> {
        let now = (self.clock)();
        self.state().held.as_ref().filter(|held| held.is_alive(now)).map(Held::current)
    }

    pub(super) fn base(&self) -> Option<SdkConfig> {
        self.state().held.as_ref().map(|held| held.fetched.base.clone())
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
                        "no AWS credentials from {}: {failure}",
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
    pub(super) async fn renew(&self, used: &aws_credential_types::Credentials) -> bool {
        let mut ended = self.ended.subscribe();
        {
            let mut state = self.state();
            if self.has_other(&state, used) {
                return true;
            }
            if !state.running && !state.forced {
                let now = Instant::now();
                if state.no_force_until.is_some_and(|until| now < until) {
                    return false;
                }
                state.forced = true;
                state.no_force_until = Some(now + FORCE_INTERVAL);
            }
        }
        self.wanted.notify_one();
        let _ = ended.changed().await;
        self.has_other(&self.state(), used)
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

    fn has_other(&self, state: &State, used: &aws_credential_types::Credentials) -> bool {
        let now = (self.clock)();
        let held = state.held.as_ref().filter(|held| held.is_alive(now));
        held.is_some_and(|held| !are_same(&held.fetched.credentials, used))
    }

    /// Returns when a fetch is due, and says that it is under way.
    async fn until_due(&self) {
        loop {
            let wait = {
                let mut state = self.state();
                let wait = state.wait((self.clock)(), Instant::now());
                if wait.is_zero() {
                    state.forced = false;
                    state.running = true;
                    return;
                }
                wait
            };
            tokio::select! {
                // In steps: the time of day may jump, and does when a machine has slept.
                () = sleep(wait.min(STEP)) => (),
                () = self.wanted.notified() => (),
            }
        }
    }

    /// Takes in how a fetch ended.
    fn settle(&self, result: Result<Fetched, String>) {
        let (now, instant, chance) = ((self.clock)(), Instant::now(), fastrand::f64());
        let mut state = self.state();
        state.running = false;
        let fresh = match result {
            Ok(fetched) => {
                state.fetched += 1;
                self.take(&mut state, fetched, now, chance)
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

    /// The source gave credentials. False when they are no better than those at hand.
    fn take(&self, state: &mut State, fetched: Fetched, now: SystemTime, chance: f64) -> bool {
        let expiry = fetched.credentials.expiry();
        if let Some(held) = &state.held
            && are_same(&held.fetched.credentials, &fetched.credentials)
            && held.fetched.credentials.expiry() == expiry
        {
            // Nothing failed while they live: it has no newer ones yet.
            state.failure = (!held.is_alive(now)).then(|| "it gives the expired ones again".to_owned());
            return false;
        }
        state.failure = None;
        let (destination, source) = (self.destination.as_str(), self.source.name());
        let expired = expiry.is_some_and(|expiry| expiry <= now);
        if expired {
            // Before anyone is told that they are refused for it.
            warn!(destination, source, "AWS credentials came expired; is the clock of this machine right?");
        } else if state.complained.take().is_some() {
            info!(destination, source, "new AWS credentials came");
        }
        state.held = Some(Held {
            fetched,
            arrived: now,
            renew_at: expiry.map(|expiry| schedule::renew_at(now, expiry, chance)),
            dead_at: expiry.map(|expiry| schedule::dead_at(now, expiry)),
        });
        !expired
    }

    /// Says now and then that fetches fail. `left`: how long those at hand live.
    fn complain(&self, state: &mut State, left: Option<Duration>, instant: Instant) {
        let Some(failure) = &state.failure else { return };
        if state.complained.is_some_and(|last| instant.duration_since(last) < COMPLAINT_INTERVAL) {
            return;
        }
        state.complained = Some(instant);
        let (destination, source) = (self.destination.as_str(), self.source.name());
        match left {
            Some(Duration::MAX) => {
                warn!(destination, source, "AWS credentials cannot be fetched again: {failure}");
            }
            Some(left) => warn!(
                destination,
                source,
                left_s = left.as_secs(),
                "AWS credentials cannot be renewed; those at hand are used while they live: {failure}"
            ),
            None => warn!(destination, source, "there are no AWS credentials: {failure}"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How long until a fetch is due.
    fn wait(&self, now: SystemTime, instant: Instant) -> Duration {
        if self.forced {
            return Duration::ZERO;
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

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("destination", &self.destination)
            .field("source", &self.source.name())
            .finish_non_exhaustive()
    }
}

/// Whether a peer sees no difference.
fn are_same(one: &aws_credential_types::Credentials, other: &aws_credential_types::Credentials) -> bool {
    one.access_key_id() == other.access_key_id()
        && one.secret_access_key() == other.secret_access_key()
        && one.session_token() == other.session_token()
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
