//! One HTTP/2 connection: shared by many requests, driven by one task.
//!
//! The protocol is in [`session`], which knows no sockets. Requests write to its buffer under a lock; the task that owns the
//! socket writes what all of them left in one call, and reads their answers in another.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::{Instant, timeout};
use tracing::debug;

use self::{driver::Driver, head::Known, session::Session};
use super::{
    Answered, Lost,
    connect::{ConnectError, Io},
    request::{Call, Template},
    slots::Permit,
};

#[cfg(test)]
mod comparison;
mod driver;
mod fields;
mod frame;
#[cfg(any(fuzzing, test))]
#[cfg_attr(test, allow(unreachable_pub, reason = "the fuzz targets are outside of this crate"))]
pub mod fuzzed;
mod head;
mod hpack;
mod session;

/// The sending half of a connection.
pub(super) struct Http2 {
    shared: Arc<Shared>,
    in_flight: AtomicUsize,
    opened: Instant,
    retired: AtomicBool,
}

/// What requests and the task of the connection have in common.
struct Shared {
    state: Mutex<State>,
    /// Requests at once: ours, or the peer's limit when that is lower.
    streams: AtomicUsize,
    streams_configured: usize,
    /// No new requests: the peer goes away, or all is over.
    ended: AtomicBool,
}

struct State {
    session: Session,
    /// The head that was sent last, and may be sent as it is.
    known: Option<Known>,
    last_answer: Instant,
    /// The task, and whether it will look at the session anyway.
    driver: Option<Waker>,
    driver_awake: bool,
}

impl State {
    /// Something is to be written.
    fn wake_driver(&mut self) -> Option<Waker> {
        if std::mem::replace(&mut self.driver_awake, true) { None } else { self.driver.clone() }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Http2 {
    /// Says hello and waits for the peer's settings: they prove that the peer speaks HTTP/2, and hold its
    /// limit of concurrent streams.
    pub(super) async fn new(
        io: Io,
        permit: Permit,
        streams_max: usize,
        limit: Duration,
    ) -> Result<Arc<Self>, ConnectError> {
        let now = Instant::now();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                session: Session::new(),
                known: None,
                last_answer: now,
                driver: None,
                driver_awake: false,
            }),
            streams: AtomicUsize::new(0),
            streams_configured: streams_max,
            ended: AtomicBool::new(false),
        });
        let mut driver = Driver::new(io, Arc::clone(&shared));
        let greeting = poll_fn(|cx| {
            let finished = driver.poll_turn(cx);
            if shared.streams.load(Ordering::Relaxed) > 0 {
                return Poll::Ready(true);
            }
            finished.map(|()| false)
        });
        let greeted = timeout(limit, greeting).await;
        match greeted {
            Ok(true) => {}
            Ok(false) => return Err(driver.refusal()),
            Err(_) => return Err(ConnectError::late("the peer's HTTP/2 settings", limit)),
        }
        tokio::spawn(drive(driver, permit));
        Ok(Arc::new(Self {
            shared,
            in_flight: AtomicUsize::new(0),
            opened: now,
            retired: AtomicBool::new(false),
        }))
    }

    /// Requests on it now.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether new requests may use it: alive, not retired, neither too old nor idle for too long.
    pub(super) fn is_usable(&self, now: Instant, ttl: Option<Duration>, idle: Duration) -> bool {
        !self.shared.ended.load(Ordering::Relaxed)
            && !self.retired.load(Ordering::Relaxed)
            && ttl.is_none_or(|ttl| now.duration_since(self.opened) < ttl)
            && (self.in_flight() > 0 || now.duration_since(self.last_answer()) < idle)
    }

    /// Whether one more request fits. Callers hold the lock of the pool, so that two never take one place.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight() < self.shared.streams.load(Ordering::Relaxed)
    }

    /// One more request is on its way.
    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// One request less. `unanswered_since` is when a request was sent that timed out; when the peer has been
    /// silent ever since, the connection may lead nowhere and gets no new requests.
    pub(super) fn leave(&self, unanswered_since: Option<Instant>) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        if unanswered_since.is_some_and(|sent| self.last_answer() <= sent) {
            self.retire();
        }
    }

    /// No new requests; it closes when the last one ends.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Sends one request, whose answer is to be awaited: the whole of it, or as much as counts. Dropped before that, it
    /// resets the stream; the connection lives on.
    pub(super) fn send(&self, template: &Template, call: &Call<'_>) -> Result<Exchange<'_>, Lost> {
        let mut state = self.shared.lock();
        let begun = if state.knows(call) {
            state.begin_known(call)
        } else {
            drop(state);
            // Signing takes its time.
            let request = template.http2(call).map_err(|unproven| Lost::Unproven(unproven.0))?;
            state = self.shared.lock();
            state.begin(&request, call)
        };
        let driver = state.wake_driver();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        match begun {
            Ok(stream) => Ok(Exchange { connection: self, stream, fetched: false }),
            Err(words) => {
                // Nothing was sent: the connection is going away, has no stream number left (after 2^30 requests),
                // or the peer lowered its limit. A new one settles all three.
                self.retire();
                Err(Lost::Unprocessed(words.to_owned()))
            }
        }
    }

    fn last_answer(&self) -> Instant {
        self.shared.lock().last_answer
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.session.say_goodbye();
        let driver = state.wake_driver();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

/// A request that was sent.
pub(super) struct Exchange<'a> {
    connection: &'a Http2,
    stream: u32,
    fetched: bool,
}

impl Future for Exchange<'_> {
    type Output = Result<Answered, Lost>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = self.connection.shared.lock().session.poll_answer(self.stream, cx.waker());
        self.fetched = answer.is_ready();
        answer
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if self.fetched {
            return;
        }
        let mut state = self.connection.shared.lock();
        state.session.cancel(self.stream);
        let driver = state.wake_driver();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

/// Moves bytes until the connection ends, or until nobody holds its sending half and a goodbye was said.
async fn drive(mut driver: Driver, permit: Permit) {
    poll_fn(|cx| driver.poll_turn(cx)).await;
    let end = driver.end();
    if let Some(end) = &end {
        debug!(error = %end, "HTTP/2 connection ended");
    }
    if !matches!(end, Some(Lost::Broken(_))) {
        // A peer that does not read must not keep a connection open that nobody uses.
        _ = timeout(GOODBYE, poll_fn(|cx| driver.poll_goodbye(cx))).await;
    }
    drop(driver);
    drop(permit);
}

const GOODBYE: Duration = Duration::from_secs(1);
