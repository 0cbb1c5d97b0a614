//! Every number the connector counts. What they are called outside stands in [`crate::admin`].
//!
//! The record path only ever does relaxed atomic adds here: no lock, no allocation. The price is that
//! two counters read together may be a few records apart.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use adapters::Cause;

mod anomalies;
mod causes;
pub(crate) mod histogram;
mod lane;
mod letters;
pub(crate) mod process;
mod recent;
mod refusals;

use self::{anomalies::Anomalies, histogram::Histogram, process::LoadMeter, recent::Recent};
pub use self::{
    causes::ByCause,
    lane::{ByClass, ByStatus, Holding, LaneStats},
    letters::LetterStats,
    refusals::{ByRefusal, REFUSALS},
};

/// Counters of the connector, shared by all of its parts. Lock-free on the record path.
#[derive(Debug, Default)]
pub struct Metrics {
    arrivals: Arrivals,
    answers: Answers,
    connections_opened: AtomicU64,
    connections_closed: AtomicU64,
    info_requests: AtomicU64,
    frame_errors: AtomicU64,
    stale: AtomicU64,
    held: AtomicU64,
    filtered: AtomicU64,
    anomalies: Anomalies,
    pub(crate) load: LoadMeter,
}

/// Written by the read halves of connections. Apart from [`Answers`], so that the two halves, which run on
/// different processors, do not fight for one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Arrivals {
    bytes: Measured,
    lag_ms: Measured,
    newest_lag_ms: AtomicU64,
}

/// Written by the ack halves of connections.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Answers {
    success: AtomicU64,
    parse_error: AtomicU64,
    skipped: AtomicU64,
    error: ByCause,
    took_us: Measured,
}

/// A distribution since the start, and what is needed to tell its recent part.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) all: Histogram,
    pub(crate) recent: Recent,
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

/// The plain counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// XDR connections accepted.
    pub connections_opened: u64,
    /// XDR connections ended.
    pub connections_closed: u64,
    /// Info and login requests answered.
    pub info_requests: u64,
    /// Connections ended because what came was no frame.
    pub frame_errors: u64,
    /// Records read.
    pub arrived: u64,
    /// Bytes of the frames those records came in.
    pub arrived_bytes: u64,
    /// Records every destination confirmed.
    pub success: u64,
    /// Records refused, whatever the cause.
    pub refused: u64,
    /// Records that could not be parsed.
    pub parse_error: u64,
    /// Records no destination wanted.
    pub skipped: u64,
    /// Records that came after a newer version of themselves; among the successes.
    pub stale: u64,
    /// Records that could not be written in the configured format; among the refused.
    pub held: u64,
    /// Records that were not wanted, by a filter or a format that skips their kind; among the successes.
    pub filtered: u64,
}

impl Totals {
    /// Records answered, however they ended.
    pub fn ended(&self) -> u64 {
        self.success + self.errors()
    }

    /// Everything that is not a success: the vendor counts unparsable and skipped records as errors too.
    pub fn errors(&self) -> u64 {
        self.refused + self.parse_error + self.skipped
    }

    /// Connections open now.
    pub fn connections_active(&self) -> u64 {
        self.connections_opened.saturating_sub(self.connections_closed)
    }
}

impl Metrics {
    /// An XDR connection was accepted.
    pub fn connection_opened(&self) {
        self.connections_opened.fetch_add(1, Relaxed);
    }

    /// An XDR connection ended.
    pub fn connection_closed(&self) {
        self.connections_closed.fetch_add(1, Relaxed);
    }

    /// An info or login request was answered.
    pub fn info_request(&self) {
        self.info_requests.fetch_add(1, Relaxed);
    }

    /// A connection sent something that is no frame, which ends it.
    pub fn frame_error(&self) {
        self.frame_errors.fetch_add(1, Relaxed);
    }

    /// A record was acknowledged unsent, because a newer version of it had been taken in.
    pub fn stale(&self) {
        self.stale.fetch_add(1, Relaxed);
    }

    /// A record could not be written in the configured format.
    pub fn held(&self) {
        self.held.fetch_add(1, Relaxed);
    }

    /// A record was acknowledged unsent, because it is not wanted.
    pub fn filtered(&self) {
        self.filtered.fetch_add(1, Relaxed);
    }

    /// Something happened that should not, and that no other counter tells. `kind` becomes a label, so there
    /// may only be a few; past 32 they are counted together as `other`.
    pub fn anomaly(&self, kind: &'static str) {
        self.anomalies.add(kind);
    }

