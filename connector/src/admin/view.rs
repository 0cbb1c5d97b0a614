//! What the management endpoint and the statistics line show.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use adapters::{Access, Class, EndpointStats, SharedTarget};

use crate::{
    delivered::Delivered,
    lane::what_to_do,
    logging::LogHandle,
    metrics::{LaneStats, Metrics, histogram::Snapshot},
    ordering::LutCache,
    reload::Reloads,
    tls::Acceptor,
};

/// Everything that can be looked at from outside, gathered by whoever starts the connector.
pub struct View {
    /// Counters of the connector.
    pub metrics: Arc<Metrics>,
    /// Label of every series.
    pub cluster_name: String,
    /// Export the vendor's JVM gauges as well.
    pub jvm_compat: bool,
    /// Records read and not yet answered.
    pub in_process: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// How full the window is.
    pub window: Arc<dyn Fn() -> WindowGauge + Send + Sync>,
    /// Every lane with its target. A name that occurs twice is shown as one destination.
    pub destinations: Vec<DestinationView>,
    /// Whether records would be taken now, as far as the connector itself is concerned. See `View::readiness`.
    pub ready: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// Listeners with TLS.
    pub tls: Vec<Arc<Acceptor>>,
    /// Where last-update times are remembered.
    pub lut_caches: Vec<Arc<LutCache>>,
    /// Which destinations have what XDR ships again, unless that is not remembered.
    pub delivered: Option<Arc<Delivered>>,
    /// Times forgotten in those that are gone since the start.
    pub lut_forgotten: u64,
    /// Log levels.
    pub logs: LogHandle,
    /// Reads the configuration again.
    pub reloads: Reloads,
}

/// The window: how much is read and not yet answered, and how much may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowGauge {
    /// Records held.
    pub records: u64,
    /// Most records at present; moves when the window adapts.
    pub records_limit: u64,
    /// Bytes held.
    pub bytes: u64,
    /// Most bytes.
    pub bytes_limit: u64,
}

/// One lane and the target it delivers to.
#[derive(Clone, Debug)]
pub struct DestinationView {
    /// The configured name.
    pub name: String,
    /// Asked for its endpoints.
    pub target: SharedTarget,
    /// The lane's numbers. Lanes that took each other's place share them, and count once.
    pub lane: Arc<LaneStats>,
    /// What was counted at endpoints before this target took the place of another.
    pub before: Arc<Counted>,
}

/// What targets counted that are gone. Shown only for endpoints that are still there.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    endpoints: Vec<EndpointStats>,
    fetched: u64,
    fetch_failures: u64,
}

impl Counted {
    /// This, and what `target` counted.
    pub fn and(&self, target: &SharedTarget) -> Self {
        let ended = target.endpoints().into_iter().map(|endpoint| EndpointStats {
            healthy: true,
            queued: 0,
            connections: 0,
            protocol: None,
            ..endpoint
        });
        let access = target.access().unwrap_or_default();
        Self {
            endpoints: merged(self.endpoints.iter().cloned().chain(ended)),
            fetched: self.fetched + access.fetched,
            fetch_failures: self.fetch_failures + access.fetch_failures,
        }
    }
}

impl DestinationView {
    /// What an operator has to see to, in words.
    fn holding(&self) -> Option<String> {
        let (class, status) = self.lane.holding.get()?;
        let what = what_to_do(class, status)?;
        let status = status.map_or_else(String::new, |status| format!(", status {status}"));
        Some(format!("destination {} ({}{status}): {what}", self.name, class.as_str()))
    }
}

/// Whether the connector is of use now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It takes records.
    Ready,
    /// It does not, and why, in words.
    NotReady(String),
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("cluster_name", &self.cluster_name)
            .field("destinations", &self.destinations)
            .finish_non_exhaustive()
    }
}

impl View {
    /// Whether the connector is of use now: neither itself nor any destination says no.
    ///
    /// A destination counts that takes nothing until an operator acts. One that is merely out of order passes, and is
    /// not helped by sending records to another connector.
    pub(crate) fn readiness(&self) -> Readiness {
        let own = (self.ready)();
        if own != Readiness::Ready {
            return own;
        }
        let held: Vec<_> = self.destinations.iter().filter_map(DestinationView::holding).collect();
        if held.is_empty() { Readiness::Ready } else { Readiness::NotReady(held.join("; ")) }
    }

    /// One reading per destination name, sorted by name.
    pub(crate) fn destination_readings(&self) -> Vec<DestinationReading> {
        let mut by_name: BTreeMap<&str, Vec<&DestinationView>> = BTreeMap::new();
        for view in &self.destinations {
            by_name.entry(&view.name).or_default().push(view);
        }
        by_name.into_iter().map(|(name, views)| DestinationReading::of(name, &views)).collect()
    }
}

/// The numbers of one destination at one moment. See [`LaneStats`] for what they mean.
#[derive(Debug)]
pub(crate) struct DestinationReading {
    pub(crate) name: String,
    pub(crate) queued: u64,
    pub(crate) in_flight: u64,
    pub(crate) parked: u64,
    pub(crate) capacity: u64,
    pub(crate) concurrency: u64,
    pub(crate) breaker: u64,
    pub(crate) pause_ms: u64,
    pub(crate) holding: Option<(Class, Option<u16>)>,
    pub(crate) requests: u64,
    pub(crate) request_bytes: u64,
    pub(crate) request_records: Snapshot,
    pub(crate) classes: BTreeMap<&'static str, u64>,
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) records_delivered: u64,
    pub(crate) retries: u64,
    pub(crate) splits: u64,
    pub(crate) superseded: u64,
    pub(crate) refused_full: u64,
    pub(crate) refused_closed: u64,
    pub(crate) failures: BTreeMap<&'static str, u64>,
    pub(crate) dead_letters: BTreeMap<&'static str, u64>,
    pub(crate) held: u64,
    pub(crate) dropped: u64,
    pub(crate) letters_confirmed: u64,
    pub(crate) already_delivered: u64,
    pub(crate) endpoints: Vec<EndpointStats>,
    pub(crate) access: Option<Access>,
}

