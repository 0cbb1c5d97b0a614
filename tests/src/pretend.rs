//! A service that is not to be had here: it answers as its documentation says, by a closure of the test.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request, Response, Uri, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

/// A request that was read to its end.
#[derive(Debug)]
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Asked {
    /// A header's value, empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What to answer: a status, and a body unless it is null.
pub type Answer = (u16, Value);

/// The service. Ends when dropped.
#[derive(Debug)]
pub struct Pretend {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Pretend {
    /// One that answers what `answer` says.
    pub async fn answering(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = Arc::clone(&answer);
                connections.spawn(async move {
                    let service = service_fn(move |request| serve(request, Arc::clone(&answer)));
                    // The function may be gone when its test is.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, accepting }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Pretend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    request: Request<Incoming>,
    answer: Arc<impl Fn(&Asked) -> Answer>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let asked = Asked { method: head.method, uri: head.uri, headers: head.headers, body };
    let (status, body) = answer(&asked);
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Full::new(body)).unwrap())
}
