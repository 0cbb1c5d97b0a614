//! How connections are made, kept, replaced and shared out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use adapters::{Cause, Outcome, Target};
use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{Barrier, Notify},
    time,
};

use crate::peer::{OK, Peer, outcome, payload, target};

const UNREACHABLE: Outcome = Outcome::Retryable(Cause::Unreachable);

/// The URL of a port where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

/// Lets the other tasks run until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_connection_serves_request_after_request() {
    let peer = Peer::answering(OK).await;
    let target = target(&[&peer.url], json!({"max-connections-per-endpoint": 8}));
    for _ in 0..20 {
        assert_eq!(outcome(&target).await, Outcome::Delivered);
    }
    assert_eq!((peer.accepted(), peer.requests()), (1, 20));
    let stats = &target.endpoints()[0];
    assert_eq!((stats.success, stats.connections, stats.protocol), (20, 1, Some("http/1.1")));
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_noticed() {
    let closed = Arc::new(Notify::new());
    let told = Arc::clone(&closed);
    let peer = Peer::start(move |_, mut connection| {
        let told = Arc::clone(&told);
        async move {
            connection.request().await;
            connection.say(OK).await;
            drop(connection);
            told.notify_one();
        }
    })
    .await;
    let target = target(&[&peer.url], json!({}));
    for _ in 0..5 {
        assert_eq!(outcome(&target).await, Outcome::Delivered);
        closed.notified().await;
    }
    assert_eq!((peer.accepted(), peer.requests()), (5, 5));
}

/// What a server says to a connection that it is about to close must not be taken for the answer to the next request, nor
/// what it said too much.
#[tokio::test]
async fn what_was_said_to_an_idle_connection_answers_nothing() {
    const TIMEOUT: &str = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    for (said, closes) in [(TIMEOUT, true), (TIMEOUT, false), (OK, false), ("\r\n", false), ("", true)] {
        let (idle, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (becomes_idle, tells) = (Arc::clone(&idle), Arc::clone(&told));
        let peer = Peer::start(move |_, mut connection| {
            let (idle, told) = (Arc::clone(&becomes_idle), Arc::clone(&tells));
            async move {
                connection.request().await;
                connection.say(OK).await;
                idle.notified().await;
                connection.say(said).await;
                if closes {
                    drop(connection);
                    told.notify_one();
                } else {
                    told.notify_one();
                    connection.closed().await;
                }
            }
        })
        .await;
        let target = target(&[&peer.url], json!({}));
        for _ in 0..3 {
            assert_eq!(outcome(&target).await, Outcome::Delivered, "{said:?}");
            idle.notify_one();
            told.notified().await;
            // The runtime has not heard of it: only the system knows.
            pass(Duration::from_millis(2)).await;
        }
        let repeats = target.endpoints()[0].repeats;
        assert_eq!((peer.accepted(), peer.requests(), repeats), (3, 3, 0), "{said:?}");
    }
}

#[tokio::test]
async fn a_close_just_as_the_request_comes_is_repaired_once() {
    // The first connection answers once, then drops a request without a word.
    let peer = Peer::start(|number, mut connection| async move {
        connection.request().await;
        connection.say(OK).await;
        connection.request().await;
        if number > 0 {
            connection.say(OK).await;
        }
    })
    .await;
    let repaired = target(&[&peer.url], json!({}));
    assert_eq!(outcome(&repaired).await, Outcome::Delivered);
    assert_eq!(outcome(&repaired).await, Outcome::Delivered);
    assert_eq!((peer.accepted(), peer.requests()), (2, 3));

    let peer = Peer::start(|number, mut connection| async move {
        connection.request().await;
        if number == 0 {
            connection.say(OK).await;
            connection.request().await;
        }
    })
    .await;
    let broken = target(&[&peer.url], json!({}));
    assert_eq!(outcome(&broken).await, Outcome::Delivered);
    assert_eq!(outcome(&broken).await, UNREACHABLE);
    assert_eq!((peer.accepted(), peer.requests()), (2, 3), "repeated once, not more");
}

#[tokio::test]
async fn what_is_repeated_on_a_new_connection_leaves_the_idle_ones_alone() {
    let both = Arc::new(Barrier::new(2));
    // Two that are there at once. The one that gets the third request drops it without a word.
    let asked = Arc::new(AtomicUsize::new(0));
    let peer = Peer::start(move |number, mut connection| {
        let (both, asked) = (Arc::clone(&both), Arc::clone(&asked));
        async move {
            while connection.request().await.is_some() {
                let request = asked.fetch_add(1, Ordering::SeqCst);
                if number < 2 && request < 2 {
                    both.wait().await;
                } else if request == 2 {
                    return;
                }
                connection.say(OK).await;
            }
        }
    })
    .await;
    let target = target(&[&peer.url], json!({"max-connections-per-endpoint": 8}));
    join_all([outcome(&target), outcome(&target)]).await;
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    assert_eq!((peer.accepted(), target.endpoints()[0].connections), (3, 2));
    join_all([outcome(&target), outcome(&target)]).await;
    assert_eq!((peer.accepted(), peer.requests()), (3, 6), "the other idle one is still of use");
}

#[tokio::test]
async fn a_close_on_a_new_connection_is_not_repeated() {
    let peer = Peer::start(|_, mut connection| async move {
        connection.request().await;
    })
    .await;
    assert_eq!(outcome(&target(&[&peer.url], json!({}))).await, UNREACHABLE);
    assert_eq!(peer.requests(), 1);
}

#[tokio::test]
async fn what_broke_inside_an_answer_is_not_repeated() {
    let peer = Peer::start(|_, mut connection| async move {
        connection.request().await;
        connection.say(OK).await;
        connection.request().await;
        connection.say("HTTP/1.1 20").await;
    })
    .await;
    let target = target(&[&peer.url], json!({}));
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    assert_eq!(outcome(&target).await, UNREACHABLE);
    assert_eq!(peer.requests(), 2);
}

#[tokio::test]
async fn connection_close_is_obeyed() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    let target = target(&[&peer.url], json!({}));
    for _ in 0..3 {
        assert_eq!(outcome(&target).await, Outcome::Delivered);
    }
    assert_eq!(peer.accepted(), 3);
}

