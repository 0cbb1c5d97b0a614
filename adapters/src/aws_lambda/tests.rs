//! The whole adapter against a scripted Lambda API on loopback: the SDK, its signatures and its errors are real.

use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use serde_json::{Value, json};

use self::peer::{Answer, Peer, Seen, error, ok};
use super::*;
use crate::{ItemFailure, Outcome, Outcomes, credentials::scripted::Sessions};

mod peer;
mod probe;
mod secrets;

/// A function whose API is `peer`.
fn target(peer: &Peer, sessions: &Sessions, more: Value) -> AwsLambda {
    at(&peer.url, sessions, more)
}

fn at(url: &str, sessions: &Sessions, more: Value) -> AwsLambda {
    let mut settings = json!({"function-name": "orders", "endpoint-url": url});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut target = AwsLambda::new("orders", serde_json::from_value(settings).unwrap()).unwrap();
    target.credentials = sessions.credentials();
    target
}

fn refused(settings: Value) -> BuildError {
    AwsLambda::new("orders", serde_json::from_value(settings).unwrap()).unwrap_err()
}

fn payload(body: &'static [u8]) -> Payload {
    let count = NonZeroUsize::MIN.saturating_add(2);
    Payload { body: Bytes::from_static(body), content_type: "application/json".into(), count, request: None }
}

/// One delivery to a peer that answers like this.
async fn answered(answer: Answer) -> Report {
    let peer = Peer::start(&[answer]).await;
    let target = target(&peer, &Sessions::new(&["a"]), json!({}));
    let report = target.deliver(&payload(b"[1,2,3]")).await;
    assert_eq!(peer.seen().len(), 1, "one attempt is one call");
    report
}

#[tokio::test]
async fn a_call_is_what_the_api_documents() {
    let peer = Peer::start(&[ok("null")]).await;
    let sessions = Sessions::new(&["a"]);
    let settings = json!({"function-name": "arn:aws:lambda:eu-west-1:123456789012:function:orders", "qualifier": "live",
                          "headers": {"X-Team": "t"}});
    let target = target(&peer, &sessions, settings);
    assert_eq!(target.deliver(&payload(b"[1,2,3]")).await, Report::delivered(Some(200)));
    {
        let seen = peer.seen();
        let path = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Aorders/invocations";
        assert_eq!(seen[0].head.uri.to_string(), format!("{path}?Qualifier=live"));
        assert_eq!(seen[0].header("x-amz-invocation-type"), Some("RequestResponse"));
        assert_eq!(seen[0].header("x-amz-security-token"), Some("token-of-a"));
        let authorization = seen[0].header("authorization").unwrap();
        assert!(authorization.contains("/eu-west-1/lambda/aws4_request"), "{authorization}");
        let event: Value = serde_json::from_slice(&seen[0].body).unwrap();
        assert_eq!(event["body"], "[1,2,3]");
        assert_eq!(event["headers"]["x-team"], "t");
        assert_eq!(event["headers"]["host"], peer.url.trim_start_matches("http://"));
        assert_eq!(event["requestContext"]["accountId"], "123456789012");
    }
    // Many calls, one fetch.
    for _ in 0..20 {
        assert_eq!(target.deliver(&payload(b"[]")).await.class, Class::Done);
    }
    assert_eq!(sessions.fetches.load(SeqCst), 1);
    let stats = &target.endpoints()[0];
    assert_eq!((stats.success, stats.error, stats.queued), (21, 0, 0));
    assert_eq!(stats.endpoint, peer.url.trim_start_matches("http://"));
    let ids: std::collections::HashSet<_> = peer
        .seen()
        .iter()
        .map(|seen| {
            serde_json::from_slice::<Value>(&seen.body).unwrap()["requestContext"]["requestId"].to_string()
        })
        .collect();
    assert_eq!(ids.len(), 21);
}

