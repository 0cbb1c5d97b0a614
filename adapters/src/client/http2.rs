//! One HTTP/2 connection: shared by many requests, driven by one task.
//!
//! Built on the `h2` crate, which hyper itself uses: hyper hides what is needed here (how many streams the
//! peer allows, whether a stream was refused unprocessed) and adds a channel and a task hop per request.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{Either, select};
use h2::{
    Reason, RecvStream,
    client::{Builder, Connection, SendRequest},
};
use hyper::{Request, Response};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};
use tracing::debug;

use super::{
    ANSWER_BODY_BYTES_MAX, ANSWER_HEAD_BYTES_MAX, Answered, Lost,
    coalesce::Coalesced,
    connect::{ConnectError, Io, Memory},
    kept::{Keep, Kept},
    slots::Permit,
};

/// The sending half of a connection.
pub(super) struct Http2 {
    sender: Mutex<SendRequest<Bytes>>,
    in_flight: AtomicUsize,
    /// Requests at once: ours, or the peer's limit when that is lower.
    streams: AtomicUsize,
    streams_configured: usize,
    opened: Instant,
    last_answer: Mutex<Instant>,
    retired: AtomicBool,
    ended: Arc<AtomicBool>,
    memory: Memory,
    /// Its drop tells the task to say goodbye.
    _closing: oneshot::Sender<()>,
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
        let memory = io.memory();
        let (sender, connection) = timeout(limit, greet(io))
            .await
            .map_err(|_| ConnectError::late("the peer's HTTP/2 settings", limit))?
            .map_err(|error| match memory.fault() {
                Some(fault) => ConnectError::of("tls", fault),
                None => ConnectError::new("the peer does not speak HTTP/2 (see protocol)", &error),
            })?;
        let (closing, closed) = oneshot::channel();
        let ended = Arc::new(AtomicBool::new(false));
        let now = Instant::now();
        let shared = Arc::new(Self {
            streams: AtomicUsize::new(streams_max.min(sender.current_max_send_streams())),
            streams_configured: streams_max,
            sender: Mutex::new(sender),
            in_flight: AtomicUsize::new(0),
            opened: now,
            last_answer: Mutex::new(now),
            retired: AtomicBool::new(false),
            ended: Arc::clone(&ended),
            memory,
            _closing: closing,
        });
        tokio::spawn(drive(connection, closed, ended, permit));
        Ok(shared)
    }

    /// Requests on it now.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether new requests may use it: alive, not retired, neither too old nor idle for too long.
    pub(super) fn is_usable(&self, now: Instant, ttl: Option<Duration>, idle: Duration) -> bool {
        !self.ended.load(Ordering::Relaxed)
            && !self.retired.load(Ordering::Relaxed)
            && ttl.is_none_or(|ttl| now.duration_since(self.opened) < ttl)
            && (self.in_flight() > 0 || now.duration_since(self.last_answer()) < idle)
    }

    /// Whether one more request fits. Callers hold the lock of the pool, so that two never take one place.
    pub(super) fn has_room(&self) -> bool {
        if self.in_flight() < self.streams.load(Ordering::Relaxed) {
            return true;
        }
        self.refresh_streams();
        self.in_flight() < self.streams.load(Ordering::Relaxed)
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

    /// Sends one request and reads the whole answer, or as much of it as counts. Dropped midway, it resets the
    /// stream; the connection lives on.
    pub(super) async fn exchange(
        &self,
        request: Request<()>,
        body: Bytes,
        keep: Keep,
    ) -> Result<Answered, Lost> {
        let sent = lock(&self.sender).send_request(request, body.is_empty());
        let (answer, mut stream) = sent.map_err(|error| {
            // Nothing was sent: the connection is going away, has no stream number left (after 2^30 requests),
            // or the peer lowered its limit. A new one settles all three.
            self.retire();
            Lost::Unprocessed(error.to_string())
        })?;
        if !body.is_empty() {
            // The body is in memory already: h2 keeps it until the peer's window opens, without a copy.
            stream.send_data(body, true).map_err(|error| self.lost(&error))?;
        }
        let answer = answer.await.map_err(|error| self.lost(&error))?;
        *lock(&self.last_answer) = Instant::now();
        Ok(read(answer, keep).await)
    }

    fn lost(&self, error: &h2::Error) -> Lost {
        let text = self.memory.fault().unwrap_or_else(|| error.to_string());
        if error.is_go_away() || error.is_io() {
            self.retire();
        }
        if error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM)) {
            // Only streams above the last one the peer took get the GOAWAY as their error.
            Lost::Unprocessed(text)
        } else if error.is_library() {
            Lost::Malformed(text)
        } else {
            Lost::Broken(text)
        }
    }

    fn last_answer(&self) -> Instant {
        *lock(&self.last_answer)
    }

    fn refresh_streams(&self) {
        let allowed = lock(&self.sender).current_max_send_streams();
        self.streams.store(allowed.min(self.streams_configured), Ordering::Relaxed);
    }
}

/// A connection together with what gathers its writes.
struct Driven {
    connection: Connection<Coalesced, Bytes>,
    io: Coalesced,
}

impl Future for Driven {
    type Output = Result<(), h2::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.io.drive(&mut this.connection, cx)
    }
}

async fn greet(io: Io) -> Result<(SendRequest<Bytes>, Driven), h2::Error> {
    let io = Coalesced::new(io);
    let (sender, connection) = Builder::new()
        .enable_push(false)
        .max_header_list_size(ANSWER_HEAD_BYTES_MAX as u32)
        .initial_window_size(ANSWER_BODY_BYTES_MAX as u32)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        // No stream before the settings; also how their arrival is seen.
        .initial_max_send_streams(0)
        .handshake(io.clone())
        .await?;
    let mut driven = Driven { connection, io };
    poll_fn(|cx| match Pin::new(&mut driven).poll(cx) {
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Ready(Ok(())) => Poll::Ready(Err(Reason::NO_ERROR.into())),
        Poll::Pending if driven.connection.max_concurrent_send_streams() == 0 => Poll::Pending,
        Poll::Pending => Poll::Ready(Ok(())),
    })
    .await?;
    Ok((sender, driven))
}

async fn read(answer: Response<RecvStream>, keep: Keep) -> Answered {
    let (head, mut body) = answer.into_parts();
    let mut kept = Kept::new(keep, head.status);
    let mut whole = true;
    while !body.is_end_stream() {
        match body.data().await {
            Some(Ok(data)) => {
                if !kept.push(&data) {
                    // Enough was heard to believe the status; dropping the rest resets the stream.
                    break;
                }
                // Fails only when the stream is gone, which the next read tells.
                let _ = body.flow_control().release_capacity(data.len());
            }
            Some(Err(_)) => {
                whole = false;
                break;
            }
            None => break,
        }
    }
    Answered::new(head.status, head.headers, whole, kept)
}

/// Moves bytes until the connection ends, or until nobody holds its sending half and a goodbye was said.
async fn drive(connection: Driven, closed: oneshot::Receiver<()>, ended: Arc<AtomicBool>, permit: Permit) {
    let result = match select(connection, closed).await {
        Either::Left((result, _)) => result,
        Either::Right((_, connection)) => timeout(GOODBYE, connection).await.unwrap_or(Ok(())),
    };
    if let Err(error) = result {
        debug!(%error, "HTTP/2 connection ended");
    }
    ended.store(true, Ordering::Relaxed);
    drop(permit);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers that may be under way together before the peer has to pause.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// A peer that does not read must not keep a connection open that nobody uses.
const GOODBYE: Duration = Duration::from_secs(1);
