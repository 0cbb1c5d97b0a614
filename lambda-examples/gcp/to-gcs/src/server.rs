//! What Cloud Run asks of a container: HTTP on a port (HTTP/1.1, or HTTP/2 without TLS where the service has `--use-http2`), a path
//! for its health, and an end by SIGTERM at which requests that have begun are answered.

use std::{convert::Infallible, error::Error, pin::pin, rc::Rc};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    rt::Executor,
    service::service_fn,
};
use hyper_util::{rt::TokioIo, server::conn::auto};
use notification::Invocation;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinSet, spawn_local},
};

/// Cloud Run takes no more over HTTP/1.1.
const BODY_BYTES_MAX: usize = 32 << 20;
/// Not `/healthz`, which Cloud Run keeps for itself.
const HEALTH: &str = "/health";

/// Answers requests, on this thread and within a `LocalSet`, at `address` by `handle`, until `stop` is done and what was begun is answered.
pub(crate) async fn serve<H>(address: &str, stop: impl Future, handle: H) -> Result<(), Box<dyn Error>>
where
    H: AsyncFn(Invocation) -> (u16, Value) + 'static,
{
    let listener = TcpListener::bind(address).await.map_err(|error| format!("{address}: {error}"))?;
    println!("listening at {}", listener.local_addr()?);
    let (stopping, stopped) = watch::channel(());
    let handle = Rc::new(handle);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            _ = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn_local(connection(stream, Rc::clone(&handle), stopped.clone()));
                }
                // Whoever it was is gone; or there are too many, which passes.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    drop(stopping);
    while connections.join_next().await.is_some() {}
    Ok(())
}

async fn connection<H>(stream: TcpStream, handle: Rc<H>, mut stopped: watch::Receiver<()>)
where
    H: AsyncFn(Invocation) -> (u16, Value) + 'static,
{
    let service = service_fn(move |request| answer(request, Rc::clone(&handle)));
    let server = auto::Builder::new(Here);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // That the other side went away is its own affair: it has no answer, and will ask again.
        _ = &mut connection => return,
        _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer<H>(request: Request<Incoming>, handle: Rc<H>) -> Result<Response<Full<Bytes>>, Infallible>
where
    H: AsyncFn(Invocation) -> (u16, Value),
{
    let (head, body) = request.into_parts();
    let (status, body) = match head.method {
        Method::GET if head.uri.path() == HEALTH => (200, json!({"status": "ok"})),
        Method::POST => match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(body) => {
                let headers = head.headers.iter();
                let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
                handle(Invocation::from_http(headers, body.to_bytes().to_vec())).await
            }
            Err(_) => (413, json!({"message": format!("body: expected at most {BODY_BYTES_MAX} bytes")})),
        },
        _ => (405, json!({"message": "expected POST with records"})),
    };
    let mut response = Response::new(Full::new(body.to_string().into()));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == 405 {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    Ok(response)
}

/// Streams of HTTP/2, on the thread of their connection.
#[derive(Clone, Copy)]
struct Here;

impl<F: Future<Output = ()> + 'static> Executor<F> for Here {
    fn execute(&self, stream: F) {
        spawn_local(stream);
    }
}
