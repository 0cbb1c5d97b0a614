//! Records that make every request fail that they are in: found by halving, alone in the end, and never mistaken for an
//! outage.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use adapters::{Cause, Class, Outcome, Report};
use esp_connector::config::DeadLetter;
use tokio::time::Instant;

use crate::harness::{Scripted, Setup, all_n_of, large_record, numbered, pause, record};

const MINUTE: Duration = Duration::from_secs(60);

/// Batches of up to `max_records` to a target that gives `failed` for every request with record `poison` in it.
fn batches(max_records: usize, poison: i64, failed: fn() -> Report) -> (std::sync::Arc<Scripted>, Setup) {
    let target = Scripted::reporting(8, move |body, _| async move {
        pause(20).await;
        if all_n_of(&body).contains(&poison) { failed() } else { Report::delivered(Some(200)) }
    });
    let mut setup = Setup::to([target.clone()]).in_batches(max_records, 1_000);
    setup.dead_letters = vec![None];
    setup.attempts_max = 5;
    (target, setup)
}

/// How often each record of `0..records` was in a request that was not refused, and the requests that were.
fn account(target: &Scripted, records: u32, poison: i64) -> (Vec<u32>, Vec<usize>) {
    let (mut delivered, mut failed) = (vec![0; records as usize], Vec::new());
    for body in target.seen() {
        let numbers = all_n_of(&body);
        if numbers.contains(&poison) {
            failed.push(numbers.len());
        } else {
            numbers.iter().for_each(|n| delivered[*n as usize] += 1);
        }
    }
    (delivered, failed)
}

fn refused() -> Report {
    Report::failed(Class::Record, Cause::Status(400))
}

