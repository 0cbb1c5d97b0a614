//! Sections of the configuration as their effect on what arrives: routing by value, transforms, batches, order,
//! formats, and which level counts.

use std::net::SocketAddr;

use esp_connector::simulator::particle::Particle;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    harness::{Folder, Process, WITHIN, get, service},
    receiver::{Receiver, Request},
    xdr_client::{Ack, XdrClient, delete, version, write},
};

/// A connector with destinations `a`, `b` and `c` at paths of the same names, and `sections`.
async fn start(receiver: &Receiver, sections: &str) -> (Process, XdrClient, Folder) {
    let destination = |name: &str| {
        let url = receiver.url(&format!("/{name}"));
        format!(
            "  {name}: {{urls: ['{url}'], protocol: HTTP_1_1, max-connections-per-endpoint: 8, call-timeout: 60000}}\n"
        )
    };
    let destinations = ["a", "b", "c"].map(destination).concat();
    let config = format!("{}destinations:\n{destinations}{sections}", service(""));
    let folder = Folder::with(&config);
    let (process, address) = Process::run(&folder).await;
    let source = XdrClient::connect(address).await.unwrap();
    (process, source, folder)
}

async fn ship(source: &mut XdrClient, messages: &[Vec<u8>]) {
    source.send(&messages.concat()).await.unwrap();
    for _ in messages {
        assert_eq!(source.ack().await.unwrap(), Ack::OK);
    }
}

/// Waits until `count` records wait to be sent to `destination`.
async fn queued(manage: SocketAddr, destination: &str, count: usize) {
    let (label, value) = (format!("destination=\"{destination}\""), format!(" {count}"));
    let is_it = |line: &str| {
        line.starts_with("esp_connector_lane_queued_records{")
            && line.contains(&label)
            && line.ends_with(&value)
    };
    let shown = async { while !get(manage, "/metrics").await.unwrap().1.lines().any(is_it) {} };
    timeout(WITHIN, shown).await.unwrap_or_else(|_| panic!("never {count} queued for {destination}"));
}

/// Path and key of every confirmed request, in the order of the keys.
fn arrivals(receiver: &Receiver) -> Vec<(String, i64)> {
    let arrival =
        |request: &Request| (request.path.clone(), request.json()["_meta"]["userKey"].as_i64().unwrap());
    let mut arrivals: Vec<_> = receiver.confirmed().iter().map(arrival).collect();
    arrivals.sort_by_key(|(path, key)| (*key, path.clone()));
    arrivals
}

fn to(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
    pairs.iter().map(|(path, key)| ((*path).to_owned(), *key)).collect()
}

const FLAT: &str = "format: {mode: flat-json, metadata-key: _meta}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_bin_picks_the_destination_and_what_has_none_takes_the_default() {
    let receiver = Receiver::start().await;
    let routing = "routing:
  mode: bin
  bin: region
  transforms: [trim, lowercase]
  destinations: {eu: a, us: [a, b], '7': b, 'true': b, test: []}
  default: c
