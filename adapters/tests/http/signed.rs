//! Requests that are signed: what is sent again after a refusal, what never is, and what comes of it.
//!
//! Credentials come from the environment, which a process has one of. So each test runs itself once more, with an environment of
//! its own; see [`as_sender`].

use std::{
    env, fs,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use adapters::{Cause, Class, ItemFailure, Outcome, Outcomes, Report, SharedTarget, TargetConfig, aws_http};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    log::Log,
    peer::{OK, Peer, header, payload},
};

/// False in the test as it was started: then it has been run with credentials, and did well.
fn as_sender(test: &str) -> bool {
    if env::var_os(CHILD).is_some() {
        return true;
    }
    let folder = tempfile::tempdir().unwrap();
    let profile = profile(folder.path());
    let test = format!("signed::{test}");
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture", "--test-threads=1"])
        .env(CHILD, folder.path())
        .env("AWS_CONFIG_FILE", profile)
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env_remove("AWS_PROFILE")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}

const CHILD: &str = "SIGNED_REQUESTS_TEST";

/// A profile whose process hands out key `AKID1` at first, then `AKID2`, and so on.
fn profile(folder: &Path) -> std::path::PathBuf {
    let script = folder.join("keys.sh");
    let text = r#"n=$(($(cat "$1/count" 2>/dev/null || echo 0) + 1)); echo $n > "$1/count"
printf '{"Version":1,"AccessKeyId":"AKID%s","SecretAccessKey":"hunter2","SessionToken":"sessiontoken%s"}' $n $n
"#;
    fs::write(&script, text).unwrap();
    let profile = folder.join("config");
    let process = format!("/bin/sh {} {}", script.display(), folder.display());
    fs::write(&profile, format!("[profile keys]\nregion = eu-west-1\ncredential_process = {process}\n"))
        .unwrap();
    profile
}

/// How often the process was asked for keys.
fn fetches() -> u32 {
    let count = fs::read_to_string(Path::new(&env::var_os(CHILD).unwrap()).join("count"));
    count.map_or(0, |count| count.trim().parse().unwrap())
}

fn target(url: &str, more: Value) -> SharedTarget {
    TargetConfig::AwsApiGateway(config(url, more)).build("orders").unwrap()
}

fn config(url: &str, more: Value) -> aws_http::Config {
    let mut settings = json!({
        "urls": [url],
        "protocol": "HTTP_1_1",
        "health-check": {"enabled": false},
        "call-timeout": 20_000,
        "connect-timeout": 5_000,
        "profile": "keys",
    });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(settings).unwrap()
}

async fn deliver(target: &SharedTarget) -> Report {
    target.deliver(&payload(b"{\"a\":1}")).await
}

