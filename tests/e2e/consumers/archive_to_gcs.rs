//! `gcp/archive-to-gcs` in Google's functions framework, with Google's own client in front of a bucket that keeps objects on the
//! condition that they are not there.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    process::Command,
    sync::{Arc, Mutex},
};

use e2e::{
    Process, free_port,
    pretend::{Answer, Asked, Pretend},
    repository,
};
use serde_json::{Value, json};

use crate::python;

type Bucket = Arc<Mutex<BTreeMap<String, Vec<Value>>>>;

/// The upload of one object, as the JSON API of Cloud Storage takes it: metadata and content in a multipart body.
fn upload(bucket: &Bucket, asked: &Asked) -> Answer {
    assert_eq!(asked.uri.path(), "/upload/storage/v1/b/archive/o");
    let query = asked.uri.query().unwrap_or_default();
    assert!(query.contains("uploadType=multipart") && query.contains("ifGenerationMatch=0"), "{query}");
    let boundary =
        asked.header("content-type").split("boundary=").nth(1).unwrap().trim_matches(['"', '\'']).to_owned();
    let parts = split(&asked.body, format!("--{boundary}").as_bytes());
    let content = |part: &[u8]| {
        let start = part.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        part[start..part.len() - 2].to_vec()
    };
    let about: Value = serde_json::from_slice(&content(parts[1])).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&content(parts[2])[..]).read_to_string(&mut text).unwrap();
    let name = about["name"].as_str().unwrap().to_owned();
    let mut bucket = bucket.lock().unwrap();
    if name.contains("set=full") {
        return (403, json!({"error": {"code": 403, "message": "no"}}));
    }
    if bucket.contains_key(&name) {
        return (412, json!({"error": {"code": 412, "message": "conditionNotMet"}}));
    }
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    bucket.insert(name.clone(), lines);
    (200, json!({"kind": "storage#object", "name": name, "bucket": "archive", "generation": "1"}))
}

fn split<'a>(body: &'a [u8], by: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut rest = body;
    while let Some(at) = rest.windows(by.len()).position(|window| window == by) {
        parts.push(&rest[..at]);
        rest = &rest[at + by.len()..];
    }
    parts.push(rest);
    parts
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_archived_once() {
    let Some(python) = tokio::task::spawn_blocking(python::with_storage).await.unwrap() else { return };
    let bucket = Bucket::default();
    let inside = Arc::clone(&bucket);
    let storage = Pretend::answering(move |asked| upload(&inside, asked)).await;
    let example = repository().join("lambda-examples/gcp/archive-to-gcs");
    let port = free_port().to_string();
    let mut function = Process::start(
        Command::new(python.with_file_name("functions-framework"))
            .args(["--target", "archive", "--host", "127.0.0.1", "--port", &port, "--source"])
            .arg(example.join("main.py"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs([
                ("BUCKET", "archive"),
                ("STORAGE_EMULATOR_HOST", &storage.url()),
                ("GUNICORN_LOG_LEVEL", "info"),
                ("WORKERS", "1"),
            ])
            .envs([("GOOGLE_CLOUD_PROJECT", "project"), ("PYTHONDONTWRITEBYTECODE", "1")]),
    );
    function.line("Listening at: ").await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |content_type: &str, encoding: Option<&str>, body: Vec<u8>| {
        let mut request =
            http.post(format!("http://127.0.0.1:{port}/")).header("content-type", content_type).body(body);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (
            status,
            serde_json::from_str::<Value>(&text).unwrap_or_else(|_| panic!("{text}\n{}", function.printed())),
        )
    };
    let done = (200, json!({"batchItemFailures": []}));
    let event = std::fs::read(example.join("event.json")).unwrap();
    let records: Vec<Value> = serde_json::from_slice(&event).unwrap();
    // The same records in three ways, which is one object.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&event).unwrap();
    let lines: String = String::from_utf8(event.clone())
        .unwrap()
        .trim()
        .trim_matches(['[', ']'])
        .replace("},{\"_meta", "}\n{\"_meta");
    assert_eq!(post("application/json", None, event).await, done);
    assert_eq!(post("application/json", Some("gzip"), gzip.finish().unwrap()).await, done);
    assert_eq!(post("application/x-ndjson", None, lines.into()).await, done);
    let readme = std::fs::read_to_string(example.join("README.md")).unwrap();
    {
        let bucket = bucket.lock().unwrap();
        let [(name, lines)] = bucket.iter().collect::<Vec<_>>()[..] else { panic!("{:?}", bucket.keys()) };
        assert!(readme.contains(name), "{name}");
        assert_eq!(lines, &records);
    }
    // `json`, one that the bucket does not take, and one that is no record.
    let delete = json!({"msg": "delete", "key": ["shop", null, "UisnajVr3zkBPfq+os1D4UHsyeg=", null], "durable": false});
    let full =
        json!({"msg": "write", "key": ["shop", "full", "UisnajVr3zkBPfq+os1D4UHsyeg=", null], "lut": 1});
    let (status, answer) = post("application/json", None, json!([7, full, delete]).to_string().into()).await;
    assert_eq!(status, 200);
    let item = |at: usize| {
        (
            answer["batchItemFailures"][at]["itemIdentifier"].as_str(),
            answer["batchItemFailures"][at].get("retryable"),
        )
    };
    assert_eq!((item(0), item(1)), ((Some("0"), Some(&json!(false))), (Some("1"), None)), "{answer}");
    assert_eq!(bucket.lock().unwrap().len(), 2);
    for (encoding, body) in [(None, "{"), (Some("gzip"), "no")] {
        assert_eq!(post("application/json", encoding, body.into()).await.0, 400);
    }
}
