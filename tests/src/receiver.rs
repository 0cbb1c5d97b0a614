//! An HTTP endpoint that answers as a test says, and remembers what it confirmed.
//!
//! HTTP/1.1 and HTTP/2 by prior knowledge on one port. Probes (GET and HEAD) are answered 200 and
//! not remembered.

use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

const WITHIN: Duration = Duration::from_secs(60);

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method, whatever but those of probes.
    pub method: Method,
    /// Path of the URL.
    pub path: String,
    /// Query of the URL, empty when there is none.
    pub query: String,
    /// Headers, names in lower case.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Request {
    /// A header's value, empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }
}

type Answer = dyn Fn(&Request, usize) -> StatusCode + Send + Sync;

/// The endpoint. Stops when dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    answer: Box<Answer>,
    /// Every request that arrived, in order of arrival.
    arrived: watch::Sender<usize>,
    /// Requests that got a success.
    confirmed: Mutex<Vec<Request>>,
    /// How many requests may have their answer, in order of arrival; a test may hold the others back.
    passing: watch::Sender<usize>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({})", self.address)
    }
}

impl Receiver {
    /// Answers 200 to everything.
    pub async fn start() -> Self {
        Self::answering(|_, _| StatusCode::OK).await
    }

    /// Answers what `answer` says, which gets the request and how many came before.
    pub async fn answering(answer: impl Fn(&Request, usize) -> StatusCode + Send + Sync + 'static) -> Self {
        Self::passing(answer, usize::MAX).await
    }

    /// Answers 200, but only as many requests as [`Receiver::let_pass`] says.
    pub async fn held() -> Self {
        Self::passing(|_, _| StatusCode::OK, 0).await
    }

    async fn passing(
        answer: impl Fn(&Request, usize) -> StatusCode + Send + Sync + 'static,
        requests: usize,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            arrived: watch::Sender::new(0),
            confirmed: Mutex::default(),
            passing: watch::Sender::new(requests),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    /// `http://127.0.0.1:PORT` and `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was answered with a success so far.
    pub fn confirmed(&self) -> Vec<Request> {
        self.shared.confirmed.lock().unwrap().clone()
    }

    /// Waits until `count` requests arrived, answered or not.
    pub async fn arrived(&self, count: usize) {
        let mut arrived = self.shared.arrived.subscribe();
        let wait = arrived.wait_for(|&so_far| so_far >= count);
        if tokio::time::timeout(WITHIN, wait).await.is_err() {
            panic!("{} requests arrived within {WITHIN:?}, not {count}", *self.shared.arrived.borrow());
        }
    }

    /// Lets the `count` oldest of the held requests have their answer.
    pub fn let_pass(&self, count: usize) {
        self.shared.passing.send_modify(|passing| *passing += count);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| serve(request, Arc::clone(&shared)));
            let server = auto::Builder::new(TokioExecutor::new());
            // A connector that goes away in the middle of a request is part of what is tested.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn serve(
    request: hyper::Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if [Method::GET, Method::HEAD].contains(request.method()) {
        return Ok(Response::new(Full::default()));
    }
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(status(StatusCode::BAD_REQUEST)) };
    let request = Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.to_bytes(),
    };
    let mut before = 0;
    shared.arrived.send_modify(|so_far| {
        before = *so_far;
        *so_far += 1;
    });
    let mut passing = shared.passing.subscribe();
    // The sender lives as long as the receiver of requests does.
    let _ = passing.wait_for(|&passing| passing > before).await;
    let answer = (shared.answer)(&request, before);
    if answer.is_success() {
        shared.confirmed.lock().unwrap().push(request);
    }
    Ok(status(answer))
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
