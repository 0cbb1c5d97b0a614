//! What one POST of the plain HTTP target costs: CPU time of this process per request.
//!
//! `post_load serve 127.0.0.1:9000` is a minimal peer for both HTTP versions (run it as a process of its own).
//! `post_load HTTP_1_1 http://127.0.0.1:9000/ 500000 64` sends 500,000 requests, 64 at a time;
//! `HTTP_2` the same over clear-text HTTP/2.

use std::{convert::Infallible, env, error::Error, num::NonZeroUsize, sync::Arc, time::Instant};

use adapters::{Outcome, Payload, Report, Target, http::Http};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", address] => serve(address).await,
        [protocol, url, requests, at_once] => load(protocol, url, requests.parse()?, at_once.parse()?).await,
        _ => Err("expected: serve ADDRESS, or PROTOCOL URL REQUESTS AT_ONCE".into()),
    }
}

async fn load(protocol: &str, url: &str, requests: usize, at_once: usize) -> Result<(), Box<dyn Error>> {
    let connections = if protocol == "HTTP_1_1" { at_once } else { 1 };
    let config = json!({
        "urls": [url],
        "protocol": protocol,
        "max-connections-per-endpoint": connections,
        "call-timeout": 10_000,
        "health-check": {"enabled": false},
    });
    let target = Arc::new(Http::new("load", serde_json::from_value(config)?)?);
    let body: Bytes = vec![b'x'; 402].into();
    let payload =
        Payload { body, content_type: "application/json".into(), count: NonZeroUsize::MIN, request: None };
    let (begin, cpu) = (Instant::now(), cpu_seconds()?);
    let workers = (0..at_once).map(|_| {
        let (target, payload) = (Arc::clone(&target), payload.clone());
        tokio::spawn(async move {
            let mut failed = 0;
            for _ in 0..requests / at_once {
                failed += usize::from(target.deliver(&payload).await != Report::all(Outcome::Delivered));
            }
            failed
        })
    });
    let mut failed = 0;
    for worker in workers.collect::<Vec<_>>() {
        failed += worker.await?;
    }
    let sent = (requests / at_once * at_once) as f64;
    println!(
        "{protocol}: {:.2} µs CPU per request, {:.0} requests/s, {failed} failed",
        (cpu_seconds()? - cpu) * 1e6 / sent,
        sent / begin.elapsed().as_secs_f64(),
    );
    Ok(())
}

/// User and system time of this process, from Linux, which counts in hundredths of a second.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').ok_or("no process name")?.1;
    let ticks =
        after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / 100.0)
}

async fn serve(address: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut start = [0; 4];
            let http2 = stream.peek(&mut start).await.is_ok() && start == *b"PRI ";
            let io = TokioIo::new(stream);
            // A client that goes away is no fault here.
            _ = if http2 {
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(io, service_fn(answer))
                    .await
            } else {
                hyper::server::conn::http1::Builder::new().serve_connection(io, service_fn(answer)).await
            };
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    _ = request.into_body().collect().await;
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
