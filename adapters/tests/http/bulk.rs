//! Answers of `_bulk`, which tell of each record what became of it.

use adapters::{Cause, Class, ItemFailure, Outcomes, Payload, Report, Target};
use serde_json::json;

use crate::{
    log::Log,
    peer::{Peer, payload, target},
};

/// The report on three records, when the request gets this answer and then the connection is closed.
async fn reported(answer: String) -> Report {
    let answer: &str = answer.leak();
    let peer = Peer::start(move |_, mut connection| async move {
        connection.request().await;
        connection.say(answer).await;
    })
    .await;
    deliver(&peer, json!({"answers": "elasticsearch-bulk"})).await
}

async fn deliver(peer: &Peer, more: serde_json::Value) -> Report {
    let three = Payload { count: 3.try_into().unwrap(), ..payload(b"{}\n{}\n{}\n") };
    target(&[&peer.url], more).deliver(&three).await
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

const SOME: &str = r#"{"took":3,"errors":true,"items":[{"index":{"_id":"hunter2","status":201}},{"index":{"status":400,"error":
    {"type":"document_parsing_exception","reason":"hunter2"}}},{"delete":{"status":429,"error":{"type":"busy","reason":""}}}]}"#;

fn unknown() -> Report {
    Report { status: Some(200), ..Report::failed(Class::Transient, Cause::Malformed) }
}

#[tokio::test]
async fn each_record_has_its_own_fate() {
    let failure = |index: &str, retryable, cause, reason: &str| ItemFailure {
        identifier: index.to_owned(),
        retryable,
        cause,
        reason: Some(reason.to_owned()),
    };
    let failures = vec![
        failure("1", false, Cause::Status(400), "document_parsing_exception: hunter2"),
        failure("2", true, Cause::Overloaded, "busy: "),
    ];
    assert_eq!(reported(ok(SOME)).await, Report::partial(Some(200), failures));
    let item = r#"{"index":{"status":200}}"#;
    let all = ok(&format!(r#"{{"errors":false,"items":[{item},{item},{item}]}}"#));
    assert_eq!(reported(all).await, Report::delivered(Some(200)));
    let busy = r#"{"index":{"status":429,"error":{"type":"es_rejected_execution_exception"}}}"#;
    let none = ok(&format!(r#"{{"errors":true,"items":[{busy},{busy},{busy}]}}"#));
    let throttled = Report::failed(Class::Throttled, Cause::Overloaded);
    assert_eq!(reported(none).await, Report { status: Some(200), ..throttled });
}

#[tokio::test]
async fn what_tells_of_other_records_confirms_none() {
    let item = r#"{"index":{"status":200}}"#;
    for body in ["", "{}", "ok", r#"{"errors":false}"#, &format!(r#"{{"items":[{item},{item}]}}"#)] {
        assert_eq!(reported(ok(body)).await, unknown(), "{body}");
    }
    let long = format!(r#"{{"items":[{item},{item},{item}]{}}}"#, " ".repeat(70_000));
    assert_eq!(reported(ok(&long)).await, unknown(), "more than the answer to three records can be");
}

#[tokio::test]
async fn an_answer_that_breaks_off_confirms_nothing() {
    let item = r#"{"index":{"status":200}}"#;
    let whole = ok(&format!(r#"{{"items":[{item},{item},{item}]}}"#));
    let head = whole.find("\r\n\r\n").unwrap() + 4;
    for end in head..whole.len() {
        let report = reported(whole[..end].to_owned()).await;
        assert!(matches!(report.outcomes, Outcomes::All(adapters::Outcome::Retryable(_))), "{report:?}");
    }
}

#[tokio::test]
async fn statuses_of_requests_mean_what_they_mean() {
    for (status, class) in
        [(429, Class::Throttled), (413, Class::Record), (400, Class::Record), (503, Class::Transient)]
    {
        let body = r#"{"error":{"type":"x"}}"#;
        let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        assert_eq!(reported(answer).await.class, class, "{status}");
    }
}

#[tokio::test]
async fn without_the_setting_or_with_another_the_answer_is_not_read_so() {
    let peer = Peer::answering(ok(SOME).leak()).await;
    for more in [json!({}), json!({"partial-response": true}), json!({"answers": "batch-item-failures"})] {
        assert_eq!(deliver(&peer, more.clone()).await, Report::delivered(Some(200)), "{more}");
    }
    let both = json!({"answers": "elasticsearch-bulk", "partial-response": true});
    assert_eq!(deliver(&peer, both).await.class, Class::Partial);
}

#[tokio::test]
async fn the_log_counts_failures_and_repeats_no_words() {
    let (log, _guard) = Log::start_with(tracing::Level::TRACE);
    assert_eq!(reported(ok(SOME)).await.class, Class::Partial);
    assert_eq!(reported(ok(r#"{"hunter2":1}"#)).await, unknown());
    let lines = log.lines();
    assert!(lines.iter().any(|line| line.contains("2 of 3 records were not processed")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("does not tell what became of each record")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("hunter2")), "{lines:?}");
}
