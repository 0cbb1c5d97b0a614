//! Records that some of their destinations have and others do not, when XDR ships them again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use adapters::{Cause, Outcome};
use esp_connector::config::{DeadLetter, Routing, RoutingKey, RoutingTable};
use fastrand::Rng;
use futures_util::future::BoxFuture;

use crate::harness::{Peer, Scripted, Setup, delete, n_of, pause, record, version, version_holding};

const LATER: Outcome = Outcome::Retryable(Cause::Status(500));

fn taking() -> Arc<Scripted> {
    Scripted::new(4, |_, _| async { Outcome::Delivered })
}

/// Takes nothing before request number `from`, counted from 0.
fn taking_from(from: usize) -> Arc<Scripted> {
    Scripted::new(4, move |_, before| async move { if before < from { LATER } else { Outcome::Delivered } })
}

/// Ships one record and waits for its answer.
async fn ship(peer: &mut Peer, bytes: &[u8]) -> u8 {
    peer.send(bytes).await;
    peer.ack().await
}

fn passed_over(peer: &Peer, target: usize) -> u64 {
    peer.lanes[target].stats().already_delivered.load(Relaxed)
}

fn remembered(peer: &Peer) -> usize {
    peer.shared.delivered.as_ref().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn what_is_shipped_again_goes_only_where_it_is_missing() {
    let (first, second, third) = (taking(), taking_from(2), taking_from(1));
    let mut peer = Setup::to([first.clone(), second.clone(), third.clone()]).start();
    assert_eq!(ship(&mut peer, &record(1, 1)).await, 18);
    assert_eq!(remembered(&peer), 1);
    assert_eq!(ship(&mut peer, &record(1, 1)).await, 18);
    assert_eq!(ship(&mut peer, &record(1, 1)).await, 0);
    assert_eq!([&first, &second, &third].map(|target| target.seen().len()), [1, 3, 2]);
    assert_eq!((passed_over(&peer, 0), passed_over(&peer, 1), passed_over(&peer, 2)), (2, 0, 1));
    assert_eq!(remembered(&peer), 0, "all have it");
}

#[tokio::test(start_paused = true)]
async fn it_can_be_turned_off() {
    let (first, second) = (taking(), taking_from(1));
    let mut setup = Setup::to([first.clone(), second]);
    setup.remember = 0;
    let mut peer = setup.start();
    assert_eq!(ship(&mut peer, &record(1, 1)).await, 18);
    assert_eq!(ship(&mut peer, &record(1, 1)).await, 0);
    assert_eq!(first.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_and_the_change_back_go_everywhere() {
    let (first, second) = (taking(), taking_from(3));
    let mut peer = Setup::to([first.clone(), second.clone()]).start();
    for n in [1, 2, 1] {
        assert_eq!(ship(&mut peer, &record(1, n)).await, 18);
    }
    assert_eq!(ship(&mut peer, &record(1, 1)).await, 0);
    let values = |target: &Scripted| target.seen().iter().map(|body| n_of(body)).collect::<Vec<_>>();
    assert_eq!((values(&first), values(&second)), (vec![1, 2, 1], vec![1, 2, 1, 1]));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_a_value_sends_elsewhere_in_between_goes_everywhere_again() {
    let (first, second) = (taking(), taking_from(1));
    let mut setup = Setup::to([first.clone(), second.clone()]);
    let both = vec!["target-0".to_owned(), "target-1".to_owned()];
    setup.routing = Some(Routing::By(RoutingTable {
        key: RoutingKey::Bin("n".to_owned()),
        transforms: Vec::new(),
        destinations: BTreeMap::from([("1".to_owned(), both)]),
        default: vec!["target-0".to_owned()],
    }));
    let mut peer = setup.start();
    assert_eq!(ship(&mut peer, &record(1, 1)).await, 18);
    assert_eq!(ship(&mut peer, &record(1, 2)).await, 0, "only to the first");
    assert_eq!(ship(&mut peer, &record(1, 1)).await, 0);
    assert_eq!(first.seen().iter().map(|body| n_of(body)).collect::<Vec<_>>(), [1, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn versions_without_a_last_update_time_go_everywhere_each_time() {
    // The message of a delete of a record without one: equal to any other delete of it.
    let mut bytes = delete([1; 20], 1);
    let without = bytes.len() - 13;
    bytes.truncate(without);
    bytes[7] -= 13;
    bytes[27] -= 1;
    let (first, second) = (taking(), taking_from(1));
    let mut peer = Setup::to([first.clone(), second]).start();
    assert_eq!(ship(&mut peer, &bytes).await, 18);
    assert_eq!(ship(&mut peer, &bytes).await, 0);
    assert_eq!(first.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_time_to_live_that_shrinks_makes_no_other_version() {
    let (first, second) = (taking(), taking_from(1));
    let mut peer = Setup::to([first.clone(), second]).start();
    let mut bytes = record(1, 1);
    for ttl_seconds in [3600_u32, 3599] {
        bytes[18..22].copy_from_slice(&ttl_seconds.to_be_bytes());
        ship(&mut peer, &bytes).await;
    }
    assert_eq!(first.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_that_comes_too_late_for_xdr_counts_when_it_ships_again() {
    let slow = || {
        Scripted::new(1, |_, _| async {
            pause(9_000).await;
            Outcome::Delivered
        })
    };
    for quick in [taking(), taking_from(1)] {
        let slow = slow();
        let mut peer = Setup::to([slow.clone(), quick]).start();
        let code = ship(&mut peer, &record(1, 1)).await;
        assert!([9, 18].contains(&code), "XDR heard nothing good within its time: {code}");
        pause(10_000).await;
        assert_eq!(ship(&mut peer, &record(1, 1)).await, 0);
        assert_eq!(slow.seen().len(), 1);
        assert_eq!(remembered(&peer), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn with_record_ordering_both_agree() {
    let at = |n: i64| version(None, [1; 20], n, 1_700_000_000_000 + n as u64);
    let (first, second) = (taking(), taking_from(3));
    let mut peer = Setup::to([first.clone(), second.clone()]).in_order().start();
    assert_eq!(ship(&mut peer, &at(5)).await, 18);
    assert_eq!(ship(&mut peer, &at(5)).await, 18, "equal is not stale, but the first has it");
    assert_eq!(first.seen().len(), 1);
    assert_eq!(ship(&mut peer, &at(7)).await, 18);
    assert_eq!(ship(&mut peer, &at(5)).await, 0, "stale everywhere");
    assert_eq!(ship(&mut peer, &at(7)).await, 0);
    let last = |target: &Scripted| n_of(target.seen().last().unwrap());
    assert_eq!((last(&first), last(&second)), (7, 7));
    // The stale one made what was known worthless: one duplicate.
    assert_eq!((first.seen().len(), second.seen().len()), (3, 4));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_was_confirmed_is_not_written_again() {
    let refusing = Scripted::new(1, |_, _| async { Outcome::Rejected(Cause::Status(400)) });
    let (failing, letters) = (taking_from(2), taking());
    let mut setup = Setup::to([refusing.clone(), failing, letters.clone()]);
    setup.routing = Some(Routing::To(vec!["target-0".to_owned(), "target-1".to_owned()]));
    setup.dead_letters = vec![Some(DeadLetter::To("target-2".to_owned()))];
    let mut peer = setup.start();
    for code in [18, 18, 0] {
        assert_eq!(ship(&mut peer, &record(1, 1)).await, code);
    }
    assert_eq!((refusing.seen().len(), letters.seen().len()), (1, 1));
}

/// What three destinations got of each record, in the order in which they processed it.
type Got = Arc<Mutex<Vec<BTreeMap<u64, Vec<i64>>>>>;

/// Fails as it likes, also after it processed a record, and not always in the same time.
fn moody(index: usize, got: &Got, seed: u64) -> Arc<Scripted> {
    let got = Arc::clone(got);
    let rng = Mutex::new(Rng::with_seed(seed));
    Scripted::new(4, move |body: String, _| -> BoxFuture<'static, Outcome> {
        let got = Arc::clone(&got);
        let (took, lucky, lost) = {
            let mut rng = rng.lock().unwrap();
            (rng.u64(..30), rng.u32(..10) < [10, 6, 4][index], rng.u32(..4) == 0)
        };
        Box::pin(async move {
            pause(took).await;
            if lucky || lost {
                let n = n_of(&body);
                got.lock().unwrap()[index].entry(n as u64 / 1_000).or_default().push(n);
            }
            if lucky { Outcome::Delivered } else { LATER }
        })
    })
}

/// Ships `versions` versions of each of 40 records until all are acknowledged; gives what was processed.
async fn run(seed: u64, remember: usize) -> (Vec<BTreeMap<u64, Vec<i64>>>, u64) {
    const KEYS: u64 = 40;
    const VERSIONS: u64 = 4;
    let got: Got = Arc::new(Mutex::new(vec![BTreeMap::new(); 3]));
    let mut setup =
        Setup::to((0..3).map(|index| moody(index, &got, seed * 3 + index as u64)).collect::<Vec<_>>());
    setup.remember = remember;
    let mut peer = setup.start();
    let mut rng = Rng::with_seed(seed);
    // By key: the version shipped last, and whether it was acknowledged.
    let mut state = vec![(0_u64, true); KEYS as usize];
    loop {
        // What is in flight at once is of different records, as XDR does it.
        let mut shipped = Vec::new();
        for (key, (newest, acked)) in state.iter_mut().enumerate() {
            // A record may change before its last version arrived everywhere.
            if *newest < VERSIONS && (*acked || rng.u32(..4) == 0) {
                *newest += 1;
                *acked = false;
            }
            if !*acked {
                shipped.push(key);
            }
        }
        if shipped.is_empty() {
            break;
        }
        rng.shuffle(&mut shipped);
        for key in &shipped {
            let n = (*key as u64 * 1_000 + state[*key].0) as i64;
            let particle = esp_connector::simulator::particle::Particle::Integer(n);
            peer.send(&version_holding(None, [*key as u8; 20], &particle, 1_000 + state[*key].0)).await;
        }
        for key in shipped {
            state[key].1 = peer.ack().await == 0;
        }
    }
    pause(60_000).await;
    let passed_over = (0..3).map(|target| passed_over(&peer, target)).sum();
    let got = std::mem::take(&mut *got.lock().unwrap());
    for (index, target) in got.iter().enumerate() {
        for key in 0..KEYS {
            let newest = (key * 1_000 + VERSIONS) as i64;
            assert_eq!(
                target[&key].last(),
                Some(&newest),
                "seed {seed}: record {key} at destination {index}"
            );
        }
    }
    if remember > 0 {
        assert_eq!(remembered(&peer), 0, "seed {seed}");
    }
    (got, passed_over)
}

#[tokio::test(start_paused = true)]
async fn every_destination_ends_with_the_newest_version_and_gets_fewer_duplicates() {
    let duplicates = |got: &[BTreeMap<u64, Vec<i64>>]| -> [u64; 3] {
        let of = |values: &Vec<i64>| {
            let mut distinct = values.clone();
            distinct.sort_unstable();
            distinct.dedup();
            (values.len() - distinct.len()) as u64
        };
        [0, 1, 2].map(|index| got[index].values().map(of).sum())
    };
    let (mut with, mut without) = ([0; 3], [0; 3]);
    for seed in 0..10 {
        let (got, passed_over) = run(seed, 1_000).await;
        assert!(passed_over > 0);
        with = std::array::from_fn(|index| with[index] + duplicates(&got)[index]);
        let (got, passed_over) = run(seed, 0).await;
        assert_eq!(passed_over, 0);
        without = std::array::from_fn(|index| without[index] + duplicates(&got)[index]);
        // As many as fit into no memory worth the name: still nothing wrong.
        run(seed, 3).await;
    }
    println!("duplicates at the three destinations: {with:?} with the memory, {without:?} without");
    assert_eq!(with[0], 0, "it always confirms, so it gets nothing twice");
    assert!(without[0] > 500 && with.iter().sum::<u64>() * 3 < without.iter().sum::<u64>());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_leaves_what_was_confirmed_known() {
    let (first, second) = (taking(), taking_from(1));
    let mut peer = Setup::to([first, second]).start();
    peer.send(&record(1, 1)).await;
    pause(20).await;
    drop(peer.stream);
    tokio::time::timeout(Duration::from_secs(5), &mut peer.served).await.unwrap().unwrap();
    assert_eq!(peer.shared.delivered.as_ref().unwrap().len(), 1);
}
