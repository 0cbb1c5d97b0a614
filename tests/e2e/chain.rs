//! A connector behind another one, through a load balancer: what comes out is what comes out without it.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use clap::ValueEnum as _;
use e2e::{Ack, Connector, EnvoyBalancer, Nginx, Receiver, WITHIN, XdrClient, delete, get, version, write};
use esp_connector::simulator::{
    particle::Particle,
    workload::{BinType, Generator, Workload},
};
use hyper::StatusCode;
use serde_json::Value;
use tokio::time::sleep;

use crate::python;

const HTTP_1: &str = "protocol: HTTP_1_1\n    max-connections-per-endpoint: 8";
const HTTP_2: &str = "protocol: HTTP_2";
const JSON: &str = "format: json";

/// A front that passes on to `url`.
async fn front(url: &str, settings: &str, more: &str) -> Connector {
    let yaml = format!(
        "destinations:
  backs:
    urls: ['{url}']
    call-timeout: 7000
    {settings}
{more}
format: xdr
routing: {{mode: static, destination: backs}}"
    );
    Connector::start(&yaml).await
}

/// A back that delivers to `receiver`.
async fn back(receiver: &Receiver, settings: &str) -> Connector {
    back_of(&receiver.url("/"), settings, JSON).await
}

async fn back_of(url: &str, settings: &str, sections: &str) -> Connector {
    let yaml = format!(
        "destinations:
  receiver:
    urls: ['{url}']
    protocol: HTTP_1_1
    max-connections-per-endpoint: 8
    {settings}
{sections}
routing: {{mode: static, destination: receiver}}"
    );
    Connector::serving(", protocol: HTTP_2", &yaml).await
}

/// Records of every type, and a delete.
fn records() -> Vec<Vec<u8>> {
    let workload =
        Workload { records: 60, types: BinType::value_variants().to_vec(), bins: 14, ..Workload::default() };
    let generator = Generator::new(workload);
    let mut frames: Vec<_> = (0..60)
        .map(|id| {
            let mut frame = Vec::new();
            generator.encode(id, 1, generator.digest(id), &mut frame);
            frame
        })
        .collect();
    frames.push(delete("orders", 1));
    frames
}

/// Ships `frames` at once, and expects each to be done.
async fn ship(to: SocketAddr, frames: &[Vec<u8>]) {
    let mut xdr = XdrClient::connect(to).await.unwrap();
    xdr.send(&frames.concat()).await.unwrap();
    for _ in frames {
        assert_eq!(xdr.ack().await.unwrap(), Ack::OK);
    }
}

/// Ships `frames` until each is done, as XDR does what is refused for now.
async fn ship_in_the_end(to: SocketAddr, frames: &[Vec<u8>]) {
    let mut xdr = XdrClient::connect(to).await.unwrap();
    let mut left: Vec<_> = frames.iter().collect();
    let started = tokio::time::Instant::now();
    while !left.is_empty() {
        assert!(started.elapsed() < WITHIN, "{} are not done", left.len());
        for frame in &left {
            xdr.send(frame).await.unwrap();
        }
        let mut refused = Vec::new();
        for frame in left {
            match xdr.ack().await.unwrap() {
                Ack::OK => {}
                ack => {
                    assert!(ack.is_temporary(), "{ack:?}");
                    refused.push(frame);
                }
            }
        }
        left = refused;
    }
}

