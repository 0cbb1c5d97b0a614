//! Record ordering: no version of a record after a newer one, and none acknowledged that nobody has.

use adapters::{Cause, Outcome};
use esp_connector::config::{Routing, RoutingKey, RoutingTable};

use crate::harness::{Scripted, Setup, delete, n_of, pause, version};

const RECORD: [u8; 20] = [7; 20];

/// Last-update times count from here.
const EPOCH_UNIX_MS: u64 = 1_700_000_000_000;

fn at(lut: u64) -> Vec<u8> {
    version(None, RECORD, lut as i64, EPOCH_UNIX_MS + lut)
}

#[tokio::test(start_paused = true)]
async fn a_stale_version_is_acknowledged_and_not_sent() {
    let target = Scripted::new(4, |_, _| async { Outcome::Delivered });
    let mut peer = Setup::to([target.clone()]).in_order().start();
    for lut in [20, 10, 20, 30] {
        peer.send(&at(lut)).await;
        assert_eq!(peer.ack().await, 0);
    }
    let sent: Vec<_> = target.seen().iter().map(|body| n_of(body)).collect();
    assert_eq!(sent, [20, 20, 30], "an equal one may be another ship of the same");
    let totals = peer.shared.metrics.totals();
    assert_eq!((totals.stale, totals.success, totals.skipped), (1, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn without_the_section_every_version_goes() {
    let target = Scripted::new(4, |_, _| async { Outcome::Delivered });
    let mut peer = Setup::to([target.clone()]).start();
    for lut in [20, 10] {
        peer.send(&at(lut)).await;
        assert_eq!(peer.ack().await, 0);
    }
    assert_eq!(target.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn of_the_versions_that_wait_only_the_newest_goes_and_all_share_its_fate() {
    let target = Scripted::new(4, |_, index| async move {
        pause(100).await;
        // The newest version fails for good this time.
        if index == 1 { Outcome::Retryable(Cause::Status(503)) } else { Outcome::Delivered }
    });
    let mut peer = Setup::to([target.clone()]).in_order().start();
    peer.send(&at(1)).await;
    pause(10).await;
    for lut in [2, 3, 4] {
        peer.send(&at(lut)).await;
    }
    let codes = peer.acks(4).await;
    assert_eq!(codes[0], 0);
    assert!(codes[1..].iter().all(|code| *code != 0), "not one is acknowledged: {codes:?}");
    let sent: Vec<_> = target.seen().iter().map(|body| n_of(body)).collect();
    assert_eq!(sent, [1, 4]);
    // XDR ships what it has now.
    peer.send(&at(4)).await;
    assert_eq!(peer.ack().await, 0);
    assert_eq!(target.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn deletes_are_versions_too() {
    let target = Scripted::new(4, |_, _| async { Outcome::Delivered });
    let mut peer = Setup::to([target.clone()]).in_order().start();
    for message in [at(20), delete(RECORD, EPOCH_UNIX_MS + 10), delete(RECORD, EPOCH_UNIX_MS + 30)] {
        peer.send(&message).await;
        assert_eq!(peer.ack().await, 0);
    }
    let sent: Vec<_> = target.seen().iter().map(|body| body.contains("\"delete\"")).collect();
    assert_eq!(sent, [false, true], "the older delete must not remove the newer write");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_was_taken_in_goes_when_the_newer_one_is_refused() {
    let target = Scripted::new(1, |_, _| async {
        pause(1_000).await;
        Outcome::Delivered
    });
    let mut setup = Setup::to([target.clone()]).in_order();
    setup.held_max = 2;
    let mut peer = setup.start();
    for lut in [1, 2, 3] {
        // There is no room for the third.
        peer.send(&at(lut)).await;
        pause(10).await;
    }
    let codes = peer.acks(3).await;
    assert_eq!((codes[0], codes[1]), (0, 0));
    assert_ne!(codes[2], 0);
    let sent: Vec<_> = target.seen().iter().map(|body| n_of(body)).collect();
    assert_eq!(sent, [1, 2], "what is acknowledged was delivered, or a newer version was");
}

#[tokio::test(start_paused = true)]
async fn what_one_destination_has_makes_nothing_stale_for_another() {
    let [others, fives] = [(); 2].map(|()| Scripted::new(4, |_, _| async { Outcome::Delivered }));
    let mut setup = Setup::to([others.clone(), fives.clone()]).in_order();
    setup.routing = Some(Routing::By(RoutingTable {
        key: RoutingKey::Bin("n".to_owned()),
        transforms: Vec::new(),
        destinations: [("5".to_owned(), vec!["target-1".to_owned()])].into(),
        default: vec!["target-0".to_owned()],
    }));
    let mut peer = setup.start();
    for lut in [5, 4, 3] {
        peer.send(&at(lut)).await;
        assert_eq!(peer.ack().await, 0);
    }
    let sent = |target: &Scripted| target.seen().iter().map(|body| n_of(body)).collect::<Vec<_>>();
    assert_eq!((sent(&fives), sent(&others)), (vec![5], vec![4]), "but there older ones are");
}
