//! Archives change notifications in the bucket `BUCKET` of Cloud Storage, by namespace, set, date and hour, as compressed lines of
//! JSON. A server for Cloud Run, behind a destination of type `gcp-functions`. What is sent again changes nothing: an object is
//! named after what is in it.

mod bucket;
mod server;

use std::{
    env,
    error::Error,
    time::{Duration, SystemTime},
};

use archive::partitions;
use notification::{Consumer, Invocation};
use serde_json::{Value, json};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::LocalSet,
};

use self::bucket::Bucket;

/// Less than the connector waits for an answer (`call-timeout: 7000` in the Terraform example).
const CALL: Duration = Duration::from_secs(6);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let function = Function {
        consumer: Consumer::new().at_once(8),
        bucket: Bucket::new(
            &variable("STORAGE_ENDPOINT").unwrap_or_else(|| "https://storage.googleapis.com".to_owned()),
            &variable("BUCKET").ok_or("BUCKET is not set")?,
            variable("PREFIX").unwrap_or_default(),
        )?,
    };
    let host = variable("HOST").unwrap_or_else(|| "0.0.0.0".to_owned());
    let port = variable("PORT").unwrap_or_else(|| "8080".to_owned());
    // Cloud Run ends an instance by SIGTERM, and waits ten seconds.
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move { terminate.recv().await };
    let handle = async move |request| function.handle(request).await;
    LocalSet::new().run_until(server::serve(&format!("{host}:{port}"), stop, handle)).await
}

struct Function {
    consumer: Consumer,
    bucket: Bucket,
}

impl Function {
    /// Status and body of the answer.
    async fn handle(&self, request: Invocation) -> (u16, Value) {
        let deadline = SystemTime::now() + CALL;
        let answer = self.consumer.groups(request, deadline, partitions, async |entries| {
            // An object is there as a whole or not at all: its records are done together, or have failed together.
            self.bucket.put(entries.iter().map(|entry| &entry.notification)).await?;
            Ok(Vec::new())
        });
        match answer.await {
            Ok(answer) => (200, answer),
            Err(unreadable) => (unreadable.status(), json!({"message": unreadable.to_string()})),
        }
    }
}
