//! Our series about destinations.

use std::collections::BTreeMap;

use adapters::Access;

use super::{
    super::{
        text::{Kind, Page},
        view::DestinationReading,
    },
    MILLIS_PER_SECOND,
};

/// Each destination's lanes, added up.
pub(super) fn write_lanes(page: &mut Page, destinations: &[DestinationReading]) {
    type Number = fn(&DestinationReading) -> u64;
    let table: [(&'static str, Kind, &'static str, Number); 19] = [
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
        (
            "esp_connector_lane_concurrency_limit",
            Kind::Gauge,
            "Most requests at once, as the destination bears it at present.",
            |lane| lane.concurrency,
        ),
        (
            "esp_connector_lane_breaker_state",
            Kind::Gauge,
            "0 while requests go, 1 while none does because the destination takes nothing, 2 while one asks again.",
            |lane| lane.breaker,
        ),
        (
            "esp_connector_lane_holding",
            Kind::Gauge,
            "Whether the destination takes nothing until an operator acts, 1 or 0; /readyz says why.",
            |lane| u64::from(lane.holding.is_some()),
        ),
        (
            "esp_connector_lane_request_bytes_total",
            Kind::Counter,
            "Bytes of the bodies of requests, before any compression.",
            |lane| lane.request_bytes,
        ),
        (
            "esp_connector_lane_split_requests_total",
            Kind::Counter,
            "Requests that failed and were sent again in halves.",
            |lane| lane.splits,
        ),
        (
            "esp_connector_lane_held_records_total",
            Kind::Counter,
            "Records that no retry can help and that are refused for want of a dead-letter place, each time they come.",
            |lane| lane.held,
        ),
        (
            "esp_connector_lane_dropped_records_total",
            Kind::Counter,
            "Records given up for good, because the destination's dead-letter is drop.",
            |lane| lane.dropped,
        ),
        (
            "esp_connector_lane_dead_letters_confirmed_total",
            Kind::Counter,
            "Dead letters of this destination that the dead-letter destination confirmed.",
            |lane| lane.letters_confirmed,
        ),
        (
            "esp_connector_lane_already_delivered_records_total",
            Kind::Counter,
            "Records shipped again that were not sent again, because this destination had that very version.",
            |lane| lane.already_delivered,
        ),
        (
            "esp_connector_lane_turned_away_records_total",
            Kind::Counter,
            "Records refused because the destination took nothing at that time.",
            |lane| lane.refused_closed,
        ),
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
            "esp_connector_lane_superseded_records_total",
            Kind::Counter,
            "Records not sent because a newer version of them was (record-ordering).",
            |lane| lane.superseded,
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
    let mut pause = page.family(
        "esp_connector_lane_throttle_pause_seconds",
        Kind::Gauge,
        "How long the destination still wants to be left alone.",
    );
    for lane in destinations {
        pause.sample(&[("destination", &lane.name)], lane.pause_ms as f64 / MILLIS_PER_SECOND);
    }
    type Counts = fn(&DestinationReading) -> &BTreeMap<&'static str, u64>;
    let tables: [(&'static str, &'static str, &'static str, Counts); 3] = [
        (
            "esp_connector_lane_failed_attempts_total",
            "Failed attempts of records, by cause.",
            "cause",
            |lane| &lane.failures,
        ),
        (
            "esp_connector_lane_dead_letters_total",
            "Records that no retry can help, by cause: sent to the dead letters, held, or given up, as configured.",
            "cause",
            |lane| &lane.dead_letters,
        ),
        (
            "esp_connector_lane_ended_requests_total",
            "Requests by the kind of their end, which decides what follows.",
            "class",
            |lane| &lane.classes,
        ),
    ];
    for (name, help, label, counts) in tables {
        let mut family = page.family(name, Kind::Counter, help);
        for lane in destinations {
            for (word, count) in counts(lane) {
                family.sample(&[("destination", &lane.name), (label, word)], count);
            }
        }
    }
}

/// How large requests are, and what they are answered with.
pub(super) fn write_requests(page: &mut Page, destinations: &[DestinationReading]) {
    let mut sizes =
        page.family("esp_connector_lane_request_records", Kind::Histogram, "Records in a request.");
    for lane in destinations {
        let (name, all) = (("destination", lane.name.as_str()), &lane.request_records);
        for exponent in (0..=14).step_by(2) {
            let bound = (1_u64 << exponent).to_string();
            sizes.suffixed("_bucket", &[name, ("le", &bound)], all.up_to_power(exponent));
        }
        sizes
            .suffixed("_bucket", &[name, ("le", "+Inf")], all.count())
            .suffixed("_sum", &[name], all.sum)
            .suffixed("_count", &[name], all.count());
    }
    let mut answers = page.family("esp_connector_lane_answers_total", Kind::Counter, "Answers by status.");
    for lane in destinations {
        for (status, count) in &lane.statuses {
            answers.sample(&[("destination", &lane.name), ("status", &status.to_string())], count);
        }
    }
}

/// How destinations are proved who asks. No series where none has to be.
pub(super) fn write_access(page: &mut Page, destinations: &[DestinationReading]) {
    type Number = fn(&Access) -> Option<f64>;
    let each = || destinations.iter().filter_map(|d| d.access.as_ref().map(|access| (&d.name, access)));
    if each().next().is_none() {
        return;
    }
    let table: [(&'static str, Kind, &'static str, Number); 5] = [
        (
            "esp_connector_credential_age_seconds",
            Kind::Gauge,
            "Age of the credentials or the token in use.",
            |access| access.age.map(|age| age.as_secs_f64()),
        ),
        (
            "esp_connector_credential_remaining_seconds",
            Kind::Gauge,
            "How long the credentials or the token in use live on.",
            |access| access.expires_in.map(|left| left.as_secs_f64()),
        ),
        (
            "esp_connector_credential_fetches_total",
            Kind::Counter,
            "Times that credentials or a token were fetched.",
            |access| Some(access.fetched as f64),
        ),
        (
            "esp_connector_credential_fetch_failures_total",
            Kind::Counter,
            "Times that they could not be fetched.",
            |access| Some(access.fetch_failures as f64),
        ),
        (
            "esp_connector_clock_offset_seconds",
            Kind::Gauge,
            "How far the destination's clock is ahead of ours, as far as its answers told.",
            |access| Some(access.clock_offset_ms as f64 / MILLIS_PER_SECOND),
        ),
    ];
    for (name, kind, help, number) in table {
        let mut family = page.family(name, kind, help);
        for (destination, access) in each() {
            if let Some(number) = number(access) {
                family.sample(&[("destination", destination)], number);
            }
        }
    }
}

/// Each endpoint of each destination.
pub(super) fn write_endpoints(page: &mut Page, destinations: &[DestinationReading]) {
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
