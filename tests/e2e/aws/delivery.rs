//! Ten thousand records to each target while everything goes wrong that does.

use std::time::Duration;

use serde_json::json;

use super::scene::{Front, Scene, World};

const RECORDS: u32 = 10_000;

/// Credentials that expire, one call in twenty that fails, more calls than functions, and one record in a thousand that
/// cannot be processed, which the consumer shows by `poison`.
async fn everything_arrives(front: Front, poison: &str) {
    let world = World {
        faults: json!({
            "FAIL_SHARE": "0.05",
            "FAIL_HOW": "error,panic,exit,lost,late:300,status:503,status:429",
            "POISON_PER_MILLE": "1",
            "POISON_HOW": poison,
        }),
        concurrency: 4,
        session: [Duration::from_secs(3); 2],
        ..World::default()
    };
    let Some(scene) = Scene::new(front, &world).await else { return };
    let shipped = scene.ship(RECORDS).await;
    let metrics = scene.connector.metrics().await;
    let _ = metrics;
    if std::env::var_os("SHOW").is_some() { eprintln!("{}\n{}", scene.connector.printed().chars().take(6000).collect::<String>(), scene.stack.printed().chars().take(3000).collect::<String>()); }
    shipped.tell(&format!("{front:?}"), &format!(", {} sessions", scene.metadata.fetches()));
    shipped.lost_nothing();
    let (status, printed) = scene.connector.stop().await;
    assert!(status.success(), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn through_invoke() {
    everything_arrives(Front::Invoke, "call").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_function_url() {
    everything_arrives(Front::FunctionUrl, "final-item").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_an_http_api() {
    everything_arrives(Front::HttpApi, "status:400").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_rest_api() {
    everything_arrives(Front::RestApi, "final-item").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_an_alb() {
    everything_arrives(Front::Alb, "final-item").await;
}
