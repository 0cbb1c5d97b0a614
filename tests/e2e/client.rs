//! The official Python client, pointed straight at the connector: a real peer's handshake and a real peer's bytes.
//!
//! `client/puts.py` writes; what arrives at the HTTP side is compared with values written down here a second time.

use std::{
    collections::BTreeMap,
    process::{Command, Output},
    time::{SystemTime, UNIX_EPOCH},
};

use e2e::{Connector, Receiver, Request, repository};
use serde_json::{Value, json};

use crate::python;

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_writes_and_everything_arrives() {
    let Some(python) = tokio::task::spawn_blocking(python::with_client).await.unwrap() else { return };
    let receiver = Receiver::start().await;
    let connector = Connector::start(&config(&receiver)).await;
    let port = connector.address().port();
    let before = unix_seconds();
    let script = repository().join("tests/client/puts.py");
    let run = move || Command::new(python).arg(script).arg(port.to_string()).output().unwrap();
    let commands = Commands::of(&tokio::task::spawn_blocking(run).await.unwrap());
    let during = before..=unix_seconds();
    connector.stop().await.unwrap();

    let mut arrived = Arrived::of(receiver.confirmed());
    assert_eq!(commands.result("connected", ""), "ok");
    for set in ["flat", "typed"] {
        for (case, key, bins) in puts() {
            let wanted = write(Some(set), key, &commands.delivered(case, set), &bins);
            assert_eq!(arrived.take(set, &commands.delivered(case, set)), wanted, "{case}");
        }
        // A client says which generation it expects; XDR ships the record's own in the same place.
        let metadata = arrived.metadata(set, &commands.delivered("generation", set));
        assert_eq!((&metadata["gen"], &metadata["exp"]), (&json!(7), &Value::Null));
        let metadata = arrived.metadata(set, &commands.delivered("ttl never", set));
        assert_eq!((&metadata["gen"], &metadata["exp"]), (&Value::Null, &json!(0)));
        for (case, ttl) in [("ttl", 3600), ("touch", 60)] {
            let expiry = arrived.metadata(set, &commands.delivered(case, set))["exp"].as_u64().unwrap();
            assert!(during.contains(&(expiry - ttl)), "{case}: {expiry} is not {ttl} s after {during:?}");
        }
        for (case, durable) in [("remove", false), ("remove durable", true)] {
            let digest = commands.delivered(case, set);
            assert_eq!(arrived.take(set, &digest), delete(set, case, &digest, durable), "{case}");
        }
    }
    let one = [bin("a", "int", json!(1))];
    for (case, set, path) in [("no set", "", "other"), ("afterwards", "flat", "flat")] {
        let digest = commands.delivered(case, set);
        let set = Some(set).filter(|set| !set.is_empty());
        assert_eq!(arrived.take(path, &digest), write(set, json!(case), &digest, &one), "{case}");
    }
    assert!(arrived.0.is_empty(), "nobody wrote {:?}", arrived.0.keys());

    // XDR ships values, never operations, and never asks: both are refused for good.
    assert_eq!(commands.result("increment", "flat"), 4);
    assert_eq!(commands.result("hll operation", "flat"), 4);
    assert_eq!(commands.result("read", "flat"), 16);
    // These XDR would ship again, and hears of it before its own patience ends.
    for (case, set) in [("unwritable", "flat"), ("down", "down")] {
        let code = commands.result(case, set).as_u64().unwrap_or_else(|| panic!("{case} is a success"));
        assert!([8, 9, 11, 14, 18].contains(&code), "{case} is answered {code}");
        let seconds = commands.command(case, set)["seconds"].as_f64().unwrap();
        assert!(seconds < 10.0, "{case} took {seconds} s");
    }
}

fn config(receiver: &Receiver) -> String {
    // Nothing listens on port 1.
    format!(
        "destinations:
  flat: {{urls: ['{}'], protocol: HTTP_1_1}}
  typed: {{urls: ['{}'], protocol: HTTP_2}}
  other: {{urls: ['{}'], protocol: HTTP_1_1}}
  down: {{urls: ['http://127.0.0.1:1/'], protocol: HTTP_1_1, health-check: {{enabled: false}}}}
format: {{mode: flat-json, metadata-key: _meta}}
namespaces:
  test:
    routing: {{mode: static, destination: other}}
    sets:
      flat: {{routing: {{mode: static, destination: flat}}}}
      typed: {{format: json, routing: {{mode: static, destination: typed}}}}
      down: {{routing: {{mode: static, destination: down}}}}
",
        receiver.url("/flat"),
        receiver.url("/typed"),
        receiver.url("/other"),
    )
}

