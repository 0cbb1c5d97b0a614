//! One XDR connection: a read half and an ack half, joined.
//!
//! The read half turns frames into work and slots in the reply queue, in request order; only the ack half writes.
//! There is no `select!` between them, so neither can lose what the other was about to do.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use adapters::{Cause, Outcome, Payload};
use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{Semaphore, watch},
    time::Sleep,
};
use tracing::{debug, info, warn};

use crate::{
    encode::Encoder,
    lane::{Job, Lane},
    metrics::{Ended, Metrics},
    notification::ChangeNotification,
    recorder::{Direction, Tap},
    replies::{Answer, Next, Replies},
    route::{PortRoutes, Route},
    window::Window,
    wire::{
        ack::{self, ResultCode},
        frame::{self, Frame, FrameError, Kind},
        info::{self as wire_info, NodeFacts},
        message::{self, MessageError},
        security,
    },
};

/// A record is answered no later than this after it was read. XDR gives up after ten seconds, fixed.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// The longest that bytes are assumed to have lain in the socket while the connection did not catch up, unless it is
/// known that nothing was read for longer.
const UNREAD_AGE_MAX: Duration = Duration::from_millis(1500);

/// While a connection has caught up within this time, its records may wait for room in a lane.
const PATIENCE: Duration = Duration::from_millis(500);

/// A frame that began must be whole within this time; its source has long given up on it.
const FRAME_WITHIN: Duration = Duration::from_secs(30);

/// An answer must be taken by the peer within this time.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// Most answers in one write.
const ANSWERS_MAX: usize = 1024;

/// Bookkeeping of one record in process, beside its bytes: slot, job and hash entries.
const RECORD_OVERHEAD_BYTES: usize = 384;

/// Frames beyond this need leave to be put together, because their connections could be thousands.
const LARGE_FRAME_BYTES: usize = 128 * 1024;

/// Bytes of large frames that may be on their way together. One larger than this goes alone.
pub const ASSEMBLING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes read at a time unless configured: the most when much comes, the least on an idle connection.
const READ_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES_MIN: usize = 4 * 1024;

/// A buffer that grew beyond this for large records or answers is given back: ten thousand connections may keep one.
const KEEP_BYTES: usize = 64 * 1024;

/// What all connections share.
#[derive(Debug)]
pub struct Shared {
    /// Records in process.
    pub window: Window,
    /// By destination, in the router's order.
    pub lanes: Vec<Arc<Lane>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Limits and switches.
    pub limits: Limits,
    /// Bytes of large frames that may still begin to arrive: [`ASSEMBLING_BYTES_MAX`] permits when idle.
    pub assembling: Semaphore,
    /// Turns true when the connector stops.
    pub stop: watch::Receiver<bool>,
}

/// Limits and switches of every connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest frame taken.
    pub frame_bytes_max: usize,
    /// Bytes read at a time.
    pub read_bytes: Option<usize>,
    /// Whether several answers go in one write.
    pub ack_buffering: bool,
    /// Whether writes without the XDR bit are taken.
    pub accept_client_writes: bool,
}

/// Why a connection ended other than by the peer closing it between frames.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The bytes are not frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame stopped in the middle.
    #[error("a message stayed incomplete for {} s", FRAME_WITHIN.as_secs())]
    Stalled,
    /// The peer does not take its answers.
    #[error("the peer took no answer for {} s", WRITE_WITHIN.as_secs())]
    NotReading,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Serves one connection until the peer closes it, it breaks, or the connector stops.
pub async fn serve<R, W>(
    reader: R,
    writer: W,
    peer: SocketAddr,
    routes: Arc<PortRoutes>,
    facts: NodeFacts,
    tap: Tap,
    shared: Arc<Shared>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    shared.metrics.connection_opened();
    tap.opened();
    let replies = Arc::new(Replies::default());
    let owed = Owed { replies: Arc::clone(&replies), shared: Arc::clone(&shared), tap: tap.clone() };
    let mut read_half = ReadHalf {
        reader,
        buffer: BytesMut::new(),
        read_bytes: shared.limits.read_bytes.unwrap_or(READ_BYTES_MIN),
        inflated: Vec::new(),
        caught_up: now(),
        read_at: now(),
        held_back_until: now(),
        replies: Arc::clone(&replies),
        routes,
        facts,
        tap: tap.clone(),
        shared: Arc::clone(&shared),
    };
    let mut ack_half = AckHalf { writer, replies: Arc::clone(&replies), tap, shared: Arc::clone(&shared) };
    let read = async {
        let result = read_half.run().await;
        // A broken stream still gets the answers to what was read before: fewer records come twice.
        replies.complete();
        if let Err(error) = result {
            report(&error, peer, &shared.metrics);
        }
        Ok(())
    };
    let acks = async {
        // Without a writer there is no use in reading on.
        ack_half.run().await.map_err(|error| report(&error, peer, &shared.metrics))
    };
    let _ = tokio::try_join!(read, acks);
    drop(owed);
}

