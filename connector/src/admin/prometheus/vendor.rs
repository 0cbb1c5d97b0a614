//! The vendor's series.
//!
//! Their names cannot all have their natural type. `…_requests_total` is a summary, and most counters lack
//! `_total` or mix counters and gauges under one name; `promtool check metrics` complains about each of these
//! and exits with 3. Declared *untyped*, which is also the truth for a mixture, the same names, labels and
//! values pass, because its rules about suffixes do not apply; queries do not look at the type. So everything
//! passes except, with `jvm-compat`, the two names in camel case.

use std::time::Instant;

use super::{
    super::{
        text::{Kind, Page},
        view::{DestinationReading, View},
    },
    MICROS_PER_SECOND, QUANTILES,
};
use crate::metrics::{
    Totals,
    process::{Load, Process},
};

/// What the vendor exports whatever the settings.
pub(super) fn write(
    page: &mut Page,
    view: &View,
    totals: &Totals,
    destinations: &[DestinationReading],
    now: Instant,
) {
    use Kind::{Gauge, Summary, Untyped};

    page.family(
        "aerospike_esp_outbound_connections",
        Untyped,
        "XDR connections: active is how many are open now, closed how many have ended.",
    )
    .sample(&[("status", "active")], totals.connections_active())
    .sample(&[("status", "closed")], totals.connections_closed);

    page.family(
        "aerospike_esp_outbound_requests",
        Untyped,
        "Records by outcome; error includes parse-error and skipped; queued is how many are in process now.",
    )
    .sample(&[("status", "success")], totals.success)
    .sample(&[("status", "error")], totals.errors())
    .sample(&[("status", "parse-error")], totals.parse_error)
    .sample(&[("status", "skipped")], totals.skipped)
    .sample(&[("status", "queued")], (view.in_process)());

    let took = view.metrics.took_us();
    let all = took.all.snapshot();
    let recent = took.recent.read(&took.all, now);
    let mut total = page.family(
        "aerospike_esp_outbound_requests_total",
        Untyped,
        "Seconds from the arrival of a record to its answer, quantiles of about the last minute.",
    );
    for (label, share) in QUANTILES {
        total.sample(&[("quantile", label)], recent.quantile(share).unwrap_or(f64::NAN) / MICROS_PER_SECOND);
    }
    page.single("aerospike_esp_outbound_requests_total_count", Untyped, "Records answered.", all.count());
    page.single(
        "aerospike_esp_outbound_requests_total_sum",
        Untyped,
        "Seconds from arrival to answer, all records together.",
        all.sum as f64 / MICROS_PER_SECOND,
    );

    page.single(
        "aerospike_esp_outbound_requests_lag",
        Gauge,
        "Milliseconds between the last update of the newest record and its arrival; 0 when none came lately.",
        lag_ms(view, now),
    );

    let sizes = view.metrics.frame_bytes();
    let all = sizes.all.snapshot();
    let recent = sizes.recent.read(&sizes.all, now);
    let mut payload = page.family(
        "aerospike_esp_outbound_record_payload_size",
        Summary,
        "Bytes of the frame a record came in, quantiles of about the last minute.",
    );
    for (label, share) in QUANTILES {
        payload.sample(&[("quantile", label)], recent.quantile(share).unwrap_or(f64::NAN));
    }
    payload.suffixed("_sum", &[], all.sum).suffixed("_count", &[], all.count());

    let mut requests = page.family(
        "aerospike_esp_outbound_destination_requests",
        Untyped,
        "Requests by endpoint and outcome; queued is how many are under way or wait for a connection now.",
    );
    for destination in destinations {
        for endpoint in &destination.endpoints {
            for (status, count) in
                [("success", endpoint.success), ("error", endpoint.error), ("queued", endpoint.queued)]
            {
                let labels = [
                    ("destination", destination.name.as_str()),
                    ("destination_endpoint", endpoint.endpoint.as_str()),
                    ("status", status),
                ];
                requests.sample(&labels, count);
            }
        }
    }

    let mut checks = page.family(
        "aerospike_esp_outbound_health_check",
        Untyped,
        "Health checks of a destination's endpoints by outcome.",
    );
    for destination in destinations {
        let success: u64 = destination.endpoints.iter().map(|endpoint| endpoint.health_success).sum();
        let error: u64 = destination.endpoints.iter().map(|endpoint| endpoint.health_error).sum();
        let name = destination.name.as_str();
        checks
            .sample(&[("destination", name), ("status", "success")], success)
            .sample(&[("destination", name), ("status", "error")], error);
    }
}

