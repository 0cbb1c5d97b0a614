//! What goes out.

use std::{
    io::{Read, Write},
    sync::{Arc, Mutex},
};

use adapters::{Report, Target, http::Http};
use serde_json::{Value, json};

use crate::peer::{OK, Peer, Request, config, header, payload, target};

/// The request that a target with these settings makes of `body`.
async fn request(body: &'static [u8], settings: Value) -> Request {
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let peer = Peer::start(move |_, mut connection| {
        let keep = Arc::clone(&keep);
        async move {
            *keep.lock().unwrap() = connection.request().await;
            connection.say(OK).await;
        }
    })
    .await;
    let report = target(&[&peer.url], settings).deliver(&payload(body)).await;
    assert_eq!(report, Report::delivered(Some(204)));
    seen.lock().unwrap().take().unwrap()
}

#[tokio::test]
async fn line_and_headers() {
    let request = request(b"{\"a\":1}", json!({"headers": {"X-Tenant": "t 1"}})).await;
    assert!(request.head.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{}", request.head);
    assert!(header(&request.head, "host").unwrap().starts_with("127.0.0.1:"));
    assert_eq!(header(&request.head, "content-type"), Some("application/json"));
    assert_eq!(header(&request.head, "content-length"), Some("7"));
    assert_eq!(header(&request.head, "user-agent"), Some("esp-connector/0.1.0"));
    assert_eq!(header(&request.head, "x-tenant"), Some("t 1"));
    assert_eq!(header(&request.head, "content-encoding"), None);
    assert_eq!(header(&request.head, "transfer-encoding"), None);
    assert_eq!(request.body, b"{\"a\":1}");
}

#[tokio::test]
async fn headers_come_from_environment_and_files() {
    let mut token = tempfile::NamedTempFile::new().unwrap();
    token.write_all(b"Bearer t\n").unwrap();
    let headers = json!({
        "Authorization": {"file": token.path()},
        "X-Crate": {"env": "CARGO_PKG_NAME"},
        "X-Value": {"value": "v"},
        "Host": "hooks.example",
    });
    let request = request(b"{}", json!({"headers": headers})).await;
    assert_eq!(header(&request.head, "authorization"), Some("Bearer t"));
    assert_eq!(header(&request.head, "x-crate"), Some("adapters"));
    assert_eq!(header(&request.head, "x-value"), Some("v"));
    assert_eq!(header(&request.head, "host"), Some("hooks.example"));
}

#[tokio::test]
async fn gzip_above_the_threshold() {
    let settings = || json!({"compression": "gzip", "compression-threshold": 100});
    let at = request(&[b'a'; 100], settings()).await;
    assert_eq!((header(&at.head, "content-encoding"), at.body.len()), (None, 100));

    let above = request(&[b'a'; 101], settings()).await;
    assert_eq!(header(&above.head, "content-encoding"), Some("gzip"));
    assert_eq!(header(&above.head, "content-length").unwrap(), above.body.len().to_string());
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(&above.body[..]).read_to_end(&mut body).unwrap();
    assert_eq!(body, [b'a'; 101]);
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let body: &[u8] = (0..5_000_000u32).map(|index| (index % 251) as u8).collect::<Vec<_>>().leak();
    assert_eq!(request(body, json!({})).await.body, body);
}

#[test]
fn settings_at_fault_are_named() {
    for (settings, key) in [
        (json!({"urls": []}), "urls"),
        (json!({"urls": ["ftp://a/"]}), "urls[0]"),
        (json!({"urls": ["http://a/", "http://u:p@b/"]}), "urls[1]"),
        (json!({"call-timeout": 0}), "call-timeout"),
        (json!({"connect-timeout": 0}), "connect-timeout"),
        (json!({"connection-ttl": 0}), "connection-ttl"),
        (json!({"connection-ttl": -2}), "connection-ttl"),
        (json!({"http-success-status-codes": [100]}), "http-success-status-codes"),
        (json!({"http-permanent-status-codes": [200]}), "http-permanent-status-codes"),
        (json!({"headers": {"Authorization": {"env": "NOT_SET_ANYWHERE"}}}), "headers.Authorization.env"),
        (json!({"headers": {"Content-Length": "3"}}), "headers.Content-Length"),
        (json!({"headers": {"Host": "a b"}}), "headers.Host"),
        (json!({"tls": {"ca-file": "/nowhere"}}), "tls.ca-file"),
        (json!({"health-check": {"interval-seconds": 0}}), "health-check.interval-seconds"),
    ] {
        let error = Http::new("test", config(&["http://a/"], settings)).unwrap_err();
        assert_eq!(error.key, key, "{error}");
    }
}

#[tokio::test]
async fn secrets_do_not_show() {
    let target = target(&["http://127.0.0.1:1/"], json!({"headers": {"Authorization": "hunter2"}}));
    assert!(!format!("{target:?}").contains("hunter2"));
    let config =
        config(&["http://a/"], json!({"headers": {"Authorization": "hunter2", "X": {"value": "hunter2"}}}));
    assert!(!format!("{config:?}").contains("hunter2"));
}
