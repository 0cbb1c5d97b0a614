//! `to-sqs`: what was delivered is in the queue.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_sqs::types::MessageSystemAttributeName;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::stage::{Stage, digest, event, event_of, failures};

const BOOTSTRAP: &str = env!("CARGO_BIN_EXE_to-sqs-under-test");

async fn stage(queue: &str) -> Option<Stage> {
    let settings = json!({
        "queues": [queue],
        "environment": {"QUEUE_URL": format!("url:{queue}")},
        // AWS has one permission for SendMessage and SendMessageBatch; MiniStack asks for one named like each call.
        "statements": [[["sqs:SendMessage", "sqs:SendMessageBatch"], format!("queue:{queue}")]],
    });
    Stage::new(BOOTSTRAP, settings).await
}

fn order(digest: &str, version: u64, note: &str) -> Value {
    json!({"_meta": {"namespace": "shop", "set": "orders", "digest": digest, "msg": "write", "gen": version,
        "lut": 1_767_225_600_000_u64 + version, "exp": 0}, "note": note})
}

const ONE: &str = "UisnajVr3zkBPfq+os1D4UHsyeg=";
const TWO: &str = "7JEZLUt/jONdXXjTS8ply6qqyWA=";

fn hexadecimal(base64: &str) -> String {
    STANDARD.decode(base64).unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_of_the_readme() {
    let Some(stage) = stage("orders").await else { return };
    let event = event("to-sqs");
    assert_eq!(failures(&stage.invoke(&event).await), json!([]));
    let records: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
    assert_eq!(Value::from(stage.messages("orders").await), records);
    let readme = std::fs::read_to_string(e2e::repository().join("lambda-examples/to-sqs/README.md")).unwrap();
    let told = readme.lines().find(|line| line.starts_with("{\"_meta\"")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(told).unwrap(), records[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_records() {
    let Some(stage) = stage("orders").await else { return };
    let delivered = stage.ship(10_000, "{mode: flat-json, metadata-key: _meta}").await;
    let mut arrived = BTreeMap::new();
    for message in stage.messages("orders").await {
        arrived.insert(digest(&message), message);
    }
    assert!(arrived == delivered, "{} of {}", arrived.len(), delivered.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_sqs_cannot_take_fails_alone_and_for_good() {
    let Some(stage) = stage("orders").await else { return };
    let large = order(ONE, 1, &"x".repeat(1 << 20));
    let answer =
        stage.invoke(&event_of(&[large, order(TWO, 1, "\u{fffe}"), json!({"no": "metadata"})])).await;
    let failed = failures(&answer);
    assert_eq!(failed.as_array().unwrap().len(), 2, "{failed}");
    for (index, name, reason) in [(0, "0", "larger than 1 MiB"), (1, "2", "metadata")] {
        assert_eq!(failed[index]["itemIdentifier"], name);
        assert_eq!(failed[index]["retryable"], false);
        assert!(failed[index]["reason"].as_str().unwrap().contains(reason), "{failed}");
    }
    assert_eq!(stage.messages("orders").await, [order(TWO, 1, "\u{fffe}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_there_fails_records_and_not_the_function() {
    let Some(stage) = stage("orders").await else { return };
    let sqs = aws_sdk_sqs::Client::new(&stage.config);
    sqs.delete_queue().queue_url(stage.named("url:orders")).send().await.unwrap();
    let failed = failures(&stage.invoke(&event("to-sqs")).await);
    assert_eq!(failed.as_array().unwrap().len(), 2, "{failed}");
    assert_eq!(failed[0].get("retryable"), None, "somebody may make the queue again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_queue_keeps_versions_in_order_and_takes_each_once() {
    let Some(stage) = stage("orders.fifo").await else { return };
    let records = [order(ONE, 1, "a"), order(TWO, 1, "b"), order(ONE, 2, "c"), order(ONE, 3, "d")];
    for _ in 0..2 {
        assert_eq!(failures(&stage.invoke(&event_of(&records)).await), json!([]));
    }
    let messages = stage.messages("orders.fifo").await;
    assert_eq!(messages.len(), 4, "{messages:?}");
    let of_one: Vec<_> = messages.iter().filter(|message| digest(message) == ONE).collect();
    assert_eq!(of_one, [&records[0], &records[2], &records[3]]);
    // What does not tell its version is a message each time.
    let delete = json!({"msg": "delete", "key": ["shop", null, ONE, null], "durable": false});
    for _ in 0..2 {
        assert_eq!(failures(&stage.invoke(&event_of(std::slice::from_ref(&delete))).await), json!([]));
    }
    assert_eq!(stage.messages("orders.fifo").await.len(), 6);
    // A group for each record: one that waits holds up no other.
    let mut groups = BTreeSet::new();
    let sqs = aws_sdk_sqs::Client::new(&stage.config);
    let call = sqs.receive_message().queue_url(stage.named("url:orders.fifo")).max_number_of_messages(10);
    let received =
        call.message_system_attribute_names(MessageSystemAttributeName::MessageGroupId).send().await;
    for message in received.unwrap().messages() {
        let group = message.attributes().unwrap()[&MessageSystemAttributeName::MessageGroupId].as_str();
        let body = serde_json::from_str(message.body().unwrap()).unwrap();
        assert_eq!(group, hexadecimal(&digest(&body)));
        groups.insert(group.to_owned());
    }
    assert_eq!(groups.len(), 2, "{groups:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_is_told_in_words() {
    let Some(stage) = stage("orders").await else { return };
    let mut event = event("to-sqs");
    event["body"] = json!("{");
    let answer = stage.invoke(&event).await;
    assert_eq!(answer["statusCode"], 400);
    assert!(answer["body"].as_str().unwrap().contains("expected JSON"), "{answer}");
    // Without a status to answer, it is an error of the function.
    let error = stage.call(&json!("hello")).await;
    let answer = error.map(|answer| answer["batchItemFailures"][0]["reason"].to_string());
    assert!(answer.unwrap().contains("a JSON object"));
}
