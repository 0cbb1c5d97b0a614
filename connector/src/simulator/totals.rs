//! What a run counted.

use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::{Serialize, Serializer};

use super::latency::Latencies;
use crate::wire::ack;

/// Live counters, added to in bulk by every connection.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) changes: AtomicU64,
    pub(super) superseded: AtomicU64,
    pub(super) frames: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) answers: [AtomicU64; 256],
    pub(super) connects: AtomicU64,
    pub(super) connect_failures: AtomicU64,
    pub(super) resets: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) reshipped: AtomicU64,
    pub(super) stale: AtomicU64,
    pub(super) probes: AtomicU64,
    pub(super) probe_failures: AtomicU64,
}

impl Default for Totals {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            changes: zero(),
            superseded: zero(),
            frames: zero(),
            bytes: zero(),
            answers: std::array::from_fn(|_| zero()),
            connects: zero(),
            connect_failures: zero(),
            resets: zero(),
            timeouts: zero(),
            malformed: zero(),
            reshipped: zero(),
            stale: zero(),
            probes: zero(),
            probe_failures: zero(),
        }
    }
}

impl Totals {
    pub(super) fn retries(&self) -> u64 {
        let answers = (0..=u8::MAX).zip(&self.answers);
        answers
            .filter(|(code, _)| Reaction::to(*code) == Reaction::Retry)
            .map(|(_, count)| count.load(Relaxed))
            .sum()
    }
}

/// XDR's reaction to a result code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The record is done.
    Complete,
    /// The record is shipped again after a pause.
    Retry,
    /// The record is given up: lost for this destination.
    Abandon,
}

impl Reaction {
    /// The published table.
    pub fn to(code: u8) -> Self {
        match code {
            0 | 2 => Self::Complete,
            8 | 9 | 11 | 14 | 18 | 80 => Self::Retry,
            _ => Self::Abandon,
        }
    }
}

/// The report at the end of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Changes made to records.
    pub changes: u64,
    /// Versions never shipped, or not again, because a newer one was there.
    pub superseded: u64,
    /// Messages put on the wire, repetitions included.
    pub messages: u64,
    /// Their size.
    pub bytes: u64,
    /// Distinct versions shipped.
    pub shipped: u64,
    /// Distinct versions acknowledged.
    pub acked: u64,
    /// Answers that asked for a retry, by result code.
    pub retried: BTreeMap<u8, u64>,
    /// Answers on which XDR gives a record up, by result code. Each is a loss.
    pub abandoned: BTreeMap<u8, u64>,
    /// Records neither acknowledged nor abandoned when the run ended.
    pub unfinished: u64,
    /// Connections made.
    pub connects: u64,
    /// Attempts that made none.
    pub connect_failures: u64,
    /// Connections the connector closed.
    pub resets: u64,
    /// Connections closed because an answer took too long.
    pub timeouts: u64,
    /// Connections closed because an answer made no sense.
    pub malformed: u64,
    /// Messages in flight on connections that were closed; shipped again.
    pub reshipped: u64,
    /// Older versions shipped again after a newer one. Whatever their answer, nothing depends on it.
    pub stale: u64,
    /// Connections that send nothing, made every few seconds.
    pub probes: u64,
    /// Those that could not be made.
    pub probe_failures: u64,
    /// Acknowledgements that could not be written to the ledger file; they are missing in its account.
    pub ledger_write_failures: u64,
    /// How long the run took.
    #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
    /// Acknowledged versions a second.
    pub rate: f64,
    /// Time from shipping to a completing answer: half take no longer.
    #[serde(rename = "latency_p50_ms", serialize_with = "milliseconds")]
    pub latency_p50: Duration,
    /// The same for 99 of 100.
    #[serde(rename = "latency_p99_ms", serialize_with = "milliseconds")]
    pub latency_p99: Duration,
    /// The longest.
    #[serde(rename = "latency_max_ms", serialize_with = "milliseconds")]
    pub latency_max: Duration,
    /// The longest that a message waited for an answer of any kind, or for the end of its connection.
    #[serde(rename = "unanswered_max_ms", serialize_with = "milliseconds")]
    pub unanswered_max: Duration,
}

