//! What only an operator can mend: records wait for it, none is lost, none is a dead letter, and the log says what is
//! missing.

use std::time::Duration;

use e2e::WITHIN;
use tokio::time::{Instant, sleep};

use super::scene::{Front, Scene, World};

const RECORDS: u32 = 500;

/// First there are no credentials, then they may not call.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_waited_for() {
    let world = World { forbidden: true, no_credentials: true, ..World::default() };
    let Some(scene) = Scene::new(Front::FunctionUrl, &world).await else { return };
    let shipped = async { scene.ship(RECORDS).await };
    let mended = async {
        told(&scene, "credentials", "correct them").await;
        assert!(scene.metadata.fetches() == 0, "there were none");
        scene.metadata.fail(false);
        told(&scene, "hold", "grant it the permission").await;
        assert_eq!(scene.connector.metric("esp_connector_lane_holding", "records").await, 1.0);
        scene.stack.grant(&scene.cloud).await;
    };
    let (shipped, ()) = tokio::join!(shipped, mended);
    shipped.tell("FunctionUrl, mended", "");
    shipped.lost_nothing();
    assert_eq!(shipped.duplicates(), 0, "what is refused was not processed");
}

/// Waits until a request came to such an end, and the operator was told what to do.
async fn told(scene: &Scene, class: &str, advice: &str) {
    let started = Instant::now();
    let label = format!(r#""records",class="{class}""#);
    while scene.connector.metric("esp_connector_lane_ended_requests_total", &label).await < 1.0
        || !scene.connector.printed().contains(advice)
    {
        assert!(started.elapsed() < WITHIN, "no {class}, but\n{}", scene.connector.printed());
        sleep(Duration::from_millis(20)).await;
    }
}
