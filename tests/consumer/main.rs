//! A Lambda function that puts every record into an SQS queue, one message each, and misbehaves on request.
//!
//! The same `bootstrap` stands behind API Gateway, an ALB, a function URL, direct Invoke and an SQS event source. It
//! returns success for a record only after SQS confirmed its message.
#![allow(clippy::unwrap_used, reason = "part of a test: a function that panics has failed, which is seen")]

mod event;
mod faults;

use std::{
    env,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use aws_config::BehaviorVersion;
use aws_sdk_sqs::{error::DisplayErrorContext, types::SendMessageBatchRequestEntry};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

use crate::{
    event::{Origin, Record},
    faults::{Ends, Faults, Poison},
};

/// What SQS takes at once.
const MESSAGES_PER_CALL: usize = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let consumer = Consumer::new().await;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| consumer.handle(event))).await
}

struct Consumer {
    faults: Faults,
    /// Has a byte for each call, whichever process it came to. Without it none fails.
    calls: Option<PathBuf>,
    sqs: aws_sdk_sqs::Client,
    /// Where records go.
    queue_url: String,
}

impl Consumer {
    async fn new() -> Self {
        let faults = Faults::new(|name| env::var(name).ok()).unwrap();
        let sqs = aws_sdk_sqs::Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
        let calls = env::var_os("CALLS").map(PathBuf::from);
        Self { faults, calls, sqs, queue_url: env::var("QUEUE_URL").unwrap() }
    }

    async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, Error> {
        let origin = Origin::of(&event.payload);
        let ends = self.calls.as_deref().map(count).and_then(|number| self.faults.of_call(number));
        match ends {
            None | Some(Ends::Lost) => {}
            Some(Ends::Late(by)) => tokio::time::sleep(*by).await,
            Some(Ends::Error) => return Err("told to fail".into()),
            Some(Ends::Panic) => panic!("told to panic"),
            Some(Ends::Exit) => std::process::exit(1),
            Some(Ends::Status(status)) => return Ok(origin.answer(*status, "told to refuse")),
        }
        let records = event::records(event.payload)?;
        if let Some(answer) = event::ordered(&records) {
            match answer.as_str() {
                "error" => return Err("told to fail".into()),
                "late" => tokio::time::sleep(Duration::from_millis(700)).await,
                _ => return Ok(origin.verbatim(&answer)),
            }
        }
        let mut failures = Vec::new();
        let mut good = Vec::new();
        for record in records {
            match self.faults.poison(&record.digest) {
                None => good.push(record),
                Some(Poison::Call) => return Err(format!("cannot live with {}", record.digest).into()),
                Some(Poison::Status(status)) => return Ok(origin.answer(status, "not this one")),
                Some(Poison::Item) => failures.push(json!({"itemIdentifier": record.identifier})),
                Some(Poison::FinalItem) => failures.push(json!({
                    "itemIdentifier": record.identifier, "retryable": false, "reason": "poison"
                })),
            }
        }
        failures.extend(self.send(&good).await?);
        if ends == Some(&Ends::Lost) {
            std::process::exit(1);
        }
        Ok(origin.answer(200, &json!({"batchItemFailures": failures}).to_string()))
    }

    /// Puts the records into the queue; the entries of those that SQS did not take.
    async fn send(&self, records: &[Record]) -> Result<Vec<Value>, Error> {
        let mut failures = Vec::new();
        for records in records.chunks(MESSAGES_PER_CALL) {
            let mut call = self.sqs.send_message_batch().queue_url(&self.queue_url);
            for (index, record) in records.iter().enumerate() {
                let id = index.to_string();
                let entry = SendMessageBatchRequestEntry::builder().id(id).message_body(&record.body);
                call = call.entries(entry.build()?);
            }
            let sent = call.send().await.map_err(|error| format!("SQS: {}", DisplayErrorContext(error)))?;
            for failed in sent.failed {
                let record = &records[failed.id.parse::<usize>()?];
                failures.push(json!({"itemIdentifier": record.identifier, "reason": failed.code}));
            }
        }
        Ok(failures)
    }
}

/// The number of this call.
fn count(calls: &Path) -> u64 {
    let mut calls = OpenOptions::new().create(true).append(true).open(calls).unwrap();
    calls.write_all(b".").unwrap();
    calls.metadata().unwrap().len()
}
