//! `to-s3`: what was delivered is in the archive, once for each time it came in another batch.

use std::collections::BTreeMap;

use e2e::records::archived;
use notification::{Decoder, Invocation};
use serde_json::{Value, json};

use super::stage::{Stage, digest, event, failures};

const BOOTSTRAP: &str = env!("CARGO_BIN_EXE_to-s3-under-test");

async fn stage(format: &str) -> Option<Stage> {
    let settings = json!({
        "buckets": ["archive"],
        "environment": {"BUCKET": "archive", "PREFIX": "changes/", "FORMAT": format},
        "statements": [["s3:PutObject", "bucket:archive/changes/*"]],
    });
    Stage::new(BOOTSTRAP, settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_of_the_readme_is_archived_once() {
    let Some(stage) = stage("ndjson").await else { return };
    let event = event("to-s3");
    for _ in 0..2 {
        assert_eq!(failures(&stage.invoke(&event).await), json!([]));
    }
    let objects = stage.objects("archive").await;
    let [(key, object)] = objects.iter().collect::<Vec<_>>()[..] else { panic!("{:?}", objects.keys()) };
    let readme = std::fs::read_to_string(e2e::repository().join("lambda-examples/to-s3/README.md")).unwrap();
    assert!(readme.contains(key), "{key}");
    assert_eq!(
        Value::from(archived(object)).to_string(),
        event["body"].as_str().unwrap().parse::<Value>().unwrap().to_string()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_records() {
    let Some(stage) = stage("ndjson").await else { return };
    let delivered = stage.ship(10_000, "{mode: message-pack}").await;
    let mut arrived = BTreeMap::new();
    for (key, object) in stage.objects("archive").await {
        for line in archived(&object) {
            let about = &line["_meta"];
            let place = format!(
                "changes/namespace={}/set={}/",
                about["namespace"].as_str().unwrap(),
                about["set"].as_str().unwrap()
            );
            assert!(key.starts_with(&place), "{key} holds {line}");
            arrived.insert(digest(&line), line);
        }
    }
    assert!(arrived == delivered, "{} of {}", arrived.len(), delivered.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn avro_files_hold_the_same_records() {
    let Some(stage) = stage("avro").await else { return };
    let event = event("to-s3");
    assert_eq!(failures(&stage.invoke(&event).await), json!([]));
    let objects = stage.objects("archive").await;
    let [(key, object)] = &objects.into_iter().collect::<Vec<_>>()[..] else { panic!() };
    assert!(key.ends_with(".avro"), "{key}");
    let batch = Decoder::new()
        .decode(Invocation::from_http([("content-type", "application/avro")], object.clone()))
        .unwrap();
    let records: Vec<Value> = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
    assert_eq!(batch.entries().len(), records.len());
    for (entry, mut record) in batch.entries().iter().zip(records) {
        let mut read = serde_json::to_value(entry.notification.flat_json("_meta")).unwrap();
        let bins = read.as_object_mut().unwrap().remove("bins").unwrap_or_else(|| json!({}));
        assert_eq!(read["_meta"], record.as_object_mut().unwrap().remove("_meta").unwrap());
        assert_eq!(bins, record);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_may_not_be_written_fails_all_records() {
    let settings = json!({"buckets": ["archive"], "environment": {"BUCKET": "archive"}, "statements": []});
    let Some(stage) = Stage::new(BOOTSTRAP, settings).await else { return };
    let failed = failures(&stage.invoke(&event("to-s3")).await);
    assert_eq!(failed.as_array().unwrap().len(), 2, "{failed}");
    assert!(failed[0]["reason"].as_str().unwrap().starts_with("S3: "), "{failed}");
    assert!(stage.objects("archive").await.is_empty());
}
