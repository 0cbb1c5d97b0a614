//! One endpoint: its connections, its health, its counters.
//!
//! Invariant: every connection, being opened or open, holds one [`Permit`] of at most
//! `max-connections-per-endpoint`; giving the permit back wakes whoever waits for a place.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use ::http::StatusCode;
use tokio::{sync::Notify, time::Instant};
use tracing::{debug, warn};

use super::{
    Answered, Lost,
    complaints::Complaints,
    connect::{ConnectError, Peer},
    counters::{Counters, Queued},
    http1::Http1,
    http2::Http2,
    request::{Call, Template},
    slots::{Permit, Slots},
};
use crate::{
    EndpointStats,
    endpoints::{Health, Offer},
    http::Protocol,
};

/// One URL of a destination and all that is open towards it.
pub(crate) struct Endpoint {
    destination: String,
    label: String,
    peer: Peer,
    template: Template,
    protocol: Protocol,
    limits: Limits,
    slots: Arc<Slots>,
    state: Mutex<State>,
    complaints: Complaints,
    fallback_told: AtomicBool,
    /// 0 unknown, 1 `http/1.1`, 2 `h2`.
    negotiated: AtomicU8,
    counters: Counters,
}

/// Bounds of one endpoint.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connections_max: usize,
    pub(crate) streams_max: usize,
    /// Age at which a connection is replaced.
    pub(crate) ttl: Option<Duration>,
}

struct State {
    health: Health,
    /// HTTP/1.1 connections without a request; the last used is used next.
    #[expect(
        clippy::vec_box,
        reason = "moved out and back for every request, and several hundred bytes big"
    )]
    idle: Vec<Box<Http1>>,
    shared: Vec<Arc<Http2>>,
    opening: usize,
}

impl Endpoint {
    pub(crate) fn new(
        destination: &str,
        peer: Peer,
        template: Template,
        protocol: Protocol,
        limits: Limits,
        health: Health,
        freed: &Arc<Notify>,
    ) -> Self {
        let host = if peer.host.contains(':') { format!("[{}]", peer.host) } else { peer.host.clone() };
        Self {
            destination: destination.to_owned(),
            label: format!("{host}:{}", peer.port),
            peer,
            template,
            protocol,
            limits,
            slots: Arc::new(Slots::new(Arc::clone(freed))),
            state: Mutex::new(State { health, idle: Vec::new(), shared: Vec::new(), opening: 0 }),
            complaints: Complaints::default(),
            fallback_told: AtomicBool::new(false),
            negotiated: AtomicU8::new(0),
            counters: Counters::default(),
        }
    }

