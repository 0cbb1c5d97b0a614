//! Other terms are posted while a connection reads, waits or idles: every record is taken on one of them, and answered.

use std::{sync::Arc, time::Duration};

use adapters::Outcome;
use esp_connector::config::Routing;

use crate::harness::{Peer, Scripted, Setup, n_of, numbered, pause};

/// Two targets, the first of which takes its time. Records go to that one.
fn start(took_ms: u64, change: impl FnOnce(&mut Setup)) -> (Peer, [Arc<Scripted>; 2]) {
    let slow = Scripted::new(1, move |_, _| async move {
        pause(took_ms).await;
        Outcome::Delivered
    });
    let quick = Scripted::new(1, |_, _| async { Outcome::Delivered });
    let mut setup = Setup::to([Arc::clone(&slow), Arc::clone(&quick)]);
    setup.routing = Some(to(0));
    change(&mut setup);
    (setup.start(), [slow, quick])
}

fn to(target: usize) -> Routing {
    Routing::To(vec![format!("target-{target}")])
}

fn seen(target: &Scripted) -> Vec<i64> {
    target.seen().iter().map(|body| n_of(body)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_record_that_waits_for_the_window_goes_where_records_go_by_then() {
    let (mut peer, targets) = start(500, |setup| setup.window_records = 1);
    peer.send(&[numbered(1), numbered(2), numbered(3)].concat()).await;
    pause(100).await;
    assert_eq!(peer.shared.window.records(), 1);
    peer.post_routing(to(1));
    assert_eq!(peer.acks(3).await, [0; 3]);
    assert_eq!((seen(&targets[0]), seen(&targets[1])), (vec![1], vec![2, 3]));
    assert_eq!(peer.shared.metrics.totals().arrived, 3, "each counts once");
    assert_eq!((peer.shared.window.records(), peer.shared.window.bytes()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_record_stays_and_who_idles_lets_go_of_the_old_terms() {
    let (mut peer, targets) = start(1, |_| ());
    let record = numbered(1);
    let (front, back) = record.split_at(40);
    peer.send(front).await;
    pause(10).await;
    let old = Arc::downgrade(&peer.post.borrow());
    peer.post_routing(to(1));
    pause(10).await;
    assert!(old.upgrade().is_none(), "nobody holds them, and what they hold");
    peer.send(back).await;
    assert_eq!(peer.ack().await, 0);
    assert_eq!((seen(&targets[0]).len(), seen(&targets[1])), (0, vec![1]));
    peer.close();
    tokio::time::timeout(Duration::from_secs(1), &mut peer.served).await.expect("closed").unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_comes_too_late_to_a_lane_is_refused_at_once_and_the_next_goes_elsewhere() {
    let (mut peer, targets) = start(200, |setup| setup.held_max = 1);
    // The second waits for room in the lane when that is retired.
    peer.send(&[numbered(1), numbered(2), numbered(3)].concat()).await;
    pause(50).await;
    peer.lanes[0].retire(true);
    peer.post_routing(to(1));
    let start = tokio::time::Instant::now();
    let codes = peer.acks(3).await;
    assert_eq!(codes, [0, 18, 0]);
    assert!(start.elapsed() < Duration::from_millis(200), "not slowly: {:?}", start.elapsed());
    assert_eq!((seen(&targets[0]), seen(&targets[1])), (vec![1], vec![3]));
}
