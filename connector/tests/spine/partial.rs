//! Consumers that name the records that they could not process, compared with what Lambda's event source mapping for SQS
//! makes of the same answers (`ReportBatchItemFailures`).

use std::{sync::Arc, time::Duration};

use crate::harness::{Scripted, Setup, all_n_of, digest_of, numbered, pause, version};
use adapters::{Cause, ItemFailure, Outcome, Report};
use base64::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);

fn failure(identifier: impl Into<String>) -> ItemFailure {
    ItemFailure { identifier: identifier.into(), retryable: true, cause: Cause::FunctionError, reason: None }
}

/// Requests of up to 10 records; the first one of several is answered with `answer`, all others are fine.
async fn answered_once(answer: impl Fn(&[i64]) -> Vec<ItemFailure> + Send + Sync + 'static) -> Vec<Vec<i64>> {
    let answer = Arc::new(answer);
    let answered = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let target = Scripted::reporting(1, move |body, _| {
        let (answer, answered) = (Arc::clone(&answer), Arc::clone(&answered));
        async move {
            pause(10).await;
            let numbers = all_n_of(&body);
            if numbers.len() == 1 || answered.swap(true, std::sync::atomic::Ordering::SeqCst) {
                return Report::delivered(Some(200));
            }
            Report::partial(Some(200), answer(&numbers))
        }
    });
    let mut setup = Setup::to([target.clone()]).in_batches(10, 1_000);
    setup.attempts_max = 5;
    let mut peer = setup.start();
    // The first one goes alone, and the others wait for it together.
    peer.send(&numbered(0)).await;
    pause(1).await;
    for n in 1..=10 {
        peer.send(&numbered(n)).await;
    }
    assert_eq!(peer.acks(11).await, [0; 11]);
    target.seen()[1..].iter().map(|body| all_n_of(body)).collect()
}

