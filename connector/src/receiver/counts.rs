//! What an endpoint counted.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

/// Counters, live.
#[derive(Debug)]
pub(super) struct Counts {
    started: Instant,
    pub(super) connections: Counter,
    pub(super) requests: Counter,
    pub(super) bytes: Counter,
    pub(super) failed: Counter,
    pub(super) hung: Counter,
    pub(super) closed: Counter,
    pub(super) malformed: Counter,
    delivered: Counter,
    unidentified: Counter,
    /// Microseconds after the start, plus one; 0 is never.
    first_delivery_us: AtomicU64,
    last_delivery_us: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Adds, and tells what it was.
    pub(super) fn add(&self, count: u64) -> u64 {
        self.0.fetch_add(count, Relaxed)
    }

    fn load(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            connections: Counter::default(),
            requests: Counter::default(),
            bytes: Counter::default(),
            failed: Counter::default(),
            hung: Counter::default(),
            closed: Counter::default(),
            malformed: Counter::default(),
            delivered: Counter::default(),
            unidentified: Counter::default(),
            first_delivery_us: AtomicU64::new(0),
            last_delivery_us: AtomicU64::new(0),
        }
    }
}

impl Counts {
    /// `count` records were confirmed, of which `unidentified` are no simulated source's.
    pub(super) fn delivered(&self, count: u64, unidentified: u64) {
        self.delivered.add(count);
        if unidentified > 0 {
            self.unidentified.add(unidentified);
        }
        let now_us = self.started.elapsed().as_micros() as u64 + 1;
        self.last_delivery_us.fetch_max(now_us, Relaxed);
        if self.first_delivery_us.load(Relaxed) == 0 {
            let _ = self.first_delivery_us.compare_exchange(0, now_us, Relaxed, Relaxed);
        }
    }

    pub(super) fn totals(&self) -> Totals {
        let delivered = self.delivered.load();
        let first_us = self.first_delivery_us.load(Relaxed);
        let between_us = self.last_delivery_us.load(Relaxed).saturating_sub(first_us);
        Totals {
            connections: self.connections.load(),
            requests: self.requests.load(),
            bytes: self.bytes.load(),
            delivered,
            delivered_rate: match between_us {
                0 => 0.0,
                _ => delivered.saturating_sub(1) as f64 * 1e6 / between_us as f64,
            },
            unidentified: self.unidentified.load(),
            failed: self.failed.load(),
            hung: self.hung.load(),
            closed: self.closed.load(),
            malformed: self.malformed.load(),
        }
    }
}

/// The counters of an endpoint at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Totals {
    /// Connections accepted.
    pub connections: u64,
    /// Requests, status pages aside.
    pub requests: u64,
    /// Bytes of their bodies, as they came.
    pub bytes: u64,
    /// Records confirmed, repetitions included.
    pub delivered: u64,
    /// The same per second, between the first and the last confirmation.
    pub delivered_rate: f64,
    /// Confirmed records that carry no number, and so are in no ledger.
    pub unidentified: u64,
    /// Requests refused with the set status.
    pub failed: u64,
    /// Requests never answered.
    pub hung: u64,
    /// Requests whose connection was closed instead.
    pub closed: u64,
    /// Requests that hold no notification.
    pub malformed: u64,
}
