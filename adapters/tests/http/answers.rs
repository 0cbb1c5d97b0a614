//! What the peer says, or fails to say, and what it is taken for.

use std::time::{Duration, Instant};

use adapters::{Cause, Class, Outcome, Report, Target};
use serde_json::json;

use crate::{
    log::Log,
    peer::{OK, Peer, deliver, outcome, payload, target},
};

const UNREACHABLE: Outcome = Outcome::Retryable(Cause::Unreachable);
const MALFORMED: Outcome = Outcome::Retryable(Cause::Malformed);
const TIMEOUT: Outcome = Outcome::Retryable(Cause::Timeout);

/// The outcome when every connection gets one request and this answer, and then stays open or is closed.
async fn answered(answer: &'static str, then_close: bool) -> Outcome {
    let peer = Peer::start(move |_, mut connection| async move {
        connection.request().await;
        connection.say(answer).await;
        if !then_close {
            connection.closed().await;
        }
    })
    .await;
    outcome(&target(&[&peer.url], json!({}))).await
}

#[tokio::test]
async fn statuses() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Outcome::Delivered),
        (
            "HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Outcome::Delivered,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", Outcome::Delivered),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            Outcome::Delivered,
        ),
        (
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n",
            Outcome::Retryable(Cause::Status(307)),
        ),
        ("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", Outcome::Rejected(Cause::Status(400))),
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", Outcome::Retryable(Cause::Unauthorized)),
        ("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", Outcome::Retryable(Cause::Overloaded)),
    ] {
        assert_eq!(answered(answer, false).await, expected, "{answer}");
    }
    // Without a length the end of the connection is the end of the answer.
    assert_eq!(answered("HTTP/1.1 200 OK\r\n\r\nbye", true).await, Outcome::Delivered);
    assert_eq!(answered("HTTP/1.0 200 OK\r\n\r\n", true).await, Outcome::Delivered);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Peer::answering(OK).await;
    let location = format!("HTTP/1.1 308 Moved\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", other.url);
    let peer = Peer::answering(location.leak()).await;
    assert_eq!(outcome(&target(&[&peer.url], json!({}))).await, Outcome::Retryable(Cause::Status(308)));
    assert_eq!(other.accepted(), 0);
}

#[tokio::test]
async fn the_operator_says_what_is_final_and_what_is_success() {
    let peer = Peer::answering("HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n").await;
    let permanent = target(&[&peer.url], json!({"http-permanent-status-codes": [409]}));
    assert_eq!(outcome(&permanent).await, Outcome::Rejected(Cause::Status(409)));
    let success = target(&[&peer.url], json!({"http-success-status-codes": [409]}));
    assert_eq!(outcome(&success).await, Outcome::Delivered);
    let stats = &success.endpoints()[0];
    assert_eq!((stats.success, stats.error, stats.queued), (1, 0, 0));
    let stats = &permanent.endpoints()[0];
    assert_eq!((stats.success, stats.error, stats.queued), (0, 1, 0));
}

