//! What a consumer says of single records, and what it means: the same function and the same answers, once where Lambda
//! reads from SQS (`ReportBatchItemFailures`), the model, and once behind the connector.
//!
//! Where the emulator and the documents of AWS differ, the documents win, and the case says so.

use std::{collections::BTreeSet, path::Path, process::Command, time::Duration};

use aws_sdk_sqs::{
    config::{BehaviorVersion, Credentials, Region},
    types::SendMessageBatchRequestEntry,
};
use e2e::{Ack, Cloud, ConnectorProcess, Metadata, MiniStack, Sessions, WITHIN, XdrClient, write};
use esp_connector::simulator::particle::Particle;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::python;

/// Records of a batch.
const RECORDS: i64 = 3;

struct Case {
    name: &'static str,
    /// With `$0`, `$1`, … for what the records of these numbers are called.
    answer: &'static str,
    /// Records that are not done.
    failed: &'static [i64],
    /// What the emulator makes of it.
    emulated: &'static [i64],
}

/// A case in which all agree.
const fn case(name: &'static str, answer: &'static str, failed: &'static [i64]) -> Case {
    Case { name, answer, failed, emulated: failed }
}

/// A case in which the emulator does not do what AWS documents.
const fn differs(
    name: &'static str,
    answer: &'static str,
    failed: &'static [i64],
    emulated: &'static [i64],
) -> Case {
    Case { name, answer, failed, emulated }
}

const ALL: &[i64] = &[0, 1, 2];

