//! A record on its way from its message to the lanes of its destinations.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use adapters::Outcome;
use bytes::Bytes;
use tokio::time::timeout_at;

use super::Intake;
use crate::{
    connection::now,
    dead_letter::Original,
    delivered::{Destinations, Shipment},
    lane::{Job, Order},
    notification::{ChangeNotification, RecordId},
    route::{Decision, Delivery},
    transform::Names,
    wire::frame::Frame,
};

/// While a connection has caught up within this time, its records may wait for room in a lane.
const PATIENCE: Duration = Duration::from_millis(500);

/// So long after a connection has caught up its records wait for room in the window. Then they are refused: what is not read
/// ages as well, and XDR gives up what has no answer after ten seconds.
const WINDOW_PATIENCE: Duration = Duration::from_secs(4);

/// Bookkeeping of one record in process, beside its bytes: slot, job and hash entries.
const RECORD_OVERHEAD_BYTES: usize = 384;

/// How a record came.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    /// The message, not compressed.
    pub(super) frame: Frame<'a>,
    pub(super) now_unix_ms: u64,
    pub(super) deadline: Instant,
    /// It was sent after this.
    pub(super) caught_up: Instant,
}

/// How far a record came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dispatched {
    /// To all of its destinations, whatever they say.
    Done,
    /// Too late to one of them, which is not the same any more: there it was refused for now.
    Late,
    /// Nowhere, because other terms were posted while it waited.
    Never,
    /// Nowhere, because there was no room for it.
    Refused,
}

impl Intake {
    /// Acknowledges a record that goes nowhere.
    pub(super) async fn skip(&mut self, arrival: Arrival<'_>) -> Dispatched {
        if !self.enter(RECORD_OVERHEAD_BYTES, arrival).await {
            return Dispatched::Refused;
        }
        let none = self.replies.push_record(now(), arrival.deadline, RECORD_OVERHEAD_BYTES, 0);
        debug_assert_eq!(none.count(), 0);
        Dispatched::Done
    }

    /// Acknowledges a record that is not wanted. A success and no skip, which would look like an error to those who watch the
    /// vendor's metrics.
    async fn pass_over(&mut self, arrival: Arrival<'_>) -> Dispatched {
        if !self.enter(RECORD_OVERHEAD_BYTES, arrival).await {
            return Dispatched::Refused;
        }
        self.shared.metrics.filtered();
        let ticket = self.replies.push_record(now(), arrival.deadline, RECORD_OVERHEAD_BYTES, 1);
        ticket.for_each(|ticket| ticket.settle(Outcome::Delivered));
        Dispatched::Done
    }

    /// Takes room in the window; false when there was none for too long.
    async fn enter(&self, bytes: usize, arrival: Arrival<'_>) -> bool {
        let until = arrival.caught_up + WINDOW_PATIENCE;
        self.shared.window.try_enter(bytes)
            || timeout_at(until.into(), self.shared.window.enter(bytes)).await.is_ok()
    }