#[tokio::test]
async fn retry_after_is_reported() {
    let peer = Peer::answering("HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n").await;
    let report = deliver(&target(&[&peer.url], json!({}))).await;
    assert_eq!(report.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn garbage_is_malformed() {
    assert_eq!(answered("SSH-2.0-OpenSSH_9.2\r\n\r\n", false).await, MALFORMED);
    assert_eq!(answered("HTTP/1.1 abc\r\n\r\n", false).await, MALFORMED);
    assert_eq!(answered("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", false).await, MALFORMED);
}

#[tokio::test]
async fn half_answers_confirm_nothing() {
    for half in [
        "",
        "HTTP/1.1 200 O",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal",
    ] {
        assert_eq!(answered(half, true).await, UNREACHABLE, "{half}");
    }
    // A failure is a failure, whole or not.
    let half = "HTTP/1.1 503 Busy\r\ncontent-length: 10\r\n\r\nhalf";
    assert_eq!(answered(half, true).await, Outcome::Retryable(Cause::Overloaded));
}

#[tokio::test]
async fn a_hang_ends_with_the_call_timeout() {
    let peer = Peer::start(|_, mut connection| async move {
        connection.request().await;
        connection.closed().await;
    })
    .await;
    let target = target(&[&peer.url], json!({"call-timeout": 150}));
    let begin = Instant::now();
    assert_eq!(outcome(&target).await, TIMEOUT);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let stats = &target.endpoints()[0];
    assert_eq!((stats.success, stats.error, stats.queued, stats.connections), (0, 1, 0, 0));
}

#[tokio::test]
async fn a_body_that_drips_ends_with_the_call_timeout() {
    let peer = Peer::start(|_, mut connection| async move {
        connection.request().await;
        connection.say("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            connection.say("x").await;
        }
    })
    .await;
    assert_eq!(outcome(&target(&[&peer.url], json!({"call-timeout": 150}))).await, TIMEOUT);
}

#[tokio::test]
async fn interim_answers_without_end_end_with_the_call_timeout() {
    let peer = Peer::start(|_, mut connection| async move {
        use tokio::io::AsyncWriteExt;
        connection.request().await;
        while connection.stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await.is_ok() {}
    })
    .await;
    assert_eq!(outcome(&target(&[&peer.url], json!({"call-timeout": 150}))).await, TIMEOUT);
}

#[tokio::test]
async fn an_endless_head_is_cut_off() {
    let peer = Peer::start(|_, mut connection| async move {
        connection.request().await;
        connection.say("HTTP/1.1 200 OK\r\nx: ").await;
        endless(connection).await;
    })
    .await;
    assert_eq!(outcome(&target(&[&peer.url], json!({}))).await, MALFORMED);
}

#[tokio::test]
async fn an_endless_body_is_cut_off_and_the_status_believed() {
    let peer = Peer::start(|number, mut connection| async move {
        connection.request().await;
        if number == 0 {
            connection.say("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n").await;
            endless(connection).await;
        } else {
            connection.say(OK).await;
        }
    })
    .await;
    let target = target(&[&peer.url], json!({}));
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    assert_eq!(outcome(&target).await, Outcome::Delivered, "on a new connection");
    assert_eq!(peer.accepted(), 2);
}

/// Sends without end, until the client closes.
async fn endless(mut connection: crate::peer::Connection) {
    use tokio::io::AsyncWriteExt;
    let block = vec![b'x'; 16 * 1024];
    while connection.stream.write_all(&block).await.is_ok() {}
}

#[tokio::test]
async fn an_answer_before_the_whole_request_counts() {
    use tokio::io::AsyncReadExt;
    let peer = Peer::start(|_, mut connection| async move {
        connection.stream.read_exact(&mut [0; 100]).await.unwrap();
        connection.say("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await;
        connection.closed().await;
    })
    .await;
    let target = target(&[&peer.url], json!({}));
    let large = payload(vec![b'x'; 20_000_000].leak());
    let report = target.deliver(&large).await;
    let refused = Report::failed(Class::Record, Cause::TooLarge);
    assert_eq!(report, Report { status: Some(413), ..refused });
}

#[tokio::test]
async fn an_operator_reads_what_was_answered_or_that_nothing_was() {
    let refused = "HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n\r\nhunter2";
    let peer = Peer::answering(refused).await;
    let (log, guard) = Log::start();
    let refusing = target(&[&peer.url], json!({}));
    for _ in 0..3 {
        assert_eq!(outcome(&refusing).await, Outcome::Rejected(Cause::Status(400)));
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "one line, not one per request: {lines:?}");
    assert!(lines[0].contains("request failed: status 400 Bad Request for 1 record "), "{lines:?}");
    assert!(lines[0].contains("endpoint=\"127.0.0.1:"), "{lines:?}");
    assert!(!lines[0].contains("hunter2"), "{lines:?}");
    drop(guard);

    let peer = Peer::start(|_, mut connection| async move { connection.closed().await }).await;
    let (log, _guard) = Log::start();
    let hanging = target(&[&peer.url], json!({"call-timeout": 50}));
    assert_eq!(outcome(&hanging).await, TIMEOUT);
    let lines = log.lines();
    assert!(lines[0].contains("request failed: no answer within 50 ms (call-timeout)"), "{lines:?}");
}
