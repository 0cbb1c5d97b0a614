//! Several records in one request: when they go, and that each of them has its own fate.

use std::time::Duration;

use adapters::{Cause, ItemFailure, Outcome, Report};
use tokio::time::Instant;

use crate::harness::{Scripted, Setup, all_n_of, numbered, pause, record};

#[tokio::test(start_paused = true)]
async fn a_lone_record_goes_at_once_and_those_behind_it_together() {
    let target = Scripted::new(4, |_, _| async {
        pause(100).await;
        Outcome::Delivered
    });
    let mut peer = Setup::to([target.clone()]).in_batches(100, 4_000).start();
    let start = Instant::now();
    peer.send(&record(0, 0)).await;
    pause(10).await;
    for n in 1..=7 {
        peer.send(&record(n, n.into())).await;
    }
    assert_eq!(peer.acks(8).await, [0; 8]);
    let sizes: Vec<_> = target.seen().iter().map(|body| all_n_of(body).len()).collect();
    assert_eq!(sizes, [1, 7], "an array of one first");
    let times: Vec<_> = target.times().iter().map(|at| at.duration_since(start).as_millis()).collect();
    assert_eq!(times, [0, 100], "the second when the first was done");
}

#[tokio::test(start_paused = true)]
async fn full_batches_do_not_wait_for_the_one_in_flight() {
    let target = Scripted::new(4, |_, _| async {
        pause(100).await;
        Outcome::Delivered
    });
    let mut peer = Setup::to([target.clone()]).in_batches(10, 4_000).start();
    let start = Instant::now();
    for n in 0..41 {
        peer.send(&numbered(n)).await;
    }
    assert_eq!(peer.acks(41).await, [0; 41]);
    assert!(start.elapsed() <= Duration::from_millis(201), "took {:?}", start.elapsed());
    let sizes: Vec<_> = target.seen().iter().map(|body| all_n_of(body).len()).collect();
    assert_eq!(sizes, [10, 10, 10, 10, 1]);
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_longer_than_the_interval_behind_a_request_that_hangs() {
    let target = Scripted::new(2, |_, index| async move {
        pause(if index == 0 { 3_000 } else { 1 }).await;
        Outcome::Delivered
    });
    let mut peer = Setup::to([target.clone()]).in_batches(100, 250).start();
    let start = Instant::now();
    peer.send(&record(0, 0)).await;
    pause(10).await;
    peer.send(&record(1, 1)).await;
    pause(50).await;
    peer.send(&record(2, 2)).await;
    assert_eq!(peer.acks(3).await, [0; 3]);
    let second = target.times()[1] - start;
    assert_eq!((second.as_millis(), all_n_of(&target.seen()[1])), (260, vec![1, 2]));
}

#[tokio::test(start_paused = true)]
async fn the_longest_interval_still_leaves_time_for_the_request() {
    let target = Scripted::new(2, |_, index| async move {
        pause(if index == 0 { 7_000 } else { 2_000 }).await;
        Outcome::Delivered
    });
    let mut peer = Setup::to([target.clone()]).in_batches(100, 60_000).start();
    peer.send(&record(0, 0)).await;
    pause(10).await;
    peer.send(&record(1, 1)).await;
    assert_eq!(peer.acks(2).await, [0; 2], "both within the deadline");
}

#[tokio::test(start_paused = true)]
async fn only_the_records_that_failed_go_again() {
    let target = Scripted::reporting(4, |body, _| async move {
        pause(10).await;
        let all = all_n_of(&body);
        let failures = all.iter().enumerate().filter_map(|(position, n)| match n {
            // The first attempt of record 3 is in an array of several.
            3 if all.len() > 1 => Some(failure(&position.to_string(), true)),
            5 => Some(failure(&position.to_string(), false)),
            _ => None,
        });
        Report::partial(None, failures.collect())
    });
    let mut setup = Setup::to([target.clone()]).in_batches(100, 1_000);
    setup.attempts_max = 3;
    let mut peer = setup.start();
    for n in 0..8 {
        peer.send(&record(n, n.into())).await;
    }
    let codes = peer.acks(8).await;
    assert_eq!((codes[3], codes.iter().filter(|code| **code == 0).count()), (0, 7), "{codes:?}");
    assert_ne!(codes[5], 0, "refused for good, alone");
    let sent: Vec<Vec<i64>> = target.seen().iter().map(|body| all_n_of(body)).collect();
    assert_eq!(sent.last(), Some(&vec![3]), "{sent:?}");
    assert_eq!(sent.concat().len(), 9, "no other record went twice: {sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_is_retried_whole_and_a_report_about_nobody_loses_nothing() {
    let target = Scripted::reporting(2, |_, index| async move {
        pause(10).await;
        match index {
            1 => Report::all(Outcome::Retryable(Cause::Status(503))),
            2 => Report::partial(None, vec![failure("nobody", true)]),
            _ => Report::all(Outcome::Delivered),
        }
    });
    let mut setup = Setup::to([target.clone()]).in_batches(100, 1_000);
    setup.attempts_max = 5;
    let mut peer = setup.start();
    peer.send(&record(0, 0)).await;
    pause(1).await;
    for n in 1..3 {
        peer.send(&record(n, n.into())).await;
    }
    assert_eq!(peer.acks(3).await, [0; 3]);
    let sent: Vec<Vec<i64>> = target.seen().iter().map(|body| all_n_of(body)).collect();
    assert_eq!(sent[1..], [[1, 2], [1, 2], [1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn one_batch_in_fifty_failing_loses_nothing_and_batches_stay_large() {
    const RECORDS: u32 = 20_000;
    let target = Scripted::new(4, |_, index| async move {
        pause(5).await;
        if index % 50 == 49 { Outcome::Retryable(Cause::Status(503)) } else { Outcome::Delivered }
    });
    let mut setup = Setup::to([target.clone()]).in_batches(100, 1_000);
    setup.attempts_max = 5;
    let mut peer = setup.start();
    let mut acked = 0;
    for n in 0..RECORDS {
        peer.send(&numbered(n)).await;
        // The source keeps a thousand in flight.
        if n >= 1_000 {
            assert_eq!(peer.ack().await, 0);
            acked += 1;
        }
    }
    assert_eq!(peer.acks((RECORDS - acked) as usize).await.iter().filter(|code| **code != 0).count(), 0);
    let requests = target.seen().len();
    assert!(requests < 300, "{requests} requests for 200 batches");
}

#[tokio::test(start_paused = true)]
async fn what_a_batch_leaves_behind_and_later_versions_wait_no_longer_either() {
    let target = Scripted::new(4, |body, _| async move {
        pause(if all_n_of(&body) == [5] { 20 } else { 3_000 }).await;
        Outcome::Delivered
    });
    let mut peer = Setup::to([target.clone()]).in_batches(2, 50).start();
    let start = Instant::now();
    for n in 0..3 {
        peer.send(&record(n, n.into())).await;
    }
    pause(100).await;
    // Goes at 150, alone; the other one may go when it ends, but two requests are in flight.
    peer.send(&record(7, 5)).await;
    pause(60).await;
    peer.send(&record(7, 6)).await;
    assert_eq!(peer.acks(5).await, [0; 5]);
    let seen = target.seen();
    let times = target.times();
    let times = times.iter().map(|at| at.duration_since(start).as_millis());
    let requests: Vec<_> = times.zip(seen.iter().map(|body| all_n_of(body))).collect();
    assert_eq!(requests, [(0, vec![0, 1]), (50, vec![2]), (150, vec![5]), (210, vec![6])]);
}

fn failure(identifier: &str, retryable: bool) -> ItemFailure {
    ItemFailure { identifier: identifier.to_owned(), retryable, cause: Cause::FunctionError, reason: None }
}
