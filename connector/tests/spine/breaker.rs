//! A destination that takes nothing: asked seldom, told of, and in nobody's way.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use adapters::{Cause, Class, Report};
use tokio::time::Instant;

use crate::harness::{Scripted, Setup, numbered, numbered_in, pause};

const MINUTE: Duration = Duration::from_secs(60);

/// Down for the first `seconds`.
fn down_for(seconds: u64, failed: fn() -> Report) -> std::sync::Arc<Scripted> {
    let start = Instant::now();
    Scripted::reporting(16, move |_, _| async move {
        pause(10).await;
        if start.elapsed().as_secs() < seconds { failed() } else { Report::delivered(Some(200)) }
    })
}

fn forbidden() -> Report {
    Report::failed(Class::Hold, Cause::Status(403))
}

fn unauthorized() -> Report {
    Report::failed(Class::Credentials, Cause::Unauthorized)
}

fn unreachable() -> Report {
    Report::failed(Class::Transient, Cause::Unreachable)
}

#[tokio::test(start_paused = true)]
async fn what_needs_an_operator_is_asked_for_seldom_and_nothing_is_lost() {
    for (failed, class) in [(forbidden as fn() -> Report, Class::Hold), (unauthorized, Class::Credentials)] {
        let target = down_for(60, failed);
        let mut setup = Setup::to([target.clone()]);
        setup.attempts_max = 5;
        let mut peer = setup.start();
        let start = Instant::now();
        let lanes = std::sync::Arc::clone(&peer.lanes);
        let held = async {
            pause(30_000).await;
            lanes[0].stats().holding.get().map(|(class, _)| class)
        };
        let (shipped, held) = tokio::join!(peer.ship(0..5_000, 500, 4 * MINUTE, numbered), held);
        assert_eq!((shipped.confirmed.len(), shipped.given_up.len()), (5_000, 0));
        assert_eq!(held, Some(class));
        assert_eq!(peer.stats(0).holding.get(), None, "over when it takes something");
        assert_eq!(peer.dead_letters(0), 0);
        let asked = target.times().iter().filter(|at| (**at - start).as_secs() < 60).count();
        assert!(asked < 3 * 16 + 20, "{asked} requests in a minute of {class:?}");
        assert!(shipped.slowest < Duration::from_secs(4), "{:?}", shipped.slowest);
    }
}

#[tokio::test(start_paused = true)]
async fn new_credentials_are_tried_as_soon_as_they_are_there_and_once() {
    for minutes in 1..=6 {
        let start = Instant::now();
        let right_at = start + minutes * MINUTE;
        let target = Scripted::reporting(8, move |_, _| async move {
            pause(10).await;
            if Instant::now() < right_at { unauthorized() } else { Report::delivered(Some(200)) }
        });
        target.renew();
        let mut setup = Setup::to([target.clone()]);
        setup.attempts_max = 5;
        let mut peer = setup.start();
        let renewed = async {
            // Others that are not accepted either, and then those that are.
            for (at, count) in [(right_at - MINUTE / 2, 1), (right_at, 0)] {
                tokio::time::sleep_until(at).await;
                target.renew();
                let before = target.times().len();
                pause(700).await;
                assert!(target.times().len() > before, "nobody asked");
                assert!(count == 0 || target.times().len() <= before + 2, "once is enough");
            }
        };
        let (shipped, ()) = tokio::join!(peer.ship(0..100, 100, 8 * MINUTE, numbered), renewed);
        assert_eq!(shipped.confirmed.len(), 100);
    }
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_asks_again_and_the_first_success_lets_all_go() {
    let target = down_for(20, unreachable);
    let mut setup = Setup::to([target.clone()]);
    setup.attempts_max = 5;
    let mut peer = setup.start();
    let start = Instant::now();
    let shipped = peer.ship(0..2_000, 500, 2 * MINUTE, numbered).await;
    assert_eq!(shipped.confirmed.len(), 2_000);
    let times: Vec<_> = target.times().iter().map(|at| (*at - start).as_millis()).collect();
    let probes: Vec<_> = times.iter().filter(|at| (3_000..20_000).contains(*at)).collect();
    assert!(probes.len() < 40, "{probes:?}");
    assert!(probes.windows(2).all(|pair| pair[1] - pair[0] >= 100), "never two at once: {probes:?}");
    let first = times.iter().find(|at| **at >= 20_000).unwrap();
    assert!(*first <= 50_000, "no later than the longest pause: {first}");
    let soon = times.iter().filter(|at| (first + 10..first + 500).contains(at)).count();
    assert!(soon > 16, "{soon} requests after the first success");
}

#[tokio::test(start_paused = true)]
async fn the_reading_for_other_destinations_goes_on() {
    for failed in [forbidden, unreachable] {
        let start = Instant::now();
        let sound = Scripted::reporting(16, |_, _| async {
            pause(10).await;
            Report::delivered(Some(200))
        });
        let mut setup = Setup::to([down_for(u64::MAX, failed), sound.clone()]);
        setup.attempts_max = 5;
        let mut peer = setup.start();
        // A hundred records are for the one that is down, shipped again and again on the same connection.
        let set = |n: u32| if n < 100 { "target-0" } else { "target-1" };
        let shipped = peer.ship(0.., 1_000, MINUTE, |n| numbered_in(Some(set(n)), n)).await;
        assert!(shipped.slowest < Duration::from_secs(5), "{:?}", shipped.slowest);
        let late = |at: &&Instant| (**at - start).as_secs() >= 10;
        let rate = sound.times().iter().filter(late).count() / 50;
        // Answers leave in order: whoever is refused keeps those behind it for its second.
        assert!(rate > 800, "{rate} records a second of 1000 in flight");
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_break_and_one_failure_in_five_do_not_open_it() {
    // Every so often all that is in flight fails at once.
    let target = Scripted::reporting(64, |_, index| async move {
        pause(5).await;
        let burst = index % 2_000 < 64;
        let spread = (index as u32).wrapping_mul(0x9e37_79b9) % 100 < 20;
        if burst || spread { unreachable() } else { Report::delivered(Some(200)) }
    });
    let mut setup = Setup::to([target.clone()]);
    setup.attempts_max = 5;
    let mut peer = setup.start();
    let start = Instant::now();
    let shipped = peer.ship(0..50_000, 8_000, 2 * MINUTE, numbered).await;
    assert_eq!(shipped.confirmed.len(), 50_000);
    assert_eq!(peer.stats(0).refused_closed.load(Relaxed), 0);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}, 4 s without any failure");
}