/// Gives up what a connection still owes when it ends, however it ends.
struct Owed {
    replies: Arc<Replies>,
    shared: Arc<Shared>,
    tap: Tap,
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.replies.abandon();
        let (records, bytes) = self.replies.unanswered();
        self.shared.window.leave(records, bytes);
        self.shared.metrics.connection_closed();
        self.tap.closed();
        if records > 0 {
            debug!(records, "a connection ended with records unanswered; XDR ships them again");
        }
    }
}

fn report(error: &ConnectionError, peer: SocketAddr, metrics: &Metrics) {
    match error {
        ConnectionError::Frame(error) => {
            metrics.frame_error();
            warn!(%peer, %error, "closing a connection that does not speak XDR");
        }
        ConnectionError::Io(error) => debug!(%peer, %error, "connection lost"),
        error => info!(%peer, %error, "closing a connection"),
    }
}

struct ReadHalf<R> {
    reader: R,
    buffer: BytesMut,
    read_bytes: usize,
    inflated: Vec<u8>,
    /// When the socket was last seen empty: what is read now was sent after that.
    caught_up: Instant,
    /// When the last read ended.
    read_at: Instant,
    /// Until then what is read may have lain in the socket since before a long wait for the window.
    held_back_until: Instant,
    replies: Arc<Replies>,
    routes: Arc<PortRoutes>,
    facts: NodeFacts,
    tap: Tap,
    shared: Arc<Shared>,
}

