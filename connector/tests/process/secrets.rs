//! Nothing that is secret is ever printed: no header value, no bin value, no password, at any level, on any path.

use std::fs;

use esp_connector::simulator::particle::{MapOrder, Particle};
use hyper::StatusCode;

use crate::{
    harness::{Folder, Process, binary, get, service},
    receiver::Receiver,
    xdr_client::{XdrClient, write},
};

/// Every secret holds this, so nothing that is derived from one goes unseen. Divisible by three, so that its Base64
/// stands unchanged inside longer Base64.
const CANARY: &str = "canary-7f3a9c51";
const CANARY_BASE64: &str = "Y2FuYXJ5LTdmM2E5YzUx";
const CANARY_HEX: &str = "63616e6172792d3766336139633531";

/// As Rust prints bytes it knows no better form for.
const CANARY_BYTES: &str = "99, 97, 110, 97, 114, 121, 45, 55, 102, 51, 97, 57, 99, 53, 49";

fn assert_silent(what: &str, printed: &str) {
    for form in [CANARY, CANARY_BASE64, CANARY_HEX, CANARY_BYTES] {
        let line = printed.lines().find(|line| line.to_lowercase().contains(&form.to_lowercase()));
        assert!(line.is_none(), "{what} shows a secret: {}", line.unwrap());
    }
}

/// Four destinations, by set: two that take the record, one that refuses it, one that is down.
fn config(receiver: &Receiver) -> String {
    let destination = |name: &str, url: &str, protocol: &str| {
        format!(
            "  {name}:
    urls: ['{url}']
    protocol: {protocol}
    max-attempts: 2
    headers:
      Authorization: {{env: CANARY_TOKEN}}
      X-Api-Key: {{file: api-key}}
      X-Plain: plain-{CANARY}
      X-Value: {{value: value-{CANARY}}}
"
        )
    };
    let set = |name: &str, format: &str| {
        format!("      {name}: {{{format}routing: {{mode: static, destination: {name}}}}}\n")
    };
    [
        service(""),
        "destinations:\n".to_owned(),
        destination("http1", &receiver.url("/take"), "HTTP_1_1"),
        destination("http2", &receiver.url("/take"), "HTTP_2"),
        destination("refused", &receiver.url("/refuse"), "HTTP_2"),
        destination("down", "http://127.0.0.1:1/", "HTTP_1_1"),
        "format: {mode: flat-json, metadata-key: _meta}\nnamespaces:\n  test:\n    sets:\n".to_owned(),
        set("http1", ""),
        set("http2", "format: json, "),
        set("refused", ""),
        set("down", ""),
        "logging: {levels: {root: trace}, ticker-interval: 1}\n".to_owned(),
    ]
    .concat()
}

/// Every kind of value, each with a secret in it.
fn record(set: &str, key: i64) -> Vec<u8> {
    let text = format!("{CANARY}-bin");
    let geojson = format!("{{\"type\":\"Point\",\"coordinates\":[1,2],\"name\":\"{CANARY}\"}}");
    let items = [Particle::String(text.as_bytes()), Particle::Blob(text.as_bytes())];
    let entries = [(Particle::String(text.as_bytes()), Particle::String(text.as_bytes()))];
    let bins = [
        ("text", Particle::String(text.as_bytes())),
        ("blob", Particle::Blob(text.as_bytes())),
        ("list", Particle::List { ordered: false, items: &items }),
        ("map", Particle::Map { order: MapOrder::None, entries: &entries }),
        ("geo", Particle::GeoJson { cells: &[], text: geojson.as_bytes() }),
        ("broken", Particle::GeoJson { cells: &[], text: text.as_bytes() }),
    ];
    write(set, key, &bins)
}

/// Messages that are refused, each in another place, with secrets in what surrounds that place.
fn refused() -> Vec<Vec<u8>> {
    let secret = Particle::String(CANARY.as_bytes());
    let entries = [(Particle::Blob(CANARY.as_bytes()), secret)];
    let unwritable = write("http1", 1, &[("m", Particle::Map { order: MapOrder::None, entries: &entries })]);

    // An integer of as many bytes as the text has.
    let mut bad_integer = write("http1", 2, &[("text", secret)]);
    let type_at = bad_integer.len() - CANARY.len() - "text".len() - 3;
    assert_eq!(bad_integer[type_at], 3);
    bad_integer[type_at] = 1;

    let mut trailing = write("http1", 3, &[("text", secret)]);
    trailing.extend_from_slice(CANARY.as_bytes());
    let body_bytes = trailing.len() as u64 - 8;
    trailing[2..8].copy_from_slice(&body_bytes.to_be_bytes()[2..]);

    // Announced as compressed, and is not.
    let mut garbage = write("http1", 4, &[("text", secret)]);
    garbage[1] = 4;
    vec![unwritable, bad_integer, trailing, garbage]
}

