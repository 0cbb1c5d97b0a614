//! A source that offers far more than the destination takes.

use std::time::Duration;

use adapters::Outcome;
use tokio::{io::AsyncReadExt, time::Instant};

use crate::harness::{Peer, Scripted, Setup, all_n_of, large_record, n_of, pause, record_with_digest};

/// 100 records a second are possible, the source keeps 4,000 in flight: forty seconds of work.
#[tokio::test(start_paused = true)]
async fn the_destination_runs_at_its_full_rate_and_nothing_accepted_expires() {
    const RATE: u64 = 100;
    let target = Scripted::new(10, |_, _| async {
        pause(10 * 1_000 / RATE).await;
        Outcome::Delivered
    });
    let mut peer = Setup::to([target.clone()]).start();
    let start = Instant::now();
    let mut sent = std::collections::VecDeque::new();
    let mut next = 0_u32;
    let send = |id: u32| {
        let mut digest = [0; 20];
        digest[..4].copy_from_slice(&id.to_be_bytes());
        record_with_digest(None, digest, id.into())
    };
    let mut delivered = std::collections::HashSet::new();
    while sent.len() < 4_000 {
        peer.send(&send(next)).await;
        sent.push_back((next, Instant::now()));
        next += 1;
    }
    let mut ack = [0; 30];
    while start.elapsed() < Duration::from_secs(60) {
        peer.stream.read_exact(&mut ack).await.unwrap();
        let (id, at) = sent.pop_front().unwrap();
        assert!(
            at.elapsed() < Duration::from_secs(10),
            "XDR would have cut the connection after {:?}",
            at.elapsed()
        );
        let again = match ack[13] {
            0 => {
                delivered.insert(id);
                next += 1;
                next
            }
            18 => id,
            9 => panic!("record {id} expired after it had been accepted"),
            code => panic!("unexpected result code {code}"),
        };
        peer.send(&send(again)).await;
        sent.push_back((again, Instant::now()));
    }
    let seen: Vec<i64> = target.seen().iter().map(|body| n_of(body)).collect();
    let possible = RATE * 60;
    assert!(seen.len() as u64 > possible * 95 / 100, "{} of {possible} requests were made", seen.len());
    assert!(delivered.len() as u64 > possible * 90 / 100, "{} confirmed", delivered.len());
}

/// What a source saw that keeps `in_flight` records unanswered on one connection for `seconds`.
#[derive(Debug, Default)]
struct Seen {
    confirmed: u64,
    expired: u64,
    refused: u64,
    slowest: Duration,
}

async fn offer(mut peer: Peer, in_flight: usize, seconds: u64) -> Seen {
    let start = Instant::now();
    let mut sent = std::collections::VecDeque::new();
    let mut seen = Seen::default();
    let mut next = 0_u32;
    let mut ack = [0; 30];
    loop {
        while sent.len() < in_flight {
            let mut digest = [0; 20];
            digest[..4].copy_from_slice(&next.to_be_bytes());
            peer.send(&record_with_digest(None, digest, next.into())).await;
            sent.push_back(Instant::now());
            next += 1;
        }
        let rest = Duration::from_secs(seconds).saturating_sub(start.elapsed());
        if tokio::time::timeout(rest, peer.stream.read_exact(&mut ack)).await.is_err() {
            return seen;
        }
        seen.slowest = seen.slowest.max(sent.pop_front().unwrap().elapsed());
        match ack[13] {
            0 => seen.confirmed += 1,
            9 => seen.expired += 1,
            _ => seen.refused += 1,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn slow_requests_are_confirmed_too_and_what_is_accepted_does_not_expire() {
    for (workers, ms, spread_ms) in
        [(1, 3_000, 0), (1, 5_000, 0), (100, 200, 100), (100, 3_000, 1_500), (100, 5_000, 0)]
    {
        let target = Scripted::new(workers, move |_, index| async move {
            pause(ms + index as u64 * 7_919 % (spread_ms + 1) - spread_ms / 2).await;
            Outcome::Delivered
        });
        let possible = 60 * 1_000 * workers as u64 / ms;
        let seen = offer(Setup::to([target]).start(), 5_000, 60).await;
        let what = format!("{workers} requests of {ms} ms: {possible} possible, {seen:?}");
        assert!(seen.expired <= workers as u64, "only before it is known how slow requests are: {what}");
        assert!(seen.confirmed >= possible * 80 / 100, "{what}");
        assert!(seen.slowest < Duration::from_secs(10), "{what}");
    }
}

/// Answered at their deadlines, records leave the window; the destination that hangs still holds them.
#[tokio::test(start_paused = true)]
async fn a_hung_destination_holds_no_more_bytes_than_the_window() {
    let target = Scripted::new(100, |_, _| async {
        pause(60_000).await;
        Outcome::Delivered
    });
    let mut setup = Setup::to([target.clone()]);
    setup.window_bytes = 1 << 20;
    let mut peer = setup.start();
    for key in 1..=50 {
        peer.send(&large_record(key, 100_000)).await;
        pause(1_000).await;
    }
    let held_bytes = target.seen().iter().map(String::len).sum::<usize>();
    assert!(held_bytes <= 1 << 20, "{held_bytes} bytes in {} requests", target.seen().len());
}

/// The source keeps ten windows unanswered, so most of its records lie in the socket for a while.
#[tokio::test(start_paused = true)]
async fn a_window_smaller_than_what_is_offered_makes_no_record_late() {
    let target = Scripted::new(10, |_, _| async {
        pause(100).await;
        Outcome::Delivered
    });
    let mut setup = Setup::to([target]);
    setup.window_records = 1_000;
    let seen = offer(setup.start(), 10_000, 15).await;
    assert!(seen.slowest < Duration::from_secs(10), "{seen:?}");
    assert!(seen.confirmed >= 1_500 * 90 / 100, "{seen:?}");
}

/// A destination that needs 90 ms for each record of a request: large requests would not end in time.
#[tokio::test(start_paused = true)]
async fn requests_are_no_larger_than_the_destination_answers_in_time() {
    const RECORD_MS: u64 = 90;
    for (workers, max_records) in [(1, 100), (10, i32::MAX as usize)] {
        let target = Scripted::new(workers, |body, _| async move {
            pause(RECORD_MS * all_n_of(&body).len() as u64).await;
            Outcome::Delivered
        });
        let seen = offer(Setup::to([target]).in_batches(max_records, 8_000).start(), 5_000, 40).await;
        let possible = 40 * 1_000 * workers as u64 / RECORD_MS;
        let what = format!("{workers} requests of up to {max_records}: {possible} possible, {seen:?}");
        assert!(seen.confirmed >= possible * 80 / 100, "{what}");
        assert_eq!(seen.expired, 0, "{what}");
    }
}
