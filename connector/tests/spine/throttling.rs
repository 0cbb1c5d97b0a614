//! A destination that asks for less gets less: left alone as long as it asks, and as many requests at once as it bears.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use adapters::{Cause, Class, Report};
use tokio::time::Instant;

use crate::harness::{Scripted, Setup, numbered, numbered_in, pause};

fn throttled(retry_after: Option<Duration>) -> Report {
    Report { retry_after, ..Report::failed(Class::Throttled, Cause::Status(429)) }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_the_time_it_asked_for_and_then_half_as_much_at_once() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, top) = (Arc::clone(&running), Arc::clone(&most));
    let target = Scripted::reporting(16, move |_, index| {
        let (now, top) = (Arc::clone(&now), Arc::clone(&top));
        async move {
            top.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            pause(50).await;
            now.fetch_sub(1, SeqCst);
            if index == 8 {
                throttled(Some(Duration::from_millis(1_500)))
            } else {
                Report::delivered(Some(200))
            }
        }
    });
    let mut setup = Setup::to([target.clone()]);
    setup.attempts_max = 5;
    let mut peer = setup.start();
    let start = Instant::now();
    let watched = Arc::clone(&most);
    let shipping = async {
        let shipped = peer.ship(0..50, 30, Duration::from_secs(60), numbered).await;
        (shipped, peer)
    };
    let watching = async {
        pause(100).await;
        watched.swap(0, SeqCst)
    };
    let ((shipped, peer), before) = tokio::join!(shipping, watching);
    assert_eq!((shipped.confirmed.len(), shipped.refused), (50, 0), "they waited, and went");
    assert_eq!(before, 16);
    assert!((8..=11).contains(&most.load(SeqCst)), "half, and a few more for what passed since");
    let times: Vec<_> = target.times().iter().map(|at| (*at - start).as_millis()).collect();
    let gap = times.windows(2).find(|pair| pair[1] - pair[0] > 100).unwrap();
    assert!(gap[0] <= 50, "those in flight when it asked");
    assert!((1_550..=1_700).contains(&gap[1]), "and a tenth of jitter at most: {gap:?}");
    assert_eq!(peer.stats(0).classes.read().find(|(class, _)| *class == "throttled"), Some(("throttled", 1)));
}

#[tokio::test(start_paused = true)]
async fn a_long_pause_is_obeyed_and_other_destinations_go_on() {
    let asked = Duration::from_secs(60);
    let throttling = Scripted::reporting(4, move |_, index| async move {
        pause(10).await;
        if index == 0 { throttled(Some(asked)) } else { Report::delivered(Some(200)) }
    });
    let sound = Scripted::reporting(4, |_, _| async {
        pause(10).await;
        Report::delivered(Some(200))
    });
    let setup = Setup::to([throttling.clone(), sound.clone()]);
    let mut peer = setup.start();
    let start = Instant::now();
    let set = |n: u32| if n < 50 { "target-0" } else { "target-1" };
    let shipped = peer.ship(0..50_000, 500, Duration::from_secs(180), |n| numbered_in(Some(set(n)), n)).await;
    assert_eq!(shipped.confirmed.len(), 50_000);
    assert!(shipped.slowest < Duration::from_secs(4), "{:?}", shipped.slowest);
    let times: Vec<_> = throttling.times().iter().map(|at| *at - start).collect();
    let after = times.iter().find(|at| **at > Duration::from_millis(100)).unwrap();
    assert!((60..=67).contains(&after.as_secs()), "{after:?}");
    assert!(times.iter().filter(|at| *at < after).count() <= 4, "those in flight when it asked");
    let meanwhile = sound.times().iter().filter(|at| **at - start < asked).count();
    assert!(meanwhile > 15_000, "{meanwhile} records went elsewhere in that minute");
}

/// A consumer with so many instances, which refuses what is more.
fn bounded(instances: usize, workers: usize) -> Arc<Scripted> {
    let running = Arc::new(AtomicUsize::new(0));
    Scripted::reporting(workers, move |_, _| {
        let running = Arc::clone(&running);
        async move {
            if running.fetch_add(1, SeqCst) >= instances {
                running.fetch_sub(1, SeqCst);
                pause(2).await;
                return throttled(None);
            }
            pause(50).await;
            running.fetch_sub(1, SeqCst);
            Report::delivered(Some(200))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn the_number_of_requests_at_once_finds_what_the_destination_bears() {
    for (instances, start) in [(20, 8), (20, 100), (3, 100), (1, 8)] {
        let target = bounded(instances, 100).starting_with(start);
        let mut setup = Setup::to([target.clone()]);
        setup.attempts_max = 5;
        let mut peer = setup.start();
        let seconds = 60;
        let shipped = peer.ship(0.., 500, Duration::from_secs(seconds), numbered).await;
        let possible = instances as u64 * 20 * seconds;
        let confirmed = shipped.confirmed.len() as u64;
        let what =
            format!("{instances} from {start}: {confirmed} of {possible}, {} refused", shipped.refused);
        assert!(confirmed >= possible * 60 / 100, "{what}");
        let requests = target.seen().len() as u64;
        assert!(requests - confirmed < confirmed / 4 + 200, "{requests} requests: {what}");
        assert!(shipped.slowest < Duration::from_secs(10), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_grows_from_a_careful_start_while_requests_come_back_as_soon_as_before() {
    let target = bounded(usize::MAX, 100).starting_with(8);
    let mut peer = Setup::to([target.clone()]).start();
    let shipped = peer.ship(0..20_000, 1_000, Duration::from_secs(60), numbered).await;
    assert_eq!(shipped.confirmed.len(), 20_000);
    assert!(shipped.refused < 1_000, "only while little was let in: {}", shipped.refused);
    let at_first = target.times()[..9].windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert_eq!(at_first, Duration::from_millis(50), "the ninth waits for one of the first eight");
    assert_eq!(peer.stats(0).concurrency.load(SeqCst), 100);
}
