//! Keeps the index `INDEX` of the OpenSearch domain `ENDPOINT` up to date: a document for each record, gone when the record is
//! deleted. What arrives late or twice changes nothing, as OpenSearch compares last-update times.

mod bulk;
mod signature;

use std::{env, time::Duration};

use aws_config::{BehaviorVersion, SdkConfig};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use notification::{Consumer, Entry, Failure, Invocation, chunks};
use reqwest::{StatusCode, header::CONTENT_TYPE};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variable = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
    let function = Function {
        consumer: Consumer::new().at_once(4),
        config: aws_config::load_defaults(BehaviorVersion::latest()).await,
        http: reqwest::Client::builder().timeout(Duration::from_secs(20)).build()?,
        url: format!("{}/_bulk", variable("ENDPOINT")?.trim_end_matches('/')),
        index: variable("INDEX")?,
        // `aoss` for a serverless collection.
        service: variable("SERVICE").unwrap_or_else(|_| "es".to_owned()),
    };
    run(service_fn(|event| function.handle(event))).await
}

struct Function {
    consumer: Consumer,
    config: SdkConfig,
    http: reqwest::Client,
    url: String,
    index: String,
    service: String,
}

impl Function {
    async fn handle(&self, event: LambdaEvent<Invocation>) -> Result<Value, Error> {
        let LambdaEvent { payload, context } = event;
        let in_hundreds = |entries: &[Entry]| chunks(entries, 500);
        let answer = self.consumer.groups(payload, context.deadline(), in_hundreds, async |entries| {
            let answer = self.send(bulk::request(entries, &self.index)?).await?;
            bulk::failures(entries, &answer)
        });
        Ok(answer.await?)
    }

    async fn send(&self, body: Vec<u8>) -> Result<Value, Failure> {
        let request = self.http.post(&self.url).header(CONTENT_TYPE, bulk::CONTENT_TYPE).body(body);
        let mut request = request.build().map_err(reqwest::Error::without_url)?;
        signature::sign(&mut request, &self.config, &self.service).await?;
        let response = self.http.execute(request).await.map_err(reqwest::Error::without_url)?;
        match response.status() {
            StatusCode::OK => Ok(serde_json::from_slice(&response.bytes().await?)?),
            // What each item is worth stands in the body of a success only.
            status => Err(Failure::retry(format!("OpenSearch answered {status}"))),
        }
    }
}