fn function_error() -> Report {
    Report::failed(Class::Transient, Cause::FunctionError)
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_refused_costs_two_requests_for_each_halving_and_nobody_else_a_second_one() {
    const RECORDS: u32 = 20_000;
    for poison in [0, 9_999, 13_000, 19_999] {
        let (target, setup) = batches(1_000, poison, refused);
        let mut peer = setup.start();
        let shipped = peer.ship(0..RECORDS, 4_000, Duration::from_secs(10), numbered).await;
        assert_eq!(shipped.confirmed.len() as u32, RECORDS - 1, "{} refused", shipped.refused);
        let (delivered, failed) = account(&target, RECORDS, poison);
        let twice = delivered.iter().enumerate().filter(|(n, times)| **times != 1 && *n as i64 != poison);
        assert_eq!(twice.count(), 0, "delivered more than once, or never");
        let largest = *failed.first().unwrap();
        let halvings = largest.next_power_of_two().ilog2() as usize;
        // Each halving is one request that fails and one that does not; then it comes alone, each time it is shipped.
        let before_alone = failed.iter().take_while(|size| **size > 1).count();
        assert!(before_alone <= halvings, "{failed:?}");
        assert!(failed[before_alone..].iter().all(|size| *size == 1), "{failed:?}");
        assert!(failed.len() - before_alone <= 11, "paced by a second: {failed:?}");
        assert_eq!(peer.stats(0).splits.load(Relaxed) as usize, before_alone);
        assert_eq!(peer.dead_letters(0) as usize, failed.len() - before_alone);
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_that_the_operator_declared_final_gives_up_one_record_and_no_other() {
    let (target, mut setup) = batches(100, 50, refused);
    setup.give_up_on = vec![400];
    let shipped = setup.start().ship(0..100, 100, MINUTE, numbered).await;
    assert_eq!((shipped.given_up, shipped.confirmed.len(), shipped.refused), (vec![50], 99, 0));
    assert!(account(&target, 100, 50).1.len() <= 8);

    let (_, mut setup) = batches(100, 50, refused);
    setup.give_up_on = vec![413];
    let shipped = setup.start().ship(0..100, 100, MINUTE, numbered).await;
    assert_eq!((shipped.given_up.len(), shipped.confirmed.len()), (0, 99), "another status is held");
    assert!(shipped.refused >= 30, "{}", shipped.refused);
}

#[tokio::test(start_paused = true)]
async fn a_held_record_is_answered_once_a_second_and_the_others_go_on() {
    let (target, setup) = batches(100, 500, refused);
    let mut peer = setup.start();
    let shipped = peer.ship(0.., 1_000, MINUTE, numbered).await;
    // Answers leave in order: each time that it is shipped, those behind it wait for its second.
    assert!(shipped.confirmed.len() > 55_000, "{}", shipped.confirmed.len());
    let alone = target.seen().iter().filter(|body| all_n_of(body) == [500]).count();
    assert!((40..=61).contains(&alone), "one request for each second: {alone}");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_makes_the_consumer_fail_is_found_after_three_tries_and_held_when_others_pass() {
    for failed_with in [function_error, || Report::failed(Class::Transient, Cause::Status(500))] {
        let (target, setup) = batches(100, 1_234, failed_with);
        let mut peer = setup.start();
        let shipped = peer.ship(0.., 1_000, MINUTE, numbered).await;
        let shipped_at_all = shipped.confirmed.len() as u32 + 2_000;
        let (delivered, failed) = account(&target, shipped_at_all, 1_234);
        assert!(shipped.confirmed.len() > 40_000, "{}", shipped.confirmed.len());
        assert!(delivered.iter().all(|times| *times <= 1), "the others were never sent with success twice");
        let several = failed.iter().filter(|size| **size > 1).count();
        assert!(several <= 3 + 7, "three tries, then halves: {failed:?}");
        assert!(failed.len() <= several + 5 * 5 + 60, "{failed:?}");
        let stats = peer.stats(0);
        assert!((30..=60).contains(&stats.letters.held.total()), "each time that it is shipped: {stats:?}");
        assert_eq!(peer.dead_letters(0), stats.letters.held.total());
        assert_eq!(stats.breaker.load(Relaxed), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_hangs_on_a_record_is_found_out_although_each_try_takes_most_of_its_time() {
    let target = Scripted::reporting(8, move |body, _| async move {
        let hangs = all_n_of(&body).contains(&77);
        pause(if hangs { 3_000 } else { 20 }).await;
        if hangs { function_error() } else { Report::delivered(Some(200)) }
    });
    let mut setup = Setup::to([target.clone()]).in_batches(100, 1_000);
    setup.dead_letters = vec![None];
    setup.attempts_max = 5;
    let mut peer = setup.start();
    let shipped = peer.ship(0.., 1_000, 2 * MINUTE, numbered).await;
    assert!(shipped.slowest < Duration::from_secs(10), "{:?}", shipped.slowest);
    let confirmed: std::collections::HashSet<_> = shipped.confirmed.iter().collect();
    assert!((0..2_000).filter(|n| *n != 77).all(|n| confirmed.contains(&n)), "all but one");
    let (_, failed) = account(&target, 1_000_000, 77);
    let several: Vec<_> = failed.iter().filter(|size| **size > 1).collect();
    assert!(several.len() <= 20, "{several:?}");
    assert!(peer.dead_letters(0) > 0);
}

#[tokio::test(start_paused = true)]
async fn poison_where_little_else_comes_is_in_nobodys_way() {
    let (target, setup) = batches(100, 7, function_error);
    let mut peer = setup.start();
    // Without it all that is known would be that everything fails.
    peer.send(&numbered(99)).await;
    assert_eq!(peer.ack().await, 0);
    for n in 100..120 {
        // Nothing but the record that fails, as soon as it is refused.
        let again = Instant::now();
        while again.elapsed().as_secs() < 15 {
            peer.send(&numbered(7)).await;
            assert_ne!(peer.ack().await, 0);
        }
        let start = Instant::now();
        peer.send(&numbered(n)).await;
        assert_eq!((peer.ack().await, start.elapsed().as_millis()), (0, 20), "record {n}");
    }
    let held = peer.stats(0).letters.held.total();
    assert!(held > 200, "{held} of {} requests", target.seen().len());
    assert_eq!(peer.stats(0).refused_closed.load(Relaxed), 0);
}

/// A function behind a load balancer that has none free for seconds: 502, as if it had failed on the record.
#[tokio::test(start_paused = true)]
async fn a_sound_record_that_meets_throttling_again_and_again_is_no_dead_letter() {
    for failed in [
        || Report::failed(Class::Transient, Cause::Status(502)),
        || Report::failed(Class::Transient, Cause::Overloaded),
        || Report::failed(Class::Transient, Cause::Timeout),
    ] {
        let (_, setup) = batches(100, 7, failed);
        let mut peer = setup.start();
        for n in 100..120 {
            peer.send(&numbered(n)).await;
            assert_eq!(peer.ack().await, 0);
            // Each time that it is shipped nothing is free; in between others pass.
            let storm = Instant::now();
            while storm.elapsed().as_secs() < 7 {
                peer.send(&numbered(7)).await;
                assert_ne!(peer.ack().await, 0);
            }
        }
        assert_eq!(peer.dead_letters(0), 0);
        assert_eq!(peer.stats(0).refused_closed.load(Relaxed), 0);
    }
}

/// What a consumer fails on all the same, while everything else passes.
#[tokio::test(start_paused = true)]
async fn poison_behind_a_gateway_is_found_in_the_end() {
    let (_, setup) = batches(100, 1_234, || Report::failed(Class::Transient, Cause::Status(502)));
    let mut peer = setup.start();
    let shipped = peer.ship(0.., 1_000, MINUTE, numbered).await;
    assert!(shipped.confirmed.len() > 40_000, "{}", shipped.confirmed.len());
    let found = peer.dead_letters(0);
    assert!(found > 10, "{found}");
    assert_eq!(peer.stats(0).breaker.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_thrown_away_on_a_suspicion() {
    let (_, mut setup) = batches(100, 50, function_error);
    setup.dead_letters = vec![Some(DeadLetter::Drop)];
    let mut peer = setup.start();
    let shipped = peer.ship(0.., 1_000, MINUTE, numbered).await;
    assert!(shipped.confirmed.len() > 40_000 && shipped.given_up.is_empty());
    assert_eq!(peer.dead_letters(0), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_makes_no_dead_letter_of_anything_however_it_looks() {
    for failed in [function_error, || Report::failed(Class::Transient, Cause::Timeout)] {
        let start = Instant::now();
        let down = move |at: Instant| (2..40).contains(&(at - start).as_secs());
        let target = Scripted::reporting(8, move |_, _| async move {
            pause(20).await;
            if down(Instant::now()) { failed() } else { Report::delivered(Some(200)) }
        });
        let mut setup = Setup::to([target.clone()]).in_batches(100, 1_000);
        setup.dead_letters = vec![None];
        setup.attempts_max = 5;
        let mut peer = setup.start();
        let shipped = peer.ship(0..100_000, 400, 2 * MINUTE, numbered).await;
        assert_eq!((shipped.confirmed.len(), shipped.given_up.len()), (100_000, 0));
        assert_eq!(peer.dead_letters(0), 0);
        let asked = target.times().iter().filter(|at| down(**at)).count();
        assert!(asked < 300, "{asked} requests in an outage of 38 seconds");
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_fails_one_call_in_five_makes_no_dead_letter_and_keeps_its_speed() {
    async fn run(batched: bool, fail_share: u32) -> (Duration, u64, usize) {
        let target = Scripted::reporting(16, move |_, index| async move {
            pause(5).await;
            let spread = (index as u32).wrapping_mul(0x9e37_79b9) % 100;
            if spread < fail_share { function_error() } else { Report::delivered(Some(200)) }
        });
        let mut setup = Setup::to([target.clone()]);
        if batched {
            setup = setup.in_batches(100, 1_000);
        }
        setup.dead_letters = vec![None];
        setup.attempts_max = 5;
        let mut peer = setup.start();
        let start = Instant::now();
        let (records, in_flight) = if batched { (200_000, 20_000) } else { (20_000, 1_000) };
        let shipped = peer.ship(0..records, in_flight, 5 * MINUTE, numbered).await;
        assert_eq!(shipped.confirmed.len() as u32, records);
        assert_eq!(peer.stats(0).breaker.load(Relaxed), 0);
        (start.elapsed(), peer.dead_letters(0), target.seen().len())
    }
    for batched in [false, true] {
        let (clean, _, requests) = run(batched, 0).await;
        let (failing, dead_letters, failing_requests) = run(batched, 20).await;
        assert_eq!(dead_letters, 0);
        assert!(failing < clean * 2, "{clean:?}, then {failing:?}");
        assert!(failing_requests < requests * 2, "{requests}, then {failing_requests}");
    }
}

#[tokio::test(start_paused = true)]
async fn batches_stay_below_what_the_target_takes_and_a_larger_record_is_not_sent_at_all() {
    let target = Scripted::new(2, |_, _| async {
        pause(10).await;
        Outcome::Delivered
    })
    .taking(1_000);
    let mut setup = Setup::to([target.clone()]).in_batches(100, 1_000);
    setup.dead_letters = vec![None];
    let mut peer = setup.start();
    for key in 0..20 {
        peer.send(&if key == 10 { large_record(key, 2_000) } else { record(key, key.into()) }).await;
    }
    let codes = peer.acks(20).await;
    assert_eq!(codes.iter().position(|code| *code != 0), Some(10));
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 19);
    let sizes: Vec<_> = target.seen().iter().map(String::len).collect();
    assert!(sizes.iter().all(|bytes| *bytes <= 1_000) && sizes.iter().any(|bytes| *bytes > 600), "{sizes:?}");
    let dead_letters: Vec<_> = peer.stats(0).letters.held.read().filter(|(_, count)| *count > 0).collect();
    assert_eq!(dead_letters, [("too-large", 1)]);
}
