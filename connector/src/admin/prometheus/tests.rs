use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Output, Stdio},
};

use super::*;
use crate::{admin::sample_view, metrics::Metrics};

/// Series as `name{label="value"}` without the cluster, to value.
fn samples(page: &str) -> BTreeMap<String, String> {
    let mut samples = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let series = series.replace("cluster_name=\"blue\",", "").replace("{cluster_name=\"blue\"}", "");
        assert!(!series.contains("cluster_name"), "the label stands first in every series: {line}");
        let before = samples.insert(series.clone(), value.to_owned());
        assert_eq!(before, None, "{series} occurs twice");
    }
    samples
}

fn page(view: &View) -> String {
    render(view, Instant::now())
}

#[test]
fn every_vendor_series_is_there_and_no_other() {
    let page = page(&sample_view("blue"));
    let expected = [
        r#"connections{status="active"}"#,
        r#"connections{status="closed"}"#,
        r#"destination_requests{destination="orders",destination_endpoint="a:1",status="error"}"#,
        r#"destination_requests{destination="orders",destination_endpoint="a:1",status="queued"}"#,
        r#"destination_requests{destination="orders",destination_endpoint="a:1",status="success"}"#,
        r#"destination_requests{destination="orders",destination_endpoint="b:2",status="error"}"#,
        r#"destination_requests{destination="orders",destination_endpoint="b:2",status="queued"}"#,
        r#"destination_requests{destination="orders",destination_endpoint="b:2",status="success"}"#,
        r#"health_check{destination="audit",status="error"}"#,
        r#"health_check{destination="audit",status="success"}"#,
        r#"health_check{destination="orders",status="error"}"#,
        r#"health_check{destination="orders",status="success"}"#,
        r#"record_payload_size_count"#,
        r#"record_payload_size_sum"#,
        r#"record_payload_size{quantile="0.5"}"#,
        r#"record_payload_size{quantile="0.75"}"#,
        r#"record_payload_size{quantile="0.95"}"#,
        r#"record_payload_size{quantile="0.98"}"#,
        r#"record_payload_size{quantile="0.99"}"#,
        r#"record_payload_size{quantile="0.999"}"#,
        r#"requests_lag"#,
        r#"requests_total_count"#,
        r#"requests_total_sum"#,
        r#"requests_total{quantile="0.5"}"#,
        r#"requests_total{quantile="0.75"}"#,
        r#"requests_total{quantile="0.95"}"#,
        r#"requests_total{quantile="0.98"}"#,
        r#"requests_total{quantile="0.99"}"#,
        r#"requests_total{quantile="0.999"}"#,
        r#"requests{status="error"}"#,
        r#"requests{status="parse-error"}"#,
        r#"requests{status="queued"}"#,
        r#"requests{status="skipped"}"#,
        r#"requests{status="success"}"#,
    ];
    let samples = samples(&page);
    let vendor: Vec<_> =
        samples.keys().filter_map(|key| key.strip_prefix("aerospike_esp_outbound_")).collect();
    assert_eq!(vendor, expected);
}

#[test]
fn jvm_gauges_only_when_asked_for() {
    let mut view = sample_view("blue");
    assert!(!page(&view).contains("_jvm_"));
    view.jvm_compat = true;
    let page = page(&view);
    let samples = samples(&page);
    let jvm = |name: &str| samples[&format!("aerospike_esp_outbound_jvm_{name}")].parse::<f64>().unwrap();
    assert_eq!((jvm("gc_count"), jvm("gc_time")), (0.0, 0.0));
    assert_eq!((jvm("classloader_loaded"), jvm("buffers_direct_used")), (0.0, 0.0));
    if cfg!(target_os = "linux") {
        assert!(jvm("memory_heap_used") > 100_000.0 && jvm("memory_heap_used") < jvm("memory_heap_max"));
        assert!(jvm("attribute_uptime") >= 0.0);
        assert!(jvm("files_open") < jvm("files_max"));
        assert!((0.0..=1.0).contains(&jvm("os_processCpuLoad")));
        assert!((0.0..=1.0).contains(&jvm("os_systemCpuLoad")));
        assert!(jvm("threads_count{state=\"runnable\"}") >= 1.0);
    }
}