";
    let (_process, mut source, _folder) = start(&receiver, &format!("{FLAT}{routing}")).await;
    let region = |key, value: Particle<'_>| write("s", key, &[("region", value)]);
    ship(
        &mut source,
        &[
            region(1, Particle::String(b"eu")),
            region(2, Particle::String(b" US ")),
            region(3, Particle::Integer(7)),
            region(4, Particle::Boolean(true)),
            region(5, Particle::String(b"test")),
            region(6, Particle::String(b"elsewhere")),
            region(7, Particle::Double(7.0)),
            region(8, Particle::String(b"\xff")),
            write("s", 9, &[("other", Particle::Integer(1))]),
            delete("s", 1),
        ],
    )
    .await;
    let expected = to(&[
        ("/a", 1),
        ("/c", 1),
        ("/a", 2),
        ("/b", 2),
        ("/b", 3),
        ("/b", 4),
        ("/c", 6),
        ("/c", 7),
        ("/c", 8),
        ("/c", 9),
    ]);
    assert_eq!(arrivals(&receiver), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn set_and_namespace_pick_destinations_too() {
    let receiver = Receiver::start().await;
    let sections = "routing: {mode: namespace, destinations: {other: a}, default: c}
namespaces:
  test:
    routing: {mode: set, destinations: {orders: b}, default: []}
    sets:
      own: {routing: {mode: namespace, destinations: {test: a}, default: c}}
";
    let (_process, mut source, _folder) = start(&receiver, &format!("{FLAT}{sections}")).await;
    let n = || [("n", Particle::Integer(1))];
    ship(&mut source, &[write("orders", 1, &n()), write("carts", 2, &n()), write("own", 3, &n())]).await;
    assert_eq!(arrivals(&receiver), to(&[("/b", 1), ("/a", 3)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn bins_are_kept_dropped_and_renamed_by_the_innermost_section() {
    let receiver = Receiver::start().await;
    let sections = r"routing: {mode: bin, bin: price, destinations: {}, default: a}
bin-transforms:
  include: {type: specified, bins: [sku, qty, price, ts]}
  exclude: {type: specified, bins: [price]}
  map: {ts: event_time}
  transforms:
    - uppercase
    - regex: {pattern: '[^A-Z0-9_]', replacement: '_'}
namespaces:
  test:
    sets:
      bare: {bin-transforms: {exclude: {type: all}}}
";
    let (_process, mut source, _folder) = start(&receiver, &format!("{FLAT}{sections}")).await;
    let bins = || {
        let bin = |name, n| (name, Particle::Integer(n));
        [bin("sku", 1), bin("qty", 2), bin("price", 3), bin("ts", 4), bin("note", 5)]
    };
    ship(&mut source, &[write("full", 1, &bins()), write("bare", 2, &bins())]).await;
    let mut bodies: Vec<Value> = receiver.confirmed().iter().map(Request::json).collect();
    bodies.sort_by_key(|body| body["_meta"]["userKey"].as_i64());
    for body in &mut bodies {
        body.as_object_mut().unwrap().remove("_meta");
    }
    assert_eq!(bodies, [json!({"SKU": 1, "QTY": 2, "event_time": 4}), json!({})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_a_request_is_in_flight_goes_in_one_body() {
    let receiver = Receiver::held().await;
    let sections = "routing: {mode: static, destination: a}
batching: {max-records: 100, max-bytes: 400, batch-interval: 60000}
namespaces:
  test:
    sets:
      lines: {batching: {body: ndjson}}
      single: {batching: {enabled: false}}
";
    let (mut process, mut source, _folder) = start(&receiver, &format!("{FLAT}{sections}")).await;
    let manage = process.address("listening for management").await;
    let n = || [("n", Particle::Integer(1))];
    let each = |set: &'static str| (1..=6).map(move |key| write(set, key, &n()));
    // Two arrays are full, and go at once; only what fills no request waits.
    for (set, requests, at_once, waiting) in [("arrays", 4, 3, 1), ("lines", 2, 1, 5), ("single", 6, 6, 0)] {
        let before = receiver.confirmed().len();
        let messages: Vec<_> = each(set).collect();
        // The first goes alone, and holds the others back.
        source.send(&messages[0]).await.unwrap();
        receiver.arrived(before + 1).await;
        source.send(&messages[1..].concat()).await.unwrap();
        // Else the answer to the first might come before the connector has read the others.
        receiver.arrived(before + at_once).await;
        queued(manage, "a", waiting).await;
        receiver.let_pass(requests);
        for _ in 0..6 {
            assert_eq!(source.ack().await.unwrap(), Ack::OK);
        }
        let bodies = receiver.confirmed().split_off(before);
        assert_eq!(bodies.len(), requests, "{set}");
        let keys = |request: &Request| -> Vec<i64> {
            let records: Vec<Value> = match set {
                "arrays" => serde_json::from_slice(&request.body).unwrap(),
                "lines" => {
                    let text = str::from_utf8(&request.body).unwrap();
                    assert!(text.ends_with('\n'), "{text:?}");
                    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
                }
                _ => vec![request.json()],
            };
            records.iter().map(|record| record["_meta"]["userKey"].as_i64().unwrap()).collect()
        };
        let mut all: Vec<_> = bodies.iter().flat_map(keys).collect();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3, 4, 5, 6], "{set}");
        let media_type = if set == "lines" { "application/x-ndjson" } else { "application/json" };
        for request in &bodies {
            assert_eq!(request.header("content-type"), media_type);
            assert!(set == "lines" || request.body.len() <= 400, "{} bytes", request.body.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_come_late_are_acknowledged_and_not_sent() {
    let receiver = Receiver::start().await;
    let sections = "routing: {mode: static, destination: a}
record-ordering: {lut-cache-ttl-seconds: 30}
namespaces:
  test: {record-ordering: {enable: true}}
";
    let (_process, mut source, _folder) = start(&receiver, &format!("{FLAT}{sections}")).await;
    for lut in [20, 10, 20, 30] {
        ship(&mut source, &[version("s", 1, 1_700_000_000_000 + lut, &[("n", Particle::Integer(1))])]).await;
    }
    let luts: Vec<_> =
        receiver.confirmed().iter().map(|request| request.json()["_meta"]["lut"].clone()).collect();
    assert_eq!(luts, [1_700_000_000_020_i64, 1_700_000_000_020, 1_700_000_000_030]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_arrives_under_its_media_type() {
    let receiver = Receiver::start().await;
    let sections = r#"routing: {mode: static, destination: a}
format: message-pack
namespaces:
  test:
    sets:
      json: {format: json}
      raw: {format: {mode: avro, schema: '{"type": "map", "values": "long"}'}}
      object: {format: {mode: avro, schema: '{"type": "map", "values": "long"}', encoding: single-object}}
      file: {format: {mode: avro, schema: '{"type": "map", "values": "long"}', encoding: ocf}}
"#;
    let (_process, mut source, _folder) = start(&receiver, sections).await;
    for (set, media_type, begin) in [
        ("any", "application/x-msgpack", &b"\x93\x01\x01\x95"[..]),
        ("json", "application/json", b"{\"msg\":\"write\""),
        ("raw", "application/avro", b"\x02\x02n\x02"),
        ("object", "application/avro", b"\xc3\x01"),
        ("file", "application/avro", b"Obj\x01"),
    ] {
        ship(&mut source, &[write(set, 1, &[("n", Particle::Integer(1))])]).await;
        let request = receiver.confirmed().pop().unwrap();
        assert_eq!(request.header("content-type"), media_type, "{set}");
        assert!(request.body.starts_with(begin), "{set}: {:?}", request.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_does_not_fit_the_format_is_held_alone_and_the_field_is_named() {
    let receiver = Receiver::start().await;
    let sections = r#"routing: {mode: static, destination: a}
format: {mode: avro, schema: '{"type": "map", "values": "long"}'}
"#;
    let (mut process, mut source, _folder) = start(&receiver, sections).await;
    let n = |key, n| write("s", key, &[("n", n)]);
    source
        .send(
            &[n(1, Particle::Integer(1)), n(2, Particle::String(b"hunter2")), n(3, Particle::Integer(3))]
                .concat(),
        )
        .await
        .unwrap();
    let acks = [source.ack().await.unwrap(), source.ack().await.unwrap(), source.ack().await.unwrap()];
    assert_eq!((acks[0], acks[2]), (Ack::OK, Ack::OK));
    assert!(acks[1].is_temporary(), "{acks:?}");
    let line = process.line("cannot be written in the configured format").await;
    assert!(line.contains("bin \\\"n\\\"") || line.contains("bin \"n\""), "{line}");
    assert!(!line.contains("hunter2"), "{line}");
}
