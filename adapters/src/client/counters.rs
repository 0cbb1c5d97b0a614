//! What an endpoint did so far, for metrics.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use ::http::StatusCode;

use crate::EndpointStats;

pub(crate) struct Counters {
    success: AtomicU64,
    error: AtomicU64,
    queued: AtomicU64,
    health_success: AtomicU64,
    health_error: AtomicU64,
    sent_bytes: AtomicU64,
    repeats: AtomicU64,
    /// By status, from 100 on; the last is for all that no one has heard of.
    answers: Box<[AtomicU64; STATUSES]>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            success: AtomicU64::default(),
            error: AtomicU64::default(),
            queued: AtomicU64::default(),
            health_success: AtomicU64::default(),
            health_error: AtomicU64::default(),
            sent_bytes: AtomicU64::default(),
            repeats: AtomicU64::default(),
            answers: Box::new(array::from_fn(|_| AtomicU64::default())),
        }
    }
}

impl Counters {
    /// Counts a request as in flight or waiting until the result is dropped.
    pub(crate) fn queue(&self) -> Queued<'_> {
        self.queued.fetch_add(1, Relaxed);
        Queued { counters: self, counted: Counted::Not }
    }

    /// A health check ended.
    pub(crate) fn checked(&self, passed: bool) {
        let counter = if passed { &self.health_success } else { &self.health_error };
        counter.fetch_add(1, Relaxed);
    }

    /// A request with a body of so many bytes goes out.
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// An answer came.
    pub(crate) fn answered(&self, status: StatusCode) {
        let index = usize::from(status.as_u16()).saturating_sub(100).min(STATUSES - 1);
        self.answers[index].fetch_add(1, Relaxed);
    }

    /// A request that was surely not processed, or found a connection that had died, is sent again at once.
    pub(crate) fn repeated(&self) {
        self.repeats.fetch_add(1, Relaxed);
    }

    /// The counters, in the form that metrics want; the rest is for the endpoint to fill in.
    pub(crate) fn stats(&self, endpoint: String) -> EndpointStats {
        EndpointStats {
            endpoint,
            healthy: true,
            success: self.success.load(Relaxed),
            error: self.error.load(Relaxed),
            queued: self.queued.load(Relaxed),
            health_success: self.health_success.load(Relaxed),
            health_error: self.health_error.load(Relaxed),
            connections: 0,
            protocol: None,
            sent_bytes: self.sent_bytes.load(Relaxed),
            repeats: self.repeats.load(Relaxed),
            answers: self.answers(),
        }
    }

    fn answers(&self) -> Vec<(u16, u64)> {
        let counts = (100u16..).zip(self.answers.iter().map(|count| count.load(Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

/// 100 to 599, and one for the rest.
const STATUSES: usize = 501;

/// A request in flight or waiting; counts how it ended.
pub(crate) struct Queued<'a> {
    counters: &'a Counters,
    counted: Counted,
}

enum Counted {
    /// Only waited here, or was surely not processed and goes elsewhere.
    Not,
    Success,
    Error,
}

impl Queued<'_> {
    /// A request is sent: from here on anything but [`Self::succeeded`] is an error.
    pub(crate) fn sent(&mut self) {
        self.counted = Counted::Error;
    }

    /// The request was not processed and is tried again.
    pub(crate) fn retried(&mut self) {
        self.counted = Counted::Not;
    }

    /// The answer confirmed delivery.
    pub(crate) fn succeeded(mut self) {
        self.counted = Counted::Success;
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let counters = self.counters;
        counters.queued.fetch_sub(1, Relaxed);
        match self.counted {
            Counted::Not => (),
            Counted::Success => _ = counters.success.fetch_add(1, Relaxed),
            Counted::Error => _ = counters.error.fetch_add(1, Relaxed),
        }
    }
}
