use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{Key, Operation};

/// Records whose digests are these letters, in this order; the user key of each is its position.
fn batch(keys: &str) -> Batch {
    let record = |(position, key): (usize, u8)| {
        Ok(Notification {
            operation: Operation::Write,
            key: Key {
                namespace: "shop".to_owned(),
                set: None,
                digest: Digest([key; 20]),
                user_key: Some(crate::Value::Int(position as i64)),
            },
            generation: None,
            lut_unix_ms: None,
            expiry: None,
            bins: Vec::new(),
        })
    };
    Batch::new(keys.bytes().enumerate().map(record))
}

fn position(notification: &Notification) -> usize {
    notification.key.user_key.as_ref().and_then(crate::Value::as_i64).unwrap() as usize
}

fn failed(report: &Report) -> Vec<usize> {
    report.failures().map(|(position, _)| position).collect()
}

fn reason(report: &Report, position: usize) -> &str {
    report.failures().find(|(at, _)| *at == position).unwrap().1.reason()
}

#[tokio::test(start_paused = true)]
async fn one_key_runs_in_order_and_others_at_once_within_the_bound() {
    let batch = batch("abcabcabca");
    let (running, most, seen) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let report = batch
        .each(&Limits { at_once: 2, ..Limits::default() }, async |notification| {
            most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            // Later ones are quicker.
            tokio::time::sleep(Duration::from_millis(100 - position(notification) as u64 * 9)).await;
            seen.lock().unwrap().push(position(notification));
            running.fetch_sub(1, Ordering::Relaxed);
            Ok(())
        })
        .await;
    assert!(report.is_success());
    assert_eq!(most.into_inner(), 2);
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 10);
    for key in 0..3 {
        let of_key: Vec<_> = seen.iter().filter(|position| *position % 3 == key).collect();
        assert!(of_key.is_sorted(), "{seen:?}");
    }
}

#[tokio::test]
async fn a_failure_takes_later_records_of_its_key_with_it_and_no_others() {
    let ran = Mutex::new(Vec::new());
    let report = batch("abaabb")
        .each(&Limits::default(), async |notification| {
            ran.lock().unwrap().push(position(notification));
            if position(notification) == 2 { Err(Failure::never("no")) } else { Ok(()) }
        })
        .await;
    assert_eq!(failed(&report), [2, 3]);
    assert_eq!(reason(&report, 3), "an earlier version of this record has failed");
    let answer = report.to_json();
    assert_eq!(answer["batchItemFailures"][0]["retryable"], false);
    assert_eq!(answer["batchItemFailures"][1].get("retryable"), None);
    assert!(!ran.into_inner().unwrap().contains(&3));
}

#[tokio::test]
async fn a_panic_is_the_failure_of_its_record() {
    let report = batch("abc")
        .each(&Limits::default(), async |notification| {
            assert!(position(notification) != 1, "told to");
            Ok(())
        })
        .await;
    assert_eq!(failed(&report), [1]);
    assert_eq!(reason(&report, 1), "the handler panicked");
    let (four, limits) = (batch("abca"), Limits::default());
    let report = four.groups(&limits, vec![vec![0, 1], vec![2], vec![3]], async |group| {
        assert!(group.len() == 1, "told to");
        Ok(Vec::new())
    });
    // The fourth is of the key of the first.
    assert_eq!(failed(&report.await), [0, 1, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_done_near_the_deadline_is_reported() {
    let limits = Limits {
        at_once: 1,
        deadline: Some(SystemTime::now() + Duration::from_secs(3)),
        ..Limits::default()
    };
    let started = Instant::now();
    let slow = async |_: &Notification| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    };
    let report = batch("abcd").each(&limits, slow).await;
    // The third would be done with the deadline, and the answer behind it.
    assert_eq!(failed(&report), [2, 3]);
    assert_eq!(reason(&report, 2), "not done in time");
    assert!(started.elapsed() <= Duration::from_millis(2501), "{:?}", started.elapsed());
    // A stand-in for Lambda that gives a duration for a time.
    let past =
        Limits { deadline: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(600)), ..Limits::default() };
    assert!(batch("abcd").each(&past, slow).await.is_success());
}

#[tokio::test(start_paused = true)]
async fn groups_that_share_a_key_wait_for_each_other() {
    let (running, most, seen) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let batch = batch("abcad");
    let groups = vec![vec![0, 1], vec![2], vec![3], vec![4, 99]];
    let limits = Limits::default();
    let report = batch.groups(&limits, groups, async |group| {
        most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(10)).await;
        running.fetch_sub(1, Ordering::Relaxed);
        seen.lock().unwrap().extend(group.iter().map(|entry| entry.position));
        Ok(group
            .iter()
            .filter(|entry| entry.position == 1)
            .map(|entry| (entry.position, Failure::retry("full")))
            .collect())
    });
    assert_eq!(failed(&report.await), [1]);
    assert_eq!(seen.into_inner().unwrap().last(), Some(&3));
    assert_eq!(most.into_inner(), 3);
}

#[tokio::test]
async fn records_left_out_of_all_groups_are_not_done() {
    let two = batch("ab");
    let report = two.groups(&Limits::default(), vec![vec![0]], async |_| Ok(Vec::new())).await;
    assert_eq!(failed(&report), [1]);
}

#[test]
fn what_cannot_be_read_is_final_only_where_other_records_can() {
    let malformed = || Err(Malformed::new("msg", "write or delete"));
    let report = Batch::new([malformed(), Ok(batch("a").entries[0].notification.clone())]).report();
    assert_eq!(
        report.failures().map(|(at, failure)| (at, failure.is_retryable())).collect::<Vec<_>>(),
        [(0, false)]
    );
    let report = Batch::new([malformed(), malformed()]).report();
    assert!(report.failures().all(|(_, failure)| failure.is_retryable()) && failed(&report) == [0, 1]);
}

#[test]
fn chunks_hold_one_version_of_a_record() {
    assert_eq!(chunks(batch("abcdabba").entries(), 3), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
    assert_eq!(chunks(batch("aab").entries(), 10), [vec![0], vec![1, 2]]);
    assert!(chunks(batch("").entries(), 10).is_empty());
}

#[tokio::test]
async fn a_group_gets_no_record_whose_earlier_version_has_failed() {
    let (batch, limits, seen) = (batch("aba"), Limits::default(), Mutex::new(Vec::new()));
    let report = batch.groups(&limits, vec![vec![0], vec![1, 2]], async |group| {
        seen.lock().unwrap().extend(group.iter().map(|entry| entry.position));
        let failed = group.iter().filter(|entry| entry.position == 0);
        Ok(failed.map(|entry| (entry.position, Failure::retry("full"))).collect())
    });
    assert_eq!(failed(&report.await), [0, 2]);
    assert_eq!(seen.into_inner().unwrap(), [0, 1]);
}
