//! Versions of one record stay in order, other records run in parallel, and a failure delays only its own key.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use adapters::{Cause, Outcome};
use tokio::time::Instant;

use crate::harness::{Scripted, Setup, n_of, pause, record, record_with_digest};

#[tokio::test(start_paused = true)]
async fn two_versions_of_a_record_are_never_on_their_way_together() {
    let running = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&running);
    let target = Scripted::new(16, move |_, _| {
        let running = Arc::clone(&counter);
        async move {
            assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "two at once");
            pause(50).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Outcome::Delivered
        }
    });
    let mut peer = Setup::to([target.clone()]).start();
    for version in 1..=10 {
        peer.send(&record(7, version)).await;
    }
    assert_eq!(peer.acks(10).await, [0; 10]);
    assert_eq!(target.seen().iter().map(|body| n_of(body)).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_failed_version_goes_again_before_the_next_one() {
    let target = Scripted::new(4, |_, index| async move {
        if index < 2 { Outcome::Retryable(Cause::Status(503)) } else { Outcome::Delivered }
    });
    let mut setup = Setup::to([target.clone()]);
    setup.attempts_max = 5;
    let mut peer = setup.start();
    peer.send(&record(7, 1)).await;
    peer.send(&record(7, 2)).await;
    assert_eq!(peer.acks(2).await, [0, 0]);
    assert_eq!(target.seen().iter().map(|body| n_of(body)).collect::<Vec<_>>(), [1, 1, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_record_holds_no_worker() {
    let target = Scripted::new(1, |body, index| async move {
        pause(1).await;
        if n_of(&body) == 0 && index < 40 {
            Outcome::Retryable(Cause::Status(500))
        } else {
            Outcome::Delivered
        }
    });
    let mut setup = Setup::to([target.clone()]);
    setup.attempts_max = 4;
    let mut peer = setup.start();
    peer.send(&record(0, 0)).await;
    for n in 1..=50 {
        peer.send(&record(n, n.into())).await;
    }
    let start = Instant::now();
    let codes = peer.acks(51).await;
    assert_eq!(codes[1..], [0; 50]);
    let others =
        target.seen().iter().zip(target.times()).filter(|(body, _)| n_of(body) != 0).map(|(_, at)| at).max();
    let took = others.unwrap() - start;
    assert!(took < Duration::from_millis(70), "50 others at 1 ms each on one worker took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn one_request_in_twenty_failing_costs_less_than_a_tenth_of_the_rate() {
    /// Enough for the last few records to weigh nothing.
    const RECORDS: u32 = 20_000;
    const BATCH: u32 = 1_000;
    async fn run(failing: bool) -> Duration {
        let target = Scripted::new(16, move |_, index| async move {
            pause(2).await;
            // Spread, because retries tend to come first in a round of sixteen.
            if failing && (index as u32).wrapping_mul(0x9e37_79b9) % 20_000 < 1_000 {
                Outcome::Retryable(Cause::Status(503))
            } else {
                Outcome::Delivered
            }
        });
        let mut setup = Setup::to([target]);
        setup.attempts_max = 5;
        let mut peer = setup.start();
        let start = Instant::now();
        let batch = |batch: u32| -> Vec<u8> {
            let record = |n: u32| {
                let mut digest = [0; 20];
                digest[..4].copy_from_slice(&n.to_be_bytes());
                record_with_digest(None, digest, n.into())
            };
            (batch * BATCH..(batch + 1) * BATCH).flat_map(record).collect()
        };
        // A second of work in flight: a source that offers more is refused, which is another test.
        for n in 0..RECORDS / BATCH + 8 {
            if n < RECORDS / BATCH {
                peer.send(&batch(n)).await;
            }
            if n >= 8 {
                let codes = peer.acks(BATCH as usize).await;
                let bad: Vec<_> = codes.iter().enumerate().filter(|(_, code)| **code != 0).collect();
                assert!(bad.is_empty(), "batch {n} after {:?}: {bad:?}", start.elapsed());
            }
        }
        start.elapsed()
    }
    let (clean, failing) = (run(false).await, run(true).await);
    assert!(failing < clean.mul_f64(1.0 / 0.9), "{clean:?} without failures, {failing:?} with");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_fails_alone_is_refused_soon_and_one_of_many_slowly() {
    async fn refused_after(everything_fails: bool) -> Duration {
        let target = Scripted::new(4, move |body, _| async move {
            pause(1).await;
            let fails = everything_fails || n_of(&body) == 100;
            if fails { Outcome::Retryable(Cause::Status(503)) } else { Outcome::Delivered }
        });
        let mut setup = Setup::to([target]);
        setup.attempts_max = 2;
        let mut peer = setup.start();
        // What came before decides what a failure means.
        for n in 0..100 {
            peer.send(&record(n, n.into())).await;
        }
        peer.acks(100).await;
        let start = Instant::now();
        peer.send(&record(100, 100)).await;
        assert_eq!(peer.ack().await, 18);
        start.elapsed()
    }
    let alone = refused_after(false).await;
    assert!(alone >= Duration::from_millis(100) && alone < Duration::from_millis(150), "{alone:?}");
    let with_all = refused_after(true).await;
    assert!(with_all > Duration::from_millis(900) && with_all < Duration::from_millis(1_500), "{with_all:?}");
}
