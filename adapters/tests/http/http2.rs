//! HTTP/2 in clear text, against a peer that speaks in raw frames.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use adapters::{Cause, Class, ItemFailure, Outcome, Report, Target, http::Http};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use crate::{
    frames::*,
    peer::{Peer, outcome, payload},
};

const UNREACHABLE: Outcome = Outcome::Retryable(Cause::Unreachable);

fn target(urls: &[&str], mut more: Value) -> Http {
    more["protocol"] = "HTTP_2".into();
    crate::peer::target(urls, more)
}

/// A peer that answers all, and sends these settings.
async fn answering(settings: &'static [(u16, u32)]) -> Peer {
    Peer::start(
        move |_, connection| async move { Frames::greet(connection, settings).await.answer_all().await },
    )
    .await
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let peer = answering(&[]).await;
    let target = target(&[&peer.url], json!({"max-connections-per-endpoint": 4}));
    assert_eq!(target.concurrency().get(), 400);
    let outcomes = join_all((0..100).map(|_| outcome(&target))).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Delivered));
    assert_eq!(peer.accepted(), 1);
    let stats = &target.endpoints()[0];
    assert_eq!((stats.success, stats.connections, stats.protocol), (100, 1, Some("h2")));
}

#[tokio::test]
async fn a_body_larger_than_the_windows_arrives_whole() {
    let total = Arc::new(Mutex::new(0));
    let sum = Arc::clone(&total);
    let peer = Peer::start(move |_, connection| {
        let sum = Arc::clone(&sum);
        async move {
            let mut frames = Frames::greet(connection, &[]).await;
            while let Some(frame) = frames.next().await {
                if frame.kind == DATA {
                    *sum.lock().unwrap() += frame.payload.len();
                }
                if frame.flags & END_STREAM > 0 && frame.kind == DATA {
                    frames.ok(frame.stream).await;
                }
            }
        }
    })
    .await;
    let report = target(&[&peer.url], json!({})).deliver(&payload(&[7; 1_000_000])).await;
    assert_eq!(report, Report::delivered(Some(200)));
    assert_eq!(*total.lock().unwrap(), 1_000_000);
}

#[tokio::test]
async fn connections_open_when_streams_run_out_and_never_too_many() {
    let (told, mut held) = mpsc::channel(16);
    let go = Arc::new(Notify::new());
    let release = Arc::clone(&go);
    let peer = Peer::start(move |_, connection| {
        let (told, release) = (told.clone(), Arc::clone(&release));
        async move {
            let mut frames = Frames::greet(connection, &[]).await;
            while let Some(stream) = frames.request().await {
                told.send(stream).await.unwrap();
                if stream == 3 {
                    release.notified().await;
                    frames.ok(1).await;
                    frames.ok(3).await;
                } else if stream > 3 {
                    frames.ok(stream).await;
                }
            }
        }
    })
    .await;
    let target =
        target(&[&peer.url], json!({"max-connections-per-endpoint": 3, "http2-max-concurrent-streams": 2}));
    assert_eq!(target.concurrency().get(), 6);
    let all = join_all((0..10).map(|_| outcome(&target)));
    let watch = async {
        for _ in 0..6 {
            held.recv().await.unwrap();
        }
        assert!(held.try_recv().is_err(), "six are all that fit");
        assert_eq!(peer.accepted(), 3);
        (0..3).for_each(|_| go.notify_one());
        go.notify_waiters();
    };
    let (outcomes, ()) = tokio::join!(all, watch);
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Delivered), "{outcomes:?}");
    assert_eq!(peer.accepted(), 3);
}

#[tokio::test]
async fn the_peers_own_limit_of_streams_is_kept() {
    let most = Arc::new(Mutex::new(0));
    let record = Arc::clone(&most);
    let peer = Peer::start(move |_, connection| {
        let record = Arc::clone(&record);
        async move {
            let mut frames = Frames::greet(connection, &[(3, 2)]).await;
            let mut open = Vec::new();
            while let Some(stream) = frames.request().await {
                open.push(stream);
                let mut most = *record.lock().unwrap();
                most = open.len().max(most);
                *record.lock().unwrap() = most;
                if open.len() == 2 {
                    for stream in open.drain(..) {
                        frames.ok(stream).await;
                    }
                }
            }
        }
    })
    .await;
    let target = target(&[&peer.url], json!({"max-connections-per-endpoint": 2}));
    let outcomes = join_all((0..20).map(|_| outcome(&target))).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Delivered), "{outcomes:?}");
    assert_eq!(*most.lock().unwrap(), 2);
    assert_eq!(peer.accepted(), 2, "a full connection sends the others to a new one");
}

