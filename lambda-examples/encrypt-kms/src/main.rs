//! Encrypts the bins `BINS` of each change notification with a data key of the KMS key `KEY_ID`, and passes the record on to the
//! queue `QUEUE_URL`, or to an archive in the bucket `BUCKET`. A record whose bins cannot be encrypted is not passed on.

use std::{env, time::Duration};

use aws_config::BehaviorVersion;
use encrypt_kms::{DataKeys, seal};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use notification::{Consumer, Entry, Failure, Invocation, chunks};
use serde_json::Value;
use to_s3::{Archive, Format, partitions};
use to_sqs::{MESSAGES_PER_CALL, Message, Queue};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let variable = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
    let number = |name: &str, default: u64| variable(name).map_or(Ok(default), |text| text.parse());
    let lives = Duration::from_secs(number("DATA_KEY_SECONDS", 300)?);
    let function = Function {
        consumer: Consumer::new().at_once(8),
        bins: variable("BINS")?.split(',').map(|bin| bin.trim().to_owned()).collect(),
        keys: DataKeys::new(&config, variable("KEY_ID")?, number("DATA_KEY_USES", 100_000)?, lives),
        onward: match variable("QUEUE_URL") {
            Ok(url) => Onward::Queue(Queue::new(&config, url)),
            Err(_) => {
                Onward::Archive(Archive::new(&config, variable("BUCKET")?, String::new(), Format::Ndjson))
            }
        },
    };
    run(service_fn(|event| function.handle(event))).await
}

struct Function {
    consumer: Consumer,
    bins: Vec<String>,
    keys: DataKeys,
    onward: Onward,
}

enum Onward {
    Queue(Queue),
    Archive(Archive),
}

impl Function {
    async fn handle(&self, event: LambdaEvent<Invocation>) -> Result<Value, Error> {
        let LambdaEvent { payload, context } = event;
        let group = |entries: &[Entry]| match self.onward {
            Onward::Queue(_) => chunks(entries, MESSAGES_PER_CALL),
            Onward::Archive(_) => partitions(entries),
        };
        let answer = self.consumer.groups(payload, context.deadline(), group, async |entries| {
            let mut sealed: Vec<Entry> = entries.iter().map(|entry| (*entry).clone()).collect();
            for entry in &mut sealed {
                seal(&mut entry.notification, &self.bins, &self.keys).await?;
            }
            self.pass_on(&sealed, &context.request_id).await
        });
        Ok(answer.await?)
    }

    async fn pass_on(&self, entries: &[Entry], request_id: &str) -> Result<Vec<(usize, Failure)>, Failure> {
        match &self.onward {
            Onward::Archive(archive) => {
                archive.put(entries.iter().map(|entry| &entry.notification)).await?;
                Ok(Vec::new())
            }
            Onward::Queue(queue) => {
                let body = |entry: &Entry| serde_json::to_string(&entry.notification.flat_json("_meta"));
                let messages = entries.iter().map(|entry| Ok(Message::new(entry, body(entry)?, request_id)));
                Ok(queue.send(messages.collect::<Result<_, serde_json::Error>>()?).await)
            }
        }
    }
}
