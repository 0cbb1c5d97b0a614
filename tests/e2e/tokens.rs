//! Ten thousand records to the targets that take a token, by the connector as a process: tokens end every few seconds, the key
//! that signs them is replaced on the way, one call in ten fails, and one record in a thousand cannot be processed.

use std::{fs, path::Path, process::Command};

use e2e::{ConnectorProcess, Shipped};
use serde_json::json;

use crate::{balancer, google, issuer::Issuer};

const RECORDS: u32 = 10_000;

/// Seconds that a token lives.
const LIFE: u64 = 4;

const FAULTS: [(&str, &str); 2] = [("FAIL_EVERY", "10"), ("POISON_PER_MILLE", "1")];

/// Calls after which the key is replaced.
const REVOKED_AFTER: f64 = 30.0;

#[tokio::test(flavor = "multi_thread")]
async fn to_a_google_function() {
    let started = tokio::task::spawn_blocking(|| google::Bench::failing("12345", &FAULTS)).await.unwrap();
    let Some(mut bench) = started else { return };
    let target = format!("type: gcp-functions, urls: ['{}'], audience: '{}'", bench.url, google::AUDIENCE);
    let variables = [("GCE_METADATA_HOST", format!("127.0.0.1:{}", bench.issuer.port))];
    everything_arrives("gcp-functions", &target, &variables, &mut bench.issuer, &bench.taken).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn to_a_load_balancer() {
    let started = tokio::task::spawn_blocking(|| balancer::Bench::failing(&FAULTS)).await.unwrap();
    let Some(mut bench) = started else { return };
    let target = format!(
        "type: aws-alb, urls: ['http://127.0.0.1:{}/orders'], token: {{aws-web-identity: {{audience: {}}}}}",
        bench.port,
        balancer::AUDIENCE,
    );
    let variables = [
        ("AWS_ENDPOINT_URL_STS", format!("http://127.0.0.1:{}", bench.issuer.port)),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "a-secret-of-nobody".to_owned()),
        ("AWS_REGION", "eu-west-1".to_owned()),
    ];
    everything_arrives("aws-alb with a token", &target, &variables, &mut bench.issuer, &bench.taken).await;
}

async fn everything_arrives(
    name: &str,
    target: &str,
    variables: &[(&'static str, String)],
    issuer: &mut Issuer,
    taken: &Path,
) {
    issuer.order(&json!({"life": LIFE}));
    let yaml = format!(
        "destinations:
  records: {{{target}, protocol: HTTP_1_1, dead-letter: letters}}
  letters: {{type: file, path: letters}}
format: {{mode: flat-json, metadata-key: _meta}}
batching: {{max-records: 20}}
routing: {{mode: static, destination: records}}
"
    );
    let program = Command::new(env!("CARGO_BIN_EXE_connector-under-test"));
    let connector = ConnectorProcess::start(program, &yaml, variables).await;
    let metric = async |name: &str, label: &str| connector.metric(name, label).await;
    let revoked = async {
        while metric("esp_connector_lane_requests_total", r#""records""#).await < REVOKED_AFTER {}
        issuer.order(&json!({"revoke": true}));
    };
    let (summary, ()) = tokio::join!(Shipped::ship(&connector, RECORDS), revoked);
    let text = fs::read_to_string(taken).unwrap();
    let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let shipped = Shipped::new(&connector, RECORDS, 1, summary, records);

    let ended = async |class: &str| {
        metric("esp_connector_lane_ended_requests_total", &format!(r#""records",class="{class}""#)).await
    };
    let (transient, throttled) = (ended("transient").await, ended("throttled").await);
    let tokens = issuer.count(if name.starts_with("gcp") { "identity" } else { "web-identity" });
    let more = format!(
        ", {} requests, {throttled} throttled, {transient} transient, {tokens} tokens",
        metric("esp_connector_lane_requests_total", r#""records""#).await,
    );
    shipped.tell(name, &more);
    shipped.lost_nothing();
    assert!(transient > 0.0 && throttled > 0.0, "calls failed");
    let lives = shipped.elapsed().as_secs_f64() / LIFE as f64;
    assert!(tokens as f64 >= lives.floor() && tokens as f64 <= 3.0 * lives + 5.0, "{tokens} tokens");
    let (status, printed) = connector.stop().await;
    assert!(status.success(), "{printed}");
}
