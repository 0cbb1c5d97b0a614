//! One request with one message: read, taken in as any record is, and answered when its fate is known.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, UNIX_EPOCH},
};

use adapters::{Cause, Outcome, world};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, header::CONTENT_ENCODING};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use tokio::{sync::SemaphorePermit, time::timeout_at};
use tracing::warn;

use super::{
    answer::Fate,
    body::{self, Problem},
};
use crate::{
    connection::{
        ANSWER_WITHIN, ASSEMBLING_BYTES_MAX, Posted, Shared, ack_half, give_up, intake::Intake, now,
    },
    logging,
    metrics::Ended,
    recorder::{Direction, Recorder, Tap},
    replies::{Answer, Next, Replies},
    wire::{
        ack,
        frame::{self, Frame, HEADER_BYTES},
    },
};

/// How long a message may wait for room, from when it is whole. Then its sender hears of it, which may know another
/// connector that has some; the patience of a sender is a second as a rule.
const ROOM_WITHIN: Duration = Duration::from_millis(750);

/// Refusals are paced as in a full window: senders of HTTP have pauses of their own.
const HASTE: f64 = 1.0;

/// What the requests of a connection share.
pub(super) struct Exchange {
    pub(super) peer: SocketAddr,
    pub(super) posted: Posted,
    pub(super) recorder: Option<Arc<Recorder>>,
    pub(super) shared: Arc<Shared>,
    /// About bodies that make no sense.
    pub(super) complaints: Arc<Mutex<logging::Limited>>,
}

impl Exchange {
    /// Answers when the message is delivered, or cannot be for now, or ever.
    pub(super) async fn post(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.fate(request, now()).await.response()
    }

