//! Every number the connector counts, in one table.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use adapters::Cause;

/// Counters of the connector, shared by all of its parts. Lock-free on the record path.
#[derive(Debug, Default)]
pub struct Metrics {
    /// XDR connections accepted.
    pub connections_opened: AtomicU64,
    /// XDR connections ended.
    pub connections_closed: AtomicU64,
    success: AtomicU64,
    error: AtomicU64,
}

/// How a record ended, as the vendor's metrics divide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every destination confirmed.
    Success,
    /// Refused temporarily, or finally because the operator said so.
    Error(Cause),
    /// Could not be parsed.
    ParseError,
    /// No destination wanted.
    Skipped,
}

impl Metrics {
    /// A record arrived: its frame size, and how far behind its last-update time it is, when known.
    pub fn arrived(&self, _bytes: usize, _lag: Option<Duration>) {}

    /// A record was answered, `took` after it arrived.
    pub fn ended(&self, ended: Ended, _took: Duration) {
        let counter = match ended {
            Ended::Success => &self.success,
            _ => &self.error,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
