//! One function behind every front: `to-sqs` reads the event of each, and its answers are understood through each. Bodies are
//! compressed where the front is known to hand on bytes: as it is set up here, the others take JSON for text.

use std::{collections::BTreeSet, path::Path, process::Command, time::Duration};

use e2e::{ConnectorProcess, MiniStack};
use esp_connector::simulator::{Settings, Simulation, workload::Workload};
use serde_json::{Value, json};

use crate::python;

const RECORDS: u32 = 500;

/// `kind` is the type of the destination, `format` that of the records.
async fn everything_arrives(front: &str, kind: &str, format: &str) {
    let Some(python) = tokio::task::spawn_blocking(python::with_ministack).await.unwrap() else { return };
    let stack = MiniStack::start(&python, 8).await;
    let cloud = stack
        .set_up(Path::new(env!("CARGO_BIN_EXE_to-sqs-under-test")), &json!({"front": front, "timeout": 30}))
        .await;
    let endpoint = stack.endpoint();
    let compression = if matches!(front, "function-url" | "rest-api") { "none" } else { "gzip" };
    let address = match &cloud.path {
        Some(path) => format!("urls: ['{endpoint}{path}'], compression: {compression}"),
        None => format!(
            "function-name: '{}', endpoint-url: '{endpoint}', compression: {compression}",
            cloud.function
        ),
    };
    let region = if kind == "aws-alb" { "" } else { ", region: us-east-1" };
    let yaml = format!(
        "destinations:
  function: {{type: {kind}, {address}{region}}}
format: {format}
batching: {{max-records: 100}}
routing: {{mode: static, destination: function}}
"
    );
    let variables = [("AWS_ACCESS_KEY_ID", "test".to_owned()), ("AWS_SECRET_ACCESS_KEY", "test".to_owned())];
    let program = Command::new(env!("CARGO_BIN_EXE_connector-under-test"));
    let connector = ConnectorProcess::start(program, &yaml, &variables).await;
    let workload = Workload { records: RECORDS, ..Workload::default() };
    let mut settings = Settings::new(connector.address().to_string(), workload);
    settings.deadline = Duration::from_secs(120);
    let summary = Simulation::new(settings, None).run().await;
    assert!(summary.is_complete(), "{summary}\n{}", connector.printed());
    let messages = stack.messages(&cloud.queue).await;
    let ids = messages
        .iter()
        .map(|message| serde_json::from_str::<Value>(message).unwrap()["id"].as_u64().unwrap());
    assert_eq!(ids.collect::<BTreeSet<_>>(), (0..u64::from(RECORDS)).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_function_url() {
    everything_arrives("function-url", "aws-function-url", "{mode: json}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_an_http_api() {
    everything_arrives("http-api", "aws-api-gateway", "{mode: message-pack}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_rest_api() {
    everything_arrives("rest-api", "aws-api-gateway", "{mode: flat-json, metadata-key: about}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_balancer() {
    everything_arrives("alb", "aws-alb", "{mode: message-pack}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invoked() {
    let schema = r#"{"type":"map","values":["null","long","string","bytes",{"type":"record","name":"about","fields":[{"name":"namespace","type":"string"},{"name":"digest","type":"bytes"},{"name":"msg","type":"string"}]}]}"#;
    everything_arrives("invoke", "aws-lambda", &format!("{{mode: avro, encoding: ocf, schema: '{schema}'}}"))
        .await;
}
