//! `gcp/archive-to-gcs` in Google's functions framework, with Google's own client in front of a bucket that keeps objects on the
//! condition that they are not there.

use std::{io::Write as _, path::Path, process::Command};

use e2e::{Process, free_port, repository};
use serde_json::{Value, json};

use crate::{
    gcs::{Bucket, Fault},
    python,
};

/// The function in the framework, once it listens, and its address.
pub(crate) async fn start(python: &Path, bucket: &Bucket) -> (Process, String) {
    let port = free_port().to_string();
    let mut function = Process::start(
        Command::new(python.with_file_name("functions-framework"))
            .args(["--target", "archive", "--host", "127.0.0.1", "--port", &port, "--source"])
            .arg(repository().join("lambda-examples/gcp/archive-to-gcs/main.py"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs([
                ("BUCKET", "archive"),
                ("STORAGE_EMULATOR_HOST", &bucket.url()),
                ("GUNICORN_LOG_LEVEL", "info"),
                ("WORKERS", "1"),
            ])
            .envs([("GOOGLE_CLOUD_PROJECT", "project"), ("PYTHONDONTWRITEBYTECODE", "1")]),
    );
    function.line("Listening at: ").await;
    (function, format!("http://127.0.0.1:{port}/"))
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_archived_once() {
    let Some(python) = tokio::task::spawn_blocking(python::with_storage).await.unwrap() else { return };
    let bucket = Bucket::start().await;
    let (function, url) = start(&python, &bucket).await;
    let example = repository().join("lambda-examples/gcp/archive-to-gcs");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |content_type: &str, encoding: Option<&str>, body: Vec<u8>| {
        let mut request = http.post(&url).header("content-type", content_type).body(body);
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
    let objects = bucket.records();
    let [(name, lines)] = objects.iter().collect::<Vec<_>>()[..] else { panic!("{:?}", objects.keys()) };
    assert!(readme.contains(name), "{name}");
    assert_eq!(lines, &records);
    // `json`, one that the bucket does not take, and one that is no record.
    let delete = json!({"msg": "delete", "key": ["shop", null, "UisnajVr3zkBPfq+os1D4UHsyeg=", null], "durable": false});
    let full =
        json!({"msg": "write", "key": ["shop", "full", "UisnajVr3zkBPfq+os1D4UHsyeg=", null], "lut": 1});
    bucket.fail([Fault::Refused(403)]);
    let (status, answer) = post("application/json", None, json!([7, full, delete]).to_string().into()).await;
    assert_eq!(status, 200);
    let item = |at: usize| {
        (
            answer["batchItemFailures"][at]["itemIdentifier"].as_str(),
            answer["batchItemFailures"][at].get("retryable"),
        )
    };
    assert_eq!((item(0), item(1)), ((Some("0"), Some(&json!(false))), (Some("1"), None)), "{answer}");
    assert_eq!(bucket.records().len(), 2);
    for (encoding, body) in [(None, "{"), (Some("gzip"), "no")] {
        assert_eq!(post("application/json", encoding, body.into()).await.0, 400);
    }
}
