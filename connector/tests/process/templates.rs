//! Templates, filters and expressions as what arrives.

use esp_connector::simulator::particle::Particle;
use hyper::StatusCode;
use serde_json::json;

use crate::{
    harness::{Folder, Process, get, service},
    receiver::{Receiver, Request},
    xdr_client::{Ack, XdrClient, delete, write},
};

async fn start(config: &str) -> (Process, XdrClient, Folder) {
    let folder = Folder::with(&format!("{}{config}", service("")));
    let (process, address) = Process::run(&folder).await;
    let source = XdrClient::connect(address).await.unwrap();
    (process, source, folder)
}

async fn ship(source: &mut XdrClient, messages: &[Vec<u8>]) -> Vec<Ack> {
    source.send(&messages.concat()).await.unwrap();
    let mut acks = Vec::new();
    for _ in messages {
        acks.push(source.ack().await.unwrap());
    }
    acks
}

#[tokio::test]
async fn a_request_is_what_its_templates_make() {
    for protocol in ["HTTP_1_1", "HTTP_2"] {
        let missing = |request: &Request, _| match request.method.as_str() {
            "DELETE" => StatusCode::NOT_FOUND,
            _ => StatusCode::CREATED,
        };
        let receiver = Receiver::answering(missing).await;
        let config = format!(
            r#"destinations:
  search:
    urls: ['{}']
    protocol: {protocol}
    call-timeout: 60000
    headers: {{Authorization: Basic abc, X-Both: destination}}
routing: {{mode: static, destination: search}}
format:
  mode: template
  path: orders/{{{{ key }}}}/{{{{ bins.part|default("none") }}}}
  query: lut={{{{ lut_unix_ms }}}}
  headers: {{X-Both: template, X-Key: "{{{{ key }}}}"}}
  body: |
    {{"name": {{{{ bins.name }}}},
     "namespace": {{{{ namespace }}}}}}
  write: {{method: PUT}}
  delete:
    method: DELETE
    body: ''
    success-status-codes: [200, 404]
"#,
            receiver.url("/base/ignored?x=1")
        );
        let (_process, mut source, _folder) = start(&config).await;
        let bins = [("name", Particle::String(b"a\",\"b\":\"c")), ("part", Particle::String(b"x/../y?z"))];
        let acks = ship(&mut source, &[write("s", 7, &bins), delete("s", 8)]).await;
        assert_eq!(acks, [Ack::OK, Ack::OK], "404 is a success where the template says so");
        receiver.arrived(2).await;
        let [request] = &receiver.confirmed()[..] else { panic!("one success") };
        assert_eq!(request.method, "PUT");
        assert_eq!(request.path, "/base/orders/7/x%2F..%2Fy%3Fz");
        assert!(request.query.starts_with("lut="), "{}", request.query);
        assert_eq!(request.json(), json!({"name": "a\",\"b\":\"c", "namespace": "test"}));
        assert_eq!(request.header("content-type"), "application/json");
        assert_eq!(request.header("authorization"), "Basic abc");
        assert_eq!(request.headers.get_all("x-both").iter().collect::<Vec<_>>(), ["template"]);
        assert_eq!(request.header("x-key"), "7");
    }
}

#[tokio::test]
async fn what_cannot_be_rendered_is_refused_for_now_and_never_sent() {
    let receiver = Receiver::start().await;
    let config = format!(
        "destinations: {{a: {{urls: ['{}'], protocol: HTTP_1_1}}}}
routing: {{mode: static, destination: a}}
format: {{mode: template, headers: {{X-Name: '{{{{ bins.name }}}}'}}, body: '{{{{ bins.name }}}}'}}
",
        receiver.url("/")
    );
    let (process, mut source, _folder) = start(&config).await;
    let evil = write("s", 1, &[("name", Particle::String(b"secret-value\r\nX-Evil: 1"))]);
    let none = write("s", 2, &[("other", Particle::Integer(1))]);
    let good = write("s", 3, &[("name", Particle::String(b"fine"))]);
    let acks = ship(&mut source, &[evil, none, good]).await;
    assert!(acks[0].is_temporary() && acks[1].is_temporary() && acks[2] == Ack::OK, "{acks:?}");
    assert_eq!(receiver.confirmed().len(), 1);
    process.terminate();
    let (_, printed) = process.end_and_printed().await;
    assert!(
        printed.contains("`headers.x-name` of the format: holds a character that is not visible ASCII"),
        "{printed}"
    );
    assert!(!printed.contains("secret-value"), "{printed}");
}