impl DestinationReading {
    fn of(name: &str, views: &[&DestinationView]) -> Self {
        let mut reading = Self::nothing(name);
        let mut lanes: Vec<&Arc<LaneStats>> = views.iter().map(|view| &view.lane).collect();
        lanes.dedup_by(|a, b| Arc::ptr_eq(a, b));
        lanes.into_iter().for_each(|lane| reading.add(lane));
        let mut targets: Vec<&SharedTarget> = views.iter().map(|view| &view.target).collect();
        targets.dedup_by(|a, b| Arc::ptr_eq(a, b));
        let before = views.first().map(|view| Arc::clone(&view.before)).unwrap_or_default();
        reading.access = targets.iter().find_map(|target| target.access()).map(|access| Access {
            fetched: access.fetched + before.fetched,
            fetch_failures: access.fetch_failures + before.fetch_failures,
            ..access
        });
        let now: Vec<EndpointStats> = targets.into_iter().flat_map(|target| target.endpoints()).collect();
        let is_there = |ended: &&EndpointStats| now.iter().any(|now| now.endpoint == ended.endpoint);
        let ended: Vec<_> = before.endpoints.iter().filter(is_there).cloned().collect();
        reading.endpoints = merged(now.into_iter().chain(ended));
        reading
    }

    fn nothing(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            queued: 0,
            in_flight: 0,
            parked: 0,
            capacity: 0,
            concurrency: 0,
            breaker: 0,
            pause_ms: 0,
            holding: None,
            requests: 0,
            request_bytes: 0,
            request_records: Snapshot::empty(),
            classes: BTreeMap::new(),
            statuses: BTreeMap::new(),
            records_delivered: 0,
            retries: 0,
            splits: 0,
            superseded: 0,
            refused_full: 0,
            refused_closed: 0,
            failures: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            held: 0,
            dropped: 0,
            letters_confirmed: 0,
            already_delivered: 0,
            endpoints: Vec::new(),
            access: None,
        }
    }

    fn add(&mut self, lane: &LaneStats) {
        self.queued += lane.queued.load(Relaxed);
        self.in_flight += lane.in_flight.load(Relaxed);
        self.parked += lane.parked.load(Relaxed);
        self.capacity += lane.capacity.load(Relaxed);
        self.concurrency += lane.concurrency.load(Relaxed);
        // Of several lanes the one that is worst off.
        self.breaker = self.breaker.max(lane.breaker.load(Relaxed));
        self.pause_ms = self.pause_ms.max(lane.pause_ms.load(Relaxed));
        self.holding = self.holding.or_else(|| lane.holding.get());
        self.requests += lane.requests.load(Relaxed);
        self.request_bytes += lane.request_bytes.load(Relaxed);
        self.request_records = self.request_records.plus(&lane.request_records.snapshot());
        self.records_delivered += lane.records_delivered.load(Relaxed);
        self.retries += lane.retries.load(Relaxed);
        self.splits += lane.splits.load(Relaxed);
        self.superseded += lane.superseded.load(Relaxed);
        self.refused_full += lane.refused_full.load(Relaxed);
        self.refused_closed += lane.refused_closed.load(Relaxed);
        self.held += lane.letters.held.total();
        self.dropped += lane.letters.dropped.total();
        self.letters_confirmed += lane.letters.confirmed.load(Relaxed);
        self.already_delivered += lane.already_delivered.load(Relaxed);
        add(&mut self.failures, lane.failures.read());
        let letters = &lane.letters;
        for fate in [&letters.sent, &letters.held, &letters.dropped] {
            add(&mut self.dead_letters, fate.read());
        }
        add(&mut self.classes, lane.classes.read());
        add(&mut self.statuses, lane.statuses.read());
    }
}

fn add<K: Ord>(sums: &mut BTreeMap<K, u64>, counts: impl IntoIterator<Item = (K, u64)>) {
    for (key, count) in counts {
        *sums.entry(key).or_default() += count;
    }
}

/// One entry per `host:port`: two URLs may differ in their paths only, and a series must not occur twice.
fn merged(endpoints: impl Iterator<Item = EndpointStats>) -> Vec<EndpointStats> {
    let mut by_name: BTreeMap<String, EndpointStats> = BTreeMap::new();
    for next in endpoints {
        by_name
            .entry(next.endpoint.clone())
            .and_modify(|sum| {
                sum.healthy &= next.healthy;
                sum.success += next.success;
                sum.error += next.error;
                sum.queued += next.queued;
                sum.health_success += next.health_success;
                sum.health_error += next.health_error;
                sum.connections += next.connections;
                sum.protocol = sum.protocol.or(next.protocol);
                sum.sent_bytes += next.sent_bytes;
                sum.repeats += next.repeats;
                let mut answers: BTreeMap<u16, u64> = std::mem::take(&mut sum.answers).into_iter().collect();
                add(&mut answers, next.answers.iter().copied());
                sum.answers = answers.into_iter().collect();
            })
            .or_insert(next);
    }
    by_name.into_values().collect()
}

#[cfg(any(test, fuzzing))]
mod sample;
#[cfg(test)]
mod tests;
#[cfg(any(test, fuzzing))]
pub(crate) use sample::sample_view;