#[tokio::test]
async fn a_function_that_fails_has_processed_nothing() {
    let fault =
        ok(r#"{"errorType":"KeyError","errorMessage":"x"}"#).with("x-amz-function-error", "Unhandled");
    let report = answered(fault).await;
    assert_eq!(
        report,
        Report { status: Some(200), ..Report::failed(Class::Transient, Cause::FunctionError) }
    );
    // Its payload is not searched for anything that confirms.
    let fault = ok(r#"{"batchItemFailures":[]}"#).with("x-amz-function-error", "Handled");
    assert_eq!(answered(fault).await.class, Class::Transient);
}

#[tokio::test]
async fn a_function_may_name_what_failed() {
    let report =
        answered(ok(r#"{"batchItemFailures":[{"itemIdentifier":"2","retryable":false,"reason":"no"}]}"#))
            .await;
    let failure = ItemFailure {
        identifier: "2".to_owned(),
        retryable: false,
        cause: Cause::FunctionError,
        reason: Some("no".to_owned()),
    };
    assert_eq!(report, Report::partial(Some(200), vec![failure]));
    let proxy = json!({"statusCode": 422, "body": "no"}).to_string();
    let report = answered(ok(&proxy)).await;
    assert_eq!((report.class, report.status), (Class::Record, Some(422)));
}

#[tokio::test]
async fn errors_of_the_api_as_the_sdk_reads_them() {
    for (status, code, class) in [
        (404, "ResourceNotFoundException", Class::Hold),
        (403, "AccessDeniedException", Class::Hold),
        (409, "ResourceConflictException:http://internal.amazon.com/coral/", Class::Transient),
        (413, "RequestTooLargeException", Class::Record),
        (400, "InvalidRequestContentException", Class::Record),
        (500, "ServiceException", Class::Transient),
        (502, "KMSDisabledException", Class::Transient),
        (503, "ServiceUnavailableException", Class::Transient),
        (418, "UnheardOfException", Class::Hold),
    ] {
        let report = answered(error(status, code, "m")).await;
        assert_eq!((report.class, report.status), (class, Some(status)), "{code}");
    }
    let limited = error(429, "TooManyRequestsException", "Rate Exceeded.").with("retry-after", "3");
    let report = answered(limited).await;
    assert_eq!((report.class, report.retry_after), (Class::Throttled, Some(Duration::from_secs(3))));
    // A page of a proxy.
    let page = Answer::Say(502, vec![("content-type", "text/html".to_owned())], "<html>".to_owned());
    assert_eq!(answered(page).await.class, Class::Transient);
    let page = Answer::Say(400, vec![("content-type", "text/html".to_owned())], "<html>".to_owned());
    assert_eq!(answered(page).await.class, Class::Hold, "no record is blamed for it");
    let page = Answer::Say(302, vec![("location", "http://127.0.0.1:9/".to_owned())], String::new());
    assert_eq!(answered(page).await.class, Class::Hold, "redirects are not followed");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_not_waited_for() {
    let peer = Peer::start(&[Answer::Silence]).await;
    let target = target(&peer, &Sessions::new(&["a"]), json!({"call-timeout": 50}));
    let report = target.deliver(&payload(b"[]")).await;
    assert_eq!(report, Report::failed(Class::Transient, Cause::Timeout));
    assert_eq!((target.endpoints()[0].error, target.endpoints()[0].queued), (1, 0));
}

#[tokio::test]
async fn connections_that_fail_are_told_apart_from_answers() {
    let report = answered(Answer::HangUp).await;
    assert_eq!(report, Report::failed(Class::Transient, Cause::Unreachable));
    // What is missing may have told of failures.
    for status in [200, 413] {
        assert_eq!(answered(Answer::Cut(status)).await, Report::failed(Class::Transient, Cause::Unreachable));
    }
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let target = at(&format!("http://{free}"), &Sessions::new(&["a"]), json!({}));
    assert_eq!(target.deliver(&payload(b"[]")).await, Report::failed(Class::Transient, Cause::Unreachable));
}

#[tokio::test]
async fn an_ended_session_is_replaced_once_and_the_call_made_again() {
    let peer = Peer::start(&[error(403, "ExpiredTokenException", "expired"), ok("{}")]).await;
    let sessions = Sessions::new(&["a", "b"]);
    let target = target(&peer, &sessions, json!({}));
    assert_eq!(target.deliver(&payload(b"[]")).await.class, Class::Done);
    let keys: Vec<_> = peer.seen().iter().map(|seen| seen.key().to_owned()).collect();
    assert_eq!(keys, ["a", "b"]);
    let id = |index: usize| {
        serde_json::from_slice::<Value>(&peer.seen()[index].body).unwrap()["requestContext"]["requestId"]
            .clone()
    };
    assert_eq!(id(0), id(1), "one attempt has one id");
    let stats = &target.endpoints()[0];
    assert_eq!((stats.success, stats.error), (1, 0));
    assert_eq!(target.access().unwrap().fetched, 2);
}

#[tokio::test]
async fn who_hears_late_that_its_session_ended_uses_the_new_one() {
    let expired = error(403, "ExpiredTokenException", "expired");
    let may = Arc::new(tokio::sync::Notify::new());
    let late = Answer::Held(Arc::clone(&may), Box::new(expired.clone()));
    let peer = Peer::start(&[late, expired, ok("{}")]).await;
    let sessions = Sessions::new(&["a", "b", "c"]);
    let target = Arc::new(target(&peer, &sessions, json!({})));
    let first = tokio::spawn({
        let target = Arc::clone(&target);
        async move { target.deliver(&payload(b"[1,2,3]")).await }
    });
    while peer.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(target.deliver(&payload(b"[4,5,6]")).await.class, Class::Done, "after a renewal");
    may.notify_one();
    assert_eq!(first.await.unwrap().class, Class::Done, "that renewal serves this one too");
    assert_eq!(sessions.fetches.load(SeqCst), 2);
    assert_eq!(peer.seen().iter().map(Seen::key).collect::<Vec<_>>(), ["a", "a", "b", "b"]);
}

#[tokio::test]
async fn credentials_that_stay_refused_need_an_operator() {
    let peer = Peer::start(&[error(403, "UnrecognizedClientException", "no")]).await;
    let sessions = Sessions::new(&["a", "b"]);
    let target = target(&peer, &sessions, json!({}));
    let report = target.deliver(&payload(b"[]")).await;
    assert_eq!(
        report,
        Report { status: Some(403), ..Report::failed(Class::Credentials, Cause::Unauthorized) }
    );
    assert_eq!(peer.seen().len(), 2, "once more, and not for ever");
    // The source has been asked a moment ago.
    for _ in 0..20 {
        assert_eq!(target.deliver(&payload(b"[]")).await.class, Class::Credentials);
    }
    assert_eq!(sessions.fetches.load(SeqCst), 2);
    assert_eq!(peer.seen().len(), 22);
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_by_the_peers() {
    let ahead = SystemTime::now() + Duration::from_secs(7 * 60);
    let date = httpdate::fmt_http_date(ahead);
    let peer = Peer::start(&[
        error(403, "InvalidSignatureException", "Signature expired").with("date", date.clone()),
        ok("{}").with("date", date),
    ])
    .await;
    let sessions = Sessions::new(&["a", "b"]);
    let target = target(&peer, &sessions, json!({}));
    assert_eq!(target.deliver(&payload(b"[]")).await.class, Class::Done);
    let signed = |index: usize| peer.seen()[index].header("x-amz-date").unwrap().to_owned();
    // 20261121T120000Z and so on: such texts sort as the times do.
    assert!(signed(0) < signed(1), "{} {}", signed(0), signed(1));
    assert_eq!(sessions.fetches.load(SeqCst), 1, "there is nothing wrong with the credentials");
    let offset_ms = target.access().unwrap().clock_offset_ms;
    assert!((415_000..=425_000).contains(&offset_ms), "{offset_ms}");
}

#[tokio::test]
async fn a_peer_that_cannot_tell_the_time_is_not_followed_for_ever() {
    let at = |now: SystemTime| {
        error(403, "InvalidSignatureException", "Signature expired")
            .with("date", httpdate::fmt_http_date(now))
    };
    let (now, far) = (SystemTime::now(), Duration::from_secs(600));
    let peer = Peer::start(&[at(now + far), at(now - far), at(now + far), ok("{}")]).await;
    let target = target(&peer, &Sessions::new(&["a"]), json!({}));
    assert_eq!(target.deliver(&payload(b"[]")).await.class, Class::Credentials);
    assert_eq!(peer.seen().len(), 2);
}

#[tokio::test]
async fn a_bad_signature_at_the_right_time_is_about_the_key() {
    let peer = Peer::start(&[error(403, "InvalidSignatureException", "no match"), ok("{}")]).await;
    let sessions = Sessions::new(&["a", "b"]);
    let target = target(&peer, &sessions, json!({}));
    assert_eq!(target.deliver(&payload(b"[]")).await.class, Class::Done);
    assert_eq!(peer.seen()[1].key(), "b");
}

#[tokio::test]
async fn without_credentials_or_region_nothing_is_sent() {
    let peer = Peer::start(&[ok("{}")]).await;
    for sessions in [Sessions::new(&[]), Sessions::new(&["a"]).without_region()] {
        let target = target(&peer, &sessions, json!({}));
        let report = target.deliver(&payload(b"[]")).await;
        assert_eq!(report, Report::failed(Class::Credentials, Cause::Unauthorized));
        let stats = &target.endpoints()[0];
        assert_eq!((stats.success, stats.error), (0, 0));
    }
    assert!(peer.seen().is_empty());
}

#[tokio::test]
async fn event_invocations_are_confirmed_by_the_queue() {
    let peer = Peer::start(&[Answer::Say(202, vec![], String::new())]).await;
    let target = target(&peer, &Sessions::new(&["a"]), json!({"invocation-type": "Event"}));
    assert_eq!(target.deliver(&payload(b"[]")).await, Report::delivered(Some(202)));
    assert_eq!(peer.seen()[0].header("x-amz-invocation-type"), Some("Event"));
    assert_eq!(target.body_bytes_max("application/json"), 900_000);
    assert_eq!(target.body_bytes_max("avro/binary"), 675_000);
}

#[tokio::test]
async fn a_raw_payload_is_the_body_itself() {
    let peer = Peer::start(&[ok(r#"{"batchItemFailures":[{"itemIdentifier":"0"}]}"#)]).await;
    let target = target(&peer, &Sessions::new(&["a"]), json!({"payload": "raw"}));
    assert_eq!(target.deliver(&payload(b"[1, 2]")).await.class, Class::Partial);
    assert_eq!(peer.seen()[0].body, "[1, 2]");
    let lines = Payload { content_type: "application/x-ndjson".into(), ..payload(b"1\n2\n") };
    assert_eq!(target.deliver(&lines).await, Report::failed(Class::Hold, Cause::Malformed));
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test]
async fn what_is_too_large_is_not_sent() {
    let peer = Peer::start(&[ok("{}")]).await;
    for (kind, most) in [("RequestResponse", 6 * 1024 * 1024), ("Event", 1024 * 1024)] {
        let target = target(&peer, &Sessions::new(&["a"]), json!({"invocation-type": kind}));
        // Each quote becomes two bytes: the body alone would do.
        let quotes = Payload { body: vec![b'"'; most / 2].into(), ..payload(b"") };
        let report = target.deliver(&quotes).await;
        assert_eq!(report.outcomes, Outcomes::All(Outcome::Rejected(Cause::TooLarge)), "{kind}");
        assert_eq!(report.class, Class::Record);
        assert!(peer.seen().is_empty());
    }
    let target = target(&peer, &Sessions::new(&["a"]), json!({}));
    let large = Payload { body: vec![b'x'; target.body_bytes_max("text/plain")].into(), ..payload(b"") };
    assert_eq!(target.deliver(&large).await.class, Class::Done);
    let noise = Payload { body: vec![b'\xff'; target.body_bytes_max("avro/binary")].into(), ..payload(b"") };
    assert_eq!(target.deliver(&noise).await.class, Class::Done);
}

#[tokio::test]
async fn compressed_bodies_are_worth_it_from_a_size_on() {
    let peer = Peer::start(&[ok("{}")]).await;
    let settings = json!({"compression": "gzip", "compression-threshold": 10});
    let target = target(&peer, &Sessions::new(&["a"]), settings);
    for body in [&b"[1]"[..], b"[1,1,1,1,1,1,1,1,1,1]"] {
        assert_eq!(target.deliver(&payload(body)).await.class, Class::Done);
    }
    let event = |index: usize| serde_json::from_slice::<Value>(&peer.seen()[index].body).unwrap();
    assert_eq!(event(0)["isBase64Encoded"], false);
    assert_eq!(event(1)["headers"]["content-encoding"], "gzip");
    assert_eq!(target.body_bytes_max("application/json"), 3 * 1024 * 1024);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders";
    for (key, settings) in [
        ("function-name", json!({"function-name": "or ders"})),
        ("qualifier", json!({"function-name": "orders:live", "qualifier": "7"})),
        ("region", json!({"function-name": arn, "region": "us-east-1"})),
        ("endpoint-url", json!({"function-name": "orders", "endpoint-url": "lambda.local"})),
        ("compression", json!({"function-name": "orders", "payload": "raw", "compression": "gzip"})),
        ("headers", json!({"function-name": "orders", "payload": "raw", "headers": {"a": "b"}})),
        ("max-request-bytes", json!({"function-name": "orders", "max-request-bytes": 6_291_456})),
        (
            "max-request-bytes",
            json!({"function-name": "orders", "invocation-type": "Event", "max-request-bytes": 2_000_000}),
        ),
        ("call-timeout", json!({"function-name": "orders", "call-timeout": 0})),
        ("reject-on", json!({"function-name": "orders", "reject-on": [200]})),
    ] {
        let error = refused(settings);
        assert_eq!(error.key, key, "{error}");
    }
}

#[test]
fn limits_and_the_region_follow_the_settings() {
    let built =
        |settings: Value| AwsLambda::new("orders", serde_json::from_value(settings).unwrap()).unwrap();
    let plain = built(json!({"function-name": "orders"}));
    assert_eq!(plain.body_bytes_max("application/json"), 4 * 1024 * 1024);
    assert_eq!(plain.body_bytes_max("application/x-ndjson"), 3 * 1024 * 1024);
    assert_eq!((plain.concurrency().get(), plain.concurrency_start().get()), (1000, 8));
    assert_eq!(built(json!({"function-name": "o", "max-request-bytes": 7})).body_bytes_max("text/plain"), 7);
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders";
    let function = Function::new(arn, None).unwrap();
    assert_eq!(
        regional(credentials::Config::default(), &function).unwrap().region.as_deref(),
        Some("eu-west-1")
    );
}
