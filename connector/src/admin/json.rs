//! The counters as JSON: the vendor's names at the top, ours beside them.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::{
    prometheus::{QUANTILES, lag_ms},
    view::{DestinationReading, Readiness, View},
};
use crate::metrics::{Measured, process::Process};

/// The whole document.
pub(super) fn render(view: &View, now: Instant) -> Value {
    let metrics = &view.metrics;
    let totals = metrics.totals();
    let window = (view.window)();
    json!({
        "connections-active": totals.connections_active(),
        "connections-closed": totals.connections_closed,
        "requests-success": totals.success,
        "requests-errors": totals.errors(),
        "requests-parse-error": totals.parse_error,
        "requests-skipped": totals.skipped,
        "requests-queued": (view.in_process)(),
        "requests-total": distribution(metrics.took_us(), 1_000_000.0, now),
        "requests-lag": lag_ms(view, now),
        "record-payload-size": distribution(metrics.frame_bytes(), 1.0, now),

        "cluster-name": view.cluster_name,
        "version": env!("CARGO_PKG_VERSION"),
        "ready": view.readiness() == Readiness::Ready,
        "connections-opened": totals.connections_opened,
        "info-requests": totals.info_requests,
        "frame-errors": totals.frame_errors,
        "received-records": totals.arrived,
        "received-bytes": totals.arrived_bytes,
        "stale-records": totals.stale,
        "filtered-records": totals.filtered,
        "held-records": totals.held,
        "refused": Map::from_iter(metrics.refused().read().map(pair)),
        "anomalies": Map::from_iter(metrics.anomalies().into_iter().map(pair)),
        "window": {
            "records": window.records,
            "records-limit": window.records_limit,
            "bytes": window.bytes,
            "bytes-limit": window.bytes_limit,
        },
        "destinations": view
            .destination_readings()
            .into_iter()
            .map(|reading| (reading.name.clone(), destination(&reading)))
            .collect::<Map<_, _>>(),
        "process": of_process(&Process::read()),
    })
}

/// A timer or a size: all of it, and the quantiles of about the last minute, null when nothing happened.
fn distribution(measured: &Measured, per_shown_unit: f64, now: Instant) -> Value {
    let all = measured.all.snapshot();
    let recent = measured.recent.read(&measured.all, now);
    let quantile = |share| recent.quantile(share).map(|value| value / per_shown_unit);
    json!({
        "count": all.count(),
        "sum": all.sum as f64 / per_shown_unit,
        "quantiles": QUANTILES
            .iter()
            .map(|(label, share)| ((*label).to_owned(), quantile(*share).into()))
            .collect::<Map<_, _>>(),
    })
}

fn destination(reading: &DestinationReading) -> Value {
    let endpoints = reading.endpoints.iter().map(|endpoint| {
        let numbers = json!({
            "healthy": endpoint.healthy,
            "success": endpoint.success,
            "error": endpoint.error,
            "queued": endpoint.queued,
            "health-check-success": endpoint.health_success,
            "health-check-error": endpoint.health_error,
            "connections": endpoint.connections,
            "protocol": endpoint.protocol,
        });
        (endpoint.endpoint.clone(), numbers)
    });
    json!({
        "queued": reading.queued,
        "in-flight": reading.in_flight,
        "parked": reading.parked,
        "capacity": reading.capacity,
        "concurrency": reading.concurrency,
        "breaker": reading.breaker,
        "pause-seconds": reading.pause_ms as f64 / 1_000.0,
        "holding": reading.holding.map(|(class, status)| json!({ "class": class.as_str(), "status": status })),
        "requests": reading.requests,
        "request-bytes": reading.request_bytes,
        "request-records": reading.request_records.sum,
        "ended": reading.classes,
        "statuses": reading.statuses,
        "delivered": reading.records_delivered,
        "retried": reading.retries,
        "split": reading.splits,
        "superseded": reading.superseded,
        "refused-full": reading.refused_full,
        "refused-closed": reading.refused_closed,
        "failed-attempts": reading.failures,
        "dead-letters": reading.dead_letters,
        "held": reading.held,
        "dropped": reading.dropped,
        "dead-letters-confirmed": reading.letters_confirmed,
        "already-delivered": reading.already_delivered,
        "access": reading.access.map(|access| json!({
            "age-seconds": access.age.map(|age| age.as_secs()),
            "expires-in-seconds": access.expires_in.map(|left| left.as_secs()),
            "fetched": access.fetched,
            "fetch-failures": access.fetch_failures,
            "clock-offset-seconds": access.clock_offset_ms as f64 / 1_000.0,
        })),
        "endpoints": endpoints.collect::<Map<_, _>>(),
    })
}

fn of_process(process: &Process) -> Value {
    json!({
        "start-unix-seconds": process.start_unix_seconds,
        "uptime-seconds": process.uptime_seconds,
        "cpu-seconds": process.cpu_seconds,
        "resident-bytes": process.resident_bytes,
        "resident-bytes-max": process.resident_bytes_max,
        "threads": process.threads,
        "open-files": process.open_files,
        "max-files": process.max_files,
    })
}

fn pair((name, count): (&'static str, u64)) -> (String, Value) {
    (name.to_owned(), count.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{admin::sample_view, metrics::Metrics};

    #[test]
    fn the_vendors_names_with_their_values() {
        let document = render(&sample_view("blue"), Instant::now());
        for (name, value) in [
            ("connections-active", 1),
            ("connections-closed", 1),
            ("requests-success", 2),
            ("requests-errors", 4),
            ("requests-parse-error", 1),
            ("requests-skipped", 1),
            ("requests-queued", 7),
            ("requests-lag", 120),
        ] {
            assert_eq!(document[name], value, "{name}");
        }
        assert_eq!(document["requests-total"]["count"], 6);
        let median = document["requests-total"]["quantiles"]["0.5"].as_f64().unwrap();
        assert!((median - 0.01).abs() < 0.01 / 16.0, "{median}");
        assert_eq!(document["destinations"]["orders"]["endpoints"]["a:1"]["success"], 30);
        assert_eq!(document["destinations"]["audit"]["failed-attempts"]["timeout"], 3);
        let audit = &document["destinations"]["audit"];
        assert_eq!((&audit["statuses"]["429"], &audit["ended"]["throttled"]), (&json!(1), &json!(1)));
        assert_eq!((&audit["request-records"], &audit["pause-seconds"]), (&json!(6), &json!(1.5)));
        assert_eq!((&audit["access"], &audit["holding"]), (&Value::Null, &Value::Null));
        let access = &document["destinations"]["orders"]["access"];
        assert_eq!((&access["age-seconds"], &access["clock-offset-seconds"]), (&json!(60), &json!(-420.0)));
        assert_eq!(document["refused"]["status"], 1);
        assert_eq!(document["anomalies"]["late-answer"], 1);
    }

    #[test]
    fn nothing_happened_yet() {
        let view = View { metrics: Metrics::default().into(), ..sample_view("blue") };
        let document = render(&view, Instant::now());
        assert_eq!(document["requests-total"]["quantiles"]["0.99"], Value::Null);
        assert_eq!(document["requests-lag"], 0);
    }
}
