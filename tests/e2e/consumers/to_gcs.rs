//! `gcp/to-gcs` as the server that Cloud Run starts, with a connector before it and a bucket behind it.

use std::{collections::BTreeMap, fs, process::Command};

use e2e::{
    ConnectorProcess, Process,
    pretend::Pretend,
    records::{digest, shipped},
    repository,
};
use esp_connector::simulator::{Settings, Simulation, workload::Workload};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::gcs::{Bucket, Fault};

const RECORDS: u32 = 2_000;

/// The server, and whoever gives it a token.
pub(crate) struct Server {
    process: Process,
    pub(crate) url: String,
    _metadata: Pretend,
}

impl Server {
    /// Once it listens; only with its token the bucket hears it.
    pub(crate) async fn start(bucket: &Bucket) -> Self {
        let metadata = Pretend::answering(|asked| {
            assert_eq!(asked.header("metadata-flavor"), "Google");
            assert!(asked.uri.path().ends_with("/service-accounts/default/token"), "{}", asked.uri);
            (200, json!({"access_token": "token-of-the-service", "expires_in": 3600, "token_type": "Bearer"}))
        });
        let metadata = metadata.await;
        bucket.hears_only("Bearer token-of-the-service");
        let host = metadata.url().replace("http://", "");
        let mut process =
            Process::start(Command::new(env!("CARGO_BIN_EXE_to-gcs-under-test")).env_clear().envs([
                ("BUCKET", "archive"),
                ("PREFIX", "changes/"),
                ("STORAGE_ENDPOINT", &bucket.url()),
                ("GCE_METADATA_HOST", &host),
                ("HOST", "127.0.0.1"),
                ("PORT", "0"),
            ]));
        let line = process.line("listening at ").await;
        let url = format!("http://{}/", line.rsplit(' ').next().unwrap());
        Self { process, url, _metadata: metadata }
    }

    /// Status and body of the answer to a POST.
    async fn post(&self, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let http = Client::builder().no_proxy().build().unwrap();
        let request = http.post(&self.url).header("content-type", content_type).body(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
    }
}

fn event() -> Vec<u8> {
    fs::read(repository().join("lambda-examples/gcp/to-gcs/event.json")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_of_the_readme_is_archived_once() {
    let bucket = Bucket::start().await;
    let server = Server::start(&bucket).await;
    let done = (200, json!({"batchItemFailures": []}));
    // The second answer of the bucket is lost; and then the object is there.
    bucket.fail([Fault::Unheard(503)]);
    let (status, answer) = server.post("application/json", event()).await;
    assert_eq!((status, answer["batchItemFailures"].as_array().unwrap().len()), (200, 2), "{answer}");
    assert_eq!(server.post("application/json", event()).await, done);
    assert_eq!(bucket.uploads(), 2);
    let objects = bucket.records();
    let [(name, records)] = objects.iter().collect::<Vec<_>>()[..] else { panic!("{:?}", objects.keys()) };
    let readme = fs::read_to_string(repository().join("lambda-examples/gcp/to-gcs/README.md")).unwrap();
    assert!(readme.contains(name), "{name}");
    assert_eq!(records, &serde_json::from_slice::<Vec<Value>>(&event()).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_named_and_comes_again() {
    let bucket = Bucket::start().await;
    let server = Server::start(&bucket).await;
    let order = |set: &str| json!({"msg": "write", "key": ["shop", set, "UisnajVr3zkBPfq+os1D4UHsyeg=", null], "lut": 1});
    bucket.fail([Fault::Refused(403)]);
    let (status, answer) = server.post("application/json", json!([7, order("full")]).to_string()).await;
    let item = |at: usize| {
        let item = &answer["batchItemFailures"][at];
        (item["itemIdentifier"].clone(), item.get("retryable").cloned())
    };
    assert_eq!(status, 200);
    assert_eq!((item(0), item(1)), ((json!("0"), Some(json!(false))), (json!("1"), None)), "{answer}");
    let reason = answer["batchItemFailures"][1]["reason"].as_str().unwrap();
    assert_eq!(reason, "Cloud Storage answered 403 Forbidden");
    assert!(bucket.records().is_empty());

    assert_eq!(server.post("application/json", "{").await.0, 400);
    assert_eq!(server.post("application/avro", vec![0]).await.0, 415);
    assert_eq!(server.post("application/json", vec![b' '; (32 << 20) + 1]).await.0, 413);
    let http = Client::builder().no_proxy().build().unwrap();
    assert_eq!(http.get(format!("{}health", server.url)).send().await.unwrap().status(), 200);
    assert_eq!(http.get(&server.url).send().await.unwrap().status(), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_connector_ships_is_in_the_bucket_whatever_fails() {
    let bucket = Bucket::start().await;
    let server = Server::start(&bucket).await;
    // Of some thirty uploads every third.
    let faults = [Fault::Refused(503), Fault::Unheard(500), Fault::Refused(429), Fault::Unheard(503)];
    bucket.fail(faults.into_iter().cycle().take(12));
    // In place of the connector's own identity token, which nobody asks for here.
    let yaml = format!(
        "destinations: {{archive: {{type: http, urls: ['{}'], protocol: HTTP_2, partial-response: true}}}}
format: message-pack
batching: {{max-records: 100}}
routing: {{mode: static, destination: archive}}
",
        server.url,
    );
    let program = Command::new(env!("CARGO_BIN_EXE_connector-under-test"));
    let connector = ConnectorProcess::start(program, &yaml, &[]).await;
    let workload = Workload { records: RECORDS, ..Workload::default() };
    let settings = Settings::new(connector.address().to_string(), workload.clone());
    let summary = Simulation::new(settings, None).run().await;
    assert!(summary.is_complete(), "{summary}\n{}", connector.printed());
    let mut arrived = BTreeMap::new();
    for (name, records) in bucket.records() {
        assert!(name.starts_with("changes/namespace=test/set=demo/date=2026-01-01/hour=00/"), "{name}");
        arrived.extend(records.into_iter().map(|record| (digest(&record), record)));
    }
    assert!(arrived == shipped(workload), "{} of {RECORDS}", arrived.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_begun_is_answered_before_it_ends() {
    let bucket = Bucket::start().await;
    let mut server = Server::start(&bucket).await;
    let held = bucket.hold();
    let (url, http) = (server.url.clone(), Client::builder().no_proxy().build().unwrap());
    let begun = tokio::spawn(async move {
        let request = http.post(url).header("content-type", "application/json").body(event());
        request.send().await.unwrap().json::<Value>().await.unwrap()
    });
    held.asked().await;
    let address = server.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let ended = tokio::spawn(async move { server.process.stop().await });
    // It takes no more, and what it has taken is still under way.
    while TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!begun.is_finished());
    held.release();
    assert_eq!(begun.await.unwrap(), json!({"batchItemFailures": []}));
    assert!(ended.await.unwrap().success());
    assert_eq!(bucket.records().len(), 1);
}
