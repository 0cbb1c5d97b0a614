//! The HTTP client of the delivery path: the only code here that opens connections to destinations.
//!
//! It owns its connections because the settings speak of them: how many, how old, how many streams on each;
//! and because only so it is known what was surely not processed and may be sent again at once. Everything
//! else that fails is reported, never repeated.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use tokio::{
    sync::Notify,
    time::{Instant, interval},
};

use self::{
    connect::ConnectError,
    endpoint::{Place, Ready},
    kept::Kept,
    timers::Timers,
};
pub(crate) use self::{
    connect::Peer,
    counters::Queued,
    endpoint::{Endpoint, Limits},
    kept::Keep,
    request::{Call, PROBE, Template},
};
use crate::endpoints::choose;

pub(crate) mod complaints;
mod connect;
pub(crate) mod counters;
mod endpoint;
mod http1;
#[cfg(not(fuzzing))]
mod http2;
#[cfg(fuzzing)]
pub(crate) mod http2;
mod kept;
mod request;
mod slots;
mod timers;

/// All endpoints of one destination.
#[derive(Debug)]
pub(crate) struct Client {
    endpoints: Vec<Arc<Endpoint>>,
    next: AtomicUsize,
    /// Told whenever a place for a request may have come free, at any endpoint.
    freed: Arc<Notify>,
    call_timeout: Duration,
    timers: Timers,
}

/// An answer that arrived.
pub(crate) struct Answer<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// False when the connection broke inside the body.
    pub(crate) whole: bool,
    /// What was kept of the body.
    pub(crate) body: Bytes,
    /// True when there was more of it than is ever read.
    pub(crate) cut: bool,
    pub(crate) queued: Queued<'a>,
    pub(crate) endpoint: &'a Endpoint,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// Where to look: one of the words of [`crate::ProbeFailure::missing`].
    pub(crate) missing: &'static str,
    pub(crate) words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// No connection, or it broke.
    Unreachable,
    /// The call took too long.
    Timeout,
    /// What came is not HTTP, or beyond all bounds.
    Malformed,
    /// Nothing was sent: there was nothing to prove with who sends.
    Unproven,
}

impl Failure {
    pub(crate) fn unproven(words: String) -> Self {
        Self { kind: FailureKind::Unproven, missing: "credentials", words }
    }
}

/// The answer of one exchange.
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    whole: bool,
    body: Bytes,
    cut: bool,
}

impl Answered {
    fn new(status: StatusCode, headers: HeaderMap, whole: bool, kept: Kept) -> Self {
        let cut = kept.cut;
        Self { status, headers, whole, body: kept.into_body(), cut }
    }
}

/// How far a call got: what runs out of time is dropped where it stands, and cannot tell any more.
#[derive(Default)]
struct Progress {
    endpoint: AtomicUsize,
    /// On its way to that endpoint, the connect included.
    sent: AtomicBool,
}

impl Progress {
    fn reached(&self, endpoint: usize) {
        self.endpoint.store(endpoint, Ordering::Relaxed);
        self.sent.store(true, Ordering::Relaxed);
    }
}

/// Why an exchange has no answer, with a text for the log.
#[derive(Clone, Debug)]
enum Lost {
    /// The peer surely did nothing with the request.
    Unprocessed(String),
    /// An idle connection that the peer most likely closed just before the request came.
    Stale(String),
    /// The request may have been processed.
    Broken(String),
    Malformed(String),
    /// Nothing was sent.
    Unproven(String),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unprocessed(text)
            | Self::Stale(text)
            | Self::Broken(text)
            | Self::Malformed(text)
            | Self::Unproven(text) => f.write_str(text),
        }
    }
}

impl Client {
    /// Opens nothing yet. `freed` is the one given to every endpoint.
    pub(crate) fn new(endpoints: Vec<Arc<Endpoint>>, freed: Arc<Notify>, call_timeout: Duration) -> Self {
        Self { endpoints, next: AtomicUsize::new(0), freed, call_timeout, timers: Timers::default() }
    }

