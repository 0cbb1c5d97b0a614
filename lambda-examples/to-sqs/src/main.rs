//! Puts each change notification into the queue `QUEUE_URL`, as `flat-json`. A record counts as done when SQS has confirmed
//! its message; the others are named in the answer, and come again.

use std::env;

use aws_config::BehaviorVersion;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use notification::{Consumer, Entry, Invocation, chunks};
use serde_json::Value;
use to_sqs::{MESSAGES_PER_CALL, Message, Queue};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let function = Function {
        consumer: Consumer::new().at_once(8),
        queue: Queue::new(&config, env::var("QUEUE_URL").map_err(|_| "QUEUE_URL is not set")?),
    };
    run(service_fn(|event| function.handle(event))).await
}

struct Function {
    consumer: Consumer,
    queue: Queue,
}

impl Function {
    async fn handle(&self, event: LambdaEvent<Invocation>) -> Result<Value, Error> {
        let LambdaEvent { payload, context } = event;
        let in_tens = |entries: &[Entry]| chunks(entries, MESSAGES_PER_CALL);
        let answer = self
            .consumer
            .groups(payload, context.deadline(), in_tens, async |entries| {
                let messages = entries.iter().map(|entry| {
                    let body = serde_json::to_string(&entry.notification.flat_json("_meta"))?;
                    Ok(Message::new(entry, body, &context.request_id))
                });
                Ok(self.queue.send(messages.collect::<Result<_, serde_json::Error>>()?).await)
            })
            .await?;
        Ok(answer)
    }
}