#[test]
fn every_family_of_ours() {
    let page = page(&sample_view("blue"));
    let families: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .filter(|(name, _)| name.starts_with("esp_connector_"))
        .collect();
    let expected = BTreeSet::from([
        ("esp_connector_anomalies_total", "counter"),
        ("esp_connector_build_info", "gauge"),
        ("esp_connector_clock_offset_seconds", "gauge"),
        ("esp_connector_config_last_reload_success_timestamp_seconds", "gauge"),
        ("esp_connector_config_last_reload_successful", "gauge"),
        ("esp_connector_config_reloads_total", "counter"),
        ("esp_connector_connections", "gauge"),
        ("esp_connector_connections_opened_total", "counter"),
        ("esp_connector_credential_age_seconds", "gauge"),
        ("esp_connector_credential_fetch_failures_total", "counter"),
        ("esp_connector_credential_fetches_total", "counter"),
        ("esp_connector_credential_remaining_seconds", "gauge"),
        ("esp_connector_ended_records_total", "counter"),
        ("esp_connector_endpoint_connections", "gauge"),
        ("esp_connector_endpoint_healthy", "gauge"),
        ("esp_connector_frame_errors_total", "counter"),
        ("esp_connector_held_records_total", "counter"),
        ("esp_connector_in_process_records", "gauge"),
        ("esp_connector_info_requests_total", "counter"),
        ("esp_connector_lane_already_delivered_records_total", "counter"),
        ("esp_connector_lane_answers_total", "counter"),
        ("esp_connector_lane_breaker_state", "gauge"),
        ("esp_connector_lane_capacity_records", "gauge"),
        ("esp_connector_lane_concurrency_limit", "gauge"),
        ("esp_connector_lane_dead_letters_confirmed_total", "counter"),
        ("esp_connector_lane_dead_letters_total", "counter"),
        ("esp_connector_lane_delivered_records_total", "counter"),
        ("esp_connector_lane_dropped_records_total", "counter"),
        ("esp_connector_lane_ended_requests_total", "counter"),
        ("esp_connector_lane_failed_attempts_total", "counter"),
        ("esp_connector_lane_held_records_total", "counter"),
        ("esp_connector_lane_holding", "gauge"),
        ("esp_connector_lane_in_flight_requests", "gauge"),
        ("esp_connector_lane_parked_records", "gauge"),
        ("esp_connector_lane_queued_records", "gauge"),
        ("esp_connector_lane_refused_records_total", "counter"),
        ("esp_connector_lane_request_bytes_total", "counter"),
        ("esp_connector_lane_request_records", "histogram"),
        ("esp_connector_lane_requests_total", "counter"),
        ("esp_connector_lane_retried_records_total", "counter"),
        ("esp_connector_lane_split_requests_total", "counter"),
        ("esp_connector_lane_superseded_records_total", "counter"),
        ("esp_connector_lane_throttle_pause_seconds", "gauge"),
        ("esp_connector_lane_turned_away_records_total", "counter"),
        ("esp_connector_stale_records_total", "counter"),
        ("esp_connector_filtered_records_total", "counter"),
        ("esp_connector_ready", "gauge"),
        ("esp_connector_received_bytes_total", "counter"),
        ("esp_connector_received_records_total", "counter"),
        ("esp_connector_record_duration_seconds", "histogram"),
        ("esp_connector_record_lag_seconds", "histogram"),
        ("esp_connector_record_size_bytes", "histogram"),
        ("esp_connector_refused_records_total", "counter"),
        ("esp_connector_window_bytes", "gauge"),
        ("esp_connector_window_bytes_limit", "gauge"),
        ("esp_connector_window_records", "gauge"),
        ("esp_connector_window_records_limit", "gauge"),
    ]);
    assert_eq!(families, expected);
}

