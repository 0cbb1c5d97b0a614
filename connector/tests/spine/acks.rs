//! One reply per request, in request order, success only after every destination, in time whatever happens.

use std::time::Duration;

use adapters::{Cause, Outcome};
use esp_connector::connection::ASSEMBLING_BYTES_MAX;
use tokio::{io::AsyncReadExt, time::Instant};

use crate::harness::{Scripted, Setup, compressed, large_record, n_of, pause, record, record_in};

#[tokio::test(start_paused = true)]
async fn acks_come_in_request_order_while_requests_finish_in_another() {
    let target = Scripted::new(8, |body, _| async move {
        pause(1_000 - n_of(&body) as u64 * 100).await;
        if n_of(&body) == 3 { Outcome::Rejected(Cause::TooLarge) } else { Outcome::Delivered }
    });
    let mut peer = Setup::to([target]).start();
    for n in 1..=5 {
        peer.send(&record(n, n.into())).await;
    }
    let info = b"\x02\x01\0\0\0\0\0\x05node\n";
    peer.send(info).await;
    assert_eq!(peer.acks(5).await, [0, 0, 13, 0, 0]);
    let mut answer = [0; 8 + 8];
    peer.stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer[8..], b"node\tA1\n", "the info answer keeps its place behind the records");
}

#[tokio::test(start_paused = true)]
async fn success_waits_for_every_destination() {
    let fast = Scripted::new(1, |_, _| async { Outcome::Delivered });
    let slow = Scripted::new(1, |_, _| async {
        pause(700).await;
        Outcome::Delivered
    });
    let failing = Scripted::new(1, |_, _| async { Outcome::Retryable(Cause::Status(500)) });
    let start = Instant::now();
    let mut peer = Setup::to([fast.clone(), slow]).start();
    peer.send(&record(1, 1)).await;
    assert_eq!(peer.ack().await, 0);
    assert_eq!(start.elapsed(), Duration::from_millis(700));

    let mut peer = Setup::to([fast, failing]).start();
    peer.send(&record(1, 1)).await;
    assert_eq!(peer.ack().await, 18, "one destination failed: XDR must ship again");
}

