//! An example function on `MiniStack`, with a connector before it that also writes all it delivers to files: what arrived is
//! compared with those, record by record.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use aws_config::SdkConfig;
use base64::{Engine as _, engine::general_purpose::STANDARD};
pub(super) use e2e::records::digest;
use e2e::{ConnectorProcess, MiniStack, repository};
use esp_connector::simulator::{Settings, Simulation, workload::Workload};
use notification::{Decoder, Invocation};
use serde_json::{Value, json};

use crate::python;

/// A function, and what it needs.
pub(super) struct Stage {
    pub(super) stack: MiniStack,
    /// ARNs and URLs, by the names of `tests/aws/consumers.py`.
    names: BTreeMap<String, String>,
    pub(super) config: SdkConfig,
}

impl Stage {
    /// `None`, and a printed reason, where the packages cannot be had.
    pub(super) async fn new(bootstrap: &str, settings: Value) -> Option<Self> {
        let python = tokio::task::spawn_blocking(python::with_ministack).await.unwrap()?;
        let stack = MiniStack::start(&python, 8).await;
        let mut command = Command::new(python);
        command.arg(repository().join("tests/aws/consumers.py")).arg(stack.endpoint()).arg(bootstrap);
        command.arg(settings.to_string());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), stack.printed());
        let config = stack.config().await;
        Some(Self { names: serde_json::from_slice(&output.stdout).unwrap(), stack, config })
    }

    /// What `name` stands for.
    pub(super) fn named(&self, name: &str) -> &str {
        &self.names[name]
    }

    /// Calls the function, which must not fail as a whole.
    pub(super) async fn invoke(&self, event: &Value) -> Value {
        self.call(event).await.unwrap_or_else(|error| panic!("{error}\n{}", self.stack.printed()))
    }

    /// Calls the function: its answer, or its error.
    pub(super) async fn call(&self, event: &Value) -> Result<Value, String> {
        let lambda = aws_sdk_lambda::Client::new(&self.config);
        let payload = aws_sdk_lambda::primitives::Blob::new(event.to_string());
        let output = lambda.invoke().function_name("function").payload(payload).send().await.unwrap();
        let answer =
            output.payload.unwrap_or_else(|| aws_sdk_lambda::primitives::Blob::new("null")).into_inner();
        match output.function_error {
            Some(_) => Err(String::from_utf8(answer).unwrap()),
            None => Ok(serde_json::from_slice(&answer).unwrap()),
        }
    }

    /// The messages in a queue, as JSON.
    pub(super) async fn messages(&self, queue: &str) -> Vec<Value> {
        let messages = self.stack.messages(self.named(&format!("url:{queue}"))).await;
        messages.iter().map(|message| serde_json::from_str(message).unwrap()).collect()
    }

    /// The objects in a bucket.
    pub(super) async fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        self.stack.objects(bucket).await
    }

    /// Ships `records` records through a connector with `format`; what it delivered, as `flat-json`, by digest.
    pub(super) async fn ship(&self, records: u32, format: &str) -> BTreeMap<String, Value> {
        let yaml = format!(
            "destinations:
  function: {{type: aws-lambda, function-name: function, region: us-east-1, endpoint-url: '{}'}}
  copy: {{type: file, path: copy}}
format: {format}
batching: {{max-records: 100}}
routing: {{mode: static-multi-destination, destinations: [function, copy]}}
",
            self.stack.endpoint(),
        );
        let variables =
            [("AWS_ACCESS_KEY_ID", "test".to_owned()), ("AWS_SECRET_ACCESS_KEY", "test".to_owned())];
        let program = Command::new(env!("CARGO_BIN_EXE_connector-under-test"));
        let connector = ConnectorProcess::start(program, &yaml, &variables).await;
        let workload = Workload { records, ..Workload::default() };
        let mut settings = Settings::new(connector.address().to_string(), workload);
        settings.deadline = Duration::from_secs(150);
        let summary = Simulation::new(settings, None).run().await;
        assert!(summary.is_complete(), "{summary}\n{}", self.stack.printed());
        let files = connector.files("copy");
        let mut delivered = BTreeMap::new();
        for line in files.iter().flat_map(lines) {
            // What is no text is a line with a body in Base64.
            let (content_type, body) = match line["base64"].as_str() {
                Some(body) => ("application/x-msgpack", STANDARD.decode(body).unwrap()),
                None => ("application/json", line.to_string().into_bytes()),
            };
            let invocation = Invocation::from_http([("content-type", content_type)], body);
            for entry in Decoder::new().decode(invocation).unwrap().entries() {
                let record = serde_json::to_value(entry.notification.flat_json("_meta")).unwrap();
                delivered.insert(digest(&record), record);
            }
        }
        assert_eq!(delivered.len(), records as usize);
        delivered
    }
}

/// The event of an example.
pub(super) fn event(example: &str) -> Value {
    let path = repository().join("lambda-examples").join(example).join("event.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// An event with these records for its body.
pub(super) fn event_of(records: &[Value]) -> Value {
    let mut event = event("to-sqs");
    event["body"] = json!(Value::from(records).to_string());
    event
}

/// The failures that an answer names.
pub(super) fn failures(answer: &Value) -> Value {
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    body["batchItemFailures"].clone()
}

fn lines(file: &PathBuf) -> Vec<Value> {
    let text = std::fs::read_to_string(Path::new(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
