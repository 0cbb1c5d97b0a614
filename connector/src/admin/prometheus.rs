//! Every series and label Prometheus sees: the vendor's, so that its boards and alerts work, then ours.
//!
//! The vendor's names cannot all have their natural type. `…_requests_total` is a summary, and most of its
//! counters lack `_total` or mix counters and gauges under one name; `promtool check metrics` complains about
//! each of these and exits with 3. Declared *untyped*, which is also the truth for a mixture, the same names,
//! labels and values pass, because its rules about suffixes do not apply; queries do not look at the type.
//! So everything passes except, with `jvm-compat`, the two names in camel case.

use std::time::Instant;

use super::{
    text::{Kind, Page},
    view::{DestinationReading, Readiness, View},
};
use crate::metrics::{
    Measured, Totals,
    histogram::Snapshot,
    process::{Load, Process},
};

/// The whole page.
pub(super) fn render(view: &View, now: Instant) -> String {
    let totals = view.metrics.totals();
    let destinations = view.destination_readings();
    let process = Process::read();
    let mut page = Page::new(&view.cluster_name);
    vendor(&mut page, view, &totals, &destinations, now);
    if view.jvm_compat {
        jvm(&mut page, &process, view.metrics.load.read(&process, now));
    }
    own(&mut page, view, &totals);
    window(&mut page, view);
    lanes(&mut page, &destinations);
    endpoints(&mut page, &destinations);
    of_process(&mut page, &process);
    page.finish()
}

/// Media type of the page.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Which quantiles are shown.
pub(super) const QUANTILES: [(&str, f64); 6] =
    [("0.5", 0.5), ("0.75", 0.75), ("0.95", 0.95), ("0.98", 0.98), ("0.99", 0.99), ("0.999", 0.999)];

