//! Archives change notifications in the bucket `BUCKET`, by namespace, set, date and hour, as compressed lines of JSON or, with
//! `FORMAT=avro`, as Avro files. What is sent again changes nothing: an object is named after what is in it.

use std::env;

use aws_config::BehaviorVersion;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use notification::{Consumer, Invocation};
use serde_json::Value;
use to_s3::{Archive, Format, partitions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let bucket = variable("BUCKET").ok_or("BUCKET is not set")?;
    let prefix = variable("PREFIX").unwrap_or_default();
    let format = Format::named(&variable("FORMAT").unwrap_or_else(|| "ndjson".to_owned()))?;
    let function = Function {
        consumer: Consumer::new().at_once(8),
        archive: Archive::new(&config, bucket, prefix, format),
    };
    run(service_fn(|event| function.handle(event))).await
}

struct Function {
    consumer: Consumer,
    archive: Archive,
}

impl Function {
    async fn handle(&self, event: LambdaEvent<Invocation>) -> Result<Value, Error> {
        let LambdaEvent { payload, context } = event;
        let answer = self.consumer.groups(payload, context.deadline(), partitions, async |entries| {
            // An object is there as a whole or not at all: its records are done together, or have failed together.
            self.archive.put(entries.iter().map(|entry| &entry.notification)).await?;
            Ok(Vec::new())
        });
        Ok(answer.await?)
    }
}