    /// A record arrived: its frame size, and how far behind its last-update time it is, when known.
    pub fn arrived(&self, bytes: usize, lag: Option<Duration>) {
        self.arrivals.bytes.all.record(bytes as u64);
        if let Some(lag) = lag {
            let lag_ms = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
            self.arrivals.lag_ms.all.record(lag_ms);
            self.arrivals.newest_lag_ms.store(lag_ms, Relaxed);
        }
    }

    /// A record was answered, `took` after it arrived.
    pub fn ended(&self, ended: Ended, took: Duration) {
        let answers = &self.answers;
        match ended {
            Ended::Success => _ = answers.success.fetch_add(1, Relaxed),
            Ended::ParseError => _ = answers.parse_error.fetch_add(1, Relaxed),
            Ended::Skipped => _ = answers.skipped.fetch_add(1, Relaxed),
            Ended::Error(cause) => answers.error.add(cause, 1),
        }
        // Rounded up, so that a bucket's upper bound holds for the exact duration as well.
        let took_us = took.as_nanos().div_ceil(1_000);
        answers.took_us.all.record(u64::try_from(took_us).unwrap_or(u64::MAX));
    }

    /// The plain counters now.
    pub fn totals(&self) -> Totals {
        let bytes = self.arrivals.bytes.all.snapshot();
        Totals {
            connections_opened: self.connections_opened.load(Relaxed),
            connections_closed: self.connections_closed.load(Relaxed),
            info_requests: self.info_requests.load(Relaxed),
            frame_errors: self.frame_errors.load(Relaxed),
            arrived: bytes.count(),
            arrived_bytes: bytes.sum,
            success: self.answers.success.load(Relaxed),
            refused: self.answers.error.total(),
            parse_error: self.answers.parse_error.load(Relaxed),
            skipped: self.answers.skipped.load(Relaxed),
            stale: self.stale.load(Relaxed),
            held: self.held.load(Relaxed),
            filtered: self.filtered.load(Relaxed),
        }
    }

    /// Refused records by cause.
    pub fn refused(&self) -> &ByCause {
        &self.answers.error
    }

    /// Anomalies by kind, each kind that occurred.
    pub fn anomalies(&self) -> Vec<(&'static str, u64)> {
        self.anomalies.read()
    }

    /// Frame sizes of the records that arrived, in bytes.
    pub(crate) fn frame_bytes(&self) -> &Measured {
        &self.arrivals.bytes
    }

    /// How far behind their last-update time records arrived, in milliseconds.
    pub(crate) fn lag_ms(&self) -> &Measured {
        &self.arrivals.lag_ms
    }

    /// Lag of the record that arrived last.
    pub(crate) fn newest_lag_ms(&self) -> u64 {
        self.arrivals.newest_lag_ms.load(Relaxed)
    }

    /// Microseconds from a record's arrival to its answer.
    pub(crate) fn took_us(&self) -> &Measured {
        &self.answers.took_us
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn each_ending_has_its_counter() {
        let metrics = Metrics::default();
        metrics.ended(Ended::Success, Duration::from_millis(1));
        metrics.ended(Ended::Success, Duration::from_millis(1));
        metrics.ended(Ended::Error(Cause::Status(500)), Duration::ZERO);
        metrics.ended(Ended::Error(Cause::Timeout), Duration::MAX);
        metrics.ended(Ended::ParseError, Duration::ZERO);
        metrics.ended(Ended::Skipped, Duration::ZERO);

        let totals = metrics.totals();
        assert_eq!((totals.success, totals.refused, totals.parse_error, totals.skipped), (2, 2, 1, 1));
        assert_eq!((totals.ended(), totals.errors()), (6, 4));
        assert_eq!(metrics.took_us().all.snapshot().count(), 6);
    }

    #[test]
    fn connections_active_never_wraps() {
        let metrics = Metrics::default();
        metrics.connection_opened();
        metrics.connection_opened();
        metrics.connection_closed();
        assert_eq!(metrics.totals().connections_active(), 1);
        // The two counters are read one after the other: a close may be seen before its open.
        let torn = Totals { connections_opened: 1, connections_closed: 2, ..Totals::default() };
        assert_eq!(torn.connections_active(), 0);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let metrics = Arc::new(Metrics::default());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let metrics = metrics.clone();
                thread::spawn(move || {
                    for i in 0..10_000_usize {
                        metrics.arrived(i, Some(Duration::from_millis(3)));
                        metrics.ended(Ended::Success, Duration::from_micros(700));
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());

        let totals = metrics.totals();
        assert_eq!((totals.arrived, totals.success), (40_000, 40_000));
        assert_eq!(totals.arrived_bytes, 4 * 9_999 * 10_000 / 2);
        assert_eq!(metrics.newest_lag_ms(), 3);
    }
}
