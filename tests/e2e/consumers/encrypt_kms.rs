//! `encrypt-kms`: what leaves is encrypted, and whoever may use the key gets back what was there.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use encrypt_kms::{DataKey, open};
use notification::{Decoder, Invocation};
use serde_json::{Value, json};

use super::stage::{Stage, digest, event, event_of, failures};

async fn stage(environment: Value, may_encrypt: bool) -> Option<Stage> {
    let mut settings = json!({
        "queues": ["orders"],
        "key": true,
        "environment": {"KEY_ID": "key", "BINS": "sku, v", "QUEUE_URL": "url:orders"},
        "statements": [[["sqs:SendMessage", "sqs:SendMessageBatch"], "queue:orders"]],
    });
    settings["environment"].as_object_mut().unwrap().extend(environment.as_object().unwrap().clone());
    if may_encrypt {
        settings["statements"].as_array_mut().unwrap().push(json!(["kms:GenerateDataKey", "key"]));
    }
    Stage::new(env!("CARGO_BIN_EXE_encrypt-kms-under-test"), settings).await
}

/// The data keys that KMS decrypts, by how they look encrypted.
async fn data_keys(stage: &Stage, encrypted: BTreeSet<String>) -> BTreeMap<String, DataKey> {
    let kms = aws_sdk_kms::Client::new(&stage.config);
    let mut keys = BTreeMap::new();
    for encrypted in encrypted {
        let bytes = STANDARD.decode(&encrypted).unwrap();
        let blob = aws_sdk_kms::primitives::Blob::new(bytes.clone());
        let plaintext = kms.decrypt().ciphertext_blob(blob).send().await.unwrap().plaintext.unwrap();
        keys.insert(encrypted, DataKey::new(plaintext.as_ref(), &bytes).unwrap());
    }
    keys
}

/// The message with its bin decrypted, as `json` shows it.
fn opened(message: &Value, bin: &str, keys: &BTreeMap<String, DataKey>) -> Value {
    let invocation =
        Invocation::from_http([("content-type", "application/json")], message.to_string().into_bytes());
    let batch = Decoder::new().decode(invocation).unwrap();
    let record = &batch.entries()[0].notification;
    let key = &keys[message[bin]["key"].as_str().unwrap()];
    open(record.bin(bin).unwrap(), &record.key, bin, key).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_records_and_few_keys() {
    let Some(stage) = stage(json!({"DATA_KEY_USES": "100"}), true).await else { return };
    let delivered = stage.ship(2_000, "{mode: flat-json, metadata-key: _meta}").await;
    let messages = stage.messages("orders").await;
    let mut uses = BTreeMap::<_, u32>::new();
    for message in &messages {
        *uses.entry(message["v"]["key"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    // One for each 100 bins, in each of at most eight functions; calls that come again use some too.
    let least = 2_000 / 100;
    assert!((least..least + 9).contains(&uses.len()), "{} data keys", uses.len());
    assert!(uses.values().all(|uses| *uses <= 100), "{uses:?}");
    let keys = data_keys(&stage, uses.into_keys().collect()).await;
    let mut arrived = BTreeSet::new();
    for message in messages {
        let record = &delivered[&digest(&message)];
        let (mut open, mut sent) = (message.clone(), record.clone());
        assert_eq!(opened(&message, "v", &keys)["value"], record["v"]);
        assert_eq!(
            open.as_object_mut().unwrap().remove("v").map(|_| open),
            sent.as_object_mut().unwrap().remove("v").map(|_| sent)
        );
        arrived.insert(digest(&message));
    }
    assert_eq!(arrived.len(), 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_encrypted_does_not_leave() {
    let Some(stage) = stage(json!({}), false).await else { return };
    let event = event("encrypt-kms");
    let failed = failures(&stage.invoke(&event).await);
    assert_eq!(failed[0]["itemIdentifier"], "0");
    assert!(failed[0]["reason"].as_str().unwrap().starts_with("KMS: "), "{failed}");
    assert!(stage.messages("orders").await.is_empty());
    // Nothing to encrypt, nothing to ask for.
    let records: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
    assert_eq!(failures(&stage.invoke(&event_of(&[records[1].clone()])).await), json!([]));
    assert_eq!(stage.messages("orders").await, [records[1].clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_not_used_longer_than_it_may() {
    let Some(stage) = stage(json!({"DATA_KEY_SECONDS": "0"}), true).await else { return };
    for _ in 0..3 {
        assert_eq!(failures(&stage.invoke(&event("encrypt-kms")).await), json!([]));
    }
    let messages = stage.messages("orders").await;
    let encrypted: BTreeSet<_> =
        messages.iter().filter_map(|message| message["sku"]["key"].as_str()).collect();
    assert_eq!(encrypted.len(), 3);
}
