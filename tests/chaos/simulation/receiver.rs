//! A receiver that speaks HTTP/1.1 and HTTP/2, with moods.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, header::RETRY_AFTER, service::service_fn};
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    events::Events,
    ledger::{Ledger, Version},
    network::{Crash, End, Network},
    source::FIRST_LUT_UNIX_MS,
};

/// How a receiver answers.
#[derive(Clone, Debug, Default)]
pub struct Mood {
    /// Longest time of a request, in milliseconds.
    pub takes_ms: u64,
    /// In 1,000: requests that fail, that are never answered, and that are confirmed only after the connection is gone.
    pub fails: u32,
    pub hangs: u32,
    pub forgets: u32,
    /// All fail.
    pub down: bool,
    /// Bytes of an answer.
    pub answer_bytes: usize,
}

/// One endpoint of a destination.
#[derive(Clone)]
pub struct Receiver {
    destination: usize,
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    random: Arc<Mutex<fastrand::Rng>>,
    network: Network,
    ledger: Ledger,
    events: Events,
}

impl Receiver {
    pub fn new(
        destination: usize,
        address: SocketAddr,
        mood: Mood,
        seed: u64,
        (network, ledger, events): (Network, Ledger, Events),
    ) -> Self {
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        Self { destination, address, mood: Arc::new(Mutex::new(mood)), random, network, ledger, events }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn mood(&self) -> MutexGuard<'_, Mood> {
        self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs until dropped.
    pub async fn run(self) {
        self.network.start(self.address.ip());
        let Ok(port) = self.network.listen(self.address) else {
            return self.events.violated(&format_args!("{} is open already", self.address));
        };
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Some(_) = connections.join_next() => {}
                (end, _) = port.accept() => {
                    connections.spawn(self.clone().serve(end));
                }
            }
        }
    }

    /// Ends it. What is connected learns of it as `how` says.
    pub fn crash(&self, how: Crash) {
        self.network.crash(self.address.ip(), how);
    }

    async fn serve(self, end: End) {
        let connection = end.number();
        let service = service_fn(|request| {
            let this = self.clone();
            async move { Ok::<_, Infallible>(this.answer(request, connection).await) }
        });
        // With the connection all that it began is gone.
        let streams = Streams(Arc::new(Mutex::new(JoinSet::new())));
        let _streams = AbortAll(streams.clone());
        let builder = auto::Builder::new(streams);
        _ = builder.serve_connection(TokioIo::new(end), service).await;
    }

    async fn answer(&self, request: Request<Incoming>, connection: u64) -> Response<Full<Bytes>> {
        let Ok(body) = request.into_body().collect().await else { return plain(StatusCode::BAD_REQUEST) };
        let body = body.to_bytes();
        let Some(versions) = versions(&body) else {
            self.events.violated(&format_args!("a body that is none: {}", body.escape_ascii()));
            return plain(StatusCode::BAD_REQUEST);
        };
        let _open = OpenRequest::new(self, versions, connection);
        let versions = &_open.versions;
        let mood = self.mood().clone();
        let (takes_ms, fails, hangs, forgets, with) = {
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            (
                random.u64(..=mood.takes_ms),
                random.u32(..1000) < mood.fails,
                random.u32(..1000) < mood.hangs,
                random.u32(..1000) < mood.forgets,
                random.usize(..4),
            )
        };
        sleep_until(Instant::now() + Duration::from_millis(takes_ms)).await;
        if versions.iter().any(|version| self.ledger.is_poison(self.destination, *version)) && !mood.down {
            self.events.note(&format_args!("destination {} refuses {}", self.destination, list(versions)));
            return plain(StatusCode::UNPROCESSABLE_ENTITY);
        }
        if mood.down || fails {
            let status = [
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::INTERNAL_SERVER_ERROR,
                StatusCode::REQUEST_TIMEOUT,
            ][with];
            self.events.note(&format_args!("destination {} answers {}", self.destination, status.as_u16()));
            let mut answer = plain(status);
            if with == 1 {
                answer.headers_mut().insert(RETRY_AFTER, 1.into());
            }
            return answer;
        }
        if hangs {
            self.events.note(&format_args!("destination {} hangs", self.destination));
            sleep(Duration::from_secs(3600)).await;
        }
        for version in versions {
            self.ledger.deliver(self.destination, *version);
        }
        self.events.note(&format_args!("destination {} has {}", self.destination, list(versions)));
        if forgets {
            sleep(Duration::from_secs(3600)).await;
        }
        Response::new(Full::new(Bytes::from(vec![b'.'; mood.answer_bytes])))
    }
}

/// Runs the streams of an HTTP/2 connection.
#[derive(Clone)]
struct Streams(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while streams.try_join_next().is_some() {}
        streams.spawn(async move {
            stream.await;
        });
    }
}

struct AbortAll(Streams);

impl Drop for AbortAll {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

/// Tells the ledger when a request is over.
struct OpenRequest<'a> {
    receiver: &'a Receiver,
    versions: Vec<Version>,
    connection: u64,
}

impl<'a> OpenRequest<'a> {
    fn new(receiver: &'a Receiver, versions: Vec<Version>, connection: u64) -> Self {
        for version in &versions {
            receiver.ledger.begin(receiver.destination, *version, connection);
        }
        Self { receiver, versions, connection }
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        for version in &self.versions {
            self.receiver.ledger.end(self.receiver.destination, *version, self.connection);
        }
    }
}

/// The records of a body in `flat-json`, one or an array of them.
fn versions(body: &[u8]) -> Option<Vec<Version>> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let records = body.as_array().map_or_else(|| std::slice::from_ref(&body), Vec::as_slice);
    let version = |record: &serde_json::Value| {
        // A dead letter has everything at the top.
        let about = record.get("_meta").unwrap_or(record);
        let number = about.get("lut")?.as_u64()?.checked_sub(FIRST_LUT_UNIX_MS)?;
        // What the metadata says is what the record says, unless it is a delete.
        let same = record.get("version").is_none_or(|version| version.as_u64() == Some(number));
        same.then_some(Version { key: about.get("userKey")?.as_u64()? as usize, number })
    };
    records.iter().map(version).collect()
}

fn list(versions: &[Version]) -> String {
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}
