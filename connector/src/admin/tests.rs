//! The endpoint over real sockets.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use super::*;

/// A running endpoint.
struct Admin {
    address: SocketAddr,
    view: Arc<View>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Admin {
    async fn start() -> Self {
        Self::start_with(Limits::default(), sample_view("blue")).await
    }

    async fn start_with(limits: Limits, view: View) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let view = Arc::new(view);
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { _ = stopped.await };
        let (door, standing) = watch::channel(Door::default());
        let (views, shown) = watch::channel(view.clone());
        let office = Arc::new(Office::within(limits, shown));
        let serving = tokio::spawn(async move {
            let close = async {
                shutdown.await;
                door.send_modify(|door| door.closing = true);
            };
            tokio::join!(office.accept(listener.into(), standing), close);
            drop(views);
        });
        Self { address, view, stop, serving }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// One request on a connection of its own, through a real client.
    async fn request(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> (StatusCode, HeaderMap, String) {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(self.connect().await)).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        let response = sender.send_request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let (status, _, body) = self.request(Method::GET, path, "").await;
        (status, body)
    }

    async fn get_json(&self, path: &str) -> (StatusCode, Value) {
        let (status, body) = self.get(path).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    async fn put(&self, body: impl Into<Bytes>) -> (StatusCode, Value) {
        let (status, _, body) = self.request(Method::PUT, "/manage/rest/v1/logging", body).await;
        (status, serde_json::from_str(&body).unwrap())
    }
}

#[tokio::test]
async fn each_path_answers() {
    let admin = Admin::start().await;
    let (status, about) = admin.get_json("/manage/rest/v1").await;
    assert_eq!((status, &about["cluster-name"]), (StatusCode::OK, &"blue".into()));
    let (status, metrics) = admin.get_json("/manage/rest/v1/metrics?pretty=1").await;
    assert_eq!((status, &metrics["requests-success"]), (StatusCode::OK, &2.into()));
    for path in ["/manage/rest/v1/prometheus", "/metrics"] {
        let (status, headers, page) = admin.request(Method::GET, path, "").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
        let line = "aerospike_esp_outbound_requests{cluster_name=\"blue\",status=\"success\"} 2\n";
        assert!(page.contains(line), "{page}");
    }
    assert_eq!(admin.get("/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn readiness_gives_its_reason() {
    let admin = Admin::start().await;
    assert_eq!(admin.get_json("/readyz").await, (StatusCode::OK, serde_json::json!({ "ready": true })));

    let reason = "no endpoint of destination orders is healthy";
    let ready = Arc::new(move || Readiness::NotReady(reason.to_owned()));
    let admin = Admin::start_with(Limits::default(), View { ready, ..sample_view("blue") }).await;
    let (status, body) = admin.get_json("/readyz").await;
    assert_eq!((status, &body["reason"]), (StatusCode::SERVICE_UNAVAILABLE, &reason.into()));
    assert_eq!(admin.get("/healthz").await.0, StatusCode::OK, "alive all the same");
    assert!(admin.get("/metrics").await.1.contains("esp_connector_ready{cluster_name=\"blue\"} 0\n"));
}

#[tokio::test]
async fn log_levels_are_read_and_changed() {
    let admin = Admin::start().await;
    let (status, body) = admin.get_json("/manage/rest/v1/logging").await;
    assert_eq!((status, body), (StatusCode::OK, serde_json::json!({ "levels": { "root": "info" } })));
    let (status, body) = admin.put(r#"{"levels":{"record-parser":"DEBUG"}}"#).await;
    let both = serde_json::json!({ "levels": { "root": "info", "record-parser": "debug" } });
    assert_eq!((status, &body), (StatusCode::OK, &both));
    assert_eq!(admin.get_json("/manage/rest/v1/logging").await.1, both);
    assert_eq!(admin.view.logs.levels()["record-parser"], "debug");
}

#[tokio::test]
async fn a_wrong_change_is_refused_with_what_is_expected() {
    let admin = Admin::start().await;
    for (body, told) in [
        ("", "EOF while parsing"),
        ("[]", "expected an object with the member levels"),
        ("7", "expected an object with the member levels"),
        ("{}", "missing field `levels`"),
        (r#"{"levels":null}"#, "expected a map"),
        (r#"{"levels":{"root":3}}"#, "expected a string"),
        (r#"{"levels":{"root":["info"]}}"#, "expected a string"),
        (r#"{"level":{"root":"info"}}"#, "unknown field `level`"),
        (r#"{"levels":{"root":"loud"}}"#, "expected error, warn, info, debug, trace or off"),
        (r#"{"levels":{"rot":"info"}}"#, "expected root, record-parser, server"),
        ("\u{0}", "expected value"),
    ] {
        let (status, answer) = admin.put(body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer["error"].as_str().unwrap().contains(told), "{body}: {answer}");
        assert_eq!(answer["expected"]["levels"]["root"], "debug");
    }
    let deep = "[".repeat(60_000);
    assert_eq!(admin.put(format!("{{\"levels\":{deep}")).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(admin.put("x".repeat(64 * 1024 + 1)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(admin.view.logs.levels().len(), 1, "nothing changed");
}

#[tokio::test]
async fn unknown_paths_list_the_known_and_wrong_methods_the_right() {
    let admin = Admin::start().await;
    let (status, body) = admin.get_json("/manage/rest/v2").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body["paths"].as_array().unwrap().contains(&"/readyz".into()), "{body}");

    for (method, path, allowed) in [
        (Method::POST, "/metrics", "GET, HEAD"),
        (Method::DELETE, "/manage/rest/v1/logging", "GET, HEAD, PUT, POST"),
        (Method::OPTIONS, "/healthz", "GET, HEAD"),
    ] {
        let (status, headers, _) = admin.request(method, path, "").await;
        assert_eq!(
            (status, headers[header::ALLOW].to_str().unwrap()),
            (StatusCode::METHOD_NOT_ALLOWED, allowed)
        );
    }
}

#[tokio::test]
async fn head_tells_the_length_and_sends_nothing() {
    let admin = Admin::start().await;
    let mut stream = admin.connect().await;
    stream.write_all(b"HEAD /manage/rest/v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let told: usize = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    assert_eq!((told, body), (admin.get("/manage/rest/v1").await.1.len(), ""));
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let admin = Admin::start().await;
    let mut stream = admin.connect().await;
    let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(20_000));
    // The rest may find the connection closed already.
    _ = stream.write_all(head.as_bytes()).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431");
}

#[tokio::test]
async fn what_is_not_http_ends_only_its_connection() {
    let admin = Admin::start().await;
    let mut stream = admin.connect().await;
    stream.write_all(&[2, 3, 0, 0, 0, 0, 0, 22, 0xff, 0xfe]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 400"), "{rest:?}");
    assert_eq!(admin.get("/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn silent_connections_lose_their_slot() {
    let limits = Limits { connections: 2, head: Duration::from_millis(50), ..Limits::default() };
    let admin = Admin::start_with(limits, sample_view("blue")).await;
    let mut silent = [admin.connect().await, admin.connect().await];
    silent[1].write_all(b"GET /hea").await.unwrap();
    // Both slots are taken, so this waits until one of them is closed for its silence.
    assert_eq!(admin.get("/healthz").await.0, StatusCode::OK);
    for stream in &mut silent {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{rest:?}");
    }
}

#[tokio::test]
async fn answers_that_are_never_read_do_not_hold_a_slot_forever() {
    let limits = Limits { connections: 1, connection: Duration::from_millis(200), ..Limits::default() };
    let admin = Admin::start_with(limits, sample_view("blue")).await;
    let mut deaf = admin.connect().await;
    // Enough answers to fill every buffer on the way.
    let requests = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2_000);
    let writing = tokio::spawn(async move {
        _ = deaf.write_all(requests.as_bytes()).await;
        deaf
    });
    assert_eq!(admin.get("/healthz").await.0, StatusCode::OK);
    drop(writing.await.unwrap());
}

#[tokio::test]
async fn shutdown_ends_with_idle_connections_open() {
    let admin = Admin::start().await;
    let mut idle = admin.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");

    admin.stop.send(()).unwrap();
    admin.serving.await.unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(TcpStream::connect(admin.address).await.is_err(), "nobody listens any more");
}
