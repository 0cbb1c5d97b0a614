//! The management endpoint: health, metrics, log levels and reloads over HTTP/1.1.
//!
//! It faces whoever can reach the port, so everything a peer can size is bounded: connections, head, body,
//! and the time each may take. It never holds up the delivery path.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use adapters::world::{Listener, Stream};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{tls::Acceptor, watch};

mod json;
mod prometheus;
mod routes;
mod text;
mod view;

pub(crate) use self::routes::{answer, has, tells_health};
#[cfg(any(test, fuzzing))]
pub(crate) use self::view::sample_view;
pub use self::view::{Counted, DestinationView, Readiness, View, WindowGauge};

/// Answers requests on any number of ports.
#[derive(Debug)]
pub struct Office {
    limits: Limits,
    slots: Arc<Semaphore>,
    views: watch::Receiver<Arc<View>>,
}

/// How one port of the management endpoint stands.
#[derive(Clone, Debug, Default)]
pub struct Door {
    /// Makes TLS of connections that are accepted.
    pub tls: Option<Arc<Acceptor>>,
    /// No connection is accepted any more.
    pub closing: bool,
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

impl Office {
    /// Shows the newest of `views`.
    pub fn new(views: watch::Receiver<Arc<View>>) -> Self {
        Self::within(Limits::default(), views)
    }

    fn within(limits: Limits, views: watch::Receiver<Arc<View>>) -> Self {
        Self { limits, slots: Arc::new(Semaphore::new(limits.connections)), views }
    }

    /// Answers on one port until its door closes, and then a moment longer for requests under way.
    pub async fn accept(self: Arc<Self>, listener: Listener, mut door: watch::Receiver<Door>) {
        let limits = self.limits;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = closed(&mut door) => break,
                Some(_) = connections.join_next() => {}
                (stream, peer, slot) = next(&listener, &self.slots) => {
                    let (views, door) = (self.views.clone(), door.clone());
                    let tls = door.borrow().tls.clone();
                    match tls {
                        None => connections.spawn(connection(limits, stream, slot, views, door)),
                        Some(tls) => {
                            connections.spawn(tls_connection(limits, tls, stream, peer, slot, views, door))
                        }
                    };
                }
            }
        }
        drop(listener);
        // What is left when the time is up ends with the set.
        _ = timeout(limits.drain, async { while connections.join_next().await.is_some() {} }).await;
    }
}

/// Ends when the door closes.
async fn closed(door: &mut watch::Receiver<Door>) {
    _ = door.wait_for(|door| door.closing).await;
}

/// The next connection, once there is a slot for it. May be dropped at any await.
async fn next(
    listener: &Listener,
    slots: &Arc<Semaphore>,
) -> (Stream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there is always a permit in the end.
    let slot = slots.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
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
    stream: Stream,
    peer: SocketAddr,
    slot: Option<OwnedSemaphorePermit>,
    views: watch::Receiver<Arc<View>>,
    mut door: watch::Receiver<Door>,
) {
    let stream = tokio::select! {
        biased;
        () = closed(&mut door) => return,
        stream = tls.accept(stream, peer) => stream,
    };
    if let Some(stream) = stream {
        connection(limits, stream, slot, views, door).await;
    }
}

async fn connection(
    limits: Limits,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    _slot: Option<OwnedSemaphorePermit>,
    views: watch::Receiver<Arc<View>>,
    mut door: watch::Receiver<Door>,
) {
    let service = service_fn(|request| async {
        let view = Arc::clone(&views.borrow());
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
            biased;
            ended = connection.as_mut() => return ended,
            () = closed(&mut door) => connection.as_mut().graceful_shutdown(),
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