fn bodies(receiver: &Receiver) -> Vec<Vec<u8>> {
    let mut bodies: Vec<_> = receiver.confirmed().iter().map(|request| request.body.to_vec()).collect();
    bodies.sort();
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_through_a_chain_arrives_as_it_does_without() {
    let (direct, plain) = (Receiver::start().await, Receiver::start().await);
    let alone = back(&direct, "").await;
    let frames = records();
    for frame in &frames {
        let response = post(alone.address(), &[], frame.clone()).await;
        assert_eq!(response.status, 200);
    }
    // Not through HTTP at all.
    let yaml = format!(
        "destinations: {{receiver: {{urls: ['{}'], protocol: HTTP_1_1}}}}\n{JSON}\nrouting: {{mode: static, destination: receiver}}",
        plain.url("/")
    );
    let connector = Connector::start(&yaml).await;
    ship(connector.address(), &frames).await;
    let expected = bodies(&plain);
    assert_eq!(expected.len(), frames.len());
    assert!(bodies(&direct) == expected, "a back alone");
    for (http2, settings) in [(false, HTTP_1), (true, HTTP_2)] {
        let receiver = Receiver::start().await;
        let backs = [back(&receiver, "").await, back(&receiver, "").await];
        let Some(nginx) = Nginx::start(&backs.each_ref().map(Connector::address), http2).await else {
            return;
        };
        let front = front(&nginx.url(), settings, "").await;
        ship(front.address(), &frames).await;
        assert!(bodies(&receiver) == expected, "{settings}");
        for back in backs {
            assert!(requests(&back, "success").await > 0.0, "both have their share");
            back.stop().await.unwrap();
        }
        assert_eq!(nginx.complaints(), "");
        front.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_of_a_record_keep_their_order_over_two_backs_that_fail_now_and_then() {
    const VERSIONS: i64 = 300;
    let receiver =
        Receiver::answering(
            |_, before| {
                if before % 10 == 3 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
            },
        )
        .await;
    let backs = [back(&receiver, "").await, back(&receiver, "").await];
    let Some(nginx) = Nginx::start(&backs.each_ref().map(Connector::address), false).await else { return };
    let front = front(&nginx.url(), HTTP_1, "").await;
    let frames: Vec<_> = (0..VERSIONS)
        .map(|n| version("orders", 1, 1_700_000_000_000 + n as u64, &[("n", Particle::Integer(n))]))
        .collect();
    ship(front.address(), &frames).await;
    let arrived: Vec<_> = receiver
        .confirmed()
        .iter()
        .map(|request| request.json()["bins"][0]["value"].as_i64().unwrap())
        .collect();
    assert_eq!(arrived, (0..VERSIONS).collect::<Vec<_>>());
    for back in &backs {
        assert!(requests(back, "success").await > VERSIONS as f64 / 4.0, "both had a part in it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_behind_comes_to_the_front() {
    // The first two tries of each are in vain; the record `7` is refused by itself.
    let receiver = Receiver::answering(|request, before| match () {
        () if request.json()["key"][3] == 7 => StatusCode::BAD_REQUEST,
        () if before < 2 => StatusCode::INTERNAL_SERVER_ERROR,
        () => StatusCode::OK,
    })
    .await;
    let letters = Receiver::start().await;
    let back = back(&receiver, "http-permanent-status-codes: [400]\n    max-attempts: 1").await;
    let url = format!("http://{}/", back.address());
    let more = format!("  letters: {{urls: ['{}'], protocol: HTTP_1_1}}", letters.url("/"));
    let front = front(&url, "dead-letter: letters", &more).await;
    let frames: Vec<_> = (5..9).map(|key| write("orders", key, &[])).collect();
    ship(front.address(), &frames).await;
    let mut keys: Vec<_> =
        receiver.confirmed().iter().map(|request| request.json()["key"][3].as_i64()).collect();
    keys.sort();
    assert_eq!(keys, [Some(5), Some(6), Some(8)]);
    let letters = letters.confirmed();
    let letter = letters[0].json();
    assert_eq!(
        (letters.len(), &letter["userKey"], &letter["destination"]),
        (1, &Value::from(7), &Value::from("backs"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_back_that_joins_gets_its_part_and_one_that_leaves_none_through_envoy() {
    let Some(python) = tokio::task::spawn_blocking(python::with_envoy).await.unwrap() else { return };
    let receiver = Receiver::start().await;
    let (leaving, joining) = (back(&receiver, "").await, back(&receiver, "").await);
    let envoy = EnvoyBalancer::start(&python, &[leaving.address()]).await;
    let front = front(&envoy.url(), HTTP_2, "").await;
    let (mut shipped, started) = (0, tokio::time::Instant::now());
    while requests(&joining, "success").await < 100.0 {
        assert!(started.elapsed() < WITHIN);
        if shipped == 200 {
            envoy.replace(&[leaving.address(), joining.address()]);
        }
        let frames: Vec<_> = (shipped..shipped + 100).map(|key| write("orders", key, &[])).collect();
        ship_in_the_end(front.address(), &frames).await;
        shipped += 100;
    }
    envoy.replace(&[joining.address()]);
    leaving.stop().await.unwrap();
    let frames: Vec<_> = (shipped..shipped + 100).map(|key| write("orders", key, &[])).collect();
    ship_in_the_end(front.address(), &frames).await;
    let keys: BTreeSet<_> =
        receiver.confirmed().iter().map(|request| request.json()["key"][3].as_i64().unwrap()).collect();
    assert_eq!(keys, (0..shipped + 100).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_without_a_balancer_may_speak_mutual_tls() {
    let Some(chains) = e2e::chains::Chains::new() else { return };
    chains.issue("back", "subjectAltName=DNS:localhost");
    chains.issue("front", "subjectAltName=DNS:front.internal");
    let pair = |name: &str| {
        let (certificate, key) = (chains.path(&format!("{name}.pem")), chains.path(&format!("{name}.key")));
        format!("certificate-file: '{}', key-file: '{}'", certificate.display(), key.display())
    };
    let ca = format!("ca-file: '{}'", chains.path("ca.pem").display());
    for protocol in ["HTTP_2", "HTTP_1_1"] {
        let receiver = Receiver::start().await;
        let names = "allowed-peer-names: front.internal";
        let tls = format!("{{port: 0, {ca}, {names}, {}}}", pair("back"));
        let back = served(&receiver, protocol, &format!(", tls: {tls}")).await;
        let url = format!("https://localhost:{}/", back.tls_address().port());
        let settings = format!("protocol: {protocol}\n    tls: {{{ca}, {}}}", pair("front"));
        let front = front(&url, &settings, "").await;
        ship(front.address(), &records()).await;
        assert_eq!(receiver.confirmed().len(), records().len());
        assert_eq!(requests(&back, "success").await, records().len() as f64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_back_that_stops_costs_no_record() {
    let receiver = Receiver::start().await;
    let backs = [back(&receiver, "").await, back(&receiver, "").await];
    let Some(nginx) = Nginx::start(&backs.each_ref().map(Connector::address), false).await else { return };
    let front = front(&nginx.url(), HTTP_1, "").await;
    let frames: Vec<_> = (0..3_000).map(|key| write("orders", key, &[])).collect();
    let shipping = tokio::spawn({
        let front = front.address();
        async move { ship_in_the_end(front, &frames).await }
    });
    receiver.arrived(1_000).await;
    let [leaving, staying] = backs;
    leaving.stop().await.unwrap();
    shipping.await.unwrap();
    let keys: BTreeSet<_> =
        receiver.confirmed().iter().map(|request| request.json()["key"][3].as_i64().unwrap()).collect();
    assert_eq!(keys.len(), 3_000);
    staying.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_room_is_answered_at_once_and_others_when_they_are_delivered() {
    let receiver = Receiver::held().await;
    let back = served(&receiver, "HTTP_1_1", ", max-concurrent-records: 1").await;
    let (address, first) = (back.address(), write("orders", 1, &[]));
    let waiting = tokio::spawn(async move { post(address, &[], first).await });
    receiver.arrived(1).await;
    let busy = post(address, &[], write("orders", 2, &[])).await;
    assert_eq!((busy.status, busy.retry_after.as_deref()), (503, Some("1")));
    assert!(!waiting.is_finished());
    receiver.let_pass(1);
    assert_eq!(waiting.await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_late_is_answered_and_one_that_nobody_waits_for_is_forgotten() {
    let receiver = Receiver::held().await;
    let back = served(&receiver, "HTTP_1_1", "").await;
    let address = back.address();
    // It says itself that nobody waits for longer than 200 ms.
    let mut urgent = write("orders", 1, &[]);
    urgent[22..26].copy_from_slice(&200_u32.to_be_bytes());
    assert_eq!(post(address, &[], urgent).await.status, 504);
    let gone = tokio::spawn(async move { post(address, &[], write("orders", 2, &[])).await });
    receiver.arrived(2).await;
    assert_eq!(requests(&back, "queued").await, 1.0);
    gone.abort();
    let started = tokio::time::Instant::now();
    while requests(&back, "queued").await > 0.0 {
        assert!(started.elapsed() < WITHIN);
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(requests(&back, "error").await, 1.0);
}

/// A back with more settings of its service.
async fn served(receiver: &Receiver, protocol: &str, service: &str) -> Connector {
    let url = receiver.url("/");
    let receiver = format!(
        "{{urls: ['{url}'], protocol: HTTP_1_1, call-timeout: 7000, max-connections-per-endpoint: 4}}"
    );
    let yaml = format!(
        "destinations: {{receiver: {receiver}}}\n{JSON}\nrouting: {{mode: static, destination: receiver}}"
    );
    Connector::serving(&format!(", protocol: {protocol}{service}"), &yaml).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_told_apart_and_probes_answered() {
    let receiver = Receiver::start().await;
    let back = back(&receiver, "").await;
    let address = back.address();
    let frame = write("orders", 1, &[("n", Particle::Integer(1))]);
    let gzip = [("content-encoding", "gzip")];
    for (headers, body, status) in [
        (&[] as &[_], frame.clone(), 200),
        (&[], frame[8..].to_vec(), 200),
        (&[], compressed(&frame), 200),
        (&gzip, gzipped(&frame), 200),
        (&gzip, gzipped(&compressed(&frame)), 200),
        (&gzip, frame.clone(), 400),
        (&[("content-encoding", "br")], frame.clone(), 415),
        (&[], [frame.clone(), frame.clone()].concat(), 400),
        (&[], frame[..frame.len() - 1].to_vec(), 400),
        (&[], frame[8..frame.len() - 1].to_vec(), 400),
        (&[], e2e::info_request("build"), 400),
        (&[], vec![1; 40], 501),
        (&[], b"{}".to_vec(), 501),
        (&[], vec![], 400),
        (&[], vec![22; (16 << 20) + 9], 413),
    ] {
        let shown = body[..body.len().min(40)].escape_ascii().to_string();
        assert_eq!(post(address, headers, body).await.status, status, "{shown}");
    }
    let bodies = bodies(&receiver);
    assert!(bodies.len() == 5 && bodies.iter().all(|body| *body == bodies[0]), "{}", bodies.len());
    for (path, expected) in
        [("/", 200), ("/any/path", 200), ("/readyz", 200), ("/manage/rest/v1/metrics", 200)]
    {
        assert_eq!(get(address, path).await.unwrap().0, expected, "{path}");
    }
    // All of it is counted.
    assert_eq!(requests(&back, "success").await, 5.0);
    assert_eq!(requests(&back, "parse-error").await, 10.0);
}

/// The vendor's counter of requests, as the back itself tells it.
async fn requests(back: &Connector, status: &str) -> f64 {
    let (_, page) = get(back.address(), "/manage/rest/v1/prometheus").await.unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    let label = format!("status=\"{status}\"");
    let line = page
        .lines()
        .find(|line| line.starts_with("aerospike_esp_outbound_requests{") && line.contains(&label));
    let line = line.unwrap_or_else(|| panic!("no {label} in\n{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

struct Answered {
    status: u16,
    retry_after: Option<String>,
}

async fn post(address: SocketAddr, headers: &[(&str, &str)], body: Vec<u8>) -> Answered {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    let mut request = hyper::Request::post("/records").header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = http_body_util::Full::new(bytes::Bytes::from(body));
    let response = sender.send_request(request.body(body).unwrap()).await.unwrap();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    Answered { status: response.status().as_u16(), retry_after }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// The frame as XDR compresses it.
fn compressed(frame: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut zlib = flate2::write::ZlibEncoder::new(
        (frame.len() as u64).to_be_bytes().to_vec(),
        flate2::Compression::fast(),
    );
    zlib.write_all(frame).unwrap();
    let body = zlib.finish().unwrap();
    let mut compressed = (0x0204_0000_0000_0000 | body.len() as u64).to_be_bytes().to_vec();
    compressed.extend(body);
    compressed
}