fn refusal(kind: &str, body: &str) -> String {
    let date = httpdate::fmt_http_date(SystemTime::now());
    let length = body.len();
    let kind = if kind.is_empty() { String::new() } else { format!("x-amzn-errortype: {kind}\r\n") };
    format!("HTTP/1.1 403 Forbidden\r\n{kind}date: {date}\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn credentials_failed(status: u16) -> Report {
    Report { status: Some(status), ..Report::failed(Class::Credentials, Cause::Unauthorized) }
}

/// What a peer saw of each request.
type Seen = Arc<Mutex<Vec<String>>>;

/// Answers request number `n`, from 0 on, with `answer(n, head)`.
async fn peer(answer: impl Fn(usize, &str) -> String + Send + Sync + 'static) -> (Peer, Seen) {
    let (seen, answer) = (Seen::default(), Arc::new(answer));
    let (heads, number) = (Arc::clone(&seen), Arc::new(AtomicUsize::new(0)));
    let peer = Peer::start(move |_, mut connection| {
        let (heads, answer, number) = (Arc::clone(&heads), Arc::clone(&answer), Arc::clone(&number));
        async move {
            while let Some(request) = connection.request().await {
                heads.lock().unwrap().push(request.head.clone());
                let text = answer(number.fetch_add(1, Ordering::SeqCst), &request.head);
                connection.say(&text).await;
            }
        }
    })
    .await;
    (peer, seen)
}

#[tokio::test]
async fn an_expired_token_is_renewed_and_the_request_sent_once_more() {
    if !as_sender("an_expired_token_is_renewed_and_the_request_sent_once_more") {
        return;
    }
    let (peer, seen) = peer(|_, head| {
        let old = header(head, "authorization").unwrap().contains("AKID1/");
        if old { refusal("ExpiredTokenException", "{}") } else { OK.to_owned() }
    })
    .await;
    let target = target(&peer.url, json!({}));
    for _ in 0..3 {
        assert_eq!(deliver(&target).await, Report::delivered(Some(204)));
    }
    let heads = seen.lock().unwrap().clone();
    assert_eq!((heads.len(), fetches()), (4, 2));
    for (head, number) in heads.iter().zip([1, 2, 2, 2]) {
        let authorization = header(head, "authorization").unwrap();
        let scope = format!("AWS4-HMAC-SHA256 Credential=AKID{number}/");
        assert!(authorization.starts_with(&scope), "{authorization}");
        assert!(authorization.contains("/eu-west-1/execute-api/aws4_request, "), "{authorization}");
        let names = "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, ";
        assert!(authorization.contains(names), "{authorization}");
        assert_eq!(header(head, "x-amz-security-token"), Some(format!("sessiontoken{number}").as_str()));
        assert_eq!(head.matches("uthorization:").count(), 1);
    }
    let stats = &target.endpoints()[0];
    assert_eq!((stats.success, stats.error, stats.queued, stats.repeats), (3, 1, 0, 1));
    assert_eq!(stats.answers, [(204, 3), (403, 1)]);
    assert_eq!((stats.sent_bytes, stats.connections), (4 * 7, 1), "on one connection");
    assert_eq!(target.access().unwrap().fetched, 2);
}

#[tokio::test]
async fn refusals_without_end_are_not_followed_without_end() {
    if !as_sender("refusals_without_end_are_not_followed_without_end") {
        return;
    }
    let (peer, _) = peer(|_, _| refusal("ExpiredTokenException", "{}")).await;
    let target = target(&peer.url, json!({"max-connections-per-endpoint": 8}));
    for _ in 0..5 {
        let reports = join_all((0..8).map(|_| deliver(&target))).await;
        assert!(reports.iter().all(|report| *report == credentials_failed(403)), "{reports:?}");
    }
    assert!(peer.requests() <= 80, "{} requests for 40 calls", peer.requests());
    assert!(fetches() <= 3, "{} fetches within a moment", fetches());
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected_and_the_request_sent_once_more() {
    if !as_sender("a_clock_that_is_off_is_corrected_and_the_request_sent_once_more") {
        return;
    }
    let ahead = Duration::from_secs(7 * 60);
    let (peer, seen) = peer(move |number, _| match number {
        0 => {
            let date = httpdate::fmt_http_date(SystemTime::now() + ahead);
            let body = r#"{"message":"Signature expired: 20150830T123600Z is now earlier than 2015"}"#;
            format!(
                "HTTP/1.1 403 Forbidden\r\nx-amzn-errortype: InvalidSignatureException\r\ndate: {date}\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            )
        }
        _ => OK.to_owned(),
    })
    .await;
    let (log, _guard) = Log::start();
    let target = target(&peer.url, json!({}));
    for _ in 0..2 {
        assert_eq!(deliver(&target).await, Report::delivered(Some(204)));
    }
    assert_eq!((peer.requests(), fetches()), (3, 1), "no credentials were renewed for that");
    let dates: Vec<_> =
        seen.lock().unwrap().iter().map(|head| header(head, "x-amz-date").unwrap().to_owned()).collect();
    let second = |text: &str| {
        let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
        number(9..11) * 3600 + number(11..13) * 60 + number(13..15)
    };
    let later = |date: &str| (second(date) - second(&dates[0])).rem_euclid(86_400);
    assert!((415..=425).contains(&later(&dates[1])), "{dates:?}");
    assert!((415..=425).contains(&later(&dates[2])), "{dates:?}");
    let offset = target.access().unwrap().clock_offset_ms;
    assert!((415_000..=425_000).contains(&offset), "{offset}");
    let lines = log.lines();
    assert!(lines.iter().any(|line| line.contains("WARN") && line.contains("clock is ahead")), "{lines:?}");
}

#[tokio::test]
async fn a_wrong_date_that_stays_is_followed_once() {
    if !as_sender("a_wrong_date_that_stays_is_followed_once") {
        return;
    }
    for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "soon"] {
        let (peer, _) = peer(move |_, _| {
            format!(
                "HTTP/1.1 403 Forbidden\r\nx-amzn-errortype: InvalidSignatureException\r\ndate: {date}\r\n\
                 content-length: 2\r\n\r\n{{}}"
            )
        })
        .await;
        let target = target(&peer.url, json!({}));
        for _ in 0..3 {
            assert_eq!(deliver(&target).await, credentials_failed(403), "{date}");
        }
        assert_eq!(peer.requests(), if date == "soon" { 3 } else { 4 }, "{date}");
    }
}

#[tokio::test]
async fn what_is_not_about_credentials_is_sent_once() {
    if !as_sender("what_is_not_about_credentials_is_sent_once") {
        return;
    }
    let hold = |status| Report { status: Some(status), ..Report::failed(Class::Hold, Cause::Status(status)) };
    let denied =
        refusal("AccessDeniedException", r#"{"message":"User: arn:aws:iam::1:user/u is not authorized"}"#);
    for (answer, expected) in [
        (denied, hold(403)),
        (refusal("MissingAuthenticationTokenException", "{}"), hold(403)),
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_owned(), credentials_failed(401)),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(), hold(404)),
    ] {
        let text = answer.clone();
        let (peer, _) = peer(move |_, _| text.clone()).await;
        assert_eq!(deliver(&target(&peer.url, json!({}))).await, expected, "{answer}");
        assert_eq!(peer.requests(), 1, "{answer}");
    }
    // An HTTP API says the same of keys that were exchanged: once more with others, and that is not about records either.
    let (peer, _) = peer(|_, _| refusal("", r#"{"message":"Forbidden"}"#)).await;
    let target = target(&peer.url, json!({}));
    assert_eq!(deliver(&target).await, hold(403));
    assert_eq!((peer.requests(), fetches()), (2, 6), "one session for each target, and one more");
    assert_eq!(deliver(&target).await, hold(403));
    assert_eq!(peer.requests(), 3, "it was asked for a moment ago");
}

#[tokio::test]
async fn what_may_have_been_processed_is_never_sent_again() {
    if !as_sender("what_may_have_been_processed_is_never_sent_again") {
        return;
    }
    // A new connection each, as a peer that closes an idle one is another matter.
    let peer = Peer::start(|_, mut connection| async move {
        connection.request().await;
    })
    .await;
    let unreachable = Report::failed(Class::Transient, Cause::Unreachable);
    assert_eq!(deliver(&target(&peer.url, json!({}))).await, unreachable);
    assert_eq!(peer.requests(), 1);

    // Refused, renewed, and then the connection breaks: that is the end of it.
    let peer = Peer::start(|_, mut connection| async move {
        connection.request().await;
        connection.say(&refusal("ExpiredTokenException", "{}")).await;
        connection.request().await;
        connection.say("HTTP/1.1 2").await;
    })
    .await;
    assert_eq!(deliver(&target(&peer.url, json!({}))).await, unreachable);
    assert_eq!(peer.requests(), 2);

    // Half a refusal says too little to send again.
    let peer = Peer::start(|_, mut connection| async move {
        connection.request().await;
        connection
            .say("HTTP/1.1 403 Forbidden\r\nx-amzn-errortype: AccessDenied\r\ncontent-length: 10\r\n\r\nhalf")
            .await;
    })
    .await;
    let report = deliver(&target(&peer.url, json!({}))).await;
    assert_eq!((report.class, peer.requests()), (Class::Hold, 1));
}

#[tokio::test]
async fn one_deadline_holds_for_both_attempts() {
    if !as_sender("one_deadline_holds_for_both_attempts") {
        return;
    }
    let peer = Peer::start(|_, mut connection| async move {
        connection.request().await;
        connection.say(&refusal("ExpiredTokenException", "{}")).await;
        connection.request().await;
        connection.closed().await;
    })
    .await;
    let target = target(&peer.url, json!({"call-timeout": 1500}));
    let begin = Instant::now();
    assert_eq!(deliver(&target).await, Report::failed(Class::Transient, Cause::Timeout));
    assert_eq!(peer.requests(), 2);
    assert!(begin.elapsed() < Duration::from_millis(2900), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn without_credentials_nothing_is_sent() {
    if !as_sender("without_credentials_nothing_is_sent") {
        return;
    }
    let (peer, _) = peer(|_, _| OK.to_owned()).await;
    let (log, _guard) = Log::start();
    let target = target(&peer.url, json!({"profile": "nobody"}));
    let expected = Report::failed(Class::Credentials, Cause::Unauthorized);
    assert_eq!(deliver(&target).await, expected);
    assert_eq!((peer.requests(), peer.accepted()), (0, 0));
    let lines = log.lines();
    assert!(lines.iter().any(|line| line.contains("no AWS credentials from profile nobody")), "{lines:?}");
    let failure = target.probe().await.unwrap_err();
    assert_eq!(failure.missing, "credentials");
}

#[tokio::test]
async fn an_operator_is_told_what_to_do_and_no_secret() {
    if !as_sender("an_operator_is_told_what_to_do_and_no_secret") {
        return;
    }
    let echo = r#"{"message":"The Canonical String should have been 'POST /hook x-amz-security-token:sessiontoken1'"}"#;
    let denied =
        r#"{"message":"User: arn:aws:iam::1:user/u is not authorized to perform: execute-api:Invoke"}"#;
    for (kind, body, expected) in [
        ("InvalidSignatureException", echo, "InvalidSignatureException; the secret key is another one"),
        (
            "AccessDeniedException",
            denied,
            "perform: execute-api:Invoke); allow `execute-api:Invoke` on this API",
        ),
        ("", r#"{"message":"value of a bin"}"#, "it does not say why; allow `execute-api:Invoke`"),
    ] {
        let text = refusal(kind, body);
        let (peer, _) = peer(move |_, _| text.clone()).await;
        let (log, guard) = Log::start_with(tracing::Level::TRACE);
        let target = target(&peer.url, json!({}));
        assert_eq!(deliver(&target).await.status, Some(403));
        drop(guard);
        let lines = log.lines();
        let told: Vec<_> = lines.iter().filter(|line| line.contains("request failed")).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("status 403 Forbidden for 1 record: ") && told[0].contains(expected),
            "{told:?}"
        );
        for secret in ["hunter2", "sessiontoken", "value of a bin", "Signature="] {
            let leaks: Vec<_> = lines.iter().filter(|line| line.contains(secret)).collect();
            assert!(leaks.is_empty(), "{secret}: {leaks:?}");
        }
    }
}

#[tokio::test]
async fn the_operators_lists_do_not_turn_expiry_into_a_fault_of_the_record() {
    if !as_sender("the_operators_lists_do_not_turn_expiry_into_a_fault_of_the_record") {
        return;
    }
    let (peer, _) = peer(|number, _| match number {
        0 | 1 => refusal("ExpiredTokenException", "{}"),
        _ => refusal("AccessDeniedException", "{}"),
    })
    .await;
    let target = target(&peer.url, json!({"reject-on": [403]}));
    assert_eq!(deliver(&target).await, credentials_failed(403));
    let rejected = Report::failed(Class::Record, Cause::Status(403));
    assert_eq!(deliver(&target).await, rejected);
}

#[tokio::test]
async fn named_records_failed_and_the_rest_is_done() {
    if !as_sender("named_records_failed_and_the_rest_is_done") {
        return;
    }
    let body = r#"{"batchItemFailures":[{"itemIdentifier":"0","retryable":false,"reason":"no"}]}"#;
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (peer, _) = peer(move |_, _| answer.clone()).await;
    let failure = ItemFailure {
        identifier: "0".to_owned(),
        retryable: false,
        cause: Cause::FunctionError,
        reason: Some("no".to_owned()),
    };
    let on = target(&peer.url, json!({"partial-response": true}));
    assert_eq!(deliver(&on).await, Report::partial(Some(200), vec![failure]));
    let off = target(&peer.url, json!({"partial-response": false}));
    assert_eq!(deliver(&off).await.outcomes, Outcomes::All(Outcome::Delivered));
}

#[tokio::test]
async fn a_probe_tells_what_is_missing() {
    if !as_sender("a_probe_tells_what_is_missing") {
        return;
    }
    for (answer, expected) in [
        (OK.to_owned(), Ok("answers 204 No Content: taken")),
        ("HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n".to_owned(), Ok("who sends is accepted")),
        ("HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n".to_owned(), Ok("who sends is accepted")),
        ("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".to_owned(), Err(("address", "404"))),
        (refusal("AccessDeniedException", "{}"), Err(("permission", "execute-api:Invoke"))),
        (refusal("UnrecognizedClientException", "{}"), Err(("credentials", "renew"))),
        (
            refusal(
                "InvalidSignatureException",
                r#"{"message":"Credential should be scoped to a valid region"}"#,
            ),
            Err(("region", "region eu-west-1 and service execute-api")),
        ),
    ] {
        let text = answer.clone();
        let (peer, seen) = peer(move |_, _| text.clone()).await;
        let result = target(&peer.url, json!({})).probe().await;
        match (result, expected) {
            (Ok(found), Ok(words)) => assert!(found.contains(words), "{found}"),
            (Err(failure), Err((missing, words))) => {
                assert_eq!(failure.missing, missing, "{failure}");
                assert!(failure.found.contains(words), "{failure}");
                assert!(!failure.found.contains("x=1"), "a query may hold a key: {failure}");
            }
            (result, expected) => panic!("{result:?} instead of {expected:?}"),
        }
        let head = seen.lock().unwrap()[0].clone();
        assert!(head.starts_with("POST /hook?x=1 "), "{head}");
        assert_eq!(header(&head, "esp-connector-probe"), Some("1"));
        assert_eq!(header(&head, "content-length"), Some("0"));
        assert!(header(&head, "authorization").unwrap().starts_with("AWS4-HMAC-SHA256 "));
    }
    let failure = target("http://127.0.0.1:1/", json!({})).probe().await.unwrap_err();
    assert_eq!(failure.missing, "connection");
}

#[test]
fn settings_at_fault_are_named() {
    for (url, more, key) in [
        ("https://a.execute-api.eu-west-1.amazonaws.com/", json!({"region": "us-east-1"}), "region"),
        ("https://a/", json!({"region": "Europe"}), "region"),
        ("https://a/?q=a+b", json!({}), "urls[0]"),
        ("https://a/%zz", json!({}), "urls[0]"),
        ("https://a/", json!({"service": ""}), "service"),
        ("https://a/", json!({"headers": {"Authorization": "Basic x"}}), "headers.authorization"),
        ("https://a/", json!({"headers": {"X-Amz-Date": "x"}}), "headers.x-amz-date"),
        ("https://a/", json!({"headers": {"x-amz-meta": "é"}}), "headers.x-amz-meta"),
        ("https://a/", json!({"retry-on": [200]}), "retry-on"),
        ("https://a/", json!({"reject-on": [409], "retry-on": [409]}), "retry-on"),
    ] {
        for build in [TargetConfig::AwsApiGateway, TargetConfig::AwsFunctionUrl] {
            let error = build(config(url, more.clone())).build("orders").unwrap_err();
            assert_eq!(error.key, key, "{error}");
        }
    }
    let limits = |more| {
        let target = TargetConfig::AwsFunctionUrl(config("https://a/", more)).build("orders").unwrap();
        let start = target.concurrency_start().get();
        (target.body_bytes_max("application/json"), target.body_bytes_max("avro/binary"), start)
    };
    assert_eq!(limits(json!({"max-connections-per-endpoint": 16})), (4 << 20, 3 << 20, 8));
    assert_eq!(limits(json!({"max-request-bytes": 1000})), (1000, 1000, 1));
}
