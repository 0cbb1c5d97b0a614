//! One record on its way to one destination.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use adapters::{Cause, Outcome, RequestParts};
use bytes::Bytes;

use crate::{
    dead_letter::Original, metrics::LetterStats, notification::RecordId, ordering::LutCache, replies::Ticket,
};

/// One record on its way to one destination. Two jobs of one record never run at once.
#[derive(Debug)]
pub struct Job {
    /// The record.
    pub record: RecordId,
    /// The record as it is sent.
    pub piece: Bytes,
    /// What its request is besides the body, where the format says so. The same for all jobs of a batch policy that puts
    /// several into a request.
    pub request: Option<Arc<RequestParts>>,
    /// Position of the batch policy: how the piece becomes a request.
    pub policy: usize,
    /// The last-update time, when no version may go after a newer one.
    pub order: Option<Order>,
    /// Whom to tell: whoever waits for this version, and for older ones that it took the place of.
    pub tickets: Tickets,
    /// When it came, or the first of those that it took the place of.
    pub entered: Instant,
    /// After this no answer is needed: XDR has been told to ship the record again.
    pub deadline: Instant,
    /// Attempts made.
    pub attempts: u32,
    /// The record as it came, where it may become a dead letter.
    pub original: Option<Arc<Original>>,
}

/// What orders the versions of a record.
#[derive(Clone, Debug)]
pub struct Order {
    /// Last-update time of this version.
    pub lut_unix_ms: u64,
    /// Whether it holds all there is of the record, so that it can stand for older versions.
    pub whole: bool,
    /// The newest that were seen.
    pub seen: Arc<LutCache>,
}

/// Those who wait for one job.
#[derive(Debug)]
pub struct Tickets {
    own: Ticket,
    superseded: Vec<Ticket>,
    /// Where a dead letter counts once it is confirmed.
    letter: Option<Arc<LetterStats>>,
}

impl From<Ticket> for Tickets {
    fn from(own: Ticket) -> Self {
        Self { own, superseded: Vec::new(), letter: None }
    }
}

impl Tickets {
    /// The same tickets, for a dead letter of the destination that counts into `stats`.
    pub(crate) fn of_letter(self, stats: Arc<LetterStats>) -> Self {
        Self { letter: Some(stats), ..self }
    }

    /// Whether they wait for a dead letter.
    pub(crate) fn is_letter(&self) -> bool {
        self.letter.is_some()
    }

    /// Gives all of them the same fate.
    pub fn settle(mut self, outcome: Outcome) {
        self.settle_others(outcome);
        self.own.settle(outcome);
    }

    /// The same, but for the job's own, which [`Tickets::into_own`] gives.
    pub(crate) fn settle_others(&mut self, outcome: Outcome) {
        if let Some(stats) = self.letter.take_if(|_| outcome == Outcome::Delivered) {
            stats.confirmed.fetch_add(1, Ordering::Relaxed);
        }
        self.superseded.drain(..).for_each(|ticket| ticket.settle(outcome));
    }

    /// The ticket of the job itself, after those of the others were settled.
    pub(crate) fn into_own(self) -> Ticket {
        debug_assert!(self.superseded.is_empty(), "those who wait for older versions were told");
        self.own
    }

    /// Refuses all of them for now, and slowly.
    pub fn refuse(self, cause: Cause) {
        self.superseded.into_iter().for_each(|ticket| ticket.refuse(cause));
        self.own.refuse(cause);
    }

    fn is_wanted(&self) -> bool {
        self.own.is_wanted() || self.superseded.iter().any(Ticket::is_wanted)
    }
}

impl Job {
    /// Bytes that it keeps in memory: the piece, what its request has besides, and the message that it came in.
    pub(crate) fn bytes(&self) -> usize {
        self.piece.len()
            + self.request.as_ref().map_or(0, |request| request.bytes())
            + self.original.as_ref().map_or(0, |original| original.bytes())
    }

    /// Whether anybody still waits for what becomes of it.
    pub(crate) fn is_wanted(&self, now: Instant) -> bool {
        self.deadline > now && self.tickets.is_wanted()
    }

    /// Whether a newer version was taken in meanwhile: sending this one could set the destination back.
    pub(crate) fn is_stale(&self, now: Instant) -> bool {
        self.order.as_ref().is_some_and(|order| order.seen.is_stale(&self.record, order.lut_unix_ms, now))
    }

    /// Lets the newer of two versions of a record stand for both; returns how many bytes the other one held. `None`, and
    /// `other` as it was, when neither can stand for the other, and both have to go. Two records never do.
    pub(crate) fn supersede(&mut self, other: &mut Option<Self>) -> Option<usize> {
        if other.as_ref()?.record != self.record {
            return None;
        }
        let (order, others) = (self.order.as_ref()?, other.as_ref()?.order.as_ref()?);
        let newer = others.stands_for(order);
        if !newer && !order.stands_for(others) {
            return None;
        }
        let mut other = other.take()?;
        if newer {
            std::mem::swap(self, &mut other);
        }
        let bytes = other.bytes();
        // Those who waited for the other one have waited since then.
        self.entered = self.entered.min(other.entered);
        self.tickets.superseded.append(&mut other.tickets.superseded);
        self.tickets.superseded.push(other.tickets.own);
        Some(bytes)
    }
}

impl Order {
    /// Whether nobody misses the other version who has this one.
    pub(crate) fn stands_for(&self, other: &Self) -> bool {
        self.whole && self.lut_unix_ms >= other.lut_unix_ms
    }
}
