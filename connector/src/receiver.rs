//! A local HTTP endpoint that takes notifications, misbehaves on request, and knows exactly what it confirmed.
//!
//! Speaks HTTP/1.1 and HTTP/2, with prior knowledge or by ALPN. A record is written down before the answer
//! that confirms it is sent, and only then: what is in the ledger was confirmed, and nothing is confirmed
//! that is not in the ledger. `GET` on any path tells the counters as JSON.

pub mod args;
pub mod command;
mod counts;
pub mod faults;
pub mod identify;
mod pace;
pub mod tls;

use std::{convert::Infallible, fmt, future::Future, io::Read as _, sync::Arc};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Notify, mpsc},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

pub use self::counts::Totals;
use self::{
    counts::Counts,
    faults::{Fault, Faults},
    identify::Identity,
    pace::Pace,
};
use crate::simulator::{
    ledger::Ledger,
    ledger_file::{Entry, LedgerFile},
};

/// An endpoint. Share it in an [`Arc`] to read its counters while it serves.
#[derive(Debug)]
pub struct Receiver {
    faults: Faults,
    book: Book,
    counts: Counts,
    pace: Option<Pace>,
    samples: Option<mpsc::Sender<Bytes>>,
}

/// Where confirmed records are written down.
#[derive(Debug)]
pub enum Book {
    /// Nowhere: they are only counted.
    None,
    /// In the ledger of a source in this process.
    Ledger(Arc<Ledger>),
    /// In a file.
    File(LedgerFile),
}

impl Receiver {
    /// An endpoint with these faults.
    pub fn new(faults: Faults, book: Book) -> Self {
        let pace = faults.rate_limit.map(Pace::new);
        Self { faults, book, counts: Counts::default(), pace, samples: None }
    }

    /// Also sends bodies to `samples` as they are confirmed, until its queue is full.
    pub fn with_samples(self, samples: mpsc::Sender<Bytes>) -> Self {
        Self { samples: Some(samples), ..self }
    }

    /// The counters now.
    pub fn totals(&self) -> Totals {
        self.counts.totals()
    }

    /// Serves every connection until `shutdown`, then drops them all.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        shutdown: impl Future<Output = ()>,
    ) {
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    // Out of descriptors or the like: the next attempt may do better.
                    let Ok((stream, _)) = accepted else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    let _ = stream.set_nodelay(true);
                    self.counts.connections.add(1);
                    let (this, tls) = (Arc::clone(&self), tls.clone());
                    connections.spawn(async move {
                        match tls {
                            None => this.serve_connection(stream).await,
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    this.serve_connection(stream).await;
                                }
                            }
                        }
                    });
                }
                Some(_) = connections.join_next() => {}
                () = &mut shutdown => return,
            }
        }
    }

    async fn serve_connection(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + 'static) {
        let hang_up = Arc::new(Notify::new());
        let service = {
            let hang_up = Arc::clone(&hang_up);
            service_fn(move |request| {
                let (this, hang_up) = (Arc::clone(&self), Arc::clone(&hang_up));
                async move { Ok::<_, Infallible>(this.answer(request, &hang_up).await) }
            })
        };
        let mut server = auto::Builder::new(TokioExecutor::new());
        server.http1().pipeline_flush(true);
        server.http2().max_concurrent_streams(1024);
        tokio::select! {
            _ = server.serve_connection(TokioIo::new(stream), service) => {}
            () = hang_up.notified() => {}
        }
    }

    async fn answer(&self, request: Request<Incoming>, hang_up: &Notify) -> Response<Full<Bytes>> {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return self.status_page();
        }
        let number = self.counts.requests.add(1);
        let media_type = request.headers().get(header::CONTENT_TYPE).cloned();
        let fault = self.faults.draw(number);
        if fault == Fault::CloseUnread {
            return self.close(hang_up).await;
        }
        let gzip = request
            .headers()
            .get(header::CONTENT_ENCODING)
            .is_some_and(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"gzip"));
        let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
            return plain(StatusCode::PAYLOAD_TOO_LARGE);
        };
        let body = body.to_bytes();
        self.counts.bytes.add(body.len() as u64);
        match fault {
            Fault::CloseRead => return self.close(hang_up).await,
            Fault::Hang => {
                self.counts.hung.add(1);
                return std::future::pending().await;
            }
            Fault::None | Fault::Fail | Fault::CloseUnread => {}
        }
        let body = if gzip { inflate(&body) } else { Some(body) };
        let mut records = Records::default();
        let media_type = media_type.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some(body) = body.filter(|body| records.read(media_type, body)) else {
            self.counts.malformed.add(1);
            return plain(StatusCode::BAD_REQUEST);
        };
        let arrival = self.book.arrived(&records);
        if fault == Fault::Fail {
            self.counts.failed.add(1);
            return self.faults.refusal();
        }
        if !self.faults.delay.is_zero() {
            tokio::time::sleep(self.faults.delay).await;
        }
        if let Some(pace) = &self.pace {
            pace.turn(records.count as u32).await;
        }
        if let Err(error) = self.book.delivered(&records, arrival) {
            tracing::error!(%error, "ledger file: cannot write");
            return plain(StatusCode::INTERNAL_SERVER_ERROR);
        }
        self.counts.delivered(records.count, records.count - records.identities.len() as u64);
        if let Some(samples) = &self.samples {
            // Full: enough was shown.
            let _ = samples.try_send(body);
        }
        plain(StatusCode::OK)
    }

    async fn close(&self, hang_up: &Notify) -> Response<Full<Bytes>> {
        self.counts.closed.add(1);
        hang_up.notify_one();
        std::future::pending().await
    }

    fn status_page(&self) -> Response<Full<Bytes>> {
        let body = serde_json::to_vec_pretty(&self.totals()).unwrap_or_default();
        let mut response = Response::new(Full::from(body));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        response
    }
}

