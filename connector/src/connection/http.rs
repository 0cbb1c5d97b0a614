//! One HTTP connection that carries XDR's messages: from other connectors, as a rule through a load balancer.
//!
//! HTTP/1.1 and HTTP/2; one message in a request, one status in its answer. All that a peer can size or draw out is
//! bounded: connections, heads, bodies, streams, and the time of each.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    time::sleep,
};
use tracing::{debug, warn};

use super::{Posted, Shared, closed};
use crate::{
    admin::{self, View},
    config,
    logging::Limited,
    recorder::Recorder,
    watch,
};

mod answer;
mod body;
#[cfg(fuzzing)]
pub mod fuzzing;
mod record;

/// Connections at once, over all ports; more are closed as they come.
const CONNECTIONS_MAX: usize = 1024;

/// At most one line about requests that make no sense in this time.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// A request's line and headers, and what is read at a time.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes that may be on their way on an HTTP/2 connection, over all its streams: what is not read yet is held here.
const WINDOW_BYTES: u32 = 256 * 1024;

/// A connection without a request is of no use for longer; an idle one that had some is closed after this time where
/// HTTP/1.1 is spoken. Longer than what nginx keeps idle connections for, so that it does not meet one that closes.
const HEAD_WITHIN: Duration = Duration::from_secs(75);

/// How often a silent HTTP/2 peer is asked whether it is there, and how long it has for the answer.
const PING_EVERY: Duration = Duration::from_secs(20);

/// What connections start from.
#[derive(Debug)]
pub struct Http {
    /// Whether HTTP/2 is spoken beside HTTP/1.1.
    http2: bool,
    /// Requests at once on an HTTP/2 connection.
    streams_max: u32,
    /// The management endpoint.
    views: watch::Receiver<Arc<View>>,
    /// Connections that may still come.
    slots: Semaphore,
    complaints: Arc<Mutex<Limited>>,
}

impl Http {
    /// As the service is configured; `None` where it speaks TCP.
    pub fn new(service: &config::Service, views: watch::Receiver<Arc<View>>) -> Option<Self> {
        let http2 = match service.protocol {
            config::Incoming::Tcp => return None,
            config::Incoming::Http1 => false,
            config::Incoming::Http2 => true,
        };
        Some(Self {
            http2,
            streams_max: service.http2_streams_max,
            views,
            slots: Semaphore::new(CONNECTIONS_MAX),
            complaints: Arc::new(Mutex::new(Limited::new(COMPLAIN_EVERY))),
        })
    }

    /// Serves one connection until the peer closes it, it breaks, or the port closes: then what has begun ends.
    pub async fn serve(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        peer: SocketAddr,
        mut posted: Posted,
        recorder: Option<Arc<Recorder>>,
        shared: Arc<Shared>,
    ) {
        let Ok(_slot) = self.slots.try_acquire() else {
            return warn!(%peer, CONNECTIONS_MAX, "closing a connection: there are too many");
        };
        shared.metrics.connection_opened();
        let _open = Open(Arc::clone(&shared));
        let used = Arc::new(AtomicBool::new(false));
        let builder = self.builder();
        let complaints = Arc::clone(&self.complaints);
        let service = {
            let (this, used) = (Arc::clone(&self), Arc::clone(&used));
            let exchange =
                Arc::new(record::Exchange { peer, posted: posted.clone(), recorder, shared, complaints });
            service_fn(move |request| {
                used.store(true, Relaxed);
                let (this, exchange) = (Arc::clone(&this), Arc::clone(&exchange));
                async move { Ok::<_, Infallible>(this.answer(request, &exchange).await) }
            })
        };
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let unused = async {
            sleep(HEAD_WITHIN).await;
            if used.load(Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = unused => return,
            () = closed(&mut posted) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%peer, %error, "an HTTP connection ended badly");
        }
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_buf_size(HEAD_BYTES_MAX)
            .pipeline_flush(true);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY)
            .max_concurrent_streams(self.streams_max)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        if self.http2 { builder } else { builder.http1_only() }
    }

    async fn answer(&self, request: Request<Incoming>, exchange: &record::Exchange) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if admin::has(path) && (exchange.posted.borrow().manages || admin::tells_health(path)) {
            let view = Arc::clone(&self.views.borrow());
            return admin::answer(request, &view).await;
        }
        match *request.method() {
            Method::POST => exchange.post(request).await,
            // Servers and load balancers ask like this whether there is anyone.
            Method::GET | Method::HEAD => answer::plain(StatusCode::OK),
            _ => answer::wrong_method(),
        }
    }
}

/// Counts the end of a connection, however it ends.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.connection_closed();
    }
}

#[cfg(test)]
mod tests;
