//! The management endpoint: health, metrics and log levels over HTTP/1.1.
//!
//! It faces whoever can reach the port, so everything a peer can size is bounded: connections, head, body,
//! and the time each may take. It never holds up the delivery path.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{listener::Listener, tls::Acceptor};

mod json;
mod prometheus;
mod routes;
mod text;
mod view;

pub(crate) use self::routes::{answer, has, tells_health};
#[cfg(test)]
pub(crate) use self::view::sample_view;
pub use self::view::{DestinationView, Readiness, View, WindowGauge};

/// Answers on all `listeners` until `shutdown` ends, and then a moment longer for requests under way.
pub async fn serve(listeners: Vec<Listener>, view: Arc<View>, shutdown: impl Future<Output = ()>) {
    serve_within(Limits::default(), listeners, view, shutdown).await;
}

/// What a peer may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connections: usize,
    /// From accepting, or the answer before, to the end of a request's head.
    head: Duration,
    /// For a whole connection: one that does not read its answers must not hold its slot forever.
    connection: Duration,
    /// For requests under way at shutdown.
    drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            head: Duration::from_secs(30),
            connection: Duration::from_secs(600),
            drain: Duration::from_secs(1),
        }
    }
}

async fn serve_within(
    limits: Limits,
    listeners: Vec<Listener>,
    view: Arc<View>,
    shutdown: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let (stop, stopped) = watch::channel(());
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(limits, listener, view.clone(), slots.clone(), stopped.clone()));
    }
    shutdown.await;
    drop(stop);
    while accepting.join_next().await.is_some() {}
}

async fn accept(
    limits: Limits,
    listener: Listener,
    view: Arc<View>,
    slots: Arc<Semaphore>,
    mut stopped: watch::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            (stream, peer, slot) = next(&listener, &slots) => {
                let (view, stopped) = (view.clone(), stopped.clone());
                match listener.tls.clone() {
                    None => connections.spawn(connection(limits, stream, slot, view, stopped)),
                    Some(tls) => {
                        connections.spawn(tls_connection(limits, tls, stream, peer, slot, view, stopped))
                    }
                };
            }
        }
    }
    drop(listener);
    // What is left when the time is up ends with the set.
    _ = timeout(limits.drain, async { while connections.join_next().await.is_some() {} }).await;
}

/// The next connection, once there is a slot for it. May be dropped at any await.
async fn next(
    listener: &Listener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there is always a permit in the end.
    let slot = slots.clone().acquire_owned().await.ok();
    loop {
        match listener.socket.accept().await {
            Ok((stream, peer)) => return (stream, peer, slot),
            Err(error) => {
                // Out of file descriptors, most likely: it passes, but not at once.
                tracing::warn!(%error, "cannot accept a management connection");
                sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

async fn tls_connection(
    limits: Limits,
    tls: Arc<Acceptor>,
    stream: TcpStream,
    peer: SocketAddr,
    slot: Option<OwnedSemaphorePermit>,
    view: Arc<View>,
    mut stopped: watch::Receiver<()>,
) {
    let stream = tokio::select! {
        _ = stopped.changed() => return,
        stream = tls.accept(stream, peer) => stream,
    };
    if let Some(stream) = stream {
        connection(limits, stream, slot, view, stopped).await;
    }
}

async fn connection(
    limits: Limits,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    _slot: Option<OwnedSemaphorePermit>,
    view: Arc<View>,
    mut stopped: watch::Receiver<()>,
) {
    let service = service_fn(|request| async {
        let response = answer(request, &view).await;
        Ok::<_, Infallible>(response)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = timeout(limits.connection, async {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    });
    if let Ok(Err(error)) = ended.await {
        tracing::debug!(%error, "a management connection ended badly");
    }
}

/// A request's line and headers.
const HEAD_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests;
