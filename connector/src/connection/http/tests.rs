use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::Semaphore,
    task::JoinHandle,
};

use super::*;
use crate::{
    admin::sample_view,
    config::{Config, Incoming, Service},
    connection::{ASSEMBLING_BYTES_MAX, Limits, Terms},
    metrics::Metrics,
    route::Router,
    simulator::encode::{Change, Head, Message},
    window::Window,
    wire::info::NodeFacts,
};

/// A connection to a service that skips every record.
struct Peer {
    stream: DuplexStream,
    serving: JoinHandle<()>,
    http: Arc<Http>,
    shared: Arc<Shared>,
    post: watch::Sender<Arc<Terms>>,
}

impl Peer {
    fn new(protocol: Incoming) -> Self {
        Self::with(Service { protocol, http2_streams_max: 7, ..Service::default() })
    }

    fn with(service: Service) -> Self {
        let shared = Arc::new(Shared {
            window: Window::new(1, 1 << 20),
            delivered: None,
            metrics: Arc::new(Metrics::default()),
            assembling: Semaphore::new(ASSEMBLING_BYTES_MAX),
        });
        let address = ([127, 0, 0, 1], 1).into();
        let (post, _) = watch::channel(Arc::new(Terms {
            number: 1,
            routes: Router::new(&Config::default(), Instant::now()).unwrap().for_port(1),
            lanes: Arc::new([]),
            limits: Limits {
                frame_bytes_max: 1 << 20,
                read_bytes: None,
                ack_buffering: true,
                accept_client_writes: true,
            },
            manages: service.manage.is_none(),
            facts: NodeFacts {
                node_id: String::new(),
                build: String::new(),
                cluster_name: None,
                namespaces: Vec::new(),
                address,
            },
            tls: None,
            closing: false,
        }));
        let (_, views) = watch::channel(Arc::new(sample_view("blue")));
        let http = Arc::new(Http::new(&service, views).expect("it speaks HTTP"));
        let (stream, serving) = connect(&http, post.subscribe(), &shared);
        Self { stream, serving, http, shared, post }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn post(&mut self, body: &[u8]) {
        self.send(format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes())
            .await;
        self.send(body).await;
    }

    /// Status line and headers of the next answer, or nothing when the connection ends.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match self.stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8(head).unwrap()
    }
}

fn connect(http: &Arc<Http>, posted: Posted, shared: &Arc<Shared>) -> (DuplexStream, JoinHandle<()>) {
    let (near, far) = duplex(1 << 16);
    let peer = ([127, 0, 0, 1], 1).into();
    let serving = tokio::spawn(Arc::clone(http).serve(far, peer, posted, None, Arc::clone(shared)));
    (near, serving)
}

fn record() -> Vec<u8> {
    let mut bytes = Vec::new();
    let head = Head {
        change: Change::Replace,
        namespace: b"test",
        set: None,
        digest: [1; 20],
        user_key: None,
        generation: 1,
        ttl_seconds: 0,
        lut_unix_ms: None,
    };
    Message::begin(&mut bytes, &head).finish();
    bytes
}

