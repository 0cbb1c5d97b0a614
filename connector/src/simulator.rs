//! Plays an XDR source against any connector, and keeps the ledger that proves at-least-once.
//!
//! Behaves as a cluster does that ships to a connector: a few connections from each node to each instance,
//! deep pipelines, the same connection for the same record, ten seconds of patience, everything unanswered
//! shipped again after a reset, and the published reaction to each result code. It shares no code with the
//! side that decodes.
//!
//! It costs little, so that what is measured is the connector: one task per connection, no timer and no
//! allocation per record, 16 to 20 bytes of state per record whatever its size.

pub mod args;
pub mod command;
pub(crate) mod connect;
pub mod encode;
pub mod latency;
pub mod ledger;
pub mod ledger_file;
pub mod particle;
pub mod random;
pub(crate) mod shipper;
mod source;
mod stale;
mod totals;
pub mod workload;

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use self::{
    connect::Dial, latency::Latencies, ledger::Ledger, ledger_file::LedgerFile, shipper::Shipper,
    source::Source, workload::Workload,
};
pub use self::{
    connect::{Tls, TlsError},
    totals::{Reaction, Summary},
};

/// Everything a simulated source can be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `host:port` of each instance of the connector. At least one.
    pub instances: Vec<String>,
    /// Source nodes. At least one.
    pub nodes: usize,
    /// Connections each node makes to each instance. At least one.
    pub connections_per_node: usize,
    /// Most messages in flight on one connection. At least one.
    pub depth: usize,
    /// Changes per second; 0 makes them as fast as they can be shipped.
    pub rate: u32,
    /// How long an answer may take. XDR's is ten seconds and cannot be set.
    pub timeout: Duration,
    /// Pause before a refused record is shipped again.
    pub retry_pause: Duration,
    /// How often each node makes a connection that sends nothing.
    pub probe_interval: Duration,
    /// When the run ends whatever is left to do.
    pub deadline: Duration,
    /// TLS, if the connector's port wants it.
    pub tls: Option<Tls>,
    /// What is shipped.
    pub workload: Workload,
}

impl Settings {
    /// The usual source of `workload`, shipping to one instance.
    pub fn new(instance: String, workload: Workload) -> Self {
        Self {
            instances: vec![instance],
            nodes: 2,
            connections_per_node: 4,
            depth: 256,
            rate: 0,
            timeout: Duration::from_secs(10),
            retry_pause: Duration::from_millis(100),
            probe_interval: Duration::from_secs(5),
            deadline: Duration::from_secs(600),
            tls: None,
            workload,
        }
    }
}

/// One run of a simulated source.
#[derive(Debug)]
pub struct Simulation {
    source: Arc<Source>,
}

impl Simulation {
    /// Prepares a run. With a `ledger_file`, what is shipped and acknowledged is also written there.
    pub fn new(settings: Settings, ledger_file: Option<LedgerFile>) -> Self {
        Self { source: Arc::new(Source::new(settings, Dial::Network, ledger_file)) }
    }

    /// The ledger this run fills in. A receiver in the same process fills in the other side.
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.source.ledger)
    }

    /// Changes in all, and those made so far.
    pub fn changes(&self) -> (u64, u64) {
        let made = self.source.totals.changes.load(std::sync::atomic::Ordering::Relaxed);
        (self.source.generator.changes().into(), made)
    }

    /// Answers so far that made XDR ship a record again.
    pub fn retries(&self) -> u64 {
        self.source.totals.retries()
    }

    /// Ends the run early.
    pub fn stop(&self) {
        self.source.stop();
    }

    /// Ships everything, until all is acknowledged or abandoned, or the deadline passes.
    pub async fn run(&self) -> Summary {
        let source = &self.source;
        let started = tokio::time::Instant::now();
        let mut shippers = JoinSet::new();
        for lane in 0..source.lanes() {
            shippers.spawn(Shipper::new(Arc::clone(source), lane).run());
        }
        let mut background = JoinSet::new();
        for _node in 0..source.settings.nodes {
            for instance in 0..source.settings.instances.len() {
                background.spawn(connect::probe(Arc::clone(source), instance));
            }
        }
        let changing = Arc::clone(source);
        background.spawn(async move { changing.make_changes().await });

        let mut finished = source.finished();
        let in_time = finished.wait_for(|finished| *finished);
        if tokio::time::timeout(source.settings.deadline, in_time).await.is_err() {
            source.stop();
        }
        let elapsed = started.elapsed();
        let unfinished = source.unfinished();
        let mut latencies = Latencies::default();
        let (mut ledger_write_failures, mut unanswered_max_us) = (0, 0);
        while let Some(report) = shippers.join_next().await {
            let Ok(report) = report else { continue };
            latencies.merge(&report.latencies);
            ledger_write_failures += report.ledger_write_failures;
            unanswered_max_us = report.unanswered_max_us.max(unanswered_max_us);
        }
        background.shutdown().await;

        let (shipped, acked, _) = source.ledger.progress();
        Summary {
            shipped,
            acked,
            unfinished,
            ledger_write_failures,
            unanswered_max: Duration::from_micros(unanswered_max_us),
            rate: acked as f64 / elapsed.as_secs_f64().max(1e-6),
            ..Summary::new(&source.totals, elapsed, &latencies)
        }
    }
}

#[cfg(test)]
mod tests;
