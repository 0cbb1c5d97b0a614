//! What is counted, and which requests fail.

use std::{cell::Cell, time::Duration};

use clap::{Args, ValueEnum};
use esp_connector::simulator::random::mix;
use memchr::memmem;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// Faults to make.
#[derive(Args, Clone, Debug)]
pub(crate) struct FaultArgs {
    /// Share of the requests that fail.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    fault_share: f64,
    /// How they fail.
    #[arg(long, value_name = "FAULT", default_value = "503")]
    fault: Fault,
    /// Answer so much later.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay_ms: u64,
}

/// How a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    #[value(name = "503")]
    Unavailable,
    #[value(name = "429")]
    TooMany,
    /// Its connection is closed without an answer; over HTTP/2 its stream.
    Cut,
}

/// The faults of a receiver.
#[derive(Debug)]
pub(super) struct Faults {
    share: u64,
    fault: Fault,
    pub(super) delay: Duration,
}

impl Faults {
    pub(super) fn new(args: &FaultArgs) -> Self {
        let share = (args.fault_share.clamp(0.0, 1.0) * u32::MAX as f64) as u64;
        Self { share, fault: args.fault, delay: Duration::from_millis(args.delay_ms) }
    }

    /// What becomes of request number `number`.
    pub(super) fn of(&self, number: u64) -> Option<Fault> {
        (mix(number) >> 32 < self.share).then_some(self.fault)
    }
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Counts {
    requests: Cell<u64>,
    records: Cell<u64>,
    failed: Cell<u64>,
    body_bytes: Cell<u64>,
    first_ns: Cell<u64>,
}

impl Counts {
    /// Counts a request and gives it its number.
    pub(super) fn request(&self) -> u64 {
        let number = self.requests.get();
        self.requests.set(number + 1);
        if number == 0 {
            let now = clock_gettime(ClockId::Monotonic);
            self.first_ns.set(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64);
        }
        number
    }

    pub(super) fn failed(&self) {
        self.failed.set(self.failed.get() + 1);
    }

    pub(super) fn confirmed(&self, records: u64, body_bytes: u64) {
        self.records.set(self.records.get() + records);
        self.body_bytes.set(self.body_bytes.get() + body_bytes);
    }

    /// The answer to a `GET`.
    pub(super) fn page(&self) -> String {
        json!({
            "requests": self.requests.get(),
            "records": self.records.get(),
            "failed": self.failed.get(),
            "body_bytes": self.body_bytes.get(),
            "first_ns": self.first_ns.get(),
        })
        .to_string()
    }
}

/// Records in a whole body, by the metadata that each has.
pub(super) fn records(body: &[u8]) -> u64 {
    memmem::find_iter(body, MARK).count() as u64
}

/// Begins the metadata of every record.
pub(super) const MARK: &[u8] = b"\"_meta\"";
