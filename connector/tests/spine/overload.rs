//! A source that offers far more than the destination takes.

use std::time::Duration;

use adapters::Outcome;
use tokio::{io::AsyncReadExt, time::Instant};

use crate::harness::{Scripted, Setup, n_of, pause, record_with_digest};

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