#[tokio::test(start_paused = true)]
async fn a_hung_destination_is_answered_before_xdr_gives_up_and_stops_nobody_else() {
    let hung = Scripted::new(1, |body, _| async move {
        if n_of(&body) == 1 {
            std::future::pending::<()>().await;
        }
        Outcome::Delivered
    });
    let start = Instant::now();
    let mut peer = Setup::to([hung]).start();
    peer.send(&record(1, 1)).await;
    assert_eq!(peer.ack().await, 9);
    let answered = start.elapsed();
    assert!(answered >= Duration::from_secs(6) && answered < Duration::from_secs(9), "{answered:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panicking_target_costs_a_refusal_and_is_noticed() {
    let target = Scripted::new(1, |_, _| async { panic!("adapter bug") });
    let mut peer = Setup::to([target]).start();
    peer.send(&record(1, 1)).await;
    assert_eq!(peer.ack().await, 18);
    assert!(peer.tasks.join_next().await.unwrap().unwrap_err().is_panic(), "the run ends on this");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_beyond_the_window() {
    let target = Scripted::new(64, |_, _| async {
        pause(1_000).await;
        Outcome::Delivered
    });
    let mut setup = Setup::to([target.clone()]);
    setup.window_records = 4;
    let mut peer = setup.start();
    for n in 1..=9 {
        peer.send(&record(n, n.into())).await;
    }
    pause(500).await;
    assert_eq!(target.seen().len(), 4);
    pause(1_000).await;
    assert_eq!(target.seen().len(), 8);
    assert_eq!(peer.acks(9).await, [0; 9]);
    assert_eq!((peer.shared.window.records(), peer.shared.window.bytes()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn skipped_and_unreadable_records_are_answered_at_once() {
    let target = Scripted::new(1, |_, _| async { Outcome::Delivered });
    let start = Instant::now();
    let mut peer = Setup::to([target.clone()]).start();
    peer.send(&record_in(Some("skip"), 1, 1)).await;
    let mut broken = record(2, 2);
    let last = broken.len() - 1;
    broken.truncate(last);
    broken[7] -= 1;
    peer.send(&broken).await;
    assert_eq!(peer.acks(2).await, [0, 4]);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(target.seen().is_empty());
    assert_eq!(peer.shared.window.records(), 0);
}

#[tokio::test(start_paused = true)]
async fn garbage_closes_the_connection_after_what_was_owed() {
    let target = Scripted::new(1, |_, _| async {
        pause(200).await;
        Outcome::Delivered
    });
    let mut peer = Setup::to([target]).start();
    peer.send(&record(1, 1)).await;
    peer.send(b"GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(peer.ack().await, 0);
    assert_eq!(peer.stream.read(&mut [0; 1]).await.unwrap(), 0, "closed");
    peer.served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_never_completes_ends_its_connection() {
    let target = Scripted::new(1, |_, _| async { Outcome::Delivered });
    let start = Instant::now();
    let mut peer = Setup::to([target]).start();
    let bytes = record(1, 1);
    peer.send(&bytes[..20]).await;
    assert_eq!(peer.stream.read(&mut [0; 1]).await.unwrap(), 0, "closed");
    assert!(start.elapsed() >= Duration::from_secs(30) && start.elapsed() < Duration::from_secs(61));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_answers_is_let_go() {
    let target = Scripted::new(1, |_, _| async { Outcome::Delivered });
    let mut peer = Setup::to([target]).start();
    let info = b"\x02\x01\0\0\0\0\0\x09replicas\n".repeat(4_000);
    let (_, mut writer) = tokio::io::split(peer.stream);
    let sent = tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut writer, &info).await });
    tokio::time::timeout(Duration::from_secs(30), &mut peer.served).await.expect("let go").unwrap();
    sent.abort();
}

#[tokio::test(start_paused = true)]
async fn stopping_answers_what_was_read_and_reads_no_more() {
    let target = Scripted::new(1, |_, _| async {
        pause(300).await;
        Outcome::Delivered
    });
    let mut peer = Setup::to([target.clone()]).start();
    peer.send(&record(1, 1)).await;
    peer.send(&record(2, 2)).await;
    pause(10).await;
    peer.close();
    pause(10).await;
    peer.send(&record(3, 3)).await;
    assert_eq!(peer.acks(2).await, [0, 0]);
    assert_eq!(peer.stream.read(&mut [0; 1]).await.unwrap(), 0, "closed");
    assert_eq!(target.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn closing_a_lane_refuses_what_it_still_holds() {
    let target = Scripted::new(1, |_, _| std::future::pending());
    let mut peer = Setup::to([target]).start();
    peer.send(&record(1, 1)).await;
    peer.send(&record(2, 2)).await;
    pause(10).await;
    peer.lanes[0].close();
    peer.tasks.shutdown().await;
    assert_eq!(peer.acks(2).await, [18, 18]);
}

/// The window is full of records that hang, so the next ones lie in the socket, and age there.
#[tokio::test(start_paused = true)]
async fn what_lay_in_the_socket_while_the_window_was_full_is_answered_in_time_too() {
    let target = Scripted::new(64, |_, _| std::future::pending());
    let mut setup = Setup::to([target]);
    setup.window_records = 4;
    let mut peer = setup.start();
    for n in 1..=5 {
        peer.send(&record(n, n.into())).await;
    }
    pause(100).await;
    peer.send(&record(6, 6)).await;
    let start = Instant::now();
    peer.acks(6).await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// The same of which only a part fitted into the socket: when the rest comes, the socket was empty for a moment, and yet it is old.
#[tokio::test(start_paused = true)]
async fn what_lay_in_the_socket_in_part_is_answered_in_time_too() {
    let target = Scripted::new(64, |_, _| std::future::pending());
    let mut setup = Setup::to([target]);
    setup.window_records = 4;
    let mut peer = setup.start();
    for n in 1..=4 {
        peer.send(&record(n, n.into())).await;
    }
    pause(100).await;
    let start = Instant::now();
    peer.send(&record(5, 5)).await;
    peer.send(&large_record(6, 2 << 20)).await;
    assert!(start.elapsed() > Duration::from_secs(3), "the rest had to wait");
    peer.acks(6).await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_large_message_waits_for_leave_and_small_ones_do_not() {
    let target = Scripted::new(1, |_, _| async { Outcome::Delivered });
    let mut peer = Setup::to([target]).start();
    let shared = std::sync::Arc::clone(&peer.shared);
    let others = shared.assembling.acquire_many(ASSEMBLING_BYTES_MAX as u32).await.unwrap();
    peer.send(&record(1, 1)).await;
    assert_eq!(peer.ack().await, 0);
    // A header that promises 8 MiB: the rest is not read while others put theirs together.
    peer.send(&[2, 3, 0, 0, 0, 128, 0, 0]).await;
    pause(10).await;
    let sent = tokio::time::timeout(Duration::from_secs(20), peer.send(&vec![0; 8 << 20])).await;
    assert!(sent.is_err(), "the pipe takes 1 MiB, the connection nothing");
    drop(others);
    let sent = tokio::time::timeout(Duration::from_secs(20), peer.send(&vec![0; 2 << 20])).await;
    assert!(sent.is_ok(), "read once there is room");
}

#[tokio::test(start_paused = true)]
async fn who_promises_a_large_message_does_not_wait_for_ever_for_others_that_did() {
    let target = Scripted::new(1, |_, _| async { Outcome::Delivered });
    let mut peer = Setup::to([target]).start();
    let shared = std::sync::Arc::clone(&peer.shared);
    let _others = shared.assembling.acquire_many(ASSEMBLING_BYTES_MAX as u32).await.unwrap();
    peer.send(&[2, 3, 0, 0, 0, 128, 0, 0]).await;
    let start = Instant::now();
    assert_eq!(peer.stream.read(&mut [0]).await.unwrap(), 0, "it was closed");
    assert!(start.elapsed() < Duration::from_secs(31), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_few_bytes_that_become_many_wait_for_room_and_are_refused_for_now_without() {
    let target = Scripted::new(1, |_, _| async { Outcome::Delivered });
    let mut peer = Setup::to([target]).start();
    let shared = std::sync::Arc::clone(&peer.shared);
    let others = shared.window.room_to_inflate(usize::MAX).await;
    let large = compressed(&large_record(1, 8 << 20));
    assert!(large.len() < 128 * 1024, "{} bytes", large.len());
    let start = Instant::now();
    peer.send(&large).await;
    assert_eq!(peer.ack().await, 18);
    assert!((7..9).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    peer.send(&compressed(&record(2, 2))).await;
    assert_eq!(peer.ack().await, 0, "small ones need none");
    drop(others);
    peer.send(&large).await;
    assert_eq!(peer.ack().await, 0);
}
