//! Events of Splunk's HTTP Event Collector.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
};

use e2e::{
    Recipe,
    changes::{Bin, ship},
    pretend::{Answer, Asked, Pretend},
};
use hyper::Method;
use serde_json::{Deserializer, Value, json};

use super::{changes, connector, letters, lock, unpacked};

/// A collector that keeps what stands before an event that it does not take, as some versions do.
#[derive(Debug, Default)]
struct Collector {
    /// By the id of the change, as often as it came.
    events: BTreeMap<String, Vec<Value>>,
    requests: usize,
    seen: HashSet<u64>,
    complaints: Vec<String>,
}

impl Collector {
    fn answer(&mut self, asked: &Asked) -> Answer {
        let reply = |status: u16, text: &str, code: u64| (status, json!({"text": text, "code": code}));
        let mut told = |answer: Answer| {
            self.seen.insert(answer.1["code"].as_u64().unwrap());
            answer
        };
        match (&asked.method, asked.uri.path()) {
            (&Method::GET, "/services/collector/health") => {
                return (200, json!({"text": "HEC is healthy", "code": 17}));
            }
            (&Method::POST, "/services/collector/event") => {}
            _ => {
                self.complaints.push(format!("{} {}", asked.method, asked.uri));
                return (
                    404,
                    json!({"text": "The requested URL was not found on this server.", "code": 404}),
                );
            }
        }
        if asked.header("authorization") != "Splunk 00000000-0000-0000-0000-000000000000" {
            return told(reply(403, "Invalid token", 4));
        }
        self.requests += 1;
        if self.requests % 7 == 2 {
            return told(reply(503, "Server is busy", 9));
        }
        let body = match unpacked(asked) {
            Ok(body) if !body.is_empty() => body,
            _ => return told(reply(400, "No data", 5)),
        };
        for (number, event) in Deserializer::from_slice(&body).into_iter::<Value>().enumerate() {
            let refused = |text: &str, code: u64| {
                (400, json!({"text": text, "code": code, "invalid-event-number": number}))
            };
            let Ok(event) = event else { return told(refused("Invalid data format", 6)) };
            if event["event"]["bins"]["n"] == "too much" {
                // As one that is larger than a line may be.
                return told(refused("Invalid data format", 6));
            }
            match check(&event) {
                Ok(id) => self.events.entry(id).or_default().push(event),
                Err(complaint) => {
                    self.complaints.push(complaint);
                    return told(refused("Invalid data format", 6));
                }
            }
        }
        told(reply(200, "Success", 0))
    }
}

/// The id of an event that has the form of one.
fn check(event: &Value) -> Result<String, String> {
    let wrong = || format!("not an event: {event}");
    let members = event.as_object().ok_or_else(wrong)?;
    let known = ["time", "host", "source", "sourcetype", "index", "fields", "event"];
    if members.keys().any(|name| !known.contains(&name.as_str())) {
        return Err(wrong());
    }
    let time = event["time"].as_f64().ok_or_else(wrong)?;
    if !(1.6e9..1.8e9).contains(&time) || !event["source"].is_string() || !event["sourcetype"].is_string() {
        return Err(wrong());
    }
    event["event"]["id"].as_str().map(str::to_owned).ok_or_else(wrong)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_an_event() {
    let collector = Arc::new(Mutex::new(Collector::default()));
    let shared = Arc::clone(&collector);
    let server = Pretend::answering(move |asked| lock(&shared).answer(asked)).await;
    let recipe = Recipe::of("splunk-hec", "")
        .with("https://http-inputs-example.splunkcloud.com", &server.url())
        .with_file("splunk-authorization", "Splunk 00000000-0000-0000-0000-000000000000\n");
    let connector = recipe.start(connector(), &[]).await;
    let mut changes = changes(400, 1_500);
    for change in changes.iter_mut().filter(|change| change.key % 89 == 7) {
        if let Some(bins) = &mut change.bins {
            bins[0].1 = Bin::Text("too much".to_owned());
        }
    }
    let again = ship(connector.address(), &changes).await;
    let (dead, said) = letters(&connector);
    let collector = std::mem::take(&mut *lock(&collector));
    println!("{again} shipped again, {} dead letters, {} requests", said.len(), collector.requests);
    assert_eq!(collector.complaints, [""; 0]);
    assert_eq!(collector.seen, HashSet::from([0, 6, 9]));
    // A change that is refused for now may be overtaken by the next: what XDR ships again is the newest state of a record.
    let too_much = |change: &&e2e::changes::Change| change.key % 89 == 7 && change.bins.is_some();
    assert_eq!(dead, changes.iter().filter(too_much).map(e2e::changes::Change::digest_hex).collect());
    let mut missing = 0;
    for change in changes.iter().filter(|change| !too_much(change)) {
        let operation = if change.bins.is_some() { "write" } else { "delete" };
        let (digest, lut, generation) = (change.digest_hex(), change.lut_unix_ms, change.generation);
        let Some(events) = collector.events.get(&format!("test-{digest}-{lut}-{generation}-{operation}"))
        else {
            missing += 1;
            continue;
        };
        for event in events {
            assert_eq!(event["time"], json!(lut as f64 / 1000.0));
            assert_eq!(
                (&event["source"], &event["sourcetype"]),
                (&json!("test.orders"), &json!("aerospike:change"))
            );
            let bins = if change.bins.is_some() { change.json() } else { json!({}) };
            assert_eq!((&event["event"]["bins"], &event["event"]["key"]), (&bins, &json!(change.key)));
            assert_eq!(
                (&event["event"]["digest"], &event["event"]["operation"]),
                (&json!(digest), &json!(operation))
            );
        }
    }
    assert!(missing <= again, "{missing} changes are missing, and {again} were refused for now");
    let (_, printed) = connector.stop().await;
    assert!(!printed.contains("too much") && !printed.contains("00000000-0000"), "{printed}");
}