/// The records of one request.
#[derive(Default)]
struct Records {
    count: u64,
    identities: Vec<Identity>,
}

impl Records {
    /// False when the body holds no notification.
    fn read(&mut self, media_type: &str, body: &[u8]) -> bool {
        let identified = identify::identify(media_type, body, |identity| {
            self.count += 1;
            self.identities.extend(identity);
        });
        identified.is_ok() && self.count > 0
    }
}

impl Book {
    /// Notes that records are here, and how many were confirmed before.
    fn arrived(&self, records: &Records) -> u32 {
        match self {
            Self::None => 0,
            Self::Ledger(ledger) => {
                records.identities.iter().for_each(|record| ledger.arrived(record.id, record.version));
                0
            }
            Self::File(file) => file.entries(),
        }
    }

    fn delivered(&self, records: &Records, arrival: u32) -> std::io::Result<()> {
        match self {
            Self::None => {}
            Self::Ledger(ledger) => {
                records.identities.iter().for_each(|record| ledger.delivered(record.id, record.version));
            }
            Self::File(file) => {
                let entries: Vec<Entry> = records
                    .identities
                    .iter()
                    .map(|record| Entry { id: record.id, version: record.version, mark: arrival })
                    .collect();
                file.write(&entries)?;
            }
        }
        Ok(())
    }
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// `None` when it is no gzip, or more than a request may hold.
fn inflate(body: &[u8]) -> Option<Bytes> {
    let mut inflated = Vec::new();
    let read = GzDecoder::new(body).take(BODY_BYTES_MAX as u64 + 1).read_to_end(&mut inflated).ok()?;
    (read <= BODY_BYTES_MAX).then(|| inflated.into())
}

const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, delivered, failed, hung, closed, malformed, unidentified, .. } = self;
        write!(f, "{requests} requests, {delivered} records confirmed, {:.0}/s", self.delivered_rate)?;
        for (count, what) in [
            (failed, "refused"),
            (hung, "left hanging"),
            (closed, "cut off"),
            (malformed, "malformed"),
            (unidentified, "records without a number"),
        ] {
            if *count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
