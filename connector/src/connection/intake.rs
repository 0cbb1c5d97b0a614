//! Where records come in, however they came: from a message frame to the lanes of its destinations.
//!
//! A record takes its slot in the reply queue before its tickets go anywhere. What cannot be parsed takes none: the
//! caller answers it at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use adapters::{Cause, Outcome};
use tokio::time::{timeout, timeout_at};
use tracing::warn;

use self::{
    dispatch::{Arrival, Dispatched},
    pieces::Pieces,
};
use super::{ANSWER_WITHIN, KEEP_BYTES, Posted, Shared, Terms, now};
use crate::{
    metrics::Ended,
    notification::Bin,
    replies::Replies,
    route::Route,
    transform::Names,
    wire::{
        ack::ResultCode,
        frame::{self, Frame, Kind},
        message::{self, MessageError},
    },
};

mod dispatch;
mod pieces;

/// Room for bins that a connection keeps.
const KEEP_BINS: usize = 64;

/// Whoever retires a lane posts the new terms next.
const POSTED_WITHIN: Duration = Duration::from_secs(1);

/// A message that is larger than this when it is inflated needs room for it.
const LARGE_BYTES: usize = 128 * 1024;

pub(super) struct Intake {
    inflated: Vec<u8>,
    /// Where bins are kept, from record to record; empty in between.
    bins: Vec<Bin<'static>>,
    pieces: Pieces,
    /// Where new names of bins are kept, from record to record.
    names: Names,
    replies: Arc<Replies>,
    /// What is taken now is taken on these terms.
    terms: Arc<Terms>,
    posted: Posted,
    shared: Arc<Shared>,
}

impl Intake {
    /// Puts the records it takes into `replies`.
    pub(super) fn new(replies: Arc<Replies>, mut posted: Posted, shared: Arc<Shared>) -> Self {
        let terms = Arc::clone(&posted.borrow_and_update());
        Self {
            inflated: Vec::new(),
            bins: Vec::new(),
            pieces: Pieces::default(),
            names: Names::default(),
            replies,
            terms,
            posted,
            shared,
        }
    }

    /// The terms on which records are taken now.
    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// From now on records are taken on the terms that were posted last.
    pub(super) fn take_up(&mut self) {
        self.terms = Arc::clone(&self.posted.borrow_and_update());
    }

    /// Takes a message, compressed or not, that was sent after `caught_up`. An error is its answer.
    pub(super) async fn take(
        &mut self,
        frame: Frame<'_>,
        now_unix_ms: u64,
        caught_up: Instant,
    ) -> Result<(), ResultCode> {
        if frame.kind != Kind::Compressed {
            return self.message(frame, now_unix_ms, caught_up).await;
        }
        // What promises more is refused before a byte is inflated.
        let bytes = frame::inflated_bytes(frame).min(self.terms.limits.frame_bytes_max);
        let shared;
        let mut room = None;
        if bytes > LARGE_BYTES {
            shared = Arc::clone(&self.shared);
            let deadline = caught_up + ANSWER_WITHIN;
            room = match timeout_at(deadline.into(), shared.window.room_to_inflate(bytes)).await {
                Ok(room) => room,
                Err(_) => return Err(self.without_room(caught_up)),
            };
        }
        let mut inflated = std::mem::take(&mut self.inflated);
        let taken = match frame::inflate(frame, self.terms.limits.frame_bytes_max, &mut inflated) {
            Ok(frame) => self.message(frame, now_unix_ms, caught_up).await,
            Err(error) => Err(self.refuse(&error)),
        };
        if inflated.capacity() <= KEEP_BYTES {
            self.inflated = inflated;
        } else {
            drop((inflated, room));
            // It took milliseconds, and there may be many in a row: others have their turn.
            tokio::task::yield_now().await;
        }
        taken
    }

    async fn message(
        &mut self,
        frame: Frame<'_>,
        now_unix_ms: u64,
        caught_up: Instant,
    ) -> Result<(), ResultCode> {
        let body = frame.body();
        let bins = std::mem::take(&mut self.bins);
        let decoded = message::decode_with(body, now_unix_ms, bins).map_err(|error| self.refuse(&error))?;
        let notification = &decoded.notification;
        let lag_ms = notification.lut_unix_ms.map(|lut| now_unix_ms.saturating_sub(lut));
        self.shared.metrics.arrived(frame.bytes.len(), lag_ms.map(Duration::from_millis));
        for anomaly in decoded.anomalies.iter() {
            self.shared.metrics.anomaly(anomaly);
        }
        if !notification.xdr && !self.terms.limits.accept_client_writes {
            self.shared.metrics.ended(Ended::Error(Cause::Unauthorized), Duration::ZERO);
            return Err(ResultCode::Forbidden);
        }
        let deadline = caught_up + within(decoded.transaction_ttl_ms);
        let arrival = Arrival { frame, now_unix_ms, deadline, caught_up };
        let mut next = Some(decoded);
        while let Some(mut decoded) = next.take() {
            let terms = Arc::clone(&self.terms);
            let notification = &mut decoded.notification;
            let delivery = match terms.routes.route(notification.namespace, notification.set) {
                Route::Skip => None,
                Route::To(delivery) => Some(delivery),
            };
            let mut names = std::mem::take(&mut self.names);
            let dispatched = match delivery {
                None => self.skip(arrival).await,
                Some(delivery) => self.dispatch(notification, arrival, &mut names, delivery).await,
            };
            self.keep(std::mem::take(&mut notification.bins));
            self.names = names;
            match dispatched {
                Dispatched::Done => {}
                Dispatched::Late => {
                    let _ = timeout(POSTED_WITHIN, self.posted.changed()).await;
                    self.take_up();
                }
                Dispatched::Never => {
                    self.take_up();
                    // Its bins may have been dropped or renamed already.
                    next = message::decode(body, now_unix_ms).ok();
                }
                Dispatched::Refused => {
                    self.shared.metrics.ended(Ended::Error(Cause::Overloaded), Duration::ZERO);
                    return Err(ResultCode::DeviceOverload);
                }
            }
        }
        Ok(())
    }

    /// The answer to a message that there was no room for in time: XDR ships it again.
    fn without_room(&self, caught_up: Instant) -> ResultCode {
        let waited = now().saturating_duration_since(caught_up);
        self.shared.metrics.ended(Ended::Error(Cause::Overloaded), waited);
        Outcome::Retryable(Cause::Overloaded).into()
    }

    /// Keeps the memory of bins for the next record, unless it is that of an unusual one.
    fn keep(&mut self, bins: Vec<Bin<'_>>) {
        if bins.capacity() <= KEEP_BINS {
            self.bins = message::emptied(bins);
        }
    }

    /// The answer to a message that cannot be parsed: final, as nothing can be sent.
    fn refuse(&self, error: &MessageError) -> ResultCode {
        self.shared.metrics.ended(Ended::ParseError, Duration::ZERO);
        // Every one gets its line: XDR does not ship the record again, so this names what was given up.
        warn!(
            namespace = error.namespace().map(|namespace| namespace.escape_ascii().to_string()),
            digest = error.digest().map(|digest| digest.to_string()),
            %error,
            "a message cannot be parsed and is refused for good"
        );
        error.result_code()
    }
}

/// Within which time a record must be answered, counted from when it may have been sent.
fn within(transaction_ttl_ms: u32) -> Duration {
    match transaction_ttl_ms {
        0 => ANSWER_WITHIN,
        ttl_ms => ANSWER_WITHIN.min(Duration::from_millis(ttl_ms.into())),
    }
}