#[tokio::test]
async fn a_refused_stream_is_sent_again() {
    let peer = Peer::start(|_, connection| async move {
        let mut frames = Frames::greet(connection, &[]).await;
        while let Some(stream) = frames.request().await {
            if stream == 1 {
                frames.send(RST_STREAM, 0, stream, &7u32.to_be_bytes()).await;
            } else {
                frames.ok(stream).await;
            }
        }
    })
    .await;
    let target = target(&[&peer.url], json!({}));
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    assert_eq!(peer.accepted(), 1, "the connection is still good");
    let stats = &target.endpoints()[0];
    assert_eq!((stats.success, stats.error), (1, 0));
}

#[tokio::test]
async fn refused_for_ever_is_given_up() {
    let peer = Peer::start(|_, connection| async move {
        let mut frames = Frames::greet(connection, &[]).await;
        while let Some(stream) = frames.request().await {
            frames.send(RST_STREAM, 0, stream, &7u32.to_be_bytes()).await;
        }
    })
    .await;
    assert_eq!(outcome(&target(&[&peer.url], json!({}))).await, UNREACHABLE);
}

#[tokio::test]
async fn a_stream_reset_midway_is_not_sent_again() {
    let peer = Peer::start(|_, connection| async move {
        let mut frames = Frames::greet(connection, &[]).await;
        let stream = frames.request().await.unwrap();
        frames.send(RST_STREAM, 0, stream, &2u32.to_be_bytes()).await;
        assert_eq!(frames.request().await, None);
    })
    .await;
    let target = target(&[&peer.url], json!({}));
    assert_eq!(outcome(&target).await, UNREACHABLE);
    assert_eq!(target.endpoints()[0].error, 1);
}

#[tokio::test]
async fn goaway_moves_the_unprocessed_to_a_new_connection() {
    // Of two requests the first is taken and answered, the second is above the last stream.
    let peer = Peer::start(|number, connection| async move {
        let mut frames = Frames::greet(connection, &[]).await;
        if number > 0 {
            return frames.answer_all().await;
        }
        let (first, second) = (frames.request().await.unwrap(), frames.request().await.unwrap());
        assert_eq!((first, second), (1, 3));
        frames.go_away(1).await;
        frames.ok(1).await;
        assert_eq!(frames.request().await, None, "nothing new after GOAWAY");
    })
    .await;
    let target = target(&[&peer.url], json!({}));
    let (first, second) = tokio::join!(outcome(&target), outcome(&target));
    assert_eq!((first, second), (Outcome::Delivered, Outcome::Delivered));
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    assert_eq!(peer.accepted(), 2);
    assert_eq!(target.endpoints()[0].error, 0);
}

