//! `to-opensearch`, against an index that keeps what the bulk API and external versions say it has to keep.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use e2e::pretend::{Answer, Asked, Pretend};
use serde_json::{Value, json};

use super::stage::{Stage, event_of, failures};

/// Version and document; none when it was deleted.
type Index = Arc<Mutex<BTreeMap<String, (u64, Option<Value>)>>>;

/// One request to `/_bulk`.
fn bulk(index: &Index, asked: &Asked) -> Answer {
    assert_eq!((asked.method.as_str(), asked.uri.path()), ("POST", "/_bulk"));
    assert_eq!(asked.header("content-type"), "application/x-ndjson");
    let authorization = asked.header("authorization");
    for part in [
        "AWS4-HMAC-SHA256 Credential=",
        "/us-east-1/es/aws4_request",
        "content-type;host;",
        "x-amz-date;x-amz-security-token",
    ] {
        assert!(authorization.contains(part), "{authorization}");
    }
    let text = str::from_utf8(&asked.body).unwrap();
    assert!(text.ends_with('\n'), "the last line ends too");
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut items = Vec::new();
    while let Some(action) = lines.next() {
        let (name, about) = action.as_object().unwrap().iter().next().unwrap();
        let document = (name == "index").then(|| lines.next().unwrap());
        assert_eq!(
            (about["_index"].as_str(), about["version_type"].as_str()),
            (Some("orders"), Some("external_gte"))
        );
        let status = apply(index, about, document);
        let error = (status >= 400 && status != 404)
            .then(|| json!({"type": "the_type", "reason": "a value, perhaps"}));
        let mut outcome = json!({"_id": about["_id"], "status": status});
        if let Some(error) = error {
            outcome["error"] = error;
        }
        items.push(json!({name.as_str(): outcome}));
    }
    (200, json!({"took": 1, "errors": true, "items": items}))
}

fn apply(index: &Index, about: &Value, document: Option<Value>) -> u16 {
    match document.as_ref().and_then(|document| document["note"].as_str()) {
        Some("does not fit") => return 400,
        Some("too much") => return 429,
        _ => {}
    }
    let version = about["version"].as_u64().unwrap();
    let mut index = index.lock().unwrap();
    let there = index.get(about["_id"].as_str().unwrap());
    if there.is_some_and(|(newer, _)| *newer > version) {
        return 409;
    }
    let was_there = there.is_some_and(|(_, document)| document.is_some());
    let status = if document.is_none() && !was_there { 404 } else { 200 };
    index.insert(about["_id"].as_str().unwrap().to_owned(), (version, document));
    status
}

fn record(digest: u8, msg: &str, version: u64, note: &str) -> Value {
    let digest = notification::Digest([digest; 20]).to_base64();
    json!({"_meta": {"namespace": "shop", "digest": digest, "msg": msg, "gen": 1, "lut": version}, "note": note})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_follows_the_records_and_never_goes_back() {
    let index = Index::default();
    let inside = Arc::clone(&index);
    let domain = Pretend::answering(move |asked| bulk(&inside, asked)).await;
    let settings = json!({"environment": {"ENDPOINT": domain.url(), "INDEX": "orders"}, "statements": []});
    let Some(stage) = Stage::new(env!("CARGO_BIN_EXE_to-opensearch-under-test"), settings).await else {
        return;
    };

    let first = [
        record(1, "write", 10, "one"),
        record(2, "write", 10, "does not fit"),
        record(3, "write", 10, "too much"),
        record(4, "delete", 10, ""),
        record(1, "write", 11, "one again"),
    ];
    for _ in 0..2 {
        let failed = failures(&stage.invoke(&event_of(&first)).await);
        let names: Vec<_> = failed
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (item["itemIdentifier"].as_str().unwrap(), item.get("retryable")))
            .collect();
        assert_eq!(names, [("1", Some(&json!(false))), ("2", None)]);
        assert!(!failed.to_string().contains("a value"), "{failed}");
    }
    // A version from before, and a delete.
    let late = [record(1, "write", 9, "late"), record(5, "write", 12, "five")];
    assert_eq!(failures(&stage.invoke(&event_of(&late)).await), json!([]));
    assert_eq!(failures(&stage.invoke(&event_of(&[record(5, "delete", 13, "")])).await), json!([]));
    let index = index.lock().unwrap();
    let one = index[&"01".repeat(20)].1.as_ref().unwrap();
    assert_eq!((&one["note"], &one["aerospike"]["lut"]), (&json!("one again"), &json!(11)));
    assert_eq!(index[&"05".repeat(20)], (13, None));
    assert_eq!(index.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_refuses_fails_records_and_not_the_function() {
    let domain = Pretend::answering(|_| (403, json!({"message": "no"}))).await;
    let settings = json!({"environment": {"ENDPOINT": domain.url(), "INDEX": "orders"}, "statements": []});
    let Some(stage) = Stage::new(env!("CARGO_BIN_EXE_to-opensearch-under-test"), settings).await else {
        return;
    };
    let failed = failures(&stage.invoke(&event_of(&[record(1, "write", 1, "")])).await);
    assert_eq!(failed, json!([{"itemIdentifier": "0", "reason": "OpenSearch answered 403 Forbidden"}]));
}