impl<R: AsyncRead + Unpin> ReadHalf<R> {
    async fn run(&mut self) -> Result<(), ConnectionError> {
        let shared = Arc::clone(&self.shared);
        let mut stop = shared.stop.clone();
        let mut stall = std::pin::pin!(tokio::time::sleep(FRAME_WITHIN));
        let mut partial_since = None;
        let mut room = None;
        loop {
            let used = self.take_frames().await?;
            let frame_bytes = frame::needed(&self.buffer);
            if frame_bytes <= LARGE_FRAME_BYTES {
                room = None;
            } else if room.is_none() {
                let bytes = frame_bytes.min(ASSEMBLING_BYTES_MAX) as u32;
                room = tokio::select! {
                    () = stopped(&mut stop) => return Ok(()),
                    room = shared.assembling.acquire_many(bytes) => room.ok(),
                };
            }
            if self.buffer.is_empty() {
                partial_since = None;
                if self.buffer.capacity() > self.read_bytes.max(READ_BYTES_MIN) * 4 {
                    self.buffer = BytesMut::new();
                }
            } else if used || partial_since.is_none() {
                partial_since = Some(now());
            }
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return Ok(()),
                stalled = stalled(stall.as_mut(), partial_since) => return Err(stalled),
                read = self.read() => if read? == 0 { return Ok(()) },
            }
        }
    }

    /// Reads once, and takes note when the socket was empty.
    async fn read(&mut self) -> Result<usize, ConnectionError> {
        self.buffer.reserve(self.read_bytes);
        let resumed = now();
        if resumed.saturating_duration_since(self.read_at) > UNREAD_AGE_MAX {
            self.held_back_until = resumed + UNREAD_AGE_MAX;
        }
        let mut was_empty = false;
        let before = self.buffer.len();
        let bytes = {
            let mut read = std::pin::pin!(self.reader.read_buf(&mut self.buffer));
            std::future::poll_fn(|context| {
                let poll = read.as_mut().poll(context);
                // Out of budget means the runtime wants its turn, not that there is nothing to read.
                was_empty |= poll.is_pending() && tokio::task::coop::has_budget_remaining();
                poll
            })
            .await?
        };
        self.adapt_read_bytes(bytes);
        let now = now();
        self.read_at = now;
        if was_empty {
            self.caught_up = now;
        } else if now >= self.held_back_until {
            self.caught_up = self.caught_up.max(now - UNREAD_AGE_MAX);
        }
        self.tap.bytes(Direction::FromPeer, &self.buffer[before..]);
        Ok(bytes)
    }

    /// Reads grow with what really comes, never by what a header promises: thousands of idle connections stay small.
    fn adapt_read_bytes(&mut self, read: usize) {
        if self.shared.limits.read_bytes.is_none() {
            self.read_bytes = match read {
                read if read >= self.read_bytes => (self.read_bytes * 2).min(READ_BYTES_MAX),
                read if read < self.read_bytes / 4 => (self.read_bytes / 2).max(READ_BYTES_MIN),
                _ => self.read_bytes,
            };
        }
    }

    /// Handles every whole frame in the buffer; true if there was one.
    async fn take_frames(&mut self) -> Result<bool, ConnectionError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.take_frames_of(&mut buffer).await;
        self.buffer = buffer;
        result
    }

    async fn take_frames_of(&mut self, buffer: &mut BytesMut) -> Result<bool, ConnectionError> {
        let now_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let mut any = false;
        while let Some(frame) = frame::next(buffer, self.shared.limits.frame_bytes_max)? {
            let bytes = frame.bytes.len();
            self.handle(frame, now_unix_ms).await;
            buffer.advance(bytes);
            any = true;
        }
        Ok(any)
    }

    async fn handle(&mut self, frame: Frame<'_>, now_unix_ms: u64) {
        match frame.kind {
            Kind::Message => self.message(frame.body(), now_unix_ms).await,
            Kind::Compressed => {
                let mut inflated = std::mem::take(&mut self.inflated);
                match frame::inflate(frame, self.shared.limits.frame_bytes_max, &mut inflated) {
                    Ok(frame) => self.message(frame.body(), now_unix_ms).await,
                    Err(error) => self.refuse(&error).await,
                }
                if inflated.capacity() <= KEEP_BYTES {
                    self.inflated = inflated;
                }
            }
            Kind::Info => {
                self.shared.metrics.info_request();
                let mut answer = Vec::new();
                wire_info::answer(frame.body(), &self.facts, &mut answer);
                self.replies.push_known(answer).await;
            }
            Kind::Security => {
                let mut answer = Vec::new();
                security::answer(frame.body(), &mut answer);
                self.replies.push_known(answer).await;
            }
        }
    }

    async fn message(&mut self, body: &[u8], now_unix_ms: u64) {
        let decoded = match message::decode(body, now_unix_ms) {
            Ok(decoded) => decoded,
            Err(error) => return self.refuse(&error).await,
        };
        let notification = &decoded.notification;
        let lag_ms = notification.lut_unix_ms.map(|lut| now_unix_ms.saturating_sub(lut));
        self.shared.metrics.arrived(body.len() + frame::HEADER_BYTES, lag_ms.map(Duration::from_millis));
        for anomaly in decoded.anomalies.iter() {
            self.shared.metrics.anomaly(anomaly);
        }
        if !notification.xdr && !self.shared.limits.accept_client_writes {
            self.shared.metrics.ended(Ended::Error(Cause::Unauthorized), Duration::ZERO);
            return self.answer(ResultCode::Forbidden).await;
        }
        let deadline = self.deadline(decoded.transaction_ttl_ms);
        let routes = Arc::clone(&self.routes);
        match routes.route(notification.namespace, notification.set) {
            Route::Skip => {
                self.shared.window.enter(RECORD_OVERHEAD_BYTES).await;
                let none = self.replies.push_record(now(), deadline, RECORD_OVERHEAD_BYTES, 0);
                debug_assert_eq!(none.count(), 0);
            }
            Route::To { encoder, destinations } => {
                self.dispatch(notification, encoder, destinations, deadline).await;
            }
        }
    }

    /// Writes the record once and hands it to every destination's lane.
    async fn dispatch(
        &mut self,
        notification: &ChangeNotification<'_>,
        encoder: &Encoder,
        destinations: &[usize],
        deadline: Instant,
    ) {
        let mut body = Vec::with_capacity(512);
        let encoded = encoder.encode(notification, &mut body);
        if encoder.hides_a_bin(notification) {
            self.shared.metrics.anomaly("bin-hidden-by-metadata");
        }
        let bytes = body.len() + RECORD_OVERHEAD_BYTES;
        self.shared.window.enter(bytes).await;
        let arrived = now();
        if let Err(error) = encoded {
            // No retry helps before the record or the configuration changes. Without a place for dead letters the
            // record is held: refused for now, so that it is not lost.
            warn!(
                namespace = %notification.namespace.escape_ascii(),
                digest = %notification.digest,
                %error,
                "a record cannot be written in the configured format and is held"
            );
            let tickets = self.replies.push_record(arrived, deadline, bytes, 1);
            tickets.for_each(|ticket| ticket.refuse(Cause::Malformed));
            return;
        }
        let body = Bytes::from(body);
        let content_type = encoder.content_type();
        let patience = self.caught_up + PATIENCE;
        let tickets = self.replies.push_record(arrived, deadline, bytes, destinations.len());
        for (ticket, destination) in tickets.zip(destinations) {
            let payload = Payload { body: body.clone(), content_type, count: NonZeroUsize::MIN };
            let job = Job { digest: notification.digest, payload, ticket, deadline, attempts: 0 };
            self.shared.lanes[*destination].enqueue(job, patience).await;
        }
    }

    /// By when the record read now must be answered, counted from when it may have been sent.
    fn deadline(&self, transaction_ttl_ms: u32) -> Instant {
        let within = match transaction_ttl_ms {
            0 => ANSWER_WITHIN,
            ttl_ms => ANSWER_WITHIN.min(Duration::from_millis(ttl_ms.into())),
        };
        self.caught_up + within
    }

    /// Answers a message that cannot be parsed: final, as nothing can be sent.
    async fn refuse(&mut self, error: &MessageError) {
        self.shared.metrics.ended(Ended::ParseError, Duration::ZERO);
        warn!(
            namespace = error.namespace().map(|namespace| namespace.escape_ascii().to_string()),
            digest = error.digest().map(|digest| digest.to_string()),
            %error,
            "a message cannot be parsed and is refused for good"
        );
        self.answer(error.result_code()).await;
    }

    async fn answer(&self, code: ResultCode) {
        let mut answer = Vec::with_capacity(ack::ACK_BYTES);
        ack::encode(code, &mut answer);
        self.replies.push_known(answer).await;
    }
}

