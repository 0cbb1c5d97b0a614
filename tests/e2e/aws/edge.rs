//! The same targets behind TLS and HTTP/2 that ends connections, limits, aborts and delays: signatures hold for
//! whatever protocol was agreed on, and nothing is lost.

use std::time::Duration;

use e2e::Trouble;
use serde_json::json;

use super::scene::{Front, Scene, World};

const RECORDS: u32 = 3_000;

async fn everything_arrives(front: Front) {
    let world = World {
        faults: json!({"POISON_PER_MILLE": "1", "POISON_HOW": "final-item"}),
        // Longer than the sessions live: who believes it hears of their end by a refusal.
        session: Duration::from_secs(1),
        session_overstated: Duration::from_secs(3600),
        instance: true,
        envoy: Some(Trouble {
            requests_per_connection: Some(10),
            connection_milliseconds: Some(1000),
            streams: Some(4),
            requests_per_second: Some(20),
            aborted_percent: 10,
            delayed_percent: 10,
        }),
        ..World::default()
    };
    let Some(scene) = Scene::new(front, &world).await else { return };
    let shipped = scene.ship(RECORDS).await;
    let (envoy, _) = scene.behind.as_ref().unwrap();
    let counter = async |name: &str| envoy.counter(&format!("http.front.{name}")).await;
    let http2 = counter("downstream_cx_http2_total").await;
    let more = format!(
        ", {} requests on {http2} connections, {} aborted, {} delayed, {} limited, {} sessions",
        counter("downstream_rq_http2_total").await,
        counter("fault.aborts_injected").await,
        counter("fault.delays_injected").await,
        envoy.counter("limit.http_local_rate_limit.rate_limited").await,
        scene.metadata.fetches(),
    );
    shipped.tell(&format!("{front:?} behind Envoy"), &more);
    shipped.lost_nothing();
    assert_eq!(shipped.duplicates(), 0, "what Envoy refuses was not processed");
    assert!(http2 > 1, "{http2} connections");
    assert!(scene.metadata.fetches() >= 2, "{} sessions", scene.metadata.fetches());
}

#[tokio::test(flavor = "multi_thread")]
async fn invoke() {
    everything_arrives(Front::Invoke).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_url() {
    everything_arrives(Front::FunctionUrl).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rest_api() {
    everything_arrives(Front::RestApi).await;
}