#[tokio::test]
async fn what_the_peer_took_and_lost_is_not_sent_again() {
    let peer = Peer::start(|_, connection| async move {
        let mut frames = Frames::greet(connection, &[]).await;
        frames.request().await.unwrap();
        frames.go_away(1).await;
    })
    .await;
    assert_eq!(outcome(&target(&[&peer.url], json!({}))).await, UNREACHABLE);
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn a_close_between_requests_goes_unnoticed() {
    let (told, mut closed) = mpsc::channel(1);
    let peer = Peer::start(move |_, connection| {
        let told = told.clone();
        async move {
            let mut frames = Frames::greet(connection, &[]).await;
            let stream = frames.request().await.unwrap();
            frames.ok(stream).await;
            drop(frames);
            told.send(()).await.unwrap();
        }
    })
    .await;
    let target = target(&[&peer.url], json!({}));
    for _ in 0..5 {
        assert_eq!(outcome(&target).await, Outcome::Delivered);
        closed.recv().await.unwrap();
        while target.endpoints()[0].connections > 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(peer.accepted(), 5);
}

#[tokio::test]
async fn a_peer_without_http2_is_told_apart_quickly() {
    let peer = Peer::start(|_, mut connection| async move {
        connection.say("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let begin = Instant::now();
    assert_eq!(outcome(&target(&[&peer.url], json!({}))).await, UNREACHABLE);
    assert!(begin.elapsed() < Duration::from_secs(5));

    let silent = Peer::start(|_, mut connection| async move { connection.closed().await }).await;
    let target = target(&[&silent.url], json!({"connect-timeout": 100}));
    assert_eq!(outcome(&target).await, UNREACHABLE);
}

#[tokio::test]
async fn a_dropped_request_resets_its_stream_only() {
    let (told, mut seen) = mpsc::channel(4);
    let peer = Peer::start(move |_, connection| {
        let told = told.clone();
        async move {
            let mut frames = Frames::greet(connection, &[]).await;
            let first = frames.request().await.unwrap();
            told.send(0).await.unwrap();
            let reset = frames.seen(RST_STREAM).await.unwrap();
            assert_eq!((reset.stream, &reset.payload[..]), (first, &8u32.to_be_bytes()[..]));
            told.send(1).await.unwrap();
            frames.answer_all().await;
        }
    })
    .await;
    let target = target(&[&peer.url], json!({}));
    tokio::select! {
        outcome = outcome(&target) => panic!("{outcome:?}"),
        seen = seen.recv() => assert_eq!(seen, Some(0)),
    }
    assert_eq!(seen.recv().await, Some(1));
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn a_connection_that_fell_silent_is_replaced() {
    let peer = Peer::start(|number, connection| async move {
        let mut frames = Frames::greet(connection, &[]).await;
        if number > 0 {
            return frames.answer_all().await;
        }
        let stream = frames.request().await.unwrap();
        frames.ok(stream).await;
        frames.0.closed().await;
    })
    .await;
    let target = target(&[&peer.url], json!({"call-timeout": 200}));
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    assert_eq!(outcome(&target).await, Outcome::Retryable(Cause::Timeout));
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    assert_eq!(peer.accepted(), 2);
}

#[tokio::test]
async fn one_slow_answer_does_not_cost_the_connection() {
    let peer = Peer::start(|_, connection| async move {
        let mut frames = Frames::greet(connection, &[]).await;
        while let Some(stream) = frames.request().await {
            if stream != 1 {
                frames.ok(stream).await;
            }
        }
    })
    .await;
    let target = target(&[&peer.url], json!({"call-timeout": 200}));
    let mut slow = std::pin::pin!(outcome(&target));
    let others = async {
        loop {
            assert_eq!(outcome(&target).await, Outcome::Delivered);
        }
    };
    tokio::select! {
        biased;
        slow = &mut slow => assert_eq!(slow, Outcome::Retryable(Cause::Timeout)),
        () = others => (),
    }
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn an_endless_body_is_cut_off_by_a_reset() {
    let (told, mut seen) = mpsc::channel(1);
    let peer = Peer::start(move |_, connection| {
        let told = told.clone();
        async move {
            let mut frames = Frames::greet(connection, &[]).await;
            let stream = frames.request().await.unwrap();
            frames.send(HEADERS, END_HEADERS, stream, STATUS_200).await;
            for _ in 0..4 {
                frames.send(DATA, 0, stream, &[b'x'; 16 * 1024]).await;
            }
            // As much as the window allows, then one more for each time it is opened.
            loop {
                let frame = frames.next().await.unwrap();
                match frame.kind {
                    WINDOW_UPDATE if frame.stream == stream => {
                        frames.send(DATA, 0, stream, &[b'x'; 16 * 1024]).await
                    }
                    RST_STREAM => break,
                    _ => (),
                }
            }
            told.send(()).await.unwrap();
            frames.answer_all().await;
        }
    })
    .await;
    let target = target(&[&peer.url], json!({}));
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    seen.recv().await.unwrap();
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn half_an_answer_confirms_nothing() {
    let peer = Peer::start(|_, connection| async move {
        let mut frames = Frames::greet(connection, &[]).await;
        let stream = frames.request().await.unwrap();
        frames.send(HEADERS, END_HEADERS, stream, STATUS_200).await;
        frames.send(DATA, 0, stream, b"half").await;
        frames.send(RST_STREAM, 0, stream, &2u32.to_be_bytes()).await;
        frames.0.closed().await;
    })
    .await;
    assert_eq!(outcome(&target(&[&peer.url], json!({}))).await, UNREACHABLE);
}

#[tokio::test]
async fn garbage_ends_the_connection_not_the_target() {
    let peer = Peer::start(|number, connection| async move {
        let mut frames = Frames::greet(connection, &[]).await;
        if number == 0 {
            let stream = frames.request().await.unwrap();
            // A header block that no decoder can read.
            frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &[0xff; 40]).await;
            frames.0.closed().await;
        } else {
            frames.answer_all().await;
        }
    })
    .await;
    let target = target(&[&peer.url], json!({}));
    assert_eq!(outcome(&target).await, Outcome::Retryable(Cause::Malformed));
    assert_eq!(outcome(&target).await, Outcome::Delivered);
}

#[tokio::test]
async fn a_goodbye_says_why() {
    let (told, mut codes) = mpsc::channel(2);
    let peer = Peer::start(move |number, connection| {
        let told = told.clone();
        async move {
            let mut frames = Frames::greet(connection, &[]).await;
            let stream = frames.request().await.unwrap();
            if number == 0 {
                frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &[0xff; 40]).await;
            } else {
                frames.ok(stream).await;
            }
            told.send(frames.seen(GOAWAY).await.unwrap().payload).await.unwrap();
        }
    })
    .await;
    let target = target(&[&peer.url], json!({}));
    assert_eq!(outcome(&target).await, Outcome::Retryable(Cause::Malformed));
    assert_eq!(codes.recv().await.unwrap(), [0, 0, 0, 0, 0, 0, 0, 9]);
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    drop(target);
    assert_eq!(codes.recv().await.unwrap(), [0; 8]);
}

#[tokio::test]
async fn a_peer_that_does_not_read_costs_its_requests_only() {
    let peer = Peer::start(|number, connection| async move {
        let mut frames = Frames::greet(connection, &[(4, 1 << 30)]).await;
        frames.send(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes()).await;
        match number {
            0 => std::future::pending().await,
            _ => frames.answer_all().await,
        }
    })
    .await;
    let target = target(&[&peer.url], json!({"call-timeout": 300}));
    // More than all buffers between here and there.
    let large = payload(&[7; 16 << 20]);
    let report = target.deliver(&large).await;
    assert_eq!(report, Report::failed(Class::Transient, Cause::Timeout));
    let begin = Instant::now();
    while outcome(&target).await != Outcome::Delivered || target.endpoints()[0].connections > 1 {
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", target.endpoints());
    }
    assert_eq!(peer.accepted(), 2);
}

#[tokio::test]
async fn early_hints_are_skipped() {
    let peer = Peer::start(|_, connection| async move {
        let mut frames = Frames::greet(connection, &[]).await;
        let stream = frames.request().await.unwrap();
        // `:status: 103` as a literal with the static table's name.
        frames.send(HEADERS, END_HEADERS, stream, b"\x08\x03103").await;
        frames.ok(stream).await;
        frames.answer_all().await;
    })
    .await;
    assert_eq!(outcome(&target(&[&peer.url], json!({}))).await, Outcome::Delivered);
}

#[tokio::test]
async fn an_old_connection_is_drained_and_replaced() {
    let peer = answering(&[]).await;
    let target = target(&[&peer.url], json!({"connection-ttl": 1}));
    let begin = Instant::now();
    while peer.accepted() < 3 {
        assert_eq!(outcome(&target).await, Outcome::Delivered);
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
    let stats = &target.endpoints()[0];
    assert!(stats.connections <= 1 && stats.error == 0, "{stats:?}");
}

#[tokio::test]
async fn probes_speak_http2_as_deliveries_do() {
    let peer = answering(&[]).await;
    let check = json!({"interval-seconds": 1, "unhealthy-threshold": 1});
    let target = target(&[&peer.url], json!({"health-check": check}));
    while target.endpoints()[0].health_success == 0 {
        assert_eq!(target.endpoints()[0].health_error, 0);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn named_records_and_broken_lists() {
    let peer = Peer::start(|_, connection| async move {
        let mut frames = Frames::greet(connection, &[]).await;
        let mut number = 0;
        while let Some(stream) = frames.request().await {
            let [first, second] = [&br#"{"batchItemFailures":[{"item"#[..], br#"Identifier":"0"}]}"#];
            frames.send(HEADERS, END_HEADERS, stream, STATUS_200).await;
            frames.send(DATA, 0, stream, first).await;
            match number {
                0 => frames.send(DATA, END_STREAM, stream, second).await,
                _ => frames.send(RST_STREAM, 0, stream, &[0, 0, 0, 2]).await,
            }
            number += 1;
        }
    })
    .await;
    let target = target(&[&peer.url], json!({"partial-response": true}));
    let failure = ItemFailure {
        identifier: "0".to_owned(),
        retryable: true,
        cause: Cause::FunctionError,
        reason: None,
    };
    assert_eq!(target.deliver(&payload(b"{}")).await, Report::partial(Some(200), vec![failure]));
    let broken = Report::failed(Class::Transient, Cause::Unreachable);
    assert_eq!(target.deliver(&payload(b"{}")).await, Report { status: Some(200), ..broken });
}
