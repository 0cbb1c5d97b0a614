//! Answers that name the records which were not processed.

use adapters::{Cause, Class, ItemFailure, Outcome, Outcomes, Report, Target};
use serde_json::json;

use crate::{
    log::Log,
    peer::{Peer, deliver, payload, target},
};

/// The report on one record, when each request gets this answer and then the connection is closed.
async fn reported(answer: String) -> Report {
    let answer: &str = answer.leak();
    let peer = Peer::start(move |_, mut connection| async move {
        connection.request().await;
        connection.say(answer).await;
    })
    .await;
    deliver(&target(&[&peer.url], json!({"partial-response": true}))).await
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn failure(identifier: &str) -> ItemFailure {
    ItemFailure {
        identifier: identifier.to_owned(),
        retryable: true,
        cause: Cause::FunctionError,
        reason: None,
    }
}

fn nonsense() -> Report {
    Report { status: Some(200), ..Report::failed(Class::Transient, Cause::FunctionError) }
}

#[tokio::test]
async fn only_what_is_named_has_failed() {
    let named = r#"{"batchItemFailures":[{"itemIdentifier":"0"}]}"#;
    assert_eq!(reported(ok(named)).await, Report::partial(Some(200), vec![failure("0")]));
    let pieces = named
        .as_bytes()
        .chunks(7)
        .map(|piece| format!("{:x}\r\n{}\r\n", piece.len(), str::from_utf8(piece).unwrap()));
    let chunked = format!(
        "HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
        pieces.collect::<String>()
    );
    assert_eq!(reported(chunked).await, Report::partial(Some(202), vec![failure("0")]));
    for done in ["", "ok", "{}", r#"{"batchItemFailures":[]}"#, r#"{"batchItemFailures":null}"#] {
        assert_eq!(reported(ok(done)).await, Report::delivered(Some(200)), "{done}");
    }
    assert_eq!(reported(ok(r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#)).await, nonsense());
}

#[tokio::test]
async fn a_failure_says_nothing_of_single_records() {
    let body = r#"{"batchItemFailures":[]}"#;
    let failed = format!("HTTP/1.1 500 No\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let expected = Report::failed(Class::Transient, Cause::Status(500));
    assert_eq!(reported(failed).await, expected);
}

#[tokio::test]
async fn an_answer_that_breaks_off_confirms_nothing() {
    let whole = ok(r#"{"batchItemFailures":[]}"#);
    let head = whole.find("\r\n\r\n").unwrap() + 4;
    for end in head..whole.len() {
        let report = reported(whole[..end].to_owned()).await;
        let unreachable = Report::failed(Class::Transient, Cause::Unreachable);
        assert_eq!(report, Report { status: Some(200), ..unreachable }, "{}", &whole[head..end]);
    }
}

#[tokio::test]
async fn a_long_list_is_read_and_an_endless_answer_is_not() {
    let entries = [r#"{"itemIdentifier":"0","reason":"r"}"#; 9].join(",");
    let spaces = " ".repeat(60_000);
    let list = format!("{{\"batchItemFailures\":[{entries}]{spaces}}}");
    let Outcomes::Except(failures) = reported(ok(&list)).await.outcomes else { panic!() };
    assert_eq!(failures.len(), 9);

    // What was read says nothing of what was not.
    let spaces = " ".repeat(70_000);
    assert_eq!(reported(ok(&format!("{{\"batchItemFailures\":[]{spaces}}}"))).await, nonsense());
    assert_eq!(reported(ok(&format!("{{\"log\":\"{}\"}}", "x".repeat(70_000)))).await, nonsense());
    // But a page is a page, however long.
    assert_eq!(reported(ok(&"x".repeat(70_000))).await, Report::delivered(Some(200)));

    let peer =
        Peer::answering(ok(&format!("{{\"batchItemFailures\":[]{}}}", " ".repeat(900_000))).leak()).await;
    let many = adapters::Payload { count: 1000.try_into().unwrap(), ..payload(b"[]") };
    let target = target(&[&peer.url], json!({"partial-response": true}));
    assert_eq!(target.deliver(&many).await, Report::delivered(Some(200)), "room grows with the batch");
}

#[tokio::test]
async fn off_unless_asked_for() {
    let peer = Peer::answering(ok(r#"{"batchItemFailures":[{"itemIdentifier":"0"}]}"#).leak()).await;
    let report = deliver(&target(&[&peer.url], json!({}))).await;
    assert_eq!(report.outcomes, Outcomes::All(Outcome::Delivered));
}

#[tokio::test]
async fn the_log_counts_failures_and_repeats_no_words_of_the_consumer() {
    let body = r#"{"batchItemFailures":[{"itemIdentifier":"hunter2","reason":"hunter2"}]}"#;
    let (log, _guard) = Log::start_with(tracing::Level::TRACE);
    let report = reported(ok(body)).await;
    assert_eq!(report.class, Class::Partial);
    let lines = log.lines();
    assert!(lines.iter().any(|line| line.contains("1 of 1 records were not processed")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("hunter2")), "{lines:?}");
}
