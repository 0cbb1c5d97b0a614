//! Our own series, and those every process has. All of them keep Prometheus' rules for names and units.

use super::{
    super::{
        text::{Kind, Page},
        view::{Readiness, View},
    },
    MICROS_PER_SECOND, MILLIS_PER_SECOND,
};
use crate::metrics::{Measured, Totals, histogram::Snapshot, process::Process};

/// The connector as a whole.
pub(super) fn write(page: &mut Page, view: &View, totals: &Totals) {
    use Kind::{Counter, Gauge};

    page.family("esp_connector_build_info", Gauge, "Always 1; the version is in the label.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.single(
        "esp_connector_ready",
        Gauge,
        "Whether records are taken, 1 or 0, as /readyz tells.",
        u8::from(view.readiness() == Readiness::Ready),
    );
    reloads(page, view);
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
    page.single(
        "esp_connector_stale_records_total",
        Counter,
        "Records acknowledged unsent, because a newer version had come before (record-ordering).",
        totals.stale,
    );
    page.single(
        "esp_connector_filtered_records_total",
        Counter,
        "Records acknowledged unsent, because a filter or the format leaves them out.",
        totals.filtered,
    );
    page.single(
        "esp_connector_held_records_total",
        Counter,
        "Records refused because they cannot be written in the configured format, each time XDR ships them.",
        totals.held,
    );
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
    tls(page, view);
    ordering(page, view);
    partial_success(page, view);
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

/// In the way of Prometheus' own.
fn reloads(page: &mut Page, view: &View) {
    let history = view.reloads.history();
    let mut counts = page.family(
        "esp_connector_config_reloads_total",
        Kind::Counter,
        "Times that the configuration was read again, by what came of it.",
    );
    for (result, count) in history.counts() {
        counts.sample(&[("result", result)], count);
    }
    page.single(
        "esp_connector_config_last_reload_successful",
        Kind::Gauge,
        "Whether the configuration that was read last is the one that runs, 1 or 0.",
        u8::from(history.is_up_to_date()),
    );
    page.single(
        "esp_connector_config_last_reload_success_timestamp_seconds",
        Kind::Gauge,
        "When the configuration that runs was taken, since the Unix epoch.",
        history.last_taken_unix_s(),
    );
}

/// Only where `record-ordering` is used.
fn ordering(page: &mut Page, view: &View) {
    if view.lut_caches.is_empty() && view.lut_forgotten == 0 {
        return;
    }
    page.single(
        "esp_connector_lut_cache_records",
        Kind::Gauge,
        "Records whose last-update time is remembered (record-ordering).",
        view.lut_caches.iter().map(|cache| cache.len() as u64).sum::<u64>(),
    );
    page.single(
        "esp_connector_lut_cache_forgotten_total",
        Kind::Counter,
        "Last-update times forgotten before their time, to make room: raise lut-cache-max-records.",
        view.lut_forgotten + view.lut_caches.iter().map(|cache| cache.forgotten()).sum::<u64>(),
    );
}

/// Unless it is turned off.
fn partial_success(page: &mut Page, view: &View) {
    let Some(delivered) = &view.delivered else { return };
    page.single(
        "esp_connector_partial_success_records",
        Kind::Gauge,
        "Records that some of their destinations have and others not yet, remembered until XDR ships them again.",
        delivered.len() as u64,
    );
    page.single(
        "esp_connector_partial_success_forgotten_total",
        Kind::Counter,
        "Records of partial success forgotten to make room, so that they go everywhere again: raise \
         remember-partial-success.",
        delivered.forgotten(),
    );
}

/// Each TLS listener. No series without one.
fn tls(page: &mut Page, view: &View) {
    if view.tls.is_empty() {
        return;
    }
    let mut refused = page.family(
        "esp_connector_tls_handshake_failures_total",
        Kind::Counter,
        "Connections refused before or in the TLS handshake, by reason.",
    );
    for acceptor in &view.tls {
        for (reason, count) in acceptor.refused().read() {
            refused.sample(&[("listener", acceptor.side().as_str()), ("reason", reason)], count);
        }
    }
    let mut expiry = page.family(
        "esp_connector_tls_certificate_expiry_seconds",
        Kind::Gauge,
        "When the listener's certificate expires, since the Unix epoch.",
    );
    for acceptor in &view.tls {
        if let Some(identity) = acceptor.identity() {
            expiry.sample(&[("listener", acceptor.side().as_str())], identity.not_after_unix_s);
        }
    }
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

/// What is read and not yet answered.
pub(super) fn write_window(page: &mut Page, view: &View) {
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

/// Under the names that every Prometheus client library uses.
pub(super) fn write_process(page: &mut Page, process: &Process) {
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
