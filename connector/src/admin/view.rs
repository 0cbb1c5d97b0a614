//! What the management endpoint and the statistics line show.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use adapters::{EndpointStats, SharedTarget};

use crate::{
    logging::LogHandle,
    metrics::{LaneStats, Metrics},
    ordering::LutCache,
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
    /// Whether records would be taken now.
    pub ready: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// Listeners with TLS.
    pub tls: Vec<Arc<Acceptor>>,
    /// Where last-update times are remembered.
    pub lut_caches: Vec<Arc<LutCache>>,
    /// Log levels.
    pub logs: LogHandle,
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
    /// The lane's numbers.
    pub lane: Arc<LaneStats>,
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
#[derive(Debug, Default)]
pub(crate) struct DestinationReading {
    pub(crate) name: String,
    pub(crate) queued: u64,
    pub(crate) in_flight: u64,
    pub(crate) parked: u64,
    pub(crate) capacity: u64,
    pub(crate) requests: u64,
    pub(crate) records_delivered: u64,
    pub(crate) retries: u64,
    pub(crate) superseded: u64,
    pub(crate) refused_full: u64,
    pub(crate) failures: BTreeMap<&'static str, u64>,
    pub(crate) endpoints: Vec<EndpointStats>,
}

impl DestinationReading {
    fn of(name: &str, views: &[&DestinationView]) -> Self {
        let mut reading = Self { name: name.to_owned(), ..Self::default() };
        for view in views {
            reading.add(&view.lane);
        }
        let mut targets: Vec<&SharedTarget> = views.iter().map(|view| &view.target).collect();
        targets.dedup_by(|a, b| Arc::ptr_eq(a, b));
        reading.endpoints = merged(targets.into_iter().flat_map(|target| target.endpoints()));
        reading
    }

    fn add(&mut self, lane: &LaneStats) {
        self.queued += lane.queued.load(Relaxed);
        self.in_flight += lane.in_flight.load(Relaxed);
        self.parked += lane.parked.load(Relaxed);
        self.capacity += lane.capacity.load(Relaxed);
        self.requests += lane.requests.load(Relaxed);
        self.records_delivered += lane.records_delivered.load(Relaxed);
        self.retries += lane.retries.load(Relaxed);
        self.superseded += lane.superseded.load(Relaxed);
        self.refused_full += lane.refused_full.load(Relaxed);
        for (cause, count) in lane.failures.read() {
            *self.failures.entry(cause).or_default() += count;
        }
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
            })
            .or_insert(next);
    }
    by_name.into_values().collect()
}

/// A view with something in every counter, for tests.
#[cfg(test)]
pub(crate) fn sample_view(cluster_name: &str) -> View {
    use std::{num::NonZeroUsize, time::Duration};

    use adapters::{Cause, Outcome, Payload, Report, Target};
    use futures_util::future::BoxFuture;

    use crate::metrics::Ended;

    #[derive(Debug)]
    struct Fixed(Vec<EndpointStats>);

    impl Target for Fixed {
        fn deliver<'a>(&'a self, _: &'a Payload) -> BoxFuture<'a, Report> {
            Box::pin(async { Report::all(Outcome::Delivered) })
        }

        fn concurrency(&self) -> NonZeroUsize {
            NonZeroUsize::MIN
        }

        fn endpoints(&self) -> Vec<EndpointStats> {
            self.0.clone()
        }
    }

    let endpoint = |endpoint: &str, success, healthy| EndpointStats {
        endpoint: endpoint.to_owned(),
        healthy,
        success,
        error: 1,
        queued: 2,
        health_success: 4,
        health_error: 1,
        connections: 1,
        protocol: Some("h2"),
        ..EndpointStats::default()
    };
    let metrics = Metrics::default();
    metrics.connection_opened();
    metrics.connection_opened();
    metrics.connection_closed();
    metrics.info_request();
    metrics.frame_error();
    metrics.anomaly("late-answer");
    for ended in [
        Ended::Success,
        Ended::Success,
        Ended::Error(Cause::Timeout),
        Ended::Error(Cause::Status(500)),
        Ended::ParseError,
        Ended::Skipped,
    ] {
        metrics.arrived(300, Some(Duration::from_millis(120)));
        metrics.ended(ended, Duration::from_millis(10));
    }
    let audit = LaneStats::default();
    audit.queued.store(5, Relaxed);
    audit.parked.store(2, Relaxed);
    audit.capacity.store(100, Relaxed);
    audit.failures.add(Cause::Timeout, 3);
    let orders = || {
        let lane = LaneStats::default();
        lane.queued.store(1, Relaxed);
        lane.capacity.store(20, Relaxed);
        Arc::new(lane)
    };
    let (first, second) = (orders(), orders());
    second.queued.store(2, Relaxed);
    second.capacity.store(30, Relaxed);
    let shared: SharedTarget = Arc::new(Fixed(vec![
        endpoint("a:1", 10, true),
        endpoint("a:1", 20, false),
        endpoint("b:2", 5, true),
    ]));
    View {
        metrics: Arc::new(metrics),
        cluster_name: cluster_name.to_owned(),
        jvm_compat: false,
        in_process: Arc::new(|| 7),
        window: Arc::new(|| WindowGauge {
            records: 7,
            records_limit: 100,
            bytes: 2_100,
            bytes_limit: 65_536,
        }),
        destinations: vec![
            DestinationView { name: "orders".to_owned(), target: shared.clone(), lane: first },
            DestinationView {
                name: "audit".to_owned(),
                target: Arc::new(Fixed(vec![])),
                lane: Arc::new(audit),
            },
            DestinationView { name: "orders".to_owned(), target: shared, lane: second },
        ],
        ready: Arc::new(|| Readiness::Ready),
        tls: Vec::new(),
        lut_caches: Vec::new(),
        logs: LogHandle::detached(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_of_one_destination_add_up_and_its_target_counts_once() {
        let readings = sample_view("blue").destination_readings();
        let names: Vec<_> = readings.iter().map(|reading| reading.name.as_str()).collect();
        assert_eq!(names, ["audit", "orders"]);
        let orders = &readings[1];
        assert_eq!((orders.queued, orders.capacity), (3, 50));
        let endpoints: Vec<_> =
            orders.endpoints.iter().map(|e| (e.endpoint.as_str(), e.success, e.error, e.healthy)).collect();
        assert_eq!(endpoints, [("a:1", 30, 2, false), ("b:2", 5, 1, true)]);
        assert_eq!(readings[0].failures["timeout"], 3);
    }
}
