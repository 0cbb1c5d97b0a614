//! A view for tests.

use std::{
    num::NonZeroUsize,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use adapters::{Access, Cause, Class, EndpointStats, Outcome, Payload, Report, SharedTarget, Target};
use futures_util::future::BoxFuture;

use super::{DestinationView, Readiness, View, WindowGauge};
use crate::{
    logging::LogHandle,
    metrics::{Ended, LaneStats, Metrics},
    reload::Reloads,
};

/// A view with something in every counter.
pub(crate) fn sample_view(cluster_name: &str) -> View {
    #[derive(Debug)]
    struct Fixed(Vec<EndpointStats>, Option<Access>);

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

        fn access(&self) -> Option<Access> {
            self.1
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
    audit.sending(5, 400);
    audit.sending(1, 80);
    audit.ended(Some(200));
    audit.ended(Some(429));
    audit.classes.add(Class::Throttled);
    audit.letters.held.add(Cause::TooLarge, 2);
    audit.letters.dropped.add(Cause::Status(410), 6);
    audit.letters.confirmed.store(3, Relaxed);
    audit.already_delivered.store(4, Relaxed);
    audit.splits.store(1, Relaxed);
    audit.concurrency.store(8, Relaxed);
    audit.breaker.store(1, Relaxed);
    audit.pause_ms.store(1_500, Relaxed);
    let orders = || {
        let lane = LaneStats::default();
        lane.queued.store(1, Relaxed);
        lane.capacity.store(20, Relaxed);
        Arc::new(lane)
    };
    let (first, second) = (orders(), orders());
    second.queued.store(2, Relaxed);
    second.capacity.store(30, Relaxed);
    let access = Access {
        age: Some(Duration::from_secs(60)),
        expires_in: Some(Duration::from_secs(840)),
        fetched: 3,
        fetch_failures: 1,
        clock_offset_ms: -420_000,
    };
    let shared: SharedTarget = Arc::new(Fixed(
        vec![endpoint("a:1", 10, true), endpoint("a:1", 20, false), endpoint("b:2", 5, true)],
        Some(access),
    ));
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
            DestinationView {
                name: "orders".to_owned(),
                target: shared.clone(),
                lane: first,
                before: Arc::default(),
            },
            DestinationView {
                name: "audit".to_owned(),
                target: Arc::new(Fixed(vec![], None)),
                lane: Arc::new(audit),
                before: Arc::default(),
            },
            DestinationView {
                name: "orders".to_owned(),
                target: shared,
                lane: second,
                before: Arc::default(),
            },
        ],
        ready: Arc::new(|| Readiness::Ready),
        tls: Vec::new(),
        lut_caches: Vec::new(),
        delivered: None,
        lut_forgotten: 0,
        logs: LogHandle::detached(),
        reloads: Reloads::none(),
    }
}