impl Summary {
    pub(super) fn new(totals: &Totals, elapsed: Duration, latencies: &Latencies) -> Self {
        let by_code = |wanted: Reaction| {
            (0..=u8::MAX)
                .zip(&totals.answers)
                .filter(|(code, _)| Reaction::to(*code) == wanted)
                .map(|(code, count)| (code, count.load(Relaxed)))
                .filter(|(_, count)| *count > 0)
                .collect()
        };
        Self {
            changes: totals.changes.load(Relaxed),
            superseded: totals.superseded.load(Relaxed),
            messages: totals.frames.load(Relaxed),
            bytes: totals.bytes.load(Relaxed),
            shipped: 0,
            acked: 0,
            retried: by_code(Reaction::Retry),
            abandoned: by_code(Reaction::Abandon),
            unfinished: 0,
            connects: totals.connects.load(Relaxed),
            connect_failures: totals.connect_failures.load(Relaxed),
            resets: totals.resets.load(Relaxed),
            timeouts: totals.timeouts.load(Relaxed),
            malformed: totals.malformed.load(Relaxed),
            reshipped: totals.reshipped.load(Relaxed),
            stale: totals.stale.load(Relaxed),
            probes: totals.probes.load(Relaxed),
            probe_failures: totals.probe_failures.load(Relaxed),
            ledger_write_failures: 0,
            elapsed,
            rate: 0.0,
            latency_p50: latencies.quantile(0.5),
            latency_p99: latencies.quantile(0.99),
            latency_max: latencies.max(),
            unanswered_max: Duration::ZERO,
        }
    }

    /// Whether every change was acknowledged, or overtaken by one that was.
    pub fn is_complete(&self) -> bool {
        self.abandoned.is_empty() && self.unfinished == 0 && self.ledger_write_failures == 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let codes = |codes: &BTreeMap<u8, u64>| {
            let all: Vec<String> = codes
                .iter()
                .map(|(code, count)| format!("{count} with result {code} ({})", ack::name(*code)))
                .collect();
            if all.is_empty() { "none".to_owned() } else { all.join(", ") }
        };
        writeln!(
            f,
            "changes      {} made, {} overtaken before they were shipped",
            self.changes, self.superseded
        )?;
        writeln!(
            f,
            "shipped      {} versions in {} messages, {:.1} MiB",
            self.shipped,
            self.messages,
            self.bytes as f64 / 1_048_576.0
        )?;
        if self.stale > 0 {
            writeln!(f, "stale        {} older versions shipped after newer ones", self.stale)?;
        }
        writeln!(
            f,
            "acked        {} versions in {:.1} s, {:.0}/s",
            self.acked,
            self.elapsed.as_secs_f64(),
            self.rate
        )?;
        writeln!(
            f,
            "latency      p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms; no answer of any kind took longer than {:.1} ms",
            ms(self.latency_p50),
            ms(self.latency_p99),
            ms(self.latency_max),
            ms(self.unanswered_max)
        )?;
        writeln!(f, "retried      {}", codes(&self.retried))?;
        writeln!(
            f,
            "connections  {} made, {} refused, {} closed by the connector, {} timed out, {} malformed; {} \
             messages shipped again",
            self.connects, self.connect_failures, self.resets, self.timeouts, self.malformed, self.reshipped
        )?;
        writeln!(f, "probes       {} made, {} refused", self.probes, self.probe_failures)?;
        writeln!(f, "abandoned    {}", codes(&self.abandoned))?;
        write!(f, "unfinished   {}", self.unfinished)
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_published_codes_complete_or_retry() {
        let with = |wanted| (0..=u8::MAX).filter(|code| Reaction::to(*code) == wanted).collect::<Vec<u8>>();
        assert_eq!(with(Reaction::Complete), [0, 2]);
        assert_eq!(with(Reaction::Retry), [8, 9, 11, 14, 18, 80]);
        assert_eq!(with(Reaction::Abandon).len(), 248);
    }
}
