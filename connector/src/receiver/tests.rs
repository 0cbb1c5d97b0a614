use std::io::Write as _;

use http::HeaderMap;
use hyper::client::conn::{http1, http2};
use tokio::net::TcpStream;

use super::*;
use crate::simulator::{
    ledger::Account,
    ledger_file::{self, SHIPPED, Side},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

struct Endpoint {
    address: String,
    receiver: Arc<Receiver>,
}

async fn start(receiver: Receiver, tls: Option<TlsAcceptor>) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let receiver = Arc::new(receiver);
    tokio::spawn(Arc::clone(&receiver).serve(listener, tls, std::future::pending()));
    Endpoint { address, receiver }
}

/// Status, headers and body of the answer; `None` when there was none.
type Answer = Option<(StatusCode, HeaderMap, Bytes)>;

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    protocol: Protocol,
    request: Request<Full<Bytes>>,
) -> Answer {
    let io = TokioIo::new(stream);
    let response = match protocol {
        Protocol::Http1 => {
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.ok()?
        }
        Protocol::Http2 => {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.ok()?
        }
    };
    let (parts, body) = response.into_parts();
    Some((parts.status, parts.headers, body.collect().await.ok()?.to_bytes()))
}

impl Endpoint {
    async fn post(&self, protocol: Protocol, body: impl Into<Bytes>) -> Answer {
        let request =
            Request::post(format!("http://{}/x", self.address)).body(Full::new(body.into())).unwrap();
        send(TcpStream::connect(&self.address).await.unwrap(), protocol, request).await
    }
}

fn body(id: u64, version: u32) -> String {
    format!(r#"{{"_meta":{{"msg":"write","gen":{version}}},"id":{id},"v":{version}}}"#)
}

fn with_ledger(faults: Faults) -> (Receiver, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::new(10));
    (Receiver::new(faults, Book::Ledger(Arc::clone(&ledger))), ledger)
}

#[tokio::test]
async fn what_is_answered_with_success_is_in_the_ledger() {
    let (receiver, ledger) = with_ledger(Faults::default());
    let endpoint = start(receiver, None).await;
    for (protocol, id) in [(Protocol::Http1, 1), (Protocol::Http2, 2)] {
        let (status, ..) = endpoint.post(protocol, body(id, 1)).await.unwrap();
        assert_eq!(status, 200, "{protocol:?}");
        ledger.acked(id, 1);
    }
    endpoint.post(Protocol::Http1, format!("[{},{}]", body(3, 1), body(2, 1))).await.unwrap();
    let expected = Account { acked: 2, delivered: 3, duplicates: 1, ..Account::default() };
    assert_eq!(ledger.account(), expected);
    assert_eq!((endpoint.receiver.totals().requests, endpoint.receiver.totals().delivered), (3, 4));
}

#[tokio::test]
async fn a_refusal_has_its_status_and_delivers_nothing() {
    let faults = Faults {
        fail_share: 1.0,
        fail_status: StatusCode::BAD_GATEWAY,
        retry_after_seconds: Some(7),
        ..Faults::default()
    };
    let (receiver, ledger) = with_ledger(faults);
    let endpoint = start(receiver, None).await;
    let (status, headers, _) = endpoint.post(Protocol::Http1, body(1, 1)).await.unwrap();
    assert_eq!((status, headers[header::RETRY_AFTER].as_bytes()), (StatusCode::BAD_GATEWAY, &b"7"[..]));
    assert_eq!(ledger.account().delivered, 0);
    assert_eq!(endpoint.receiver.totals().failed, 1);
}

#[tokio::test]
async fn a_cut_connection_has_no_answer_and_delivers_nothing() {
    let (receiver, ledger) = with_ledger(Faults { close_share: 1.0, ..Faults::default() });
    let endpoint = start(receiver, None).await;
    // Enough for the seed to draw both kinds, before and after reading.
    for request in 0..8 {
        let protocol = if request < 4 { Protocol::Http1 } else { Protocol::Http2 };
        assert_eq!(endpoint.post(protocol, body(1, 1)).await, None);
    }
    assert_eq!(endpoint.receiver.totals().closed, 8);
    assert_eq!(ledger.account().delivered, 0);
}

#[tokio::test]
async fn a_hanging_request_has_no_answer_until_the_client_leaves() {
    let (receiver, ledger) = with_ledger(Faults { hang_share: 1.0, ..Faults::default() });
    let endpoint = start(receiver, None).await;
    let receiver = Arc::clone(&endpoint.receiver);
    let waiting = tokio::spawn(async move { endpoint.post(Protocol::Http1, body(1, 1)).await });
    while receiver.totals().hung == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished());
    assert_eq!(ledger.account().delivered, 0);
}