/// LOGIN with a password in the clear.
fn login() -> Vec<u8> {
    let mut body = vec![0, 0, 20, 2];
    body.resize(16, 0);
    for (id, value) in [(0, "someone"), (4, CANARY)] {
        body.extend_from_slice(&(value.len() as u32 + 1).to_be_bytes());
        body.push(id);
        body.extend_from_slice(value.as_bytes());
    }
    let header = 0x0202_0000_0000_0000 | body.len() as u64;
    [&header.to_be_bytes(), &*body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_printed_whatever_happens() {
    let receiver = Receiver::answering(|request, _| match &*request.path {
        "/refuse" => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    })
    .await;
    let folder = Folder::with(&config(&receiver));
    fs::write(folder.path().join("api-key"), format!("file-{CANARY}\n")).unwrap();
    let mut run = binary();
    run.env("CANARY_TOKEN", format!("env-{CANARY}")).args(["run", "--config"]).arg(folder.config());
    let mut process = Process::start(&mut run);
    let address = process.address("listening for XDR").await;
    let manage = process.address("listening for management").await;

    let mut source = XdrClient::connect(address).await.unwrap();
    let mut codes = Vec::new();
    for (key, set) in ["http1", "http2", "refused", "down"].into_iter().enumerate() {
        source.send(&record(set, key as i64)).await.unwrap();
        codes.push(source.ack().await.unwrap().0);
    }
    assert_eq!(codes, [0, 0, 18, 11]);
    let mut codes = Vec::new();
    for message in refused() {
        source.send(&message).await.unwrap();
        codes.push(source.ack().await.unwrap().0);
    }
    assert_eq!(codes, [18, 4, 4, 4]);
    source.send(&login()).await.unwrap();
    assert_eq!(source.answer().await.unwrap()[1], 52);
    let mut stranger = XdrClient::connect(address).await.unwrap();
    stranger.send(CANARY.as_bytes()).await.unwrap();
    stranger.answer().await.unwrap_err();
    process.line("does not speak XDR").await;
    // A record that never becomes whole.
    let mut torn = XdrClient::connect(address).await.unwrap();
    torn.send(&record("http1", 9)[..200]).await.unwrap();
    drop(torn);

    for path in
        ["/manage/rest/v1", "/manage/rest/v1/metrics", "/metrics", "/manage/rest/v1/logging", "/readyz"]
    {
        let (status, answer) = get(manage, path).await.unwrap();
        assert_eq!(status, 200, "{path}");
        assert_silent(path, &answer);
    }
    process.terminate();
    let (status, printed) = process.end_and_printed().await;
    assert_eq!(status.code(), Some(0), "{printed}");

    // Had nothing been secret, nothing would have shown.
    let delivered = receiver.confirmed();
    assert_eq!(delivered.len(), 2);
    for request in delivered {
        let values = ["authorization", "x-api-key", "x-plain", "x-value"].map(|name| request.header(name));
        assert_eq!(values, ["env", "file", "plain", "value"].map(|place| format!("{place}-{CANARY}")));
        let body = str::from_utf8(&request.body).unwrap();
        assert!(body.contains(CANARY) && body.contains(CANARY_BASE64), "{body}");
    }
    assert!(printed.contains("TRACE") && printed.contains("DEBUG"), "the most talkative level: {printed}");
    assert_silent("the log", &printed);
}

#[test]
fn check_and_its_complaints_show_no_secret() {
    let config = format!(
        "destinations:
  receiver:
    urls: ['https://hooks.example.net/']
    headers:
      Authorization: {{env: CANARY_TOKEN}}
      X-Api-Key: {{file: api-key}}
      X-Plain: plain-{CANARY}
format: json
routing: {{mode: static, destination: receiver}}
"
    );
    let check = |config: &str, token: Option<String>, key: String| {
        let folder = Folder::with(config);
        fs::write(folder.path().join("api-key"), key).unwrap();
        let mut check = binary();
        check.env_remove("CANARY_TOKEN").args(["check", "--config"]).arg(folder.config());
        let output = check.envs(token.map(|token| ("CANARY_TOKEN", token))).output().unwrap();
        let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert_silent("check", &printed);
        (output.status.code(), printed)
    };
    let key = || format!("file-{CANARY}\n");
    let (code, printed) = check(&config, Some(format!("env-{CANARY}")), key());
    assert_eq!(code, Some(0), "{printed}");
    let (code, printed) = check(&config, None, key());
    assert!(code == Some(64) && printed.contains("CANARY_TOKEN"), "{printed}");
    // Values that no header can have.
    let (code, printed) = check(&config, Some(format!("two\nlines {CANARY}")), key());
    assert!(code == Some(64) && printed.contains("Authorization"), "{printed}");
    let (code, printed) = check(&config, Some("good".to_owned()), format!("two\r\nlines {CANARY}"));
    assert!(code == Some(64) && printed.contains("X-Api-Key"), "{printed}");
    let (code, printed) = check(&config.replace("plain-", "\"\\u0001\" # "), Some("good".to_owned()), key());
    assert!(code == Some(64) && printed.contains("X-Plain"), "{printed}");
}
