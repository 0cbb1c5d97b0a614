//! Ten thousand records to each target, in a world where everything goes wrong that does: credentials end, one call in
//! twenty fails, there are more calls than functions, the clock is seven minutes ahead, and one record in a thousand
//! cannot be processed.

use std::time::Duration;

use serde_json::json;

use super::scene::{Clock, Front, Scene, World};

const SESSION: Duration = Duration::from_secs(3);

/// Ships `records` through `front`; the consumer shows by `poison` what it cannot process.
async fn everything_arrives(front: Front, records: u32, poison: &str) {
    let clock = Clock::ahead(7);
    let world = World {
        faults: json!({
            "FAIL_SHARE": "0.05",
            "FAIL_HOW": "error,panic,exit,lost,late:300,status:503,status:429",
            "POISON_PER_MILLE": "1",
            "POISON_HOW": poison,
        }),
        concurrency: 4,
        session: SESSION,
        // A session ends for the connector when it does for everybody: one that lives longer than the clock is ahead
        // would take too long.
        session_overstated: clock.as_ref().map_or(Duration::ZERO, |clock| clock.ahead),
        clock,
        ..World::default()
    };
    let Some(scene) = Scene::new(front, &world).await else { return };
    let shipped = scene.ship(records).await;
    let metric = async |name: &str, label: &str| scene.connector.metric(name, label).await;
    let (sessions, splits) =
        (scene.metadata.fetches(), metric("esp_connector_lane_split_requests_total", "records").await);
    let more = format!(
        ", {} requests, {} throttled, {} transient, {splits} split, {sessions} sessions",
        metric("esp_connector_lane_requests_total", r#""records""#).await,
        metric("esp_connector_lane_ended_requests_total", r#""records",class="throttled""#).await,
        metric("esp_connector_lane_ended_requests_total", r#""records",class="transient""#).await,
    );
    shipped.tell(&format!("{front:?}"), &more);
    shipped.lost_nothing();

    // What was to go wrong did, and was dealt with as the thing it was.
    let failed = metric("esp_connector_lane_ended_requests_total", r#""records",class="transient""#).await;
    assert!(failed > 0.0, "one call in twenty fails");
    if front != Front::Alb {
        let throttled =
            metric("esp_connector_lane_ended_requests_total", r#""records",class="throttled""#).await;
        assert!(throttled > 0.0, "there are more calls than functions");
        // They are asked for when they end, and not for each request.
        let ended = shipped.elapsed().as_secs_f64() / SESSION.as_secs_f64();
        assert!(sessions as f64 >= ended.floor(), "{sessions} sessions");
        assert!(sessions as f64 <= 3.0 * ended + 5.0, "{sessions} sessions");
        if let (Some(clock), true) = (&world.clock, front != Front::Invoke) {
            let offset = metric("esp_connector_clock_offset_seconds", r#""records""#).await;
            assert!((offset + clock.ahead.as_secs_f64()).abs() < 5.0, "{offset} s");
        }
    }
    // Where the consumer does not say which record it is, halves do.
    assert!(splits > 0.0 || poison == "final-item", "nothing was split");
    let (status, printed) = scene.connector.stop().await;
    assert!(status.success(), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn through_invoke() {
    everything_arrives(Front::Invoke, 10_000, "final-item").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_function_url() {
    everything_arrives(Front::FunctionUrl, 10_000, "final-item").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_an_http_api() {
    everything_arrives(Front::HttpApi, 10_000, "status:400").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_rest_api() {
    everything_arrives(Front::RestApi, 10_000, "final-item").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_an_alb() {
    everything_arrives(Front::Alb, 10_000, "final-item").await;
}

/// The consumer fails as a whole with a record that it cannot process, and never says which it is.
#[tokio::test(flavor = "multi_thread")]
async fn to_a_function_that_dies_of_it() {
    everything_arrives(Front::Invoke, 2_000, "call").await;
}