    /// Writes the record once and hands it to every destination's lane.
    pub(super) async fn dispatch<'n>(
        &mut self,
        notification: &mut ChangeNotification<'n>,
        arrival: Arrival<'_>,
        names: &'n mut Names,
        delivery: &Delivery,
    ) -> Dispatched {
        let Decision { destinations, filtered, doubtful } = delivery.decide(notification);
        if let Some(doubt) = doubtful {
            self.shared.metrics.anomaly(doubt);
        }
        if filtered {
            return self.pass_over(arrival).await;
        }
        if destinations.is_empty() {
            return self.skip(arrival).await;
        }
        let record = notification.record_id();
        if let Some(transform) = &delivery.transform
            && transform.apply(&mut notification.bins, names) > 0
        {
            self.shared.metrics.anomaly("bin-renamed-like-another");
        }
        let encoder = &delivery.encoder;
        let mut piece = self.pieces.buffer();
        let encoded = encoder.write(notification, arrival.frame.bytes, &mut piece);
        if encoder.hides_a_bin(notification) {
            self.shared.metrics.anomaly("bin-hidden-by-metadata");
        }
        // A version without a last-update time has no place in the order, and one that cannot be written keeps no other
        // one back.
        let ordering = delivery.ordering.as_ref().zip(notification.lut_unix_ms).filter(|_| encoded.is_ok());
        let original = self.original(destinations, arrival);
        let request = encoded.as_ref().ok().and_then(Option::as_ref);
        let bytes = piece.len()
            + RECORD_OVERHEAD_BYTES
            + request.map_or(0, |request| request.bytes())
            + original.as_ref().map_or(0, |kept| kept.bytes());
        if !self.shared.window.try_enter(bytes) {
            if !self.enter(bytes, arrival).await {
                return Dispatched::Refused;
            }
            // That may have taken seconds.
            if self.posted.has_changed().unwrap_or(false) {
                self.shared.window.leave(1, bytes);
                self.pieces.give_back(piece);
                return Dispatched::Never;
            }
        }
        let arrived = now();
        let mut kept = if encoded.is_ok() { self.pieces.keep(&piece) } else { Bytes::new() };
        self.pieces.give_back(piece);
        let patience = arrival.caught_up + PATIENCE;
        let tickets = self.replies.push_record(arrived, arrival.deadline, bytes, destinations.len());
        let shipment = self.shipment(record, notification, arrival.frame, delivery, destinations);
        let (mut stale, mut held, mut dispatched) = (true, false, Dispatched::Done);
        for (index, (mut ticket, &destination)) in tickets.zip(destinations).enumerate() {
            let lane = &self.terms.lanes[destination];
            if let Some(shipment) = &shipment {
                ticket = ticket.remembered(shipment, destination);
            }
            let order = ordering.map(|(caches, lut_unix_ms)| Order {
                lut_unix_ms,
                whole: notification.is_whole(),
                seen: Arc::clone(&caches[destination]),
            });
            if order.as_ref().is_some_and(|order| !order.seen.observe(&record, order.lut_unix_ms, now())) {
                // A newer version was taken in for this destination.
                ticket.settle(Outcome::Delivered);
                continue;
            }
            stale = false;
            if shipment.as_ref().is_some_and(|shipment| shipment.is_at(destination)) {
                lane.stats().already_delivered.fetch_add(1, Relaxed);
                ticket.settle(Outcome::Delivered);
                continue;
            }
            let keeps = lane.dead_letters().keeps_originals();
            let last = index + 1 == destinations.len();
            let job = Job {
                record,
                piece: if last { std::mem::take(&mut kept) } else { kept.clone() },
                request: request.cloned(),
                policy: delivery.batch,
                order,
                tickets: ticket.into(),
                entered: arrived,
                deadline: arrival.deadline,
                attempts: 0,
                original: original.as_ref().filter(|_| keeps).map(Arc::clone),
            };
            match &encoded {
                Ok(_) => {
                    // One look at the clock does for both, unless another lane was waited for.
                    let at = if index == 0 { arrived } else { now() };
                    if !lane.enqueue(job, at, patience).await {
                        dispatched = Dispatched::Late;
                    }
                }
                // No retry helps before the record or the configuration changes.
                Err(error) => held |= lane.dead_letters().take_unwritten(job, lane.name(), error),
            }
        }
        if stale {
            self.shared.metrics.stale();
        }
        if held {
            self.shared.metrics.held();
        }
        dispatched
    }

    /// The message, where it may become a dead letter that goes somewhere.
    fn original(&self, destinations: &[usize], arrival: Arrival<'_>) -> Option<Arc<Original>> {
        let lanes = &self.terms.lanes;
        let keeps =
            destinations.iter().any(|destination| lanes[*destination].dead_letters().keeps_originals());
        keeps.then(|| Arc::new(Original::new(arrival.frame.bytes, arrival.now_unix_ms)))
    }

    /// Takes note of the record where it, or another version of it, may go to several destinations.
    fn shipment(
        &self,
        record: RecordId,
        notification: &ChangeNotification<'_>,
        frame: Frame<'_>,
        delivery: &Delivery,
        destinations: &[usize],
    ) -> Option<Arc<Shipment>> {
        let memory = self.shared.delivered.as_ref().filter(|_| delivery.has_several())?;
        // Two changes may be equal in all but their times.
        let known = destinations.len() > 1 && notification.lut_unix_ms.is_some();
        let version = known.then(|| memory.version(frame.body(), delivery.number));
        let destinations = Destinations { positions: destinations, of: self.terms.number };
        Some(memory.ship(record, version, destinations))
    }
}
