//! How many records are due: all that there is room for, or so many per second.
//!
//! The runtime's timer knows milliseconds, in which a whole burst falls due; a thread that sleeps a tenth of one keeps the
//! load even.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// Shared by all that make the load.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: u64,
    pub(crate) started: Instant,
    due: AtomicU64,
    begun: AtomicU64,
    over: AtomicBool,
    pub(crate) changed: Notify,
}

impl Pace {
    /// `rate` per second for so long, everything at once where it is zero, and at most `most`.
    pub(crate) fn start(rate: u64, how_long: Duration, most: u64) -> Arc<Self> {
        let due = if rate == 0 { most } else { 0 };
        let pace = Arc::new(Self {
            rate,
            started: Instant::now(),
            due: AtomicU64::new(due),
            begun: AtomicU64::new(0),
            over: AtomicBool::new(false),
            changed: Notify::new(),
        });
        let this = Arc::clone(&pace);
        thread::spawn(move || {
            while this.started.elapsed() < how_long {
                nap(if rate == 0 { COARSE } else { FINE });
                if rate > 0 {
                    this.due.store(
                        ((this.started.elapsed().as_secs_f64() * rate as f64) as u64).min(most),
                        Relaxed,
                    );
                    this.changed.notify_waiters();
                }
            }
            this.over.store(true, Relaxed);
            this.changed.notify_waiters();
        });
        pace
    }

    /// Takes up to `wanted` records that are due: their first number and how many.
    pub(crate) fn take(&self, wanted: u64) -> (u64, u64) {
        let first = self.begun.load(Relaxed);
        let count = if self.is_over() { 0 } else { wanted.min(self.due.load(Relaxed).saturating_sub(first)) };
        // One thread takes, the other only raises what is due.
        self.begun.store(first + count, Relaxed);
        (first, count)
    }

    /// How long after the start the record with this number is due; nothing without a rate.
    ///
    /// Latency counts from there. Who waits for answers before sending more sends nothing while something stands still, and
    /// would count a stall for the few that are under way instead of for all that were due (coordinated omission).
    pub(crate) fn due_after(&self, number: u64) -> Option<Duration> {
        (self.rate > 0).then(|| Duration::from_secs_f64(number as f64 / self.rate as f64))
    }

    /// Whether the time is over.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// Whether no more will be due.
    pub(crate) fn is_done(&self, most: u64) -> bool {
        self.is_over() || self.begun.load(Relaxed) >= most
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, whose purpose is to sleep")]
fn nap(how_long: Duration) {
    thread::sleep(how_long);
}

const FINE: Duration = Duration::from_micros(100);
const COARSE: Duration = Duration::from_millis(5);