/// Case by case: the answer, the records that SQS makes visible again, and ours.
#[tokio::test(start_paused = true)]
async fn each_answer_means_what_it_means_to_an_event_source_mapping() {
    type Answer = fn(&[i64]) -> Vec<ItemFailure>;
    let cases: [(&str, Answer, &[i64]); 9] = [
        ("an empty list, a missing one or null: complete success", |_| vec![], &[]),
        ("one name: this record fails", |_| vec![failure("3")], &[4]),
        ("several names: these records fail", |_| vec![failure("9"), failure("0")], &[1, 10]),
        ("every name: all fail", |all| (0..all.len()).map(|n| failure(n.to_string())).collect(), ALL),
        ("a name twice: once", |_| vec![failure("3"), failure("3")], &[4]),
        ("an empty name: complete failure", |_| vec![failure("")], ALL),
        ("a name of no record of the batch: complete failure", |_| vec![failure("10")], ALL),
        ("good names beside one that is not: complete failure", |_| vec![failure("3"), failure("x")], ALL),
        (
            "a digest, as our bodies show it",
            |all| vec![failure(BASE64_STANDARD.encode(digest_of(all[3] as u32)))],
            &[4],
        ),
    ];
    const ALL: &[i64] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    for (what, answer, again) in cases {
        let sent = answered_once(answer).await;
        assert_eq!(sent[0], ALL, "{what}");
        assert_eq!(sent[1..].concat(), again, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_to_be_retried_is_not() {
    let target = Scripted::reporting(1, |body, _| async move {
        pause(10).await;
        let bad = all_n_of(&body).iter().position(|n| *n == 5);
        let failures = bad.map(|index| ItemFailure { retryable: false, ..failure(index.to_string()) });
        Report::partial(Some(200), failures.into_iter().collect())
    });
    let mut setup = Setup::to([target.clone()]).in_batches(10, 1_000);
    setup.attempts_max = 5;
    setup.dead_letters = vec![None];
    let mut peer = setup.start();
    let shipped = peer.ship(0..11, 11, Duration::from_millis(1_500), numbered).await;
    assert_eq!((shipped.confirmed.len(), shipped.refused), (10, 1));
    let with_it = target.seen().iter().filter(|body| all_n_of(body).contains(&5)).count();
    assert_eq!(with_it, 2, "once, and once when it was shipped again");
    let dead_letters = peer.stats(0).letters.held.read().find(|(_, count)| *count > 0);
    assert_eq!(dead_letters, Some(("function-error", 2)));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_named_again_and_again_while_others_pass_is_a_dead_letter_at_last() {
    let target = Scripted::reporting(4, move |body, _| async move {
        pause(10).await;
        let bad = all_n_of(&body).iter().position(|n| *n == 5);
        Report::partial(Some(200), bad.map(|index| failure(index.to_string())).into_iter().collect())
    });
    let mut setup = Setup::to([target.clone()]).in_batches(100, 1_000);
    setup.attempts_max = 5;
    setup.dead_letters = vec![None];
    let mut peer = setup.start();
    let lanes = Arc::clone(&peer.lanes);
    let dead_letters = || lanes[0].stats().letters.held.total();
    let watching = async {
        pause(4_900).await;
        let early = dead_letters();
        pause(10_000).await;
        (early, dead_letters())
    };
    let (shipped, (early, late)) = tokio::join!(peer.ship(0.., 500, MINUTE, numbered), watching);
    assert_eq!(early, 0, "whatever it was may pass");
    assert!((5..=11).contains(&late), "then with each time that it is shipped: {late}");
    assert!(shipped.confirmed.len() > 20_000 && shipped.given_up.is_empty(), "{}", shipped.confirmed.len());
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_names_a_third_of_all_records_makes_no_dead_letter() {
    let target = Scripted::reporting(4, |body, index| async move {
        pause(10).await;
        let failed = |position: &usize| (index * 31 + position).wrapping_mul(0x9e37_79b9) % 90 < 30;
        let failures =
            (0..all_n_of(&body).len()).filter(failed).map(|position| failure(position.to_string()));
        Report::partial(Some(200), failures.collect())
    });
    let mut setup = Setup::to([target.clone()]).in_batches(100, 1_000);
    setup.attempts_max = 5;
    setup.dead_letters = vec![None];
    let mut peer = setup.start();
    let shipped = peer.ship(0..20_000, 400, 2 * MINUTE, numbered).await;
    assert_eq!(shipped.confirmed.len(), 20_000);
    assert_eq!(peer.dead_letters(0), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_names_all_records_does_not_spin() {
    let target = Scripted::reporting(4, |body, _| async move {
        let all = (0..all_n_of(&body).len()).map(|position| failure(position.to_string()));
        Report::partial(Some(200), all.collect())
    });
    let mut setup = Setup::to([target.clone()]).in_batches(100, 1_000);
    setup.attempts_max = 5;
    setup.dead_letters = vec![None];
    let mut peer = setup.start();
    let shipped = peer.ship(0..200, 200, MINUTE, numbered).await;
    assert_eq!(shipped.confirmed.len(), 0);
    let requests = target.seen().len();
    assert!(requests < 300, "{requests} requests in a minute, each answered at once");
    assert_eq!(peer.dead_letters(0), 0, "for all that is known it is an outage");
}

#[tokio::test(start_paused = true)]
async fn later_versions_of_a_record_that_failed_go_after_it() {
    let target = Scripted::reporting(8, |body, index| async move {
        pause(10).await;
        let numbers = all_n_of(&body);
        let failed = |n: &i64| n.wrapping_mul(7) % 5 == index as i64 % 5;
        let failures = numbers.iter().enumerate().filter(|(_, n)| failed(n));
        Report::partial(Some(200), failures.map(|(position, _)| failure(position.to_string())).collect())
    });
    let mut setup = Setup::to([target.clone()]).in_batches(20, 1_000);
    setup.attempts_max = 20;
    let mut peer = setup.start();
    // 400 versions of 10 records.
    for n in 0..400 {
        let bytes = version(None, [(n % 10) as u8; 20], n, 1_700_000_000_000 + n as u64);
        peer.send(&bytes).await;
    }
    assert_eq!(peer.acks(400).await, [0; 400]);
    let mut newest = [-1; 10];
    for body in target.seen() {
        let numbers = all_n_of(&body);
        let mut keys: Vec<_> = numbers.iter().map(|n| n % 10).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), numbers.len(), "two versions of a record in one request: {numbers:?}");
        for n in numbers {
            let before = &mut newest[n as usize % 10];
            assert!(n >= *before, "{n} after {before}");
            *before = n;
        }
    }
    assert!(newest.iter().all(|n| *n >= 390), "{newest:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_names_nobody_is_a_failure_of_all() {
    let target = Scripted::reporting(1, |_, index| async move {
        pause(10).await;
        match index {
            0..3 => Report::partial(Some(200), vec![failure("nobody")]),
            _ => Report::all(Outcome::Delivered),
        }
    });
    let mut setup = Setup::to([target.clone()]);
    setup.attempts_max = 5;
    let mut peer = setup.start();
    assert_eq!(peer.ship(0..1, 1, MINUTE, numbered).await.confirmed, [0]);
    let failures: Vec<_> = peer.stats(0).failures.read().filter(|(_, count)| *count > 0).collect();
    assert_eq!(failures, [(Cause::Malformed.as_str(), 3)]);
    assert_eq!(peer.stats(0).classes.read().find(|(class, _)| *class == "partial"), Some(("partial", 0)));
}