/// From "Handling errors for an SQS event source in Lambda" of the developer guide: an empty or null list, an empty
/// answer and a null one are a complete success; an empty, a null or a misspelt name is a complete failure, as an
/// error is. A name that is nobody's is taken for a misspelt one.
const CASES: [Case; 17] = [
    case("nothing", "null", &[]),
    case("an empty object", "{}", &[]),
    case("no list", r#"{"other": 1}"#, &[]),
    // The emulator trips over it.
    differs("null for a list", r#"{"batchItemFailures": null}"#, &[], ALL),
    case("an empty list", r#"{"batchItemFailures": []}"#, &[]),
    case("one record", r#"{"batchItemFailures": [{"itemIdentifier": "$1"}]}"#, &[1]),
    case(
        "two records",
        r#"{"batchItemFailures": [{"itemIdentifier": "$2"}, {"itemIdentifier": "$0"}]}"#,
        &[0, 2],
    ),
    case(
        "a record twice",
        r#"{"batchItemFailures": [{"itemIdentifier": "$1"}, {"itemIdentifier": "$1"}]}"#,
        &[1],
    ),
    case(
        "more than a name",
        r#"{"batchItemFailures": [{"itemIdentifier": "$1", "reason": "x"}], "other": 1}"#,
        &[1],
    ),
    // The emulator passes over names that it does not know, and so takes failures for successes.
    differs("null for a name", r#"{"batchItemFailures": [{"itemIdentifier": null}]}"#, ALL, &[]),
    differs("an empty name", r#"{"batchItemFailures": [{"itemIdentifier": ""}]}"#, ALL, &[]),
    differs("no name", r#"{"batchItemFailures": [{}]}"#, ALL, &[]),
    differs("a misspelt name", r#"{"batchItemFailures": [{"itemIdentifer": "$1"}]}"#, ALL, &[]),
    differs("nobody's name", r#"{"batchItemFailures": [{"itemIdentifier": "nobody"}]}"#, ALL, &[]),
    differs(
        "somebody's name and nobody's",
        r#"{"batchItemFailures": [{"itemIdentifier": "$1"}, {"itemIdentifier": "nobody"}]}"#,
        ALL,
        &[1],
    ),
    case("no list at all", r#"{"batchItemFailures": "$1"}"#, ALL),
    case("an error", "error", ALL),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_means_what_it_means_to_an_event_source() {
    let Some(python) = tokio::task::spawn_blocking(python::with_ministack).await.unwrap() else { return };
    let stack = MiniStack::start(&python, 100).await;
    let settings = json!({"front": "function-url", "event-sources": CASES.len(), "timeout": 4});
    let cloud = stack.set_up(Path::new(env!("CARGO_BIN_EXE_consumer")), &settings).await;
    let event_source = of_event_source(&stack, &cloud).await;
    let connector = of_connector(&stack, &cloud).await;
    let mut differences = Vec::new();
    for (case, (model, ours)) in CASES.iter().zip(event_source.into_iter().zip(connector)) {
        let wanted = set(case.failed);
        if ours != wanted || model != set(case.emulated) {
            let name = case.name;
            differences
                .push(format!("{name}: wanted {wanted:?}, connector {ours:?}, event source {model:?}"));
        }
    }
    assert!(differences.is_empty(), "not done:\n{}", differences.join("\n"));
}

fn set(records: &[i64]) -> BTreeSet<i64> {
    records.iter().copied().collect()
}

/// For each case what was left to the dead letters, as the function failed to process it.
async fn of_event_source(stack: &MiniStack, cloud: &Cloud) -> Vec<BTreeSet<i64>> {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(stack.endpoint())
        .credentials_provider(Credentials::new("test", "test", None, None, "root"));
    let sqs = aws_sdk_sqs::Client::from_conf(config.build());
    for (case, [source, _]) in CASES.iter().zip(&cloud.sources) {
        let mut call = sqs.send_message_batch().queue_url(source);
        for n in 0..RECORDS {
            let body = json!({"n": n, "answer": case.answer}).to_string();
            let entry = SendMessageBatchRequestEntry::builder().id(n.to_string()).message_body(body);
            call = call.entries(entry.build().unwrap());
        }
        assert!(call.send().await.unwrap().failed.is_empty());
    }
    let mut failed = Vec::new();
    for (case, [source, dead]) in CASES.iter().zip(&cloud.sources) {
        // A message is done, or among the dead letters; until then it is in its queue.
        let started = Instant::now();
        while !stack.messages(source).await.is_empty() {
            assert!(started.elapsed() < WITHIN, "{} is not done:\n{}", case.name, stack.printed());
            sleep(Duration::from_millis(50)).await;
        }
        let messages = stack.messages(dead).await;
        failed.push(messages.iter().map(|message| number(message)).collect());
    }
    failed
}

fn number(message: &str) -> i64 {
    serde_json::from_str::<Value>(message).unwrap()["n"].as_i64().unwrap()
}

/// For each case what XDR has to ship again.
async fn of_connector(stack: &MiniStack, cloud: &Cloud) -> Vec<BTreeSet<i64>> {
    let life = Duration::from_secs(900);
    let (endpoint, role) = (stack.endpoint(), cloud.role.clone());
    let metadata = Metadata::start(Sessions { endpoint, role, live: life, said_to_live: life }).await;
    let url = cloud.url.as_ref().unwrap();
    let cases = 0..CASES.len();
    // To each case its own destination: what fails has consequences.
    let destinations = cases
        .clone()
        .map(|case| format!("  case-{case}: {{type: aws-function-url, urls: ['{url}'], max-attempts: 1}}\n"));
    let sets = cases
        .map(|case| format!("      case-{case}: {{routing: {{mode: static, destination: case-{case}}}}}\n"));
    let yaml = format!(
        "destinations:\n{}format: {{mode: flat-json, metadata-key: _meta}}\nbatching: {{max-records: 100}}\nnamespaces:\n  \
         test:\n    sets:\n{}",
        destinations.collect::<String>(),
        sets.collect::<String>(),
    );
    let mut variables = metadata.of_container();
    variables.push(("AWS_REGION", "us-east-1".to_owned()));
    let program = Command::new(env!("CARGO_BIN_EXE_connector-under-test"));
    let connector = ConnectorProcess::start(program, &yaml, &variables).await;
    let mut failed = Vec::new();
    for (number, case) in CASES.iter().enumerate() {
        failed.push(ship(&connector, &format!("case-{number}"), case).await);
        // The three went together, behind one that went alone.
        let requests =
            connector.metric("esp_connector_lane_requests_total", &format!("\"case-{number}\"")).await;
        assert!((requests - 2.0).abs() < 0.1, "{}: {requests} requests", case.name);
    }
    failed
}

/// Records that are answered with a failure.
async fn ship(connector: &ConnectorProcess, set: &str, case: &Case) -> BTreeSet<i64> {
    let mut source = XdrClient::connect(connector.address()).await.unwrap();
    let record = |n: i64, answer: &str| {
        write(set, n, &[("n", Particle::Integer(n)), ("answer", Particle::String(answer.as_bytes()))])
    };
    // While one is on its way, the next gather.
    source.send(&record(RECORDS, "late")).await.unwrap();
    let started = Instant::now();
    while connector.metric("esp_connector_lane_in_flight_requests", &format!("\"{set}\"")).await < 1.0 {
        assert!(started.elapsed() < WITHIN, "nothing is in flight");
    }
    let records: Vec<u8> = (0..RECORDS).flat_map(|n| record(n, case.answer)).collect();
    source.send(&records).await.unwrap();
    assert_eq!(source.ack().await.unwrap(), Ack::OK, "{}", case.name);
    let mut failed = BTreeSet::new();
    for n in 0..RECORDS {
        let ack = source.ack().await.unwrap();
        if ack != Ack::OK {
            assert!(ack.is_temporary(), "{}: {ack:?}", case.name);
            failed.insert(n);
        }
    }
    failed
}