#[tokio::test]
async fn never_more_connections_than_allowed() {
    let open = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, record) = (Arc::clone(&open), Arc::clone(&most));
    let peer = Peer::start(move |number, mut connection| {
        let (open, most) = (Arc::clone(&now), Arc::clone(&record));
        async move {
            most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let mut left = 1 + number % 3;
            while left > 0 && connection.request().await.is_some() {
                tokio::task::yield_now().await;
                connection.say(OK).await;
                left -= 1;
            }
            open.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    let target = target(&[&peer.url], json!({"max-connections-per-endpoint": 3}));
    assert_eq!(target.concurrency().get(), 3);
    let outcomes = join_all((0..200).map(|_| outcome(&target))).await;
    let delivered = outcomes.iter().filter(|outcome| **outcome == Outcome::Delivered).count();
    assert_eq!(delivered, 200);
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn waiting_for_a_connection_ends_with_the_call_timeout() {
    let peer = Peer::start(|_, mut connection| async move {
        connection.request().await;
        connection.closed().await;
    })
    .await;
    let target = target(&[&peer.url], json!({"call-timeout": 200}));
    let begin = Instant::now();
    let outcomes = join_all((0..10).map(|_| outcome(&target))).await;
    assert_eq!(outcomes, vec![Outcome::Retryable(Cause::Timeout); 10]);
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(target.endpoints()[0].queued, 0);
}

#[tokio::test]
async fn an_old_connection_is_replaced() {
    let peer = Peer::answering(OK).await;
    let target = target(&[&peer.url], json!({"connection-ttl": 10_000}));
    for _ in 0..3 {
        assert_eq!(outcome(&target).await, Outcome::Delivered);
        assert_eq!(outcome(&target).await, Outcome::Delivered);
        pass(Duration::from_secs(11)).await;
    }
    assert_eq!((peer.accepted(), peer.requests()), (3, 6));
}

#[tokio::test]
async fn an_idle_connection_is_closed_before_the_peer_would() {
    let closed = Arc::new(Notify::new());
    let told = Arc::clone(&closed);
    let peer = Peer::start(move |_, mut connection| {
        let told = Arc::clone(&told);
        async move {
            while connection.request().await.is_some() {
                connection.say(OK).await;
            }
            told.notify_one();
        }
    })
    .await;
    let target = target(&[&peer.url], json!({}));
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    pass(Duration::from_secs(40)).await;
    assert_eq!(target.endpoints()[0].connections, 1);
    pass(Duration::from_secs(16)).await;
    time::timeout(Duration::from_secs(20), closed.notified()).await.expect("closed by the client");
    assert_eq!(target.endpoints()[0].connections, 0);
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    assert_eq!(peer.accepted(), 2);
}

/// Moves the clock while nothing is in flight.
async fn pass(duration: Duration) {
    time::pause();
    time::advance(duration).await;
    time::resume();
    // Lets tasks that became due have their turn.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_dropped_midway_closes_its_connection() {
    let closed = Arc::new(Notify::new());
    let arrived = Arc::new(Notify::new());
    let (told, came) = (Arc::clone(&closed), Arc::clone(&arrived));
    let peer = Peer::start(move |number, mut connection| {
        let (told, came) = (Arc::clone(&told), Arc::clone(&came));
        async move {
            connection.request().await;
            if number == 0 {
                came.notify_one();
                connection.closed().await;
                told.notify_one();
            } else {
                connection.say(OK).await;
            }
        }
    })
    .await;
    let target = target(&[&peer.url], json!({}));
    let dropped = tokio::select! {
        outcome = outcome(&target) => Some(outcome),
        () = arrived.notified() => None,
    };
    assert_eq!(dropped, None);
    closed.notified().await;
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    let stats = &target.endpoints()[0];
    assert_eq!((stats.success, stats.error, stats.queued), (1, 1, 0));
}

#[tokio::test]
async fn nobody_there_is_told_quickly() {
    let target = target(&[&nobody().await], json!({}));
    let begin = Instant::now();
    for _ in 0..10 {
        assert_eq!(outcome(&target).await, UNREACHABLE);
    }
    assert!(begin.elapsed() < Duration::from_secs(5));
    let stats = &target.endpoints()[0];
    assert_eq!((stats.healthy, stats.success, stats.error, stats.connections), (false, 0, 10, 0));
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_unreachable() {
    let target = target(&["http://no-such-host.invalid/"], json!({}));
    assert_eq!(outcome(&target).await, UNREACHABLE);
}

#[tokio::test]
async fn an_endpoint_that_comes_up_is_used_although_it_was_unhealthy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let target = target(&[&format!("http://{address}/")], json!({}));
    for _ in 0..5 {
        assert_eq!(outcome(&target).await, UNREACHABLE);
    }
    let listener = TcpListener::bind(address).await.unwrap();
    let served = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        _ = stream.read(&mut [0; 4096]).await.unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
    });
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    served.await.unwrap();
    assert!(target.endpoints()[0].healthy);
}

#[tokio::test]
async fn other_endpoints_carry_the_traffic_of_one_that_is_down() {
    let (first, second) = (Peer::answering(OK).await, Peer::answering(OK).await);
    let target =
        target(&[&first.url, &nobody().await, &second.url], json!({"max-connections-per-endpoint": 2}));
    assert_eq!(target.concurrency().get(), 6);
    for _ in 0..30 {
        assert_eq!(outcome(&target).await, Outcome::Delivered);
    }
    assert_eq!(first.requests() + second.requests(), 30);
    assert!(first.requests() >= 10 && second.requests() >= 10);
    let healthy: Vec<_> = target.endpoints().iter().map(|endpoint| endpoint.healthy).collect();
    assert_eq!(healthy, [true, false, true]);
    let outcomes = join_all((0..60).map(|_| outcome(&target))).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Delivered), "also many at once");
}