#[tokio::test]
async fn compressed_bodies_are_read_and_nonsense_is_refused() {
    let (receiver, ledger) = with_ledger(Faults::default());
    let endpoint = start(receiver, None).await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(body(4, 1).as_bytes()).unwrap();
    for (content, expected) in [(gzip.finish().unwrap(), 200), (b"no gzip".to_vec(), 400)] {
        let request = Request::post(format!("http://{}/", endpoint.address))
            .header(header::CONTENT_ENCODING, "gzip")
            .body(Full::new(content.into()))
            .unwrap();
        let stream = TcpStream::connect(&endpoint.address).await.unwrap();
        assert_eq!(send(stream, Protocol::Http1, request).await.unwrap().0, expected);
    }
    assert_eq!(endpoint.post(Protocol::Http1, "hello").await.unwrap().0, 400);
    assert_eq!(endpoint.post(Protocol::Http1, "").await.unwrap().0, 400);
    assert_eq!(ledger.account().delivered, 1);
    assert_eq!(endpoint.receiver.totals().malformed, 3);
}

#[tokio::test]
async fn the_content_type_tells_how_a_body_is_read() {
    let (receiver, ledger) = with_ledger(Faults::default());
    let endpoint = start(receiver, None).await;
    // Two deletes, of the records 3 and 4.
    let body =
        b"\x93\x01\x02\x92\x94\xa1n\xc0\xc4\x01d\x03\x00\x93\x01\x02\x92\x94\xa1n\xc0\xc4\x01d\x04\x00";
    for (content_type, status, delivered) in
        [("application/json", 400, 0), ("application/x-msgpack", 200, 2), ("application/avro", 200, 2)]
    {
        let request = Request::post(format!("http://{}/", endpoint.address))
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(Bytes::from_static(body)))
            .unwrap();
        let stream = TcpStream::connect(&endpoint.address).await.unwrap();
        assert_eq!(send(stream, Protocol::Http1, request).await.unwrap().0, status, "{content_type}");
        assert_eq!(ledger.account().delivered, delivered, "{content_type}");
    }
    let totals = endpoint.receiver.totals();
    assert_eq!((totals.delivered, totals.unidentified, totals.malformed), (3, 1, 1));
}

#[tokio::test]
async fn the_status_page_tells_the_counters() {
    let endpoint = start(Receiver::new(Faults::default(), Book::None), None).await;
    endpoint.post(Protocol::Http1, body(1, 1)).await.unwrap();
    endpoint.post(Protocol::Http1, r#"{"a":1}"#).await.unwrap();
    let request = Request::get(format!("http://{}/", endpoint.address)).body(Full::default()).unwrap();
    let stream = TcpStream::connect(&endpoint.address).await.unwrap();
    let (_, headers, page) = send(stream, Protocol::Http1, request).await.unwrap();
    assert_eq!(headers[header::CONTENT_TYPE], "application/json");
    let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
    assert_eq!(
        (&page["requests"], &page["delivered"], &page["unidentified"]),
        (&2.into(), &2.into(), &1.into())
    );
}

#[tokio::test]
async fn samples_are_what_was_confirmed_first() {
    let (samples, mut shown) = mpsc::channel(2);
    let receiver = Receiver::new(Faults::default(), Book::None).with_samples(samples);
    let endpoint = start(receiver, None).await;
    for id in 0..4 {
        assert_eq!(endpoint.post(Protocol::Http1, body(id, 1)).await.unwrap().0, 200);
    }
    assert_eq!(shown.recv().await.unwrap(), body(0, 1));
    assert_eq!(shown.recv().await.unwrap(), body(1, 1));
    assert!(shown.try_recv().is_err(), "a full queue holds nothing up");
}

#[tokio::test]
async fn the_file_outlives_the_endpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    for id in 0..2 {
        let file = LedgerFile::append(&ours, Side::Receiver).unwrap();
        let endpoint = start(Receiver::new(Faults::default(), Book::File(file)), None).await;
        endpoint.post(Protocol::Http1, body(id, 1)).await.unwrap();
    }
    let source = LedgerFile::append(&theirs, Side::Source).unwrap();
    source.write(&[0, 1].map(|id| Entry { id, version: 1, mark: SHIPPED })).unwrap();
    assert_eq!(ledger_file::account(&theirs, &ours).unwrap().delivered, 2);
}

#[tokio::test]
async fn tls_offers_both_protocols() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["receiver.test".to_owned()]).unwrap();
    std::fs::write(&chain, made.cert.pem()).unwrap();
    assert!(tls::acceptor(&chain, &key).is_err(), "no key yet");
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let acceptor = tls::acceptor(&chain, &key).unwrap();
    let endpoint = start(Receiver::new(Faults::default(), Book::None), Some(acceptor)).await;
    for (protocol, alpn) in [(Protocol::Http1, "http/1.1"), (Protocol::Http2, "h2")] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.into()];
        let stream = TcpStream::connect(&endpoint.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = connector.connect("receiver.test".try_into().unwrap(), stream).await.unwrap();
        let request = Request::post("https://receiver.test/").body(Full::new(body(1, 1).into())).unwrap();
        assert_eq!(send(stream, protocol, request).await.unwrap().0, 200, "{protocol:?}");
    }
}
