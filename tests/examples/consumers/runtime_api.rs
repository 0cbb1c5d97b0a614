//! The part of Lambda that a function talks to: it asks for the next invocation, and posts what came of it.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Mutex, Notify, mpsc},
    task::JoinHandle,
};

/// One function's runtime API. Ends when dropped.
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    events: mpsc::Sender<String>,
    answers: Mutex<mpsc::Receiver<Value>>,
    accepting: JoinHandle<()>,
}

struct Shared {
    events: Mutex<mpsc::Receiver<String>>,
    answers: mpsc::Sender<Value>,
    asked: Notify,
}

impl RuntimeApi {
    pub(crate) async fn start() -> Self {
        let (events, to_give) = mpsc::channel(1);
        let (given, answers) = mpsc::channel(1);
        let shared = Arc::new(Shared { events: Mutex::new(to_give), answers: given, asked: Notify::new() });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        let service = service_fn(move |request| serve(request, Arc::clone(&shared)));
                        // The function may end at any time.
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            }
        });
        Self { address, shared, events, answers: Mutex::new(answers), accepting }
    }

    /// What `AWS_LAMBDA_RUNTIME_API` holds.
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Waits until the function has asked for work: it is ready.
    pub(crate) async fn asked(&self) {
        self.shared.asked.notified().await;
    }

    /// The answer to an event.
    pub(crate) async fn invoke(&self, event: String) -> Value {
        self.events.send(event).await.unwrap();
        let answer =
            tokio::time::timeout(Duration::from_secs(60), async { self.answers.lock().await.recv().await });
        answer.await.expect("an answer in time").unwrap()
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path().ends_with("/invocation/next") {
        shared.asked.notify_one();
        let Some(event) = shared.events.lock().await.recv().await else { return Ok(Response::default()) };
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(30);
        let response = Response::builder()
            .header("lambda-runtime-aws-request-id", "a0a0a0a0-0000-4000-8000-000000000000")
            .header("lambda-runtime-deadline-ms", deadline.as_millis().to_string())
            .header(
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-1:123456789012:function:function",
            )
            .header("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700");
        return Ok(response.body(Full::new(event.into())).unwrap());
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    // Nobody waits for what comes after the last measurement.
    let _ = shared.answers.send(serde_json::from_slice(&body).unwrap_or(Value::Null)).await;
    Ok(Response::builder().status(202).body(Full::default()).unwrap())
}