/// Lag of the newest record, in milliseconds. Zero once no record has come for about a minute: a last value
/// that stayed would keep an alert alive with nothing left to lag behind.
pub(in crate::admin) fn lag_ms(view: &View, now: Instant) -> u64 {
    let lag = view.metrics.lag_ms();
    if lag.recent.read(&lag.all, now).count() == 0 { 0 } else { view.metrics.newest_lag_ms() }
}

/// The vendor's board lists clusters by `jvm_gc_count` and shows the others. What has a counterpart here has its number,
/// what a program without a JVM has none of is 0, and what nobody counts is not there: nothing is made up.
pub(super) fn write_jvm(page: &mut Page, process: &Process, load: Load) {
    let resident = process.resident_bytes.map(|bytes| bytes as f64);
    let limit = process.memory_limit_bytes.map(|bytes| bytes as f64);
    let count = |number: Option<u64>| number.map(|number| number as f64);
    let uptime_ms = process.uptime_seconds.map(|seconds| (seconds * 1_000.0).round());
    for (name, help, value) in [
        ("aerospike_esp_outbound_jvm_gc_count", "Garbage collections: always 0, there are none.", Some(0.0)),
        ("aerospike_esp_outbound_jvm_gc_time", "Milliseconds of garbage collection: always 0.", Some(0.0)),
        ("aerospike_esp_outbound_jvm_attribute_uptime", "Milliseconds since the process started.", uptime_ms),
        ("aerospike_esp_outbound_jvm_os_processCpuLoad", PROCESS_LOAD, load.process),
        ("aerospike_esp_outbound_jvm_os_systemCpuLoad", SYSTEM_LOAD, load.system),
        ("aerospike_esp_outbound_jvm_memory_heap_used", RESIDENT, resident),
        ("aerospike_esp_outbound_jvm_memory_heap_committed", RESIDENT, resident),
        ("aerospike_esp_outbound_jvm_memory_heap_max", LIMIT, limit),
        ("aerospike_esp_outbound_jvm_memory_total_used", RESIDENT, resident),
        ("aerospike_esp_outbound_jvm_memory_total_committed", RESIDENT, resident),
        ("aerospike_esp_outbound_jvm_memory_total_max", LIMIT, limit),
        ("aerospike_esp_outbound_jvm_files_open", "Open file descriptors.", count(process.open_files)),
        ("aerospike_esp_outbound_jvm_files_max", "Most file descriptors allowed.", count(process.max_files)),
    ] {
        page.optional(name, Kind::Untyped, help, value);
    }
    for name in [
        "aerospike_esp_outbound_jvm_memory_non_heap_used",
        "aerospike_esp_outbound_jvm_memory_non_heap_committed",
        "aerospike_esp_outbound_jvm_memory_non_heap_max",
        "aerospike_esp_outbound_jvm_classloader_loaded",
        "aerospike_esp_outbound_jvm_threads_daemon_count",
        "aerospike_esp_outbound_jvm_buffers_direct_used",
        "aerospike_esp_outbound_jvm_buffers_direct_count",
        "aerospike_esp_outbound_jvm_buffers_direct_capacity",
        "aerospike_esp_outbound_jvm_buffers_mapped_used",
        "aerospike_esp_outbound_jvm_buffers_mapped_count",
        "aerospike_esp_outbound_jvm_buffers_mapped_capacity",
    ] {
        page.single(name, Kind::Untyped, "Of a JVM: always 0, there is none.", 0.0);
    }
    if let Some(threads) = process.threads {
        page.family(
            "aerospike_esp_outbound_jvm_threads_count",
            Kind::Untyped,
            "Threads of the process; all stand under runnable.",
        )
        .sample(&[("state", "runnable")], threads);
    }
}

const PROCESS_LOAD: &str = "Share of the processors this process used since the last reading, 0 to 1.";
const SYSTEM_LOAD: &str = "Share of the processors in use on the machine since the last reading, 0 to 1.";
const RESIDENT: &str = "Resident memory of the process, in bytes.";
const LIMIT: &str = "Memory the process may use, in bytes: the container's limit or the machine's memory.";
