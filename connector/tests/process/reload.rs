//! The configuration read again while records flow: by signal and by request, right and wrong, with all that may change.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use esp_connector::{
    receiver::{Book, Receiver as Ledgered, faults::Faults},
    simulator::{Settings, Simulation, particle::Particle, workload::Workload},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    chains::Chains,
    harness::{Folder, Process, WITHIN, command, get, service},
    receiver::Receiver,
    xdr_client::{Ack, XdrClient, info_request, write},
};

/// What a POST is answered.
async fn post(manage: SocketAddr, path: &str, more: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(manage).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {manage}\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(WITHIN, stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

async fn reload(manage: SocketAddr) -> (u16, Value) {
    post(manage, "/manage/rest/v1/reload", "").await
}

/// The changes of a reload that must succeed.
async fn reloaded(manage: SocketAddr) -> Value {
    let (status, answer) = reload(manage).await;
    assert_eq!((status, &answer["reloaded"]), (200, &json!(true)), "{answer}");
    answer["changes"].clone()
}

/// The sum over the samples of a metric whose labels contain `label`; `None` when there is none.
async fn metric(manage: SocketAddr, name: &str, label: &str) -> Option<f64> {
    let page = get(manage, "/metrics").await.unwrap().1;
    let samples =
        page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name) && line.contains(label));
    let values: Vec<f64> = samples.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

async fn until(manage: SocketAddr, name: &str, label: &str, is_it: impl Fn(Option<f64>) -> bool) {
    let shown = async { while !is_it(metric(manage, name, label).await) {} };
    timeout(WITHIN, shown).await.unwrap_or_else(|_| panic!("{name} {label} never came to it"));
}

fn n(n: i64) -> [(&'static str, Particle<'static>); 1] {
    [("n", Particle::Integer(n))]
}

async fn ship(source: &mut XdrClient, keys: impl IntoIterator<Item = i64>) {
    let messages: Vec<_> = keys.into_iter().map(|key| write("s", key, &n(key))).collect();
    source.send(&messages.concat()).await.unwrap();
    for _ in messages {
        assert_eq!(source.ack().await.unwrap(), Ack::OK);
    }
}

/// Paths of what was confirmed since `before`.
fn paths(receiver: &Receiver, before: usize) -> Vec<String> {
    receiver.confirmed()[before..].iter().map(|request| request.path.clone()).collect()
}

fn destination(receiver: &Receiver, name: &str, path: &str) -> String {
    let url = receiver.url(path);
    format!(
        "  {name}: {{urls: ['{url}'], protocol: HTTP_1_1, max-connections-per-endpoint: 4, call-timeout: 5000}}\n"
    )
}

const FLAT: &str = "format: {mode: flat-json, metadata-key: _meta}\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_file_says_next_is_what_happens_next_and_is_told_in_names() {
    let receiver = Receiver::start().await;
    let (a, b) = (destination(&receiver, "a", "/a"), destination(&receiver, "b", "/b"));
    let first = format!(
        "{}destinations:\n{a}{b}{FLAT}routing: {{mode: static-multi-destination, destinations: [a, b]}}\n",
        service("")
    );
    let folder = Folder::with(&first);
    let (mut process, address) = Process::run(&folder).await;
    let manage = process.address("listening for management").await;
    let mut source = XdrClient::connect(address).await.unwrap();
    ship(&mut source, [1]).await;

    // Nothing is different.
    let changes = reloaded(manage).await;
    assert_eq!((&changes["keys"], &changes["destinations"]["kept"]), (&json!([]), &json!(["a", "b"])));

    // Another address for a, no b, a new c, another format, more levels, and a thing that needs a restart.
    let (a, c) = (destination(&receiver, "a", "/elsewhere"), destination(&receiver, "c", "/c"));
    let second = format!(
        "{}destinations:\n{a}{c}format: json\nrouting: {{mode: static-multi-destination, destinations: [a, c]}}\nlogging: {{levels: {{root: debug}}}}\n",
        service(", worker-threads: 3")
    );
    fs::write(folder.config(), second).unwrap();
    process.hangup();
    let line = process.line_with(&["the configuration was reloaded: changed keys: "]).await;
    for part in [
        "destinations.a.urls, destinations.b, destinations.c, ",
        "logging, ",
        "service.worker-threads",
        "destinations added: c; destinations changed: a; destinations removed: b; ",
        "takes effect after a restart: service.worker-threads",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!line.contains("elsewhere"), "names, never values: {line}");
    let before = receiver.confirmed().len();
    // The same connection goes on.
    ship(&mut source, [2]).await;
    let mut now = paths(&receiver, before);
    now.sort();
    assert_eq!(now, ["/c", "/elsewhere"]);
    let bodies = receiver.confirmed();
    assert!(bodies[before].json()["bins"].is_array() || bodies[before].json()["_meta"].is_null());
    assert_eq!(post(manage, "/manage/rest/v1/logging", "").await.0, 400, "no body");
    assert!(get(manage, "/manage/rest/v1/logging").await.unwrap().1.contains(r#""root":"debug""#));

    // It says so again, because it is still so.
    assert_eq!(reloaded(manage).await["needs-restart"], json!(["service.worker-threads"]));
    assert_eq!(metric(manage, "esp_connector_config_reloads_total", r#"result="success""#).await, Some(3.0));
    assert_eq!(metric(manage, "esp_connector_config_last_reload_successful", "").await, Some(1.0));
    process.terminate();
    assert_eq!(process.end().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_changes_nothing_and_the_answer_says_what_check_says() {
    let receiver = Receiver::start().await;
    let a = destination(&receiver, "a", "/a");
    let good = format!("{}destinations:\n{a}{FLAT}routing: {{mode: static, destination: a}}\n", service(""));
    let folder = Folder::with(&good);
    let (mut process, address) = Process::run(&folder).await;
    let manage = process.address("listening for management").await;
    let mut source = XdrClient::connect(address).await.unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken_port = taken.local_addr().unwrap().port();
    let wrong = [
        ("no YAML", "service: [".to_owned(), true),
        ("an unknown key", format!("{good}formatt: json\n"), true),
        ("no such destination", good.replace("destination: a}", "destination: b}"), true),
        (
            "a secret that is not there",
            good.replace("call-timeout", "headers: {X-Key: {file: nothing}}, call-timeout"),
            true,
        ),
        (
            "a certificate that is not there",
            good.replace(
                "service: {port: 0",
                "service: {tls: {port: 0, certificate-file: a.pem, key-file: a.key}, port: 0",
            ),
            true,
        ),
        // These two are about the machine, which `check` does not look at.
        (
            "a port of its own at another address",
            good.replace(
                "port: 0, address: 127.0.0.1, manage",
                &format!("port: {}, address: 0.0.0.0, manage", address.port()),
            ),
            false,
        ),
        (
            "a port that is taken",
            good.replace(
                "{port: 0, address: 127.0.0.1, manage",
                &format!("{{port: [0, {taken_port}], address: 127.0.0.1, manage"),
            ),
            false,
        ),
    ];
    for (number, (what, text, told_by_check)) in wrong.iter().enumerate() {
        fs::write(folder.config(), text).unwrap();
        let (status, answer) = reload(manage).await;
        assert_eq!((status, &answer["reloaded"]), (400, &json!(false)), "{what}: {answer}");
        let problems: Vec<&str> =
            answer["problems"].as_array().unwrap().iter().map(|problem| problem.as_str().unwrap()).collect();
        if *told_by_check {
            let check = command([Path::new("check"), Path::new("--config"), &folder.config()]);
            let said = String::from_utf8(check.stderr).unwrap();
            assert_eq!(format!("esp-connector: {}", problems.join("\n")), said.trim_end(), "{what}");
        } else {
            let foreign = format!("cannot listen on 127.0.0.1:{taken_port}: ");
            let own = "this connector listens on that port at another address, which only a restart changes";
            assert!(problems[0].contains(&foreign) || problems[0].ends_with(own), "{problems:?}");
        }
        let line = process
            .line_with(&[
                "ERROR",
                "the configuration is not reloaded, and the one that runs goes on: ",
                problems[0],
            ])
            .await;
        assert!(line.contains(&problems.join("; ")), "{what}: {line}");
        // In every respect as before.
        ship(&mut source, [i64::try_from(number).unwrap()]).await;
        let failures = metric(manage, "esp_connector_config_reloads_total", r#"result="failure""#).await;
        assert_eq!(failures, Some(number as f64 + 1.0), "{what}");
        assert_eq!(metric(manage, "esp_connector_config_last_reload_successful", "").await, Some(0.0));
        XdrClient::connect(address).await.expect("the port is open");
    }
    assert_eq!(paths(&receiver, 0), vec!["/a"; wrong.len()]);
    assert!(get(manage, "/readyz").await.unwrap().0 == 200, "what runs is well");

    fs::write(folder.config(), good).unwrap();
    assert_eq!(reloaded(manage).await["destinations"]["kept"], json!(["a"]));
    assert_eq!(metric(manage, "esp_connector_config_last_reload_successful", "").await, Some(1.0));
    process.terminate();
    assert_eq!(process.end().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_post_of_our_own_reloads() {
    let folder = Folder::with(&service(""));
    let (mut process, _) = Process::run(&folder).await;
    let manage = process.address("listening for management").await;
    let (status, answer) = get(manage, "/manage/rest/v1/reload").await.unwrap();
    assert!(status == 405 && answer.to_lowercase().contains("allow: post\r\n"), "{answer}");
    let of_a_page = |origin: &str| format!("Origin: {origin}\r\n");
    let path = "/manage/rest/v1/reload";
    for origin in ["https://elsewhere.example", "null", &format!("http://{manage}.elsewhere.example")] {
        assert_eq!(post(manage, path, &of_a_page(origin)).await.0, 403, "{origin}");
    }
    assert_eq!(metric(manage, "esp_connector_config_reloads_total", "").await, Some(0.0));
    assert_eq!(post(manage, path, &of_a_page(&format!("http://{manage}"))).await.0, 200);
}

/// A source of 300 records with many versions each, to a connector whose configuration changes all the time.
#[tokio::test(flavor = "multi_thread")]
async fn under_traffic_nothing_is_lost_and_no_version_overtakes_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = listener.local_addr().unwrap();
    let workload =
        Workload { records: 40_000, keys: 300, hot_share: 0.5, delete_share: 0.2, ..Workload::default() };
    let file = |path: &str, connections: u32, more: &str| {
        format!(
            "{}destinations:
  first: {{urls: ['http://{http}/{path}'], protocol: HTTP_1_1, max-connections-per-endpoint: {connections}}}
  second: {{urls: ['http://{http}/{path}/'], protocol: HTTP_2, max-connections-per-endpoint: 1, dead-letter: first}}
format: {{mode: flat-json, metadata-key: _meta}}
{more}
",
            service("")
        )
    };
    let files = [
        file("a", 8, "routing: {mode: static, destination: first}"),
        // Another address.
        file("b", 8, "routing: {mode: static, destination: first}"),
        // Batches.
        file("b", 8, "routing: {mode: static, destination: first}\nbatching: {max-records: 50}"),
        // Another batch size, other limits, other transforms and order.
        file(
            "b",
            5,
            "routing: {mode: static, destination: first}\nbatching: {max-records: 20}\nrecord-ordering: {}\nbin-transforms: {map: {none: other}}",
        ),
        // And nothing but a new name for what is there.
        file(
            "b",
            5,
            "namespaces: {test: {}}\nrouting: {mode: static, destination: first}\nbatching: {max-records: 20}",
        ),
    ];
    let folder = Folder::with(&files[0]);
    let (mut process, address) = Process::run(&folder).await;
    let manage = process.address("listening for management").await;
    let mut settings = Settings::new(address.to_string(), workload);
    settings.deadline = Duration::from_secs(120);
    settings.rate = 20_000;
    let simulation = Simulation::new(settings, None);
    let ledger = simulation.ledger();
    let faults = Faults { delay: Duration::from_millis(3), fail_share: 0.01, ..Faults::default() };
    let receiver = std::sync::Arc::new(Ledgered::new(faults, Book::Ledger(ledger.clone())));
    let serving = tokio::spawn(receiver.serve(listener, None, std::future::pending()));
    let reloading = async {
        let mut times = 0;
        loop {
            fs::write(folder.config(), &files[(times + 1) % files.len()]).unwrap();
            reloaded(manage).await;
            times += 1;
        }
    };
    let summary = tokio::select! {
        summary = simulation.run() => summary,
        () = reloading => unreachable!(),
    };
    serving.abort();
    let (account, reloads) =
        (ledger.account(), metric(manage, "esp_connector_config_reloads_total", "success").await.unwrap());
    println!("{reloads} reloads: {account:?}, retried {:?}", summary.retried);
    assert!(summary.is_complete(), "{summary}");
    assert_eq!((account.lost, account.reordered, account.early), (0, 0, 0), "{reloads} reloads: {account:?}");
    assert!(reloads > 20.0, "{reloads}");
    process.terminate();
    assert_eq!(process.end().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_hangs_is_waited_for_and_its_record_is_answered() {
    let receiver = Receiver::held().await;
    let file = |path: &str| {
        let a = destination(&receiver, "a", path);
        format!("{}destinations:\n{a}{FLAT}routing: {{mode: static, destination: a}}\n", service(""))
    };
    let folder = Folder::with(&file("/old"));
    let (mut process, address) = Process::run(&folder).await;
    let manage = process.address("listening for management").await;
    let (mut source, mut other) =
        (XdrClient::connect(address).await.unwrap(), XdrClient::connect(address).await.unwrap());
    source.send(&[write("s", 1, &n(1)), write("s", 1, &n(2))].concat()).await.unwrap();
    receiver.arrived(1).await;
    // In the middle of a frame: the rest of it comes under the new configuration.
    let third = write("s", 1, &n(3));
    let (front, back) = third.split_at(third.len() / 2);
    source.send(front).await.unwrap();
    // The connector has read as far as that once it answered this, on another connection and then a third.
    other.send(&info_request("build")).await.unwrap();
    other.answer().await.unwrap();
    until(manage, "esp_connector_lane_queued_records", "a", |queued| queued == Some(1.0)).await;

    fs::write(folder.config(), file("/new")).unwrap();
    assert_eq!(reloaded(manage).await["destinations"]["changed"], json!(["a"]));
    source.send(back).await.unwrap();
    // Both lanes have something, and only the old one sends.
    until(manage, "esp_connector_received_records_total", "", |read| read == Some(3.0)).await;
    until(manage, "esp_connector_lane_queued_records", "a", |queued| queued == Some(1.0)).await;
    assert_eq!(metric(manage, "esp_connector_lane_in_flight_requests", "a").await, Some(1.0));
    receiver.let_pass(3);
    for _ in 0..3 {
        assert_eq!(source.ack().await.unwrap(), Ack::OK);
    }
    let seen: Vec<_> = receiver
        .confirmed()
        .iter()
        .map(|request| (request.path.clone(), request.json()["n"].as_i64().unwrap()))
        .collect();
    assert_eq!(seen, [("/old".to_owned(), 1), ("/old".to_owned(), 2), ("/new".to_owned(), 3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_go_on_and_what_is_gone_is_not_shown() {
    let receiver = Receiver::start().await;
    let file = |a_path: &str, names: &[&str]| {
        let others: String = names.iter().map(|name| destination(&receiver, name, "/other")).collect();
        let a = destination(&receiver, "a", a_path);
        let all: Vec<_> = ["a"].iter().chain(names).copied().collect();
        let routing = format!("{{mode: static-multi-destination, destinations: [{}]}}", all.join(", "));
        format!("{}destinations:\n{a}{others}{FLAT}routing: {routing}\n", service(""))
    };
    let folder = Folder::with(&file("/a", &["b"]));
    let (mut process, address) = Process::run(&folder).await;
    let manage = process.address("listening for management").await;
    let mut source = XdrClient::connect(address).await.unwrap();
    let counters = [
        "esp_connector_lane_delivered_records_total",
        "esp_connector_lane_requests_total",
        "aerospike_esp_outbound_destination_requests",
    ];
    let page = get(manage, "/metrics").await.unwrap().1;
    let counters: Vec<&str> = counters.into_iter().filter(|name| page.contains(*name)).collect();
    assert!(!counters.is_empty(), "{page}");
    let mut last = vec![0.0; counters.len()];
    for round in 0..6 {
        ship(&mut source, round * 10..round * 10 + 10).await;
        for (name, last) in counters.iter().zip(&mut last) {
            let now = metric(manage, name, r#""a""#).await.unwrap();
            assert!(now >= *last + 10.0, "{name} went from {last} to {now} in round {round}");
            *last = now;
        }
        let others: &[&str] = if round % 2 == 0 { &[] } else { &["b"] };
        fs::write(folder.config(), file(if round % 3 == 0 { "/x" } else { "/a" }, others)).unwrap();
        reloaded(manage).await;
        let shown = !others.is_empty();
        until(manage, "esp_connector_lane_queued_records", r#""b""#, |b| b.is_some() == shown).await;
        for (name, last) in counters.iter().zip(&last) {
            assert!(metric(manage, name, r#""a""#).await.unwrap() >= *last, "{name} after reload {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_come_and_go_and_their_tls_changes() {
    let Some(chains) = Chains::new() else { return };
    chains.issue("server", "subjectAltName=DNS:localhost,IP:127.0.0.1");
    let receiver = Receiver::held().await;
    let pem = |name: &str| chains.folder().join(name).display().to_string();
    let (certificate, key) = (pem("server.pem"), pem("server.key"));
    let extra = crate::harness::free_port();
    let own = format!("port-based-config: {{{extra}: {{routing: {{mode: skip}}}}}}\n");
    let file = |ports: &str, tls: &str, routes: &str| {
        let a = destination(&receiver, "a", "/a");
        format!(
            "service: {{{ports}address: 127.0.0.1{tls}, manage: {{port: 0, address: 127.0.0.1}}}}\ndestinations:\n{a}{FLAT}routing: {{mode: static, destination: a}}\n{routes}"
        )
    };
    let folder = Folder::with(&file("port: 0, ", "", ""));
    let (mut process, address) = Process::run(&folder).await;
    let manage = process.address("listening for management").await;

    // One more port, with routes of its own.
    fs::write(folder.config(), file(&format!("port: [0, {extra}], "), "", &own)).unwrap();
    let changes = reloaded(manage).await;
    assert_eq!(changes["ports"], json!({"opened": [format!("127.0.0.1:{extra}")], "closed": []}));
    let mut source = XdrClient::connect(([127, 0, 0, 1], extra).into()).await.unwrap();
    ship(&mut source, [1]).await;
    assert!(receiver.confirmed().is_empty(), "skipped there");

    // The first one goes, with a record in process, which is answered; the connection ends then.
    let mut first = XdrClient::connect(address).await.unwrap();
    first.send(&write("s", 2, &n(2))).await.unwrap();
    receiver.arrived(1).await;
    fs::write(folder.config(), file(&format!("port: {extra}, "), "", &own)).unwrap();
    assert_eq!(reloaded(manage).await["ports"], json!({"opened": [], "closed": [address.to_string()]}));
    until(manage, "esp_connector_connections", "", |open| open == Some(2.0)).await;
    receiver.let_pass(1);
    assert_eq!(first.ack().await.unwrap(), Ack::OK);
    assert!(first.ack().await.is_err(), "closed");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens there");

    // The other one speaks TLS from now on, on the same socket; who is connected stays.
    let tls = format!(", tls: {{port: {extra}, certificate-file: {certificate}, key-file: {key}}}");
    fs::write(folder.config(), file("", &tls, &own)).unwrap();
    let changes = reloaded(manage).await;
    assert_eq!(changes["ports"], json!({"opened": [], "closed": []}), "{changes}");
    ship(&mut source, [3]).await;
    process.line("TLS is set up listener=\"xdr\"").await;
    let mut clear = XdrClient::connect(([127, 0, 0, 1], extra).into()).await.unwrap();
    let _ = clear.send(&write("s", 4, &n(4))).await;
    assert!(clear.ack().await.is_err(), "clear text to a TLS port");
    until(manage, "esp_connector_tls_handshake_failures_total", "clear-text", |n| n == Some(1.0)).await;

    // With other settings the numbers go on.
    let tls = tls.replace("key-file", "protocols: [TLSv1.3], key-file");
    fs::write(folder.config(), file("", &tls, &own)).unwrap();
    reloaded(manage).await;
    assert_eq!(metric(manage, "esp_connector_tls_handshake_failures_total", "clear-text").await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn once_it_stops_a_hangup_changes_nothing() {
    let receiver = Receiver::held().await;
    let a = destination(&receiver, "a", "/a");
    let folder = Folder::with(&format!(
        "{}destinations:\n{a}{FLAT}routing: {{mode: static, destination: a}}\n",
        service("")
    ));
    let (mut process, address) = Process::run(&folder).await;
    let manage = process.address("listening for management").await;
    let mut source = XdrClient::connect(address).await.unwrap();
    source.send(&write("s", 1, &n(1))).await.unwrap();
    receiver.arrived(1).await;
    process.terminate();
    process.line("stopping: no new records are read").await;
    process.hangup();
    process.line("the configuration is not reloaded: the connector is stopping").await;
    assert_eq!(
        reload(manage).await,
        (503, json!({"reloaded": false, "problems": ["the connector is stopping"]}))
    );
    receiver.let_pass(1);
    assert_eq!(source.ack().await.unwrap(), Ack::OK);
    assert_eq!(process.end().await.code(), Some(0));
}
