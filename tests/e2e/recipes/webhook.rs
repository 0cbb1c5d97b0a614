//! Webhooks that the reference library takes.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use e2e::{Recipe, WITHIN, changes::ship, repository};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{changes, connector, letters, lock};
use crate::python;

const OLD: &str = "whsec_b2xkIHNlY3JldCBvZiAyNCBieXRlcyEh";
const NEW: &str = "whsec_bmV3IHNlY3JldCBvZiAyNCBieXRlcyEh";

/// The receiver, which ends with the test.
struct Receiver {
    process: Child,
    /// Its end tells the receiver to end.
    _stdin: Option<ChildStdin>,
    port: u64,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    fn start(secret: &str, refusals: &str) -> Option<Self> {
        let mut process = Command::new(python::with_webhooks()?)
            .arg(repository().join("tests/webhook/receiver.py"))
            .args([secret, refusals])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                lock(&seen).push(serde_json::from_str(&line).unwrap());
            }
        });
        Some(Self { _stdin: process.stdin.take(), process, port: first["port"].as_u64().unwrap(), requests })
    }

    fn recipe(&self, secret: &str) -> Recipe {
        Recipe::of("webhook", "type: webhook")
            .with("https://hooks.example.net", &format!("http://127.0.0.1:{}", self.port))
            .with_file("webhook-secret", secret)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_library_takes_every_request_and_knows_what_comes_twice() {
    // Some are processed and the answer is lost, some are turned away before.
    let refusals = "5,17,18,19,120,-40,-41,-200";
    let started = tokio::task::spawn_blocking(move || Receiver::start(OLD, refusals)).await.unwrap();
    let Some(receiver) = started else { return };
    let connector = receiver.recipe(OLD).start(connector(), &[]).await;
    let changes = changes(150, 400);
    let again = ship(connector.address(), &changes).await;
    // What the receiver prints is read when it is read.
    let began = Instant::now();
    let requests = loop {
        let requests = lock(&receiver.requests).clone();
        if requests.len() + again >= 400 + 8 {
            break requests;
        }
        assert!(began.elapsed() < WITHIN, "{} requests", requests.len());
        sleep(std::time::Duration::from_millis(10)).await;
    };
    assert_eq!(requests.iter().filter(|request| request["status"] != 204).count(), 8);
    let mut by_id: BTreeMap<String, Value> = BTreeMap::new();
    for request in &requests {
        assert_eq!(request.get("error"), None, "{request}");
        assert_eq!(
            (&request["path"], &request["content_type"]),
            (&json!("/orders"), &json!("application/json"))
        );
        let id = request["id"].as_str().unwrap().to_owned();
        assert!(!id.contains('.'));
        let known = by_id.entry(id).or_insert_with(|| request["body"].clone());
        assert_eq!(*known, request["body"], "one id, one body");
    }
    // A change that is refused for now may be overtaken by the next: what XDR ships again is the newest state of a record.
    assert!((400 - again.min(400)..=400).contains(&by_id.len()), "what was sent again has the same id");
    for change in &changes {
        let operation = if change.bins.is_some() { "write" } else { "delete" };
        let (digest, lut, generation) = (change.digest_hex(), change.lut_unix_ms, change.generation);
        let id = format!("test-{digest}-{lut}-{generation}-{operation}");
        let Some(body) = by_id.remove(&id) else { continue };
        assert_eq!(body["type"], format!("test.{operation}"));
        assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
        let bins = if change.bins.is_some() { change.json() } else { json!({}) };
        assert_eq!(body["data"], json!({"set": "orders", "digest": digest, "key": change.key, "bins": bins}));
    }
    assert!(by_id.is_empty(), "changes that never were: {by_id:?}");
    assert!(letters(&connector).1.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_exchanged_without_a_restart() {
    let started = tokio::task::spawn_blocking(|| Receiver::start(NEW, "")).await.unwrap();
    let Some(receiver) = started else { return };
    let connector = receiver.recipe(OLD).start(connector(), &[]).await;
    let secret = connector.folder().join("webhook-secret");
    let changes = changes(20, 20);
    let address = connector.address();
    let shipping = tokio::spawn(async move { ship(address, &changes).await });
    let began = Instant::now();
    while lock(&receiver.requests).is_empty() {
        assert!(began.elapsed() < WITHIN, "nothing came");
        sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(lock(&receiver.requests)[0]["status"], 401, "the receiver knows the new secret only");
    fs::write(&secret, format!("{NEW}\n{OLD}\n")).unwrap();
    shipping.await.unwrap();
    let requests = lock(&receiver.requests).clone();
    let taken: Vec<_> = requests.iter().filter(|request| request["status"] == 204).collect();
    assert!(taken.iter().all(|request| request["signatures"] == 2), "{taken:?}");
    assert!(letters(&connector).1.is_empty(), "a wrong secret is about no record");
    let (_, printed) = connector.stop().await;
    assert!(!printed.contains("whsec_") && !printed.contains("v1,"), "{printed}");
}