    /// Asks for a place for one request. `force` overrides health, `fresh` wants a new connection.
    pub(super) fn ask(&self, now: Instant, deadline: Instant, force: bool, fresh: bool) -> Offer<Place<'_>> {
        let mut stale = Vec::new();
        let mut state = self.state();
        if !force && !state.health.admits(now) {
            return Offer::Unhealthy;
        }
        while !fresh && let Some(idle) = state.idle.pop() {
            if self.may_wait_or_go_on(&idle, now) {
                return Offer::Place(Place::Http1(idle));
            }
            stale.push(idle);
        }
        let retired = self.remove_retired(&mut state, now);
        let least =
            state.shared.iter().filter(|shared| shared.has_room()).min_by_key(|shared| shared.in_flight());
        if let Some(shared) = least {
            return Offer::Place(Place::Http2(Stream::enter(Arc::clone(shared), &self.slots, now, deadline)));
        }
        // What is closed here makes room for what is opened.
        drop((stale, retired));
        // One HTTP/2 connection serves many: those who come meanwhile wait for it.
        if state.opening > 0 && self.expects_http2() {
            return Offer::Busy;
        }
        let permit = Permit::take(&self.slots, self.limits.connections_max).or_else(|| {
            // Idle ones are left where a new one is wanted only: it takes the place of one of them.
            drop(state.idle.pop()?);
            Permit::take(&self.slots, self.limits.connections_max)
        });
        match permit {
            Some(permit) => {
                state.health.connecting(now);
                state.opening += 1;
                Offer::Place(Place::Connect(Opening {
                    endpoint: self,
                    permit: Some(permit),
                    deadline,
                    decided: false,
                }))
            }
            None => Offer::Busy,
        }
    }

    /// Sends `call` on a connection that is ready for it.
    pub(super) async fn exchange(&self, ready: Ready<'_>, call: &Call<'_>) -> Result<Answered, Lost> {
        let result = match ready {
            Ready::Http1(mut connection) => match self.template.http1(call, connection.head()) {
                Ok(()) => {
                    self.counters.sent(call.body.len());
                    let result = connection.exchange(&call.body, call.keep).await;
                    if result.is_ok() {
                        self.put_back(connection);
                    }
                    result
                }
                Err(unproven) => {
                    self.put_back(connection);
                    Err(Lost::Unproven(unproven.0))
                }
            },
            Ready::Http2(mut stream) => {
                let result = match stream.connection.send(&self.template, call) {
                    Ok(exchange) => {
                        self.counters.sent(call.body.len());
                        exchange.await
                    }
                    Err(lost) => Err(lost),
                };
                stream.settled = true;
                result
            }
        };
        match &result {
            Ok(answered) => self.counters.answered(answered.status),
            Err(lost) => self.complain(None, lost),
        }
        result
    }

    /// `host:port`, for logs and metrics.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Whom requests name as their receiver: `host` or `host:port`.
    pub(crate) fn host(&self) -> &str {
        self.template.host()
    }

    /// Closes what has been idle or open for too long.
    pub(super) fn sweep(&self, now: Instant) {
        let mut state = self.state();
        let (keep, idle) =
            state.idle.drain(..).partition(|connection| self.may_wait_or_go_on(connection, now));
        state.idle = keep;
        let retired = self.remove_retired(&mut state, now);
        drop(state);
        drop::<Vec<Box<Http1>>>(idle);
        drop(retired);
    }

    /// A health check ended.
    pub(crate) fn checked(&self, result: Result<(), String>) {
        let passed = result.is_ok();
        self.counters.checked(passed);
        let changed = self.state().health.checked(passed);
        let (destination, endpoint) = (&self.destination, &self.label);
        match (changed, result) {
            (Some(_), Ok(())) => {
                tracing::info!(destination, endpoint, "endpoint is healthy again");
                self.slots.tell_all();
            }
            (Some(_), Err(reason)) => {
                warn!(
                    destination,
                    endpoint, reason, "endpoint is unhealthy; requests go to others, if there are any"
                );
            }
            (None, Ok(())) => (),
            (None, Err(reason)) => debug!(destination, endpoint, reason, "health check failed"),
        }
    }

    /// A request is sent once more, for a reason that makes no duplicates worth the name.
    pub(crate) fn repeated(&self) {
        self.counters.repeated();
    }

    /// Counts a request as in flight or waiting until the result is dropped.
    pub(super) fn queue(&self) -> Queued<'_> {
        self.counters.queue()
    }

    pub(crate) fn stats(&self) -> EndpointStats {
        EndpointStats {
            healthy: self.state().health.is_healthy(),
            connections: self.slots.open() as u64,
            protocol: match self.negotiated.load(Relaxed) {
                1 => Some("http/1.1"),
                2 => Some("h2"),
                _ => None,
            },
            ..self.counters.stats(self.label.clone())
        }
    }

    fn put_back(&self, mut connection: Box<Http1>) {
        connection.idle_since = Instant::now();
        if connection.is_reusable() && self.may_wait_or_go_on(&connection, connection.idle_since) {
            self.state().idle.push(connection);
            self.slots.tell_one();
        }
    }

    fn may_wait_or_go_on(&self, connection: &Http1, now: Instant) -> bool {
        now.duration_since(connection.idle_since) < IDLE_MAX
            && self.limits.ttl.is_none_or(|ttl| now.duration_since(connection.opened) < ttl)
    }

    fn remove_retired(&self, state: &mut State, now: Instant) -> Vec<Arc<Http2>> {
        state.shared.extract_if(.., |shared| !shared.is_usable(now, self.limits.ttl, IDLE_MAX)).collect()
    }

    fn expects_http2(&self) -> bool {
        self.protocol == Protocol::Http2 && self.negotiated.load(Relaxed) != 1
    }

    fn negotiated(&self, http2: bool) {
        self.negotiated.store(if http2 { 2 } else { 1 }, Relaxed);
        if !http2 && self.protocol == Protocol::Http2 && !self.fallback_told.swap(true, Relaxed) {
            let (destination, endpoint) = (&self.destination, &self.label);
            warn!(destination, endpoint, "the peer offers no HTTP/2; HTTP/1.1 is used");
        }
    }

    /// A line in the log about an answer with `status`, or about none, unless there was one just now.
    pub(crate) fn complain(&self, status: Option<StatusCode>, problem: &dyn std::fmt::Display) {
        if let Some(suppressed) = self.complaints.due(status, Instant::now()) {
            let (destination, endpoint) = (&self.destination, &self.label);
            warn!(destination, endpoint, suppressed, "request failed: {problem}");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoint").field(&self.label).finish()
    }
}