#[test]
fn values_reach_their_series() {
    let page = page(&sample_view("blue"));
    let samples = samples(&page);
    for (series, value) in [
        (r#"aerospike_esp_outbound_requests{status="success"}"#, "2"),
        (r#"aerospike_esp_outbound_requests{status="error"}"#, "4"),
        (r#"aerospike_esp_outbound_requests{status="queued"}"#, "7"),
        (r#"aerospike_esp_outbound_requests_lag"#, "120"),
        (r#"aerospike_esp_outbound_health_check{destination="orders",status="success"}"#, "12"),
        (r#"aerospike_esp_outbound_record_payload_size_sum"#, "1800"),
        (r#"esp_connector_ended_records_total{outcome="refused"}"#, "2"),
        (r#"esp_connector_refused_records_total{cause="status"}"#, "1"),
        (r#"esp_connector_refused_records_total{cause="overloaded"}"#, "0"),
        (r#"esp_connector_anomalies_total{kind="late-answer"}"#, "1"),
        // Six records of exactly 10 ms: above 2^13 microseconds, within 2^14.
        (r#"esp_connector_record_duration_seconds_bucket{le="0.008192"}"#, "0"),
        (r#"esp_connector_record_duration_seconds_bucket{le="0.016384"}"#, "6"),
        (r#"esp_connector_record_duration_seconds_bucket{le="+Inf"}"#, "6"),
        (r#"esp_connector_record_duration_seconds_sum"#, "0.06"),
        (r#"esp_connector_lane_queued_records{destination="orders"}"#, "3"),
        (r#"esp_connector_lane_failed_attempts_total{destination="audit",cause="timeout"}"#, "3"),
        (r#"esp_connector_lane_answers_total{destination="audit",status="429"}"#, "1"),
        (r#"esp_connector_lane_ended_requests_total{destination="audit",class="throttled"}"#, "1"),
        (r#"esp_connector_lane_ended_requests_total{destination="audit",class="hold"}"#, "0"),
        (r#"esp_connector_lane_dead_letters_total{destination="audit",cause="too-large"}"#, "2"),
        (r#"esp_connector_lane_dropped_records_total{destination="audit"}"#, "6"),
        (r#"esp_connector_lane_concurrency_limit{destination="audit"}"#, "8"),
        (r#"esp_connector_lane_breaker_state{destination="audit"}"#, "1"),
        (r#"esp_connector_lane_throttle_pause_seconds{destination="audit"}"#, "1.5"),
        (r#"esp_connector_lane_request_bytes_total{destination="audit"}"#, "480"),
        (r#"esp_connector_lane_request_records_bucket{destination="audit",le="1"}"#, "1"),
        (r#"esp_connector_lane_request_records_bucket{destination="audit",le="+Inf"}"#, "2"),
        (r#"esp_connector_lane_request_records_sum{destination="audit"}"#, "6"),
        (r#"esp_connector_credential_age_seconds{destination="orders"}"#, "60"),
        (r#"esp_connector_clock_offset_seconds{destination="orders"}"#, "-420"),
        (r#"esp_connector_endpoint_healthy{destination="orders",destination_endpoint="a:1"}"#, "0"),
        (r#"esp_connector_window_records_limit"#, "100"),
        (r#"esp_connector_ready"#, "1"),
    ] {
        assert_eq!(samples.get(series).map(String::as_str), Some(value), "{series}");
    }
    let median: f64 = samples[r#"aerospike_esp_outbound_requests_total{quantile="0.5"}"#].parse().unwrap();
    assert!((median - 0.01).abs() < 0.01 / 16.0, "in seconds: {median}");
}

/// `None` when promtool is not installed.
fn promtool(page: &str) -> Option<Output> {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("skipped: promtool cannot be run ({error}); Debian has it in the package prometheus");
            return None;
        }
    };
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

#[test]
fn promtool_has_nothing_to_say() {
    // Awkward names, an empty connector, and a full one.
    let awkward = sample_view("a \"quoted\" \\ name\nand more");
    let empty = View { metrics: Metrics::default().into(), destinations: vec![], ..sample_view("blue") };
    for view in [sample_view("blue"), awkward, empty] {
        let Some(output) = promtool(&page(&view)) else { return };
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert!(output.status.success(), "{}", output.status);
    }
}

#[test]
fn promtool_minds_nothing_but_camel_case_in_the_jvm_gauges() {
    let view = View { jvm_compat: true, ..sample_view("blue") };
    let Some(output) = promtool(&page(&view)) else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let complaints: Vec<_> = said.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let camel = "metric names should be written in 'snake_case' not 'camelCase'";
    assert_eq!(
        complaints,
        [
            ("aerospike_esp_outbound_jvm_os_processCpuLoad", camel),
            ("aerospike_esp_outbound_jvm_os_systemCpuLoad", camel)
        ]
    );
    // 3 is "parsed, with lint"; 1 would be "cannot be parsed".
    assert_eq!(output.status.code(), Some(3));
}
