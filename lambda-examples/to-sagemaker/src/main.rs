//! Sends the bins of each written record to the SageMaker endpoint `ENDPOINT_NAME`, and what the model says about it into the queue
//! `QUEUE_URL`. Deletes have nothing to ask about.

use std::env;

use aws_config::BehaviorVersion;
use aws_sdk_sagemakerruntime::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata as _, SdkError},
    operation::invoke_endpoint::InvokeEndpointError,
    primitives::Blob,
};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use notification::{Consumer, Entry, Failure, Invocation};
use serde_json::{Map, Value, json};
use to_sqs::{Message, Queue};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let variable = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
    let function = Function {
        consumer: Consumer::new().at_once(16),
        endpoint: variable("ENDPOINT_NAME")?,
        model: Client::new(&config),
        queue: Queue::new(&config, variable("QUEUE_URL")?),
    };
    run(service_fn(|event| function.handle(event))).await
}

struct Function {
    consumer: Consumer,
    endpoint: String,
    model: Client,
    queue: Queue,
}

impl Function {
    async fn handle(&self, event: LambdaEvent<Invocation>) -> Result<Value, Error> {
        let LambdaEvent { payload, context } = event;
        // A group of one is a record with its position.
        let one_by_one = |entries: &[Entry]| (0..entries.len()).map(|index| vec![index]).collect();
        let answer = self.consumer.groups(payload, context.deadline(), one_by_one, async |entries| {
            let writes = entries.iter().filter(|entry| !entry.notification.is_delete());
            let mut messages = Vec::new();
            for entry in writes {
                let said = self.ask(entry).await?;
                let key = &entry.notification.key;
                let about =
                    json!({"namespace": key.namespace, "set": key.set, "digest": key.digest.to_base64()});
                let body = json!({"key": about, "lut": entry.notification.lut_unix_ms, "result": said});
                messages.push(Message::new(entry, body.to_string(), &context.request_id));
            }
            Ok(self.queue.send(messages).await)
        });
        Ok(answer.await?)
    }

    async fn ask(&self, entry: &Entry) -> Result<Value, Failure> {
        let bins = entry.notification.bins.iter().map(|bin| (bin.name.clone(), json!(bin.value)));
        let question = Value::Object(bins.collect::<Map<_, _>>()).to_string();
        let call =
            self.model.invoke_endpoint().endpoint_name(&self.endpoint).content_type("application/json");
        let answer =
            call.accept("application/json").body(Blob::new(question)).send().await.map_err(failure)?;
        Ok(serde_json::from_slice(answer.body.unwrap_or_else(|| Blob::new("null")).as_ref())?)
    }
}

/// Messages of a model may repeat what it was asked: only codes are told.
fn failure(error: SdkError<InvokeEndpointError>) -> Failure {
    match error.as_service_error() {
        // The model refused this record, and will again. That the endpoint is not there is a validation error, and may pass.
        Some(InvokeEndpointError::ModelError(model)) => {
            let status = model.original_status_code().unwrap_or_default();
            let is_final = (400..500).contains(&status) && status != 429;
            let failure = if is_final { Failure::never } else { Failure::retry };
            failure(format!("the model answered {status}"))
        }
        Some(refused) => {
            Failure::retry(format!("SageMaker: {}", refused.code().unwrap_or("an error without a code")))
        }
        None => Failure::retry(format!("SageMaker: {}", DisplayErrorContext(error))),
    }
}
