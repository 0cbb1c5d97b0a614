//! Signatures judged by another implementation: a receiver that signs what it got again, with botocore.

use std::{
    env,
    io::{BufRead, BufReader},
    num::NonZeroUsize,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use adapters::{Class, Payload, Report, SharedTarget, TargetConfig, aws_http};
use bytes::Bytes;
use e2e::{chains::Chains, repository};
use serde_json::{Value, json};

use crate::python;

const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    ("AWS_SESSION_TOKEN", "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTw=="),
];

/// Paths and queries that signers are known to disagree on.
const ADDRESSES: [&str; 10] = [
    "/",
    "/prod/cn?a=1",
    "/a%20b/%E2%82%AC/~x/-._",
    "/a%2Fb/%252F",
    "//twice//",
    "/.a/..b/c./...",
    "/?b=2&a=1&a=0&A=3",
    "/?empty=&none&=value",
    "/?q=a%20b%2Bc%26d%3D%E2%82%AC~/:@",
    "/arn%3Aaws%3Alambda/(x)'!*$,;",
];

/// A judge that ends with the test.
struct Judge {
    process: Child,
    /// Its end tells the judge to end.
    _stdin: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    ports: Value,
}

impl Judge {
    fn start(python: &Path, chains: &Chains, service: &str, ahead_seconds: i64) -> Self {
        let mut process = Command::new(python)
            .arg(repository().join("tests/sigv4/judge.py"))
            .args([chains.path("judge.pem"), chains.path("judge.key")])
            .args(["eu-west-1", service, &ahead_seconds.to_string()])
            .envs(KEYS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ports = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        Self { _stdin: process.stdin.take(), process, lines, ports }
    }

    fn urls(&self) -> [String; 2] {
        [
            format!("https://localhost:{}", self.ports["tls"]),
            format!("http://127.0.0.1:{}", self.ports["plain"]),
        ]
    }

    /// What it said of the next request.
    fn verdict(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// True in a process that has the keys in its environment; a test runs itself once more to be there.
fn has_keys(test: &str, more: &[(&str, &str)]) -> bool {
    if env::var_os("SIGV4_TEST").is_some() {
        return true;
    }
    let test = format!("sigv4::{test}");
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture"])
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_REGION")
        .envs([("AWS_CONFIG_FILE", "/nowhere"), ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")])
        .envs([("SIGV4_TEST", "1"), ("AWS_EC2_METADATA_DISABLED", "true")])
        .envs(KEYS)
        .envs(more.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    // A skipped test says so, here too.
    for line in text.lines().filter(|line| line.contains("SKIPPED")) {
        println!("{line}");
    }
    false
}

fn judge(ahead_seconds: i64) -> Option<(Judge, Chains)> {
    judge_of("execute-api", ahead_seconds)
}

fn judge_of(service: &str, ahead_seconds: i64) -> Option<(Judge, Chains)> {
    let python = python::with_signer()?;
    let chains = Chains::new()?;
    chains.issue("judge", "subjectAltName=DNS:localhost");
    Some((Judge::start(&python, &chains, service, ahead_seconds), chains))
}

fn target(url: &str, chains: &Chains, more: Value) -> SharedTarget {
    build(TargetConfig::AwsApiGateway, url, chains, more)
}

fn build(
    kind: fn(aws_http::Config) -> TargetConfig,
    url: &str,
    chains: &Chains,
    more: Value,
) -> SharedTarget {
    let mut settings = json!({
        "urls": [url],
        "region": "eu-west-1",
        "tls": {"ca-file": chains.path("ca.pem")},
        "health-check": {"enabled": false},
        "call-timeout": 20_000,
        "connect-timeout": 5_000,
    });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    kind(serde_json::from_value(settings).unwrap()).build("judged").unwrap()
}

async fn deliver(target: &SharedTarget, body: Bytes) -> Report {
    let payload =
        Payload { body, content_type: "application/json".into(), count: NonZeroUsize::MIN, request: None };
    target.deliver(&payload).await
}

#[tokio::test]
async fn another_implementation_agrees_with_every_signature() {
    if !has_keys("another_implementation_agrees_with_every_signature", &[]) {
        return;
    }
    let Some((mut judge, chains)) = judge(0) else { return };
    let bodies: [Bytes; 3] =
        [Bytes::new(), Bytes::from_static("{\"a\":\"é\"}".as_bytes()), vec![b'x'; 6 * 1024 * 1024].into()];
    let headers = json!({"x-amz-meta": "runs   of    spaces ", "X-Tenant": "t", "traceparent": "00-1-2-01"});
    for url in judge.urls() {
        for (protocol, version) in [("HTTP_1_1", "1.1"), ("HTTP_2", "2")] {
            for (number, address) in ADDRESSES.iter().enumerate() {
                let settings = json!({"protocol": protocol, "headers": headers});
                let target = target(&format!("{url}{address}"), &chains, settings);
                let body = bodies[number % bodies.len()].clone();
                let length = body.len();
                let report = deliver(&target, body).await;
                // Without an answer there may be no verdict to wait for.
                assert!(report.status.is_some(), "{protocol} {url}{address}, {length} bytes: {report:?}");
                let verdict = judge.verdict();
                assert_eq!(verdict["faults"], json!([]), "{url}{address}: {verdict:#}");
                assert_eq!(verdict["path"], address.split('?').next().unwrap());
                assert_eq!((&verdict["http"], &verdict["bytes"]), (&json!(version), &json!(length)));
                assert_eq!(verdict["tls"], url.starts_with("https"));
                assert_eq!(report, Report::delivered(Some(200)));
            }
        }
    }
}

#[tokio::test]
async fn requests_to_opensearch_are_signed_with_the_hash_of_their_body() {
    if !has_keys("requests_to_opensearch_are_signed_with_the_hash_of_their_body", &[]) {
        return;
    }
    for service in ["es", "aoss"] {
        let Some((mut judge, chains)) = judge_of(service, 0) else { return };
        let more = if service == "es" { json!({}) } else { json!({"service": "aoss"}) };
        let url = format!("{}/_bulk?filter_path=errors,items.*.status", judge.urls()[0]);
        let target = build(TargetConfig::AwsOpensearch, &url, &chains, more);
        let body = Bytes::from_static(b"{\"delete\":{\"_id\":\"1\"}}\n");
        assert_eq!(deliver(&target, body).await, Report::delivered(Some(200)));
        let verdict = judge.verdict();
        assert_eq!(verdict["faults"], json!([]), "{verdict:#}");
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"{\"delete\":{\"_id\":\"1\"}}\n");
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(verdict["content_sha256"], json!([hash]), "serverless collections demand it");
    }
}

#[tokio::test]
async fn compressed_bodies_and_other_hosts_are_signed_as_they_are_sent() {
    if !has_keys("compressed_bodies_and_other_hosts_are_signed_as_they_are_sent", &[]) {
        return;
    }
    let Some((mut judge, chains)) = judge(0) else { return };
    let url = judge.urls()[1].clone();
    for protocol in ["HTTP_1_1", "HTTP_2"] {
        let gzip = json!({
            "protocol": protocol,
            "compression": "gzip",
            "headers": {"Host": "api.example:8443", "Content-Type": "application/json;  charset=utf-8"},
        });
        let report = deliver(&target(&url, &chains, gzip), vec![b'x'; 100_000].into()).await;
        let verdict = judge.verdict();
        assert_eq!(verdict["faults"], json!([]), "{verdict:#}");
        assert!(verdict["bytes"].as_u64().unwrap() < 10_000);
        assert_eq!(report, Report::delivered(Some(200)));
    }
}

#[tokio::test]
async fn a_receiver_seven_minutes_ahead_or_behind_is_followed() {
    if !has_keys("a_receiver_seven_minutes_ahead_or_behind_is_followed", &[]) {
        return;
    }
    for ahead in [420, -420] {
        let Some((mut judge, chains)) = judge(ahead) else { return };
        let target = target(&judge.urls()[0], &chains, json!({}));
        for _ in 0..2 {
            assert_eq!(deliver(&target, Bytes::from_static(b"{}")).await, Report::delivered(Some(200)));
        }
        let refusals =
            [judge.verdict(), judge.verdict(), judge.verdict()].map(|verdict| verdict["faults"].clone());
        assert!(refusals[0][0].as_str().unwrap().starts_with("Signature "), "{refusals:?}");
        assert_eq!(refusals[1..], [json!([]), json!([])]);
        let offset = target.access().unwrap().clock_offset_ms;
        assert!((offset - ahead * 1000).abs() < 5_000, "{offset}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_seen() {
    let wrong = [("AWS_SECRET_ACCESS_KEY", "of somebody else")];
    if !has_keys("what_is_wrong_is_seen", &wrong) {
        return;
    }
    let Some((mut judge, chains)) = judge(0) else { return };
    let url = judge.urls()[0].clone();
    for (settings, fault) in [
        (json!({}), "The Canonical String for this request should have been"),
        (json!({"region": "us-east-1"}), "Credential should be scoped to"),
        (json!({"service": "lambda"}), "Credential should be scoped to"),
    ] {
        let report = deliver(&target(&url, &chains, settings), Bytes::from_static(b"{}")).await;
        let verdict = judge.verdict();
        assert!(verdict["faults"][0].as_str().unwrap().starts_with(fault), "{verdict:#}");
        assert_eq!((report.class, report.status), (Class::Credentials, Some(403)));
    }
}