#[tokio::test]
async fn a_hanging_endpoint_does_not_hold_up_the_other() {
    let hanging = Peer::start(|_, mut connection| async move {
        connection.request().await;
        connection.closed().await;
    })
    .await;
    let working = Peer::answering(OK).await;
    let target = target(&[&hanging.url, &working.url], json!({"call-timeout": 10_000}));
    let stuck = outcome(&target);
    let mut stuck = std::pin::pin!(stuck);
    // The first request takes the hanging endpoint's only connection.
    tokio::select! {
        outcome = &mut stuck => panic!("{outcome:?}"),
        () = until(|| hanging.requests() == 1) => (),
    }
    for _ in 0..20 {
        assert_eq!(outcome(&target).await, Outcome::Delivered);
    }
    assert_eq!(working.requests(), 20);
}

#[tokio::test]
async fn health_checks_take_an_endpoint_out_and_put_it_back() {
    let sick = Arc::new(AtomicUsize::new(1));
    let state = Arc::clone(&sick);
    let first = Peer::start(move |_, mut connection| {
        let state = Arc::clone(&state);
        async move {
            while let Some(request) = connection.request().await {
                let sick = state.load(Ordering::SeqCst) == 1 && request.head.starts_with("GET /up ");
                let answer = "HTTP/1.1 500 Sick\r\ncontent-length: 0\r\n\r\n";
                connection.say(if sick { answer } else { OK }).await;
            }
        }
    })
    .await;
    let second = Peer::answering(OK).await;
    let check =
        json!({"path": "/up", "interval-seconds": 1, "unhealthy-threshold": 1, "healthy-threshold": 1});
    let target = target(&[&first.url, &second.url], json!({"health-check": check}));
    let healthy = || target.endpoints()[0].healthy;
    until(|| !healthy()).await;
    let before = second.requests();
    for _ in 0..10 {
        assert_eq!(outcome(&target).await, Outcome::Delivered);
    }
    assert!(second.requests() >= before + 10);
    sick.store(0, Ordering::SeqCst);
    until(healthy).await;
    let stats = target.endpoints();
    assert!(stats[0].health_error >= 1 && stats[0].health_success >= 1 && stats[1].health_error == 0);
}

#[tokio::test]
async fn probes_end_with_the_target() {
    let (peer, other) = (Peer::answering(OK).await, Peer::answering(OK).await);
    let check = || json!({"health-check": {"interval-seconds": 1}});
    let (dropped, kept) = (target(&[&peer.url], check()), target(&[&other.url], check()));
    until(|| dropped.endpoints()[0].health_success > 0).await;
    drop(dropped);
    let seen = peer.requests();
    // The probes of another target tell that time passes.
    let goal = kept.endpoints()[0].health_success + 3;
    while kept.endpoints()[0].health_success < goal {
        pass(Duration::from_secs(1)).await;
    }
    assert_eq!(peer.requests(), seen);
}

#[tokio::test]
async fn outside_a_runtime_a_target_can_be_built() {
    let peer = Peer::answering(OK).await;
    let url = peer.url.clone();
    let target = std::thread::spawn(move || target(&[&url], json!({}))).join().unwrap();
    assert_eq!(target.deliver(&payload(b"{}")).await, adapters::Report::delivered(Some(204)));
}