/// A place for one request.
pub(super) enum Place<'a> {
    /// An idle connection; look whether it still lives.
    Http1(Box<Http1>),
    Http2(Stream<'a>),
    /// Leave to open a connection.
    Connect(Opening<'a>),
}

/// A connection that can take the request now.
pub(super) enum Ready<'a> {
    Http1(Box<Http1>),
    Http2(Stream<'a>),
}

/// One request's place on a shared connection.
pub(super) struct Stream<'a> {
    connection: Arc<Http2>,
    slots: &'a Slots,
    since: Instant,
    deadline: Instant,
    settled: bool,
}

impl<'a> Stream<'a> {
    fn enter(connection: Arc<Http2>, slots: &'a Slots, since: Instant, deadline: Instant) -> Self {
        connection.enter();
        Self { connection, slots, since, deadline, settled: false }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        let timed_out = !self.settled && Instant::now() >= self.deadline;
        self.connection.leave(timed_out.then_some(self.since));
        self.slots.tell_one();
    }
}

/// A connection on its way. Dropped undecided after the deadline, it counts as a failed connect.
pub(super) struct Opening<'a> {
    endpoint: &'a Endpoint,
    permit: Option<Permit>,
    deadline: Instant,
    decided: bool,
}

impl<'a> Opening<'a> {
    /// Connects and makes the connection known to the pool.
    pub(super) async fn connect(mut self) -> Result<Ready<'a>, ConnectError> {
        let result = self.open().await;
        self.decided = true;
        let endpoint = self.endpoint;
        let mut state = endpoint.state();
        match &result {
            Ok(_) => state.health.connected(),
            Err(_) => state.health.connect_failed(Instant::now()),
        }
        let ready = result.map(|opened| match opened {
            Opened::Http1(connection) => Ready::Http1(connection),
            Opened::Http2(connection) => {
                state.shared.push(Arc::clone(&connection));
                Ready::Http2(Stream::enter(connection, &endpoint.slots, Instant::now(), self.deadline))
            }
        });
        drop(state);
        match &ready {
            Ok(ready) => endpoint.negotiated(matches!(ready, Ready::Http2(_))),
            Err(error) => endpoint.complain(None, error),
        }
        ready
    }

    async fn open(&mut self) -> Result<Opened, ConnectError> {
        let Some(permit) = self.permit.take() else { unreachable!("opened once") };
        let endpoint = self.endpoint;
        let connected = endpoint.peer.connect().await?;
        let prior_knowledge = endpoint.peer.tls.is_none() && endpoint.protocol == Protocol::Http2;
        if connected.alpn_h2 || prior_knowledge {
            Http2::new(connected.io, permit, endpoint.limits.streams_max, endpoint.peer.timeout)
                .await
                .map(Opened::Http2)
        } else {
            let memory = connected.io.memory();
            Ok(Opened::Http1(Box::new(Http1::new(connected.io, memory, permit))))
        }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut state = self.endpoint.state();
        state.opening -= 1;
        if !self.decided && Instant::now() >= self.deadline {
            state.health.connect_failed(Instant::now());
        }
        drop(state);
        self.permit = None;
        self.endpoint.slots.tell_all();
    }
}

enum Opened {
    Http1(Box<Http1>),
    Http2(Arc<Http2>),
}

/// Shorter than the 60 s after which common load balancers close: a connection is closed by us, between
/// requests, and not by the peer under one.
const IDLE_MAX: Duration = Duration::from_secs(50);