#[tokio::test]
async fn templates_of_bodies_go_in_batches() {
    let receiver = Receiver::held().await;
    let config = format!(
        "destinations: {{a: {{urls: ['{}'], protocol: HTTP_1_1, max-connections-per-endpoint: 1, call-timeout: 60000}}}}
routing: {{mode: static, destination: a}}
batching: {{max-records: 100, max-bytes: 100000, body: ndjson}}
format:
  mode: template
  path: /bulk
  method: PUT
  body: |
    {{\"k\":
      {{{{ key }}}}}}
",
        receiver.url("/")
    );
    let (_process, mut source, _folder) = start(&config).await;
    source.send(&[write("s", 1, &[]), write("s", 2, &[]), write("s", 3, &[])].concat()).await.unwrap();
    receiver.arrived(1).await;
    receiver.let_pass(10);
    for _ in 0..3 {
        assert_eq!(source.ack().await.unwrap(), Ack::OK);
    }
    let mut lines: Vec<String> = Vec::new();
    for request in receiver.confirmed() {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("PUT", "/bulk"));
        assert_eq!(request.header("content-type"), "application/x-ndjson");
        lines.extend(str::from_utf8(&request.body).unwrap().lines().map(str::to_owned));
    }
    lines.sort();
    assert_eq!(lines, [r#"{"k":  1}"#, r#"{"k":  2}"#, r#"{"k":  3}"#]);
}

#[tokio::test]
async fn a_filter_keeps_what_it_is_true_of_and_counts_the_rest_as_done() {
    let receiver = Receiver::start().await;
    let config = format!(
        "destinations: {{a: {{urls: ['{}'], protocol: HTTP_1_1}}}}
routing: {{mode: static, destination: a}}
format: {{mode: flat-json, metadata-key: _meta}}
filter: operation == 'delete' or bins.amount > 100 or bins.text is defined and bins.text + 1 > 5
bin-transforms: {{exclude: {{type: specified, bins: [amount]}}}}
namespaces: {{test: {{sets: {{all: {{filter: 'true'}}}}}}}}
",
        receiver.url("/")
    );
    let (mut process, mut source, _folder) = start(&config).await;
    let manage = process.address("listening for management").await;
    let amount = |amount| [("amount", Particle::Integer(amount))];
    let messages = [
        write("s", 1, &amount(100)),
        write("s", 2, &amount(101)),
        write("s", 3, &[("other", Particle::Integer(1))]),
        delete("s", 4),
        write("all", 5, &amount(1)),
        // No filter can be worked out for it: it is sent.
        write("s", 6, &[("text", Particle::String(b"x"))]),
    ];
    let acks = ship(&mut source, &messages).await;
    assert_eq!(acks, [Ack::OK; 6]);
    let key = |request: &Request| request.json()["_meta"]["userKey"].as_i64().unwrap();
    let mut keys: Vec<_> = receiver.confirmed().iter().map(key).collect();
    keys.sort_unstable();
    assert_eq!(keys, [2, 4, 5, 6]);
    let metrics = get(manage, "/metrics").await.unwrap().1;
    for line in [
        "esp_connector_filtered_records_total{cluster_name=\"esp-connector\"} 2",
        "esp_connector_ended_records_total{cluster_name=\"esp-connector\",outcome=\"success\"} 6",
        "esp_connector_ended_records_total{cluster_name=\"esp-connector\",outcome=\"skipped\"} 0",
        "esp_connector_anomalies_total{cluster_name=\"esp-connector\",kind=\"filter-not-applicable\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn the_first_rule_that_is_true_decides_where_a_record_goes() {
    let receiver = Receiver::start().await;
    let destination = |name: &str| {
        format!("  {name}: {{urls: ['{}'], protocol: HTTP_1_1}}\n", receiver.url(&format!("/{name}")))
    };
    let config = format!(
        r#"destinations:
{}routing:
  mode: expression
  rules:
    - {{when: 'operation == "delete"', destinations: []}}
    - {{when: 'bins.region in ["eu", "uk"]', destinations: [a, b]}}
    - {{when: bins.amount + 0 > 5, destinations: b}}
  default: c
format: {{mode: flat-json, metadata-key: _meta}}
"#,
        ["a", "b", "c"].map(destination).concat()
    );
    let (_process, mut source, _folder) = start(&config).await;
    let messages = [
        write("s", 1, &[("region", Particle::String(b"uk"))]),
        write("s", 2, &[("amount", Particle::Integer(6))]),
        write("s", 3, &[("amount", Particle::Integer(5))]),
        delete("s", 4),
        write("s", 5, &[("amount", Particle::String(b"text"))]),
    ];
    assert_eq!(ship(&mut source, &messages).await, [Ack::OK; 5]);
    let arrival =
        |request: &Request| (request.json()["_meta"]["userKey"].as_i64().unwrap(), request.path.clone());
    let mut arrivals: Vec<_> = receiver.confirmed().iter().map(arrival).collect();
    arrivals.sort();
    let expected = [(1, "/a"), (1, "/b"), (2, "/b"), (3, "/c"), (5, "/c")];
    assert_eq!(arrivals, expected.map(|(key, path)| (key, path.to_owned())));
}