/// Ends when the connector stops.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that whoever could say so is gone, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Ends when a frame has been incomplete for too long. The timer is armed seldom: it is only read when it fires.
async fn stalled(mut timer: Pin<&mut Sleep>, partial_since: Option<Instant>) -> ConnectionError {
    let Some(since) = partial_since else { std::future::pending().await };
    let due = tokio::time::Instant::from(since + FRAME_WITHIN);
    loop {
        timer.as_mut().await;
        if timer.deadline() >= due {
            return ConnectionError::Stalled;
        }
        timer.as_mut().reset(due);
    }
}

struct AckHalf<W> {
    writer: W,
    replies: Arc<Replies>,
    tap: Tap,
    shared: Arc<Shared>,
}

impl<W: AsyncWrite + Unpin> AckHalf<W> {
    async fn run(&mut self) -> Result<(), ConnectionError> {
        let shared = Arc::clone(&self.shared);
        let replies = Arc::clone(&self.replies);
        let answers_max = if shared.limits.ack_buffering { ANSWERS_MAX } else { 1 };
        let mut timer = std::pin::pin!(tokio::time::sleep(ANSWER_WITHIN));
        let mut out = Vec::new();
        loop {
            out.clear();
            if out.capacity() > KEEP_BYTES {
                out = Vec::new();
            }
            let now = now();
            let (mut records, mut bytes) = (0, 0);
            let next = replies.collect(now, shared.window.fill(), answers_max, |answer| match answer {
                Answer::Known(answer) => out.extend_from_slice(answer),
                Answer::Record(answered) => {
                    let ended = match answered.outcome {
                        _ if answered.skipped => Ended::Skipped,
                        Outcome::Delivered => Ended::Success,
                        Outcome::Retryable(cause) | Outcome::Rejected(cause) => Ended::Error(cause),
                    };
                    shared.metrics.ended(ended, now.saturating_duration_since(answered.arrived));
                    ack::encode(answered.outcome.into(), &mut out);
                    records += 1;
                    bytes += answered.bytes;
                }
            });
            if records > 0 {
                shared.window.leave(records, bytes);
            }
            match next {
                Next::Finished => return Ok(self.writer.shutdown().await?),
                Next::Write => self.write(&out).await?,
                Next::Wait(until) => {
                    let until = until.map_or(now + ANSWER_WITHIN, |until| until);
                    // Re-arming costs; a timer that fires early is harmless.
                    if timer.deadline().into_std() > until || timer.is_elapsed() {
                        timer.as_mut().reset(until.into());
                    }
                    tokio::select! {
                        () = replies.changed() => {}
                        () = timer.as_mut() => {}
                    }
                }
            }
        }
    }

    async fn write(&mut self, out: &[u8]) -> Result<(), ConnectionError> {
        self.tap.bytes(Direction::ToPeer, out);
        let write = async {
            self.writer.write_all(out).await?;
            self.writer.flush().await
        };
        match tokio::time::timeout(WRITE_WITHIN, write).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(ConnectionError::NotReading),
        }
    }
}

/// The runtime's clock, which tests can pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