    async fn fate(&self, request: Request<Incoming>, arrived: Instant) -> Fate {
        let gzip = match gzip(request.headers()) {
            Ok(gzip) => gzip,
            Err(problem) => return self.no_message(problem),
        };
        let deadline = arrived + ANSWER_WITHIN;
        let frame_bytes_max = self.posted.borrow().limits.frame_bytes_max;
        let bytes_max = frame_bytes_max + HEADER_BYTES;
        let mut body = request.into_body();
        let announced = body.size_hint().upper().unwrap_or(bytes_max as u64);
        if announced > bytes_max as u64 {
            // Who still writes would see a broken connection and not the answer.
            let _ =
                timeout_at(deadline.into(), async { while let Some(Ok(_)) = body.frame().await {} }).await;
            return self.no_message(Problem::Size(frame_bytes_max));
        }
        let Ok(mut room) = timeout_at((arrived + ROOM_WITHIN).into(), self.room(announced as usize)).await
        else {
            return Fate::Busy;
        };
        let body = Limited::new(body, bytes_max).collect();
        let mut bytes = match timeout_at(deadline.into(), body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return self.no_message(Problem::Size(frame_bytes_max));
            }
            Ok(Err(_)) => return Fate::BrokenOff,
            Err(_) => return Fate::Slow,
        };
        let room_until = deadline.min(now() + ROOM_WITHIN);
        if gzip {
            let inflated = match body::gzip_bytes(&bytes) {
                Ok(found) if found > frame_bytes_max + HEADER_BYTES => Err(Problem::Size(frame_bytes_max)),
                Ok(found) => match timeout_at(room_until.into(), self.room(found)).await {
                    Ok(more) => {
                        room.merge(more);
                        body::gunzip(&bytes)
                    }
                    Err(_) => return Fate::Busy,
                },
                Err(problem) => Err(problem),
            };
            bytes = match inflated {
                Ok(inflated) => inflated.into(),
                Err(problem) => return self.no_message(problem),
            };
        }
        let mut scratch = Vec::new();
        let frame = match body::frame(&bytes, frame_bytes_max, &mut scratch) {
            Ok(frame) => frame,
            Err(problem) => return self.no_message(problem),
        };
        let tap = self.recorder.as_ref().map(Recorder::tap).unwrap_or_default();
        tap.opened();
        tap.bytes(Direction::FromPeer, frame.bytes);
        let replies = Arc::new(Replies::default());
        let _owed = Owed { replies: &replies, shared: &self.shared };
        let taken = self.take(frame, &replies, arrived, room_until).await;
        // From here on only what waits for its destinations is held, and the window knows of that.
        drop((bytes, scratch, room));
        let fate = match taken {
            Ok(()) => Fate::Ended(self.outcome(&replies, deadline).await),
            Err(fate) => fate,
        };
        record_end(&tap, &fate);
        fate
    }

    /// Waits for room for so many bytes, among those that all bodies may take together.
    async fn room(&self, bytes: usize) -> SemaphorePermit<'_> {
        let permits = bytes.min(ASSEMBLING_BYTES_MAX) as u32;
        match self.shared.assembling.acquire_many(permits).await {
            Ok(room) => room,
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Takes the message in, unless there is no room for it.
    async fn take(
        &self,
        frame: Frame<'_>,
        replies: &Arc<Replies>,
        arrived: Instant,
        room_until: Instant,
    ) -> Result<(), Fate> {
        let mut intake = Intake::new(Arc::clone(replies), self.posted.clone(), Arc::clone(&self.shared));
        let now_unix_ms = world::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let taken = timeout_at(room_until.into(), async {
            // What a compressed message becomes takes room as well.
            let _room = self.room(frame::inflated_bytes(frame)).await;
            intake.take(frame, now_unix_ms, arrived).await
        });
        match taken.await {
            Ok(taken) => taken.map_err(Fate::Refused),
            Err(_) => {
                let took = now().saturating_duration_since(arrived);
                self.shared.metrics.ended(Ended::Error(Cause::Overloaded), took);
                Err(Fate::Busy)
            }
        }
    }

    /// What becomes of the one record in `replies`.
    async fn outcome(&self, replies: &Replies, deadline: Instant) -> Outcome {
        loop {
            let now = now();
            let mut answered = None;
            let next = replies.collect(now, HASTE, 1, |answer| {
                if let Answer::Record(record) = answer {
                    answered = Some(record);
                }
            });
            if let Some(answered) = answered {
                ack_half::count(&answered, now, &self.shared.metrics);
                self.shared.window.leave(1, answered.bytes);
                return answered.outcome;
            }
            let until = if let Next::Wait(Some(until)) = next { until } else { deadline };
            let _ = timeout_at(until.into(), replies.changed()).await;
        }
    }

    fn no_message(&self, problem: Problem) -> Fate {
        self.shared.metrics.ended(Ended::ParseError, Duration::ZERO);
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(suppressed) = complaints.allow(Instant::now()) {
            let peer = self.peer;
            warn!(%peer, %problem, suppressed, "a request holds no message of XDR and is refused");
        }
        Fate::NoMessage(problem)
    }
}

/// Gives up what a request still owes when it ends, however it ends: most often its sender no longer waits.
struct Owed<'a> {
    replies: &'a Replies,
    shared: &'a Shared,
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        give_up(self.replies, self.shared);
    }
}

fn record_end(tap: &Tap, fate: &Fate) {
    let mut ack = Vec::with_capacity(ack::ACK_BYTES);
    ack::encode(fate.code(), &mut ack);
    tap.bytes(Direction::ToPeer, &ack);
    tap.closed();
}

/// Whether the body is gzip.
fn gzip(headers: &HeaderMap) -> Result<bool, Problem> {
    match headers.get(CONTENT_ENCODING).map(|encoding| encoding.as_bytes()) {
        None => Ok(false),
        Some(encoding) if encoding.eq_ignore_ascii_case(b"identity") => Ok(false),
        Some(encoding) if encoding.eq_ignore_ascii_case(b"gzip") => Ok(true),
        Some(_) => Err(Problem::Encoding),
    }
}
