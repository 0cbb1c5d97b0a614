//! The numbers of one lane.

use std::sync::atomic::AtomicU64;

use super::ByCause;

/// What one lane holds and has done. The lane writes, the management endpoint and the ticker read.
#[derive(Debug, Default)]
pub struct LaneStats {
    /// Records waiting to be sent, now.
    pub queued: AtomicU64,
    /// Requests sent and not yet answered, now.
    pub in_flight: AtomicU64,
    /// Records waiting for another attempt, or behind one that does, now.
    pub parked: AtomicU64,
    /// Most records the lane may hold.
    pub capacity: AtomicU64,
    /// Requests sent, retries included.
    pub requests: AtomicU64,
    /// Records the destination confirmed.
    pub records_delivered: AtomicU64,
    /// Records sent again after a failed attempt.
    pub retries: AtomicU64,
    /// Records not sent because a newer version was.
    pub superseded: AtomicU64,
    /// Records refused because the lane was full.
    pub refused_full: AtomicU64,
    /// Failed attempts of records, by cause.
    pub failures: ByCause,
    /// Records shipped again that were not sent, because this destination had that very version.
    pub already_delivered: AtomicU64,
}
