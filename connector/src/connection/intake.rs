//! Where records come in, however they came: from a message frame to the lanes of its destinations.
//!
//! A record takes its slot in the reply queue before its tickets go anywhere. What cannot be parsed takes none: the
//! caller answers it at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use adapters::Cause;
use tokio::time::timeout;
use tracing::warn;

use self::{
    dispatch::{Arrival, Dispatched},
    pieces::Pieces,
};
use super::{ANSWER_WITHIN, KEEP_BYTES, Posted, Shared, Terms};
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
        let mut inflated = std::mem::take(&mut self.inflated);
        let taken = match frame::inflate(frame, self.terms.limits.frame_bytes_max, &mut inflated) {
            Ok(frame) => self.message(frame, now_unix_ms, caught_up).await,
            Err(error) => Err(self.refuse(&error)),
        };
        if inflated.capacity() <= KEEP_BYTES {
            self.inflated = inflated;
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
                Route::Skip => {
                    self.skip(deadline).await;
                    break;
                }
                Route::To(delivery) => delivery,
            };
            let mut names = std::mem::take(&mut self.names);
            let dispatched = self.dispatch(notification, arrival, &mut names, delivery).await;
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
            }
        }
        Ok(())
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
