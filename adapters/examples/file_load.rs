//! How many records a second a folder takes: `file_load FOLDER RECORDS PER_BATCH AT_ONCE`.

use std::{env, error::Error, num::NonZeroUsize, sync::Arc, time::Instant};

use adapters::{Class, Payload, TargetConfig};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, records, per_batch, at_once] = &arguments[..] else {
        return Err("expected: FOLDER RECORDS PER_BATCH AT_ONCE".into());
    };
    let (records, per_batch, at_once): (usize, usize, usize) =
        (records.parse()?, per_batch.parse()?, at_once.parse()?);
    let target = TargetConfig::File(serde_json::from_value(json!({ "path": folder }))?).build("load")?;
    let record = format!("{{\"text\":\"{}\"}}", "x".repeat(400));
    let body = format!("[{}]", vec![record; per_batch].join(",")).into();
    let count = NonZeroUsize::new(per_batch).ok_or("a batch holds something")?;
    let payload = Arc::new(Payload { body, content_type: "application/json".into(), count, request: None });
    let begin = Instant::now();
    let workers: Vec<_> = (0..at_once)
        .map(|_| {
            let (target, payload) = (Arc::clone(&target), Arc::clone(&payload));
            tokio::spawn(async move {
                for _ in 0..records / per_batch / at_once {
                    assert_eq!(target.deliver(&payload).await.class, Class::Done, "not confirmed");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{:.0} records/s", (records / per_batch / at_once * per_batch * at_once) as f64 / seconds);
    Ok(())
}