fn vendor(page: &mut Page, view: &View, totals: &Totals, destinations: &[DestinationReading], now: Instant) {
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
pub(super) fn lag_ms(view: &View, now: Instant) -> u64 {
    let lag = view.metrics.lag_ms();
    if lag.recent.read(&lag.all, now).count() == 0 { 0 } else { view.metrics.newest_lag_ms() }
}

/// The vendor's board lists clusters by `jvm_gc_count` and shows the others. Only what has a counterpart here
/// is exported: nothing is made up.
fn jvm(page: &mut Page, process: &Process, load: Load) {
    use Kind::Untyped;

    page.single(
        "aerospike_esp_outbound_jvm_gc_count",
        Untyped,
        "Garbage collections: always 0, there are none.",
        0,
    );
    page.single(
        "aerospike_esp_outbound_jvm_gc_time",
        Untyped,
        "Milliseconds of garbage collection: always 0.",
        0,
    );
    page.optional(
        "aerospike_esp_outbound_jvm_attribute_uptime",
        Untyped,
        "Milliseconds since the process started.",
        process.uptime_seconds.map(|seconds| (seconds * 1_000.0).round()),
    );
    page.optional(
        "aerospike_esp_outbound_jvm_os_processCpuLoad",
        Untyped,
        "Share of the processors this process used since the last reading, 0 to 1.",
        load.process,
    );
    page.optional(
        "aerospike_esp_outbound_jvm_os_systemCpuLoad",
        Untyped,
        "Share of the processors in use on the machine since the last reading, 0 to 1.",
        load.system,
    );
    let used = process.resident_bytes;
    let max = process.memory_limit_bytes;
    page.optional(
        "aerospike_esp_outbound_jvm_memory_heap_used",
        Untyped,
        "Resident memory of the process, in bytes.",
        used,
    );
    page.optional(
        "aerospike_esp_outbound_jvm_memory_heap_committed",
        Untyped,
        "Resident memory of the process, in bytes.",
        used,
    );
    page.optional(
        "aerospike_esp_outbound_jvm_memory_heap_max",
        Untyped,
        "Memory the process may use, in bytes: the container's limit or the machine's memory.",
        max,
    );
    page.optional(
        "aerospike_esp_outbound_jvm_memory_total_used",
        Untyped,
        "Resident memory of the process, in bytes.",
        used,
    );
    page.optional(
        "aerospike_esp_outbound_jvm_memory_total_committed",
        Untyped,
        "Resident memory of the process, in bytes.",
        used,
    );
    page.optional(
        "aerospike_esp_outbound_jvm_memory_total_max",
        Untyped,
        "Memory the process may use, in bytes: the container's limit or the machine's memory.",
        max,
    );
    if let Some(threads) = process.threads {
        page.family(
            "aerospike_esp_outbound_jvm_threads_count",
            Untyped,
            "Threads of the process; all stand under runnable.",
        )
        .sample(&[("state", "runnable")], threads);
    }
    page.optional(
        "aerospike_esp_outbound_jvm_files_open",
        Untyped,
        "Open file descriptors.",
        process.open_files,
    );
    page.optional(
        "aerospike_esp_outbound_jvm_files_max",
        Untyped,
        "Most file descriptors the process may open.",
        process.max_files,
    );
}

fn own(page: &mut Page, view: &View, totals: &Totals) {
    use Kind::{Counter, Gauge};

    page.family("esp_connector_build_info", Gauge, "Always 1; the version is in the label.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.single(
        "esp_connector_ready",
        Gauge,
        "Whether records are taken, 1 or 0, as /readyz tells.",
        u8::from((view.ready)() == Readiness::Ready),
    );
    page.single("esp_connector_connections", Gauge, "XDR connections open now.", totals.connections_active());
    page.single(
        "esp_connector_connections_opened_total",
        Counter,
        "XDR connections accepted.",
        totals.connections_opened,
    );
    page.single(
        "esp_connector_info_requests_total",
        Counter,
        "Info and login requests answered.",
        totals.info_requests,
    );
    page.single(
        "esp_connector_frame_errors_total",
        Counter,
        "Connections ended because what came was no frame.",
        totals.frame_errors,
    );
    page.single("esp_connector_received_records_total", Counter, "Records read.", totals.arrived);
    page.single(
        "esp_connector_received_bytes_total",
        Counter,
        "Bytes of the frames records came in.",
        totals.arrived_bytes,
    );
    page.family(
        "esp_connector_ended_records_total",
        Counter,
        "Records answered, each under exactly one outcome.",
    )
    .sample(&[("outcome", "success")], totals.success)
    .sample(&[("outcome", "refused")], totals.refused)
    .sample(&[("outcome", "parse-error")], totals.parse_error)
    .sample(&[("outcome", "skipped")], totals.skipped);
    let mut refused = page.family(
        "esp_connector_refused_records_total",
        Counter,
        "Records refused, which XDR ships again unless the refusal was configured as final, by cause.",
    );
    for (cause, count) in view.metrics.refused().read() {
        refused.sample(&[("cause", cause)], count);
    }
    let mut anomalies =
        page.family("esp_connector_anomalies_total", Counter, "Events that should not happen, by kind.");
    for (kind, count) in view.metrics.anomalies() {
        anomalies.sample(&[("kind", kind)], count);
    }
    histogram(
        page,
        "esp_connector_record_duration_seconds",
        "Time from the arrival of a record to its answer.",
        view.metrics.took_us(),
        MICROS_PER_SECOND,
        (6..=24).step_by(1),
    );
    histogram(
        page,
        "esp_connector_record_lag_seconds",
        "Time between the last update of a record and its arrival.",
        view.metrics.lag_ms(),
        MILLIS_PER_SECOND,
        (0..=22).step_by(2),
    );
    histogram(
        page,
        "esp_connector_record_size_bytes",
        "Size of the frame a record came in.",
        view.metrics.frame_bytes(),
        1.0,
        (6..=26).step_by(2),
    );
}

/// A histogram with its bounds at powers of two of the unit it is kept in: there its counts are exact.
fn histogram(
    page: &mut Page,
    name: &'static str,
    help: &'static str,
    measured: &Measured,
    per_shown_unit: f64,
    exponents: impl Iterator<Item = u32>,
) {
    let all: Snapshot = measured.all.snapshot();
    let mut family = page.family(name, Kind::Histogram, help);
    for exponent in exponents {
        let bound = (1_u64 << exponent) as f64 / per_shown_unit;
        family.suffixed("_bucket", &[("le", &bound.to_string())], all.up_to_power(exponent));
    }
    family
        .suffixed("_bucket", &[("le", "+Inf")], all.count())
        .suffixed("_sum", &[], all.sum as f64 / per_shown_unit)
        .suffixed("_count", &[], all.count());
}

fn window(page: &mut Page, view: &View) {
    let window = (view.window)();
    for (name, help, value) in [
        ("esp_connector_in_process_records", "Records read and not yet answered.", (view.in_process)()),
        ("esp_connector_window_records", "Records the window holds.", window.records),
        (
            "esp_connector_window_records_limit",
            "Most records the window takes at present.",
            window.records_limit,
        ),
        ("esp_connector_window_bytes", "Bytes the window holds.", window.bytes),
        ("esp_connector_window_bytes_limit", "Most bytes the window takes.", window.bytes_limit),
    ] {
        page.single(name, Kind::Gauge, help, value);
    }
}

fn lanes(page: &mut Page, destinations: &[DestinationReading]) {
    type Number = fn(&DestinationReading) -> u64;
    let table: [(&'static str, Kind, &'static str, Number); 8] = [
        ("esp_connector_lane_queued_records", Kind::Gauge, "Records waiting to be sent.", |lane| lane.queued),
        (
            "esp_connector_lane_in_flight_requests",
            Kind::Gauge,
            "Requests sent and not yet answered.",
            |lane| lane.in_flight,
        ),
        (
            "esp_connector_lane_parked_records",
            Kind::Gauge,
            "Records waiting for another attempt, or behind one that does.",
            |lane| lane.parked,
        ),
        ("esp_connector_lane_capacity_records", Kind::Gauge, "Most records the lane may hold.", |lane| {
            lane.capacity
        }),
        ("esp_connector_lane_requests_total", Kind::Counter, "Requests sent, retries included.", |lane| {
            lane.requests
        }),
        (
            "esp_connector_lane_delivered_records_total",
            Kind::Counter,
            "Records the destination confirmed.",
            |lane| lane.records_delivered,
        ),
        (
            "esp_connector_lane_retried_records_total",
            Kind::Counter,
            "Records sent again after a failed attempt.",
            |lane| lane.retries,
        ),
        (
            "esp_connector_lane_refused_records_total",
            Kind::Counter,
            "Records refused because the lane was full.",
            |lane| lane.refused_full,
        ),
    ];
    for (name, kind, help, number) in table {
        let mut family = page.family(name, kind, help);
        for lane in destinations {
            family.sample(&[("destination", &lane.name)], number(lane));
        }
    }
    let mut failures = page.family(
        "esp_connector_lane_failed_attempts_total",
        Kind::Counter,
        "Failed attempts of records, by cause.",
    );
    for lane in destinations {
        for (cause, count) in &lane.failures {
            failures.sample(&[("destination", &lane.name), ("cause", cause)], count);
        }
    }
}

fn endpoints(page: &mut Page, destinations: &[DestinationReading]) {
    let each = || destinations.iter().flat_map(|d| d.endpoints.iter().map(move |endpoint| (d, endpoint)));
    let mut healthy = page.family(
        "esp_connector_endpoint_healthy",
        Kind::Gauge,
        "Whether requests are sent to this endpoint at present, 1 or 0.",
    );
    for (destination, endpoint) in each() {
        let labels = [("destination", &*destination.name), ("destination_endpoint", &*endpoint.endpoint)];
        healthy.sample(&labels, u8::from(endpoint.healthy));
    }
    let mut connections = page.family(
        "esp_connector_endpoint_connections",
        Kind::Gauge,
        "Connections open to this endpoint now; the protocol is that of the newest.",
    );
    for (destination, endpoint) in each() {
        let labels = [
            ("destination", &*destination.name),
            ("destination_endpoint", &*endpoint.endpoint),
            ("protocol", endpoint.protocol.unwrap_or("")),
        ];
        connections.sample(&labels, endpoint.connections);
    }
}

/// Under the names that every Prometheus client library uses.
fn of_process(page: &mut Page, process: &Process) {
    use Kind::{Counter, Gauge};

    page.optional(
        "process_start_time_seconds",
        Gauge,
        "When the process started, since the Unix epoch.",
        process.start_unix_seconds,
    );
    page.optional(
        "process_cpu_seconds_total",
        Counter,
        "Processor time used, user and system.",
        process.cpu_seconds,
    );
    page.optional("process_resident_memory_bytes", Gauge, "Memory in use.", process.resident_bytes);
    page.optional(
        "process_resident_memory_max_bytes",
        Gauge,
        "Most memory ever in use.",
        process.resident_bytes_max,
    );
    page.optional("process_threads", Gauge, "Threads.", process.threads);
    page.optional("process_open_fds", Gauge, "Open file descriptors.", process.open_files);
    page.optional("process_max_fds", Gauge, "Most file descriptors allowed.", process.max_files);
}

const MICROS_PER_SECOND: f64 = 1_000_000.0;
const MILLIS_PER_SECOND: f64 = 1_000.0;