    pub(crate) fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// When a call that begins at `now` has to be over.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        now + self.call_timeout
    }

    /// One request, one answer, from `now` until `deadline`.
    pub(crate) async fn call(
        &self,
        call: &Call<'_>,
        now: Instant,
        deadline: Instant,
    ) -> Result<Answer<'_>, Failure> {
        let progress = Progress::default();
        // What runs out of time is dropped before anything else is said of it.
        let answer = {
            let attempts = pin!(self.attempts(call, now, deadline, &progress));
            self.timers.within(deadline, attempts).await
        };
        answer.unwrap_or_else(|| {
            let what = if progress.sent.into_inner() { "no answer" } else { "no connection came free" };
            let endpoint = &self.endpoints[progress.endpoint.into_inner() % self.endpoints.len()];
            let words = format!("{what} within {} ms (call-timeout)", self.call_timeout.as_millis());
            endpoint.complain(None, &words);
            Err(Failure { kind: FailureKind::Timeout, missing: "connection", words })
        })
    }

    /// A line in the log about what kept a request from being sent at all, unless there was one just now.
    pub(crate) fn complain(&self, problem: &dyn fmt::Display) {
        if let Some(endpoint) = self.endpoints.first() {
            endpoint.complain(None, problem);
        }
    }

    /// Closes idle and aged connections now and then. Runs until dropped.
    pub(crate) async fn sweep(endpoints: Vec<Arc<Endpoint>>) {
        let mut ticks = interval(SWEEP_INTERVAL);
        loop {
            let now = ticks.tick().await;
            endpoints.iter().for_each(|endpoint| endpoint.sweep(now));
        }
    }

    async fn attempts(
        &self,
        call: &Call<'_>,
        mut now: Instant,
        deadline: Instant,
        progress: &Progress,
    ) -> Result<Answer<'_>, Failure> {
        let mut repeats_left = REPEATS_MAX;
        let mut unreachable = Vec::new();
        let mut fresh = false;
        loop {
            let (index, place) = self.place(now, deadline, &mut unreachable, fresh).await;
            progress.reached(index);
            let endpoint = &self.endpoints[index];
            let mut queued = endpoint.queue();
            queued.sent();
            let ready = match ready(place, now).await {
                Ok(Some(ready)) => ready,
                Ok(None) => {
                    queued.retried();
                    continue;
                }
                Err(error) => {
                    unreachable.push(index);
                    if unreachable.len() == self.endpoints.len() || repeats_left == 0 {
                        let ConnectError { missing, words } = error;
                        return Err(Failure { kind: FailureKind::Unreachable, missing, words });
                    }
                    repeats_left -= 1;
                    now = Instant::now();
                    continue;
                }
            };
            match endpoint.exchange(ready, call).await {
                Ok(Answered { status, headers, whole, body, cut }) => {
                    return Ok(Answer { status, headers, whole, body, cut, queued, endpoint });
                }
                Err(Lost::Unprocessed(_)) if repeats_left > 0 => repeats_left -= 1,
                // Maybe processed, but a repeat is no worse than the one the source would send.
                Err(Lost::Stale(_)) if !fresh => fresh = true,
                Err(Lost::Malformed(words)) => {
                    return Err(Failure { kind: FailureKind::Malformed, missing: "connection", words });
                }
                Err(Lost::Unproven(words)) => return Err(Failure::unproven(words)),
                Err(Lost::Unprocessed(words) | Lost::Stale(words) | Lost::Broken(words)) => {
                    return Err(Failure { kind: FailureKind::Unreachable, missing: "connection", words });
                }
            }
            queued.retried();
            endpoint.repeated();
            progress.sent.store(false, Ordering::Relaxed);
            now = Instant::now();
        }
    }

    /// Waits for a place at any endpoint that is not known as `unreachable`.
    async fn place(
        &self,
        now: Instant,
        deadline: Instant,
        unreachable: &mut Vec<usize>,
        fresh: bool,
    ) -> (usize, Place<'_>) {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(found) = self.try_place(start, now, deadline, unreachable, fresh) {
            return found;
        }
        let _waiting = self.endpoints[start % self.endpoints.len()].queue();
        loop {
            let mut freed = pin!(self.freed.notified());
            // Before the look: a place that comes free between look and wait must not be missed.
            freed.as_mut().enable();
            if let Some(found) = self.try_place(start, Instant::now(), deadline, unreachable, fresh) {
                return found;
            }
            freed.await;
            // Who is woken must be able to take any place, or the wake-up is lost on others who could.
            unreachable.clear();
        }
    }

    fn try_place(
        &self,
        start: usize,
        now: Instant,
        deadline: Instant,
        unreachable: &[usize],
        fresh: bool,
    ) -> Option<(usize, Place<'_>)> {
        choose(self.endpoints.len(), start, |index, force| {
            if unreachable.contains(&index) {
                return crate::endpoints::Offer::Unhealthy;
            }
            self.endpoints[index].ask(now, deadline, force, fresh).map(|place| (index, place))
        })
    }
}

/// A connection out of a place; `None` when the idle one offered has died meanwhile.
async fn ready(place: Place<'_>, now: Instant) -> Result<Option<Ready<'_>>, ConnectError> {
    match place {
        Place::Http1(mut connection) => {
            let usable = connection.is_usable(now);
            Ok(usable.then_some(Ready::Http1(connection)))
        }
        Place::Http2(stream) => Ok(Some(Ready::Http2(stream))),
        // Boxed: it is large, seldom, and must not make the futures of all large.
        Place::Connect(opening) => Box::pin(opening.connect()).await.map(Some),
    }
}

/// Repeats of what was surely not processed, within one call.
const REPEATS_MAX: u32 = 2;
/// Bytes of an answer's head; what is longer is no answer to us.
const ANSWER_HEAD_BYTES_MAX: usize = crate::http1::HEAD_BYTES_MAX;
/// Bytes of an answer's body that are read to keep the connection; beyond, closing it is cheaper.
const ANSWER_BODY_BYTES_MAX: usize = 64 * 1024;
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