#[tokio::test(start_paused = true)]
async fn a_record_that_goes_nowhere_is_done() {
    let mut peer = Peer::new(Incoming::Http1);
    peer.post(&record()).await;
    assert!(peer.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!((peer.shared.window.records(), peer.shared.metrics.totals().skipped), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_answered_after_eight_seconds() {
    let mut peer = Peer::new(Incoming::Http1);
    let started = tokio::time::Instant::now();
    peer.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf").await;
    assert!(peer.head().await.starts_with("HTTP/1.1 408 "));
    assert_eq!(started.elapsed().as_secs(), 8);
    assert_eq!(peer.shared.assembling.available_permits(), ASSEMBLING_BYTES_MAX);
}

#[tokio::test(start_paused = true)]
async fn without_room_the_answer_is_soon_that_it_is_busy() {
    for bodies in [false, true] {
        let mut peer = Peer::new(Incoming::Http1);
        let shared = Arc::clone(&peer.shared);
        let taken = bodies.then(|| shared.assembling.try_acquire_many(ASSEMBLING_BYTES_MAX as u32).unwrap());
        assert!(bodies || shared.window.try_enter(10));
        let started = tokio::time::Instant::now();
        peer.post(&record()).await;
        let head = peer.head().await;
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("retry-after: 1\r\n"), "{head}");
        assert_eq!(started.elapsed().as_millis() / 10, 75);
        assert_eq!(shared.window.records(), usize::from(!bodies), "nothing of it is left");
        drop(taken);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_ends() {
    for (protocol, sent) in [
        (Incoming::Http1, &b""[..]),
        (Incoming::Http1, b"POST / HT"),
        (Incoming::Http2, b""),
        (Incoming::Http2, b"PRI * HT"),
        (Incoming::Http2, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        let mut peer = Peer::new(protocol);
        let started = tokio::time::Instant::now();
        peer.send(sent).await;
        (&mut peer.serving).await.unwrap();
        assert!(started.elapsed() <= HEAD_WITHIN + Duration::from_secs(1), "{sent:?}");
        assert_eq!(peer.shared.metrics.totals().connections_active(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn more_connections_than_there_may_be_are_closed() {
    let peer = Peer::new(Incoming::Http1);
    tokio::task::yield_now().await;
    let all = peer.http.slots.try_acquire_many(CONNECTIONS_MAX as u32 - 1).expect("one is taken");
    let (mut one_more, _) = connect(&peer.http, peer.post.subscribe(), &peer.shared);
    assert_eq!(one_more.read(&mut [0]).await.unwrap(), 0);
    drop(all);
}

#[tokio::test(start_paused = true)]
async fn streams_are_limited() {
    let mut peer = Peer::new(Incoming::Http2);
    peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let mut head = [0; 9];
    peer.stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "settings come first");
    let mut settings = vec![0; usize::from(head[2])];
    peer.stream.read_exact(&mut settings).await.unwrap();
    assert!(settings.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 7]), "{settings:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_what_has_begun_end_and_takes_no_more() {
    let mut peer = Peer::new(Incoming::Http1);
    // An answer first, so that the connection is known to wait for the next request.
    peer.post(&record()).await;
    assert!(peer.head().await.starts_with("HTTP/1.1 200 "));
    let body = record();
    peer.send(format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes())
        .await;
    sleep(Duration::from_millis(1)).await;
    peer.post.send_modify(|terms| *terms = Arc::new(Terms { closing: true, ..Terms::clone(terms) }));
    sleep(Duration::from_millis(1)).await;
    peer.send(&body).await;
    let head = peer.head().await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("connection: close\r\n"), "{head}");
    assert_eq!(peer.head().await, "");
    peer.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_management_endpoint_is_here_unless_it_has_a_port_of_its_own() {
    for (manage, page) in [(false, true), (true, false)] {
        let manage = manage.then(|| config::Manage { ports: vec![1], addresses: Vec::new(), tls: None });
        let mut peer = Peer::with(Service { protocol: Incoming::Http1, manage, ..Service::default() });
        for (path, json) in [("/manage/rest/v1", page), ("/readyz", true), ("/healthz", true), ("/", false)] {
            peer.send(format!("HEAD {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await;
            let head = peer.head().await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            assert_eq!(head.contains("application/json"), json, "{path}");
        }
        peer.send(b"DELETE / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(peer.head().await.starts_with("HTTP/1.1 405 "));
    }
}

#[test]
fn tcp_is_no_http() {
    let service = Service { max_concurrent_records: NonZeroUsize::MIN, ..Service::default() };
    let (_, views) = watch::channel(Arc::new(sample_view("blue")));
    assert!(Http::new(&service, views).is_none());
}