/// One bin as it must arrive.
#[derive(Clone)]
struct Bin {
    name: &'static str,
    kind: &'static str,
    value: Value,
    /// What only the typed format says.
    extra: Option<(&'static str, Value)>,
}

fn bin(name: &'static str, kind: &'static str, value: Value) -> Bin {
    let extra = (kind == "list").then_some(("ordered", json!(false)));
    Bin { name, kind, value, extra }
}

/// Case, user key and bins of every put without metadata.
fn puts() -> Vec<(&'static str, Value, Vec<Bin>)> {
    let mut puts: Vec<_> = values().into_iter().map(|(case, bins)| (case, json!(case), bins)).collect();
    for (case, key) in [
        ("text key", json!("cl\u{e9} 1")),
        ("integer key", json!(123)),
        ("negative key", json!(-5)),
        ("bytes key", json!("3q0=")),
        ("durable put", json!("durable put")),
        ("key kept back", Value::Null),
    ] {
        puts.push((case, key, vec![bin("a", "int", json!(1))]));
    }
    puts
}

fn values() -> Vec<(&'static str, Vec<Bin>)> {
    let mut ordered = bin("m", "map", json!({"a": 1, "z": 26}));
    ordered.extra = Some(("order", json!("key")));
    let list = json!([
        1, -1, 255, 65536, -1_099_511_627_776_i64, "a", "", "AQI=", true, null, 1.5, [2, [3, []]], {"k": 1}
    ]);
    vec![
        (
            "integers",
            vec![
                bin("zero", "int", json!(0)),
                bin("neg", "int", json!(-1)),
                bin("min", "int", json!(-9_223_372_036_854_775_808_i64)),
                bin("max", "int", json!(9_223_372_036_854_775_807_i64)),
            ],
        ),
        (
            "doubles",
            vec![
                bin("half", "float", json!(0.5)),
                bin("neg", "float", json!(-2.25)),
                bin("third", "float", json!(0.333_333_333_333_333_3)),
                bin("big", "float", json!(1e300)),
            ],
        ),
        (
            "text",
            vec![
                bin("s", "str", json!("h\u{e9}llo \u{4e16}\u{754c} \u{1f600} \"q\" \\ \n\t\u{1}")),
                bin("empty", "str", json!("")),
            ],
        ),
        (
            "bytes",
            vec![
                bin("b", "blob", json!("AAEC/w==")),
                bin("array", "blob", json!("YWI=")),
                bin("empty", "blob", json!("")),
            ],
        ),
        ("booleans", vec![bin("t", "bool", json!(true)), bin("f", "bool", json!(false))]),
        ("list", vec![bin("l", "list", list)]),
        (
            "map",
            vec![
                bin("m", "map", json!({"a": 1, "7": "seven", "deep": {"list": [1, {"x": null}], "-3": 2.5}})),
                bin("empty", "map", json!({})),
            ],
        ),
        ("ordered map", vec![ordered]),
        ("geojson", vec![bin("g", "geojson", json!({"type": "Point", "coordinates": [-122.0, 37.5]}))]),
        ("hll", vec![bin("h", "hll", json!("AAQAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))]),
        ("deleted bin", vec![bin("keep", "int", json!(1)), bin("gone", "null", Value::Null)]),
        // 600,000 bytes of 0xab are 200,000 times these four characters.
        ("large", vec![bin("b", "blob", json!("q6ur".repeat(200_000)))]),
        ("compressed", vec![bin("s", "str", json!("abcdefgh".repeat(100)))]),
    ]
}

/// The body of a write that says nothing of generation, last-update time and expiry.
fn write(set: Option<&str>, key: Value, digest: &str, bins: &[Bin]) -> Value {
    if set == Some("typed") {
        let bins = bins.iter().map(|bin| {
            let mut typed = json!({"name": bin.name, "type": bin.kind, "value": bin.value});
            if let Some((property, value)) = &bin.extra {
                typed[*property] = value.clone();
            }
            typed
        });
        let bins: Vec<_> = bins.collect();
        let key = json!(["test", set, digest, key]);
        return json!({"msg": "write", "key": key, "gen": null, "exp": null, "lut": null, "bins": bins});
    }
    let mut metadata = json!({
        "namespace": "test", "digest": digest, "msg": "write", "gen": null, "lut": null, "exp": null
    });
    if let Some(set) = set {
        metadata["set"] = json!(set);
    }
    if !key.is_null() {
        metadata["userKey"] = key;
    }
    let mut body = json!({"_meta": metadata});
    for bin in bins {
        body[bin.name] = bin.value.clone();
    }
    body
}

fn delete(set: &str, key: &str, digest: &str, durable: bool) -> Value {
    if set == "typed" {
        return json!({"msg": "delete", "key": ["test", set, digest, key], "durable": durable});
    }
    json!({"_meta": {
        "namespace": "test", "set": set, "userKey": key, "digest": digest, "msg": "delete", "gen": null,
        "lut": null, "durable": durable
    }})
}

/// What the script reported, by case and set.
struct Commands(BTreeMap<(String, String), Value>);

impl Commands {
    fn of(output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let lines = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        Self(lines.map(|line| ((text(&line["case"]), text(&line["set"])), line)).collect())
    }

    fn command(&self, case: &str, set: &str) -> &Value {
        &self.0[&(case.to_owned(), set.to_owned())]
    }

    fn result(&self, case: &str, set: &str) -> &Value {
        &self.command(case, set)["result"]
    }

    /// The digest, as the client computed it, of a record that the client believes written.
    fn delivered(&self, case: &str, set: &str) -> String {
        assert_eq!(self.result(case, set), "ok", "{}", self.command(case, set));
        self.command(case, set)["digest"].as_str().unwrap().to_owned()
    }
}

/// What the receiver confirmed, by destination and digest.
struct Arrived(BTreeMap<(String, String), Value>);

impl Arrived {
    fn of(requests: Vec<Request>) -> Self {
        let mut arrived = BTreeMap::new();
        for request in requests {
            assert_eq!(request.header("content-type"), "application/json");
            let body = request.json();
            let digest =
                body["_meta"]["digest"].as_str().or_else(|| body["key"][2].as_str()).unwrap().to_owned();
            let place = (request.path.trim_start_matches('/').to_owned(), digest);
            if let Some(first) = arrived.insert(place, body) {
                panic!("twice: {first}");
            }
        }
        Self(arrived)
    }

    fn take(&mut self, path: &str, digest: &str) -> Value {
        let place = (path.to_owned(), digest.to_owned());
        self.0.remove(&place).unwrap_or_else(|| panic!("{place:?} did not arrive"))
    }

    /// The object that holds generation and expiry.
    fn metadata(&mut self, path: &str, digest: &str) -> Value {
        let mut body = self.take(path, digest);
        if path == "typed" { body } else { body["_meta"].take() }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
