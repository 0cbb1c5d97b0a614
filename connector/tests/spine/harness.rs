//! A connection on an in-memory pipe and a target whose answers a test scripts.

use std::{
    collections::VecDeque,
    fmt,
    io::Write as _,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use adapters::{Access, Outcome, Payload, Report, Target};
use esp_connector::config::{Batching, Config, DeadLetter, Destination, RecordOrdering, Routing, Sections};
use esp_connector::{
    config::{DurableMember, Format, JsonRules},
    connection::{self, Limits, Shared, Terms},
    dead_letter::Places,
    delivered::Delivered,
    lane::{self, Lane},
    metrics::{LaneStats, Metrics},
    recorder::Tap,
    retry::RetryPolicy,
    route::Router,
    simulator::encode::{Change, Head, Message},
    simulator::particle::Particle,
    watch,
    window::Window,
    wire::{
        ack::{Reaction, reaction},
        info::NodeFacts,
    },
};
use flate2::{Compression, write::ZlibEncoder};
use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::{JoinHandle, JoinSet},
    time::Instant,
};

type Script = dyn Fn(String, usize) -> BoxFuture<'static, Report> + Send + Sync;

/// A target that does what a closure says: it gets the body and how many requests came before.
pub struct Scripted {
    concurrency: usize,
    concurrency_start: AtomicUsize,
    body_bytes_max: AtomicUsize,
    /// When its credentials came.
    credentials_since: Mutex<Option<Instant>>,
    script: Box<Script>,
    seen: Mutex<Vec<(String, Instant)>>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl Scripted {
    pub fn new<F>(
        concurrency: usize,
        script: impl Fn(String, usize) -> F + Send + Sync + 'static,
    ) -> Arc<Self>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        Self::reporting(concurrency, move |body, index| {
            let outcome = script(body, index);
            async move { Report::all(outcome.await) }
        })
    }

    /// One that tells of each record of a request apart.
    pub fn reporting<F>(
        concurrency: usize,
        script: impl Fn(String, usize) -> F + Send + Sync + 'static,
    ) -> Arc<Self>
    where
        F: Future<Output = Report> + Send + 'static,
    {
        let script =
            Box::new(move |body, index| -> BoxFuture<'static, Report> { Box::pin(script(body, index)) });
        Arc::new(Self {
            concurrency,
            concurrency_start: AtomicUsize::new(concurrency),
            body_bytes_max: AtomicUsize::new(usize::MAX),
            credentials_since: Mutex::default(),
            script,
            seen: Mutex::default(),
        })
    }

    /// Begins with so many requests at once.
    pub fn starting_with(self: Arc<Self>, requests: usize) -> Arc<Self> {
        self.concurrency_start.store(requests, Ordering::Relaxed);
        self
    }

    /// Takes no larger bodies.
    pub fn taking(self: Arc<Self>, body_bytes_max: usize) -> Arc<Self> {
        self.body_bytes_max.store(body_bytes_max, Ordering::Relaxed);
        self
    }

    /// Proves who sends with credentials that came now.
    pub fn renew(&self) {
        *self.credentials_since.lock().unwrap() = Some(Instant::now());
    }

    /// Bodies in the order their requests began.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(body, _)| body.clone()).collect()
    }

    /// When each request began.
    pub fn times(&self) -> Vec<Instant> {
        self.seen.lock().unwrap().iter().map(|(_, at)| *at).collect()
    }
}

impl Target for Scripted {
    fn deliver<'a>(&'a self, payload: &'a Payload) -> BoxFuture<'a, Report> {
        let body = String::from_utf8_lossy(&payload.body).into_owned();
        let mut seen = self.seen.lock().unwrap();
        seen.push((body.clone(), Instant::now()));
        (self.script)(body, seen.len() - 1)
    }

    fn concurrency(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.concurrency).unwrap()
    }

    fn concurrency_start(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.concurrency_start.load(Ordering::Relaxed)).unwrap()
    }

    fn access(&self) -> Option<Access> {
        let since = *self.credentials_since.lock().unwrap();
        since.map(|since| Access { age: Some(since.elapsed()), ..Access::default() })
    }

    fn body_bytes_max(&self, _: &str) -> usize {
        self.body_bytes_max.load(Ordering::Relaxed)
    }
}

/// Settings a test may want to differ.
pub struct Setup {
    pub targets: Vec<Arc<Scripted>>,
    pub window_records: usize,
    pub window_bytes: usize,
    pub attempts_max: u32,
    pub held_max: usize,
    pub give_up_on: Vec<u16>,
    pub batching: Option<Batching>,
    pub record_ordering: Option<RecordOrdering>,
    pub format: Format,
    /// To all targets unless something is here; they are called `target-0` and so on. Records of the set `target-0` go
    /// only there, and so on.
    pub routing: Option<Routing>,
    /// What becomes of the dead letters of each target; of all others they are given up.
    pub dead_letters: Vec<Option<DeadLetter>>,
    /// Records of which partial success is remembered.
    pub remember: usize,
}

impl Setup {
    pub fn to(targets: impl Into<Vec<Arc<Scripted>>>) -> Self {
        Self {
            targets: targets.into(),
            window_records: 32_768,
            window_bytes: 64 << 20,
            attempts_max: 1,
            held_max: 32_768,
            give_up_on: Vec::new(),
            batching: None,
            record_ordering: None,
            format: Format::FlatJson {
                metadata_key: "meta".to_owned(),
                durable: DurableMember::Always,
                rules: JsonRules::default(),
            },
            routing: None,
            dead_letters: Vec::new(),
            remember: 1_000,
        }
    }

    /// Records go in arrays.
    pub fn in_batches(mut self, max_records: usize, interval_ms: u64) -> Self {
        self.batching = Some(Batching {
            enabled: true,
            body: None,
            max_records: NonZeroUsize::new(max_records).unwrap(),
            max_bytes: NonZeroUsize::MAX,
            interval: Duration::from_millis(interval_ms),
        });
        self
    }

    /// No version of a record goes after a newer one.
    pub fn in_order(mut self) -> Self {
        self.record_ordering = Some(RecordOrdering {
            enabled: true,
            lut_cache_ttl: Duration::from_secs(30),
            lut_cache_max_records: NonZeroUsize::new(1_000).unwrap(),
        });
        self
    }

    /// One connection on which records of namespace `test` go to all targets, except set `skip`.
    pub fn start(self) -> Peer {
        let mut config = Config::default();
        let names: Vec<String> = (0..self.targets.len()).map(|index| format!("target-{index}")).collect();
        for (index, name) in names.iter().enumerate() {
            let dead_letter = self.dead_letters.get(index).cloned().unwrap_or(Some(DeadLetter::Drop));
            config.destinations.insert(name.clone(), Destination { dead_letter, ..unused_destination() });
        }
        config.root = Sections {
            format: Some(self.format),
            routing: Some(self.routing.unwrap_or_else(|| Routing::To(names.clone()))),
            batching: self.batching,
            record_ordering: self.record_ordering,
            ..Sections::default()
        };
        let namespace = config.namespaces.entry("test".to_owned()).or_default();
        let skip = Sections { routing: Some(Routing::Skip), ..Sections::default() };
        namespace.sets.insert("skip".to_owned(), skip);
        for name in &names {
            let routing = Some(Routing::To(vec![name.clone()]));
            namespace.sets.insert(name.clone(), Sections { routing, ..Sections::default() });
        }
        let router = Router::new(&config, Instant::now().into_std()).unwrap();

        let places = Places::new(&config, router.letter_policy());
        let mut tasks = JoinSet::new();
        let lanes: Arc<[Arc<Lane>]> = names
            .into_iter()
            .zip(&self.targets)
            .map(|(name, target)| {
                let limits = lane::Limits {
                    workers: target.concurrency,
                    batch_max: router.batch_max(0),
                    held_max: self.held_max,
                    held_bytes_max: self.window_bytes,
                    retry: RetryPolicy::new(self.attempts_max),
                    give_up_on: self.give_up_on.clone(),
                };
                let policies = Arc::clone(router.batch_policies());
                let now = Instant::now().into_std();
                let letters = places.dead_letters(config.destinations[&name].dead_letter.as_ref());
                let lane = Lane::new(name, Arc::clone(target) as _, limits, policies, letters, now);
                places.open(&lane);
                lane.start(&mut tasks);
                lane
            })
            .collect();
        let shared = Arc::new(Shared {
            window: Window::new(self.window_records, self.window_bytes),
            delivered: (self.remember > 0).then(|| Arc::new(Delivered::new(self.remember))),
            metrics: Arc::new(Metrics::default()),
            assembling: tokio::sync::Semaphore::new(connection::ASSEMBLING_BYTES_MAX),
        });
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (reader, writer) = tokio::io::split(theirs);
        let [local, peer] = [([127, 0, 0, 1], 8901).into(), ([127, 0, 0, 1], 3000).into()];
        let facts = NodeFacts {
            node_id: "A1".to_owned(),
            build: "8.1.0.0".to_owned(),
            cluster_name: None,
            namespaces: vec!["test".to_owned()],
            address: local,
        };
        let (post, posted) = watch::channel(Arc::new(Terms {
            number: 1,
            routes: router.for_port(8901),
            lanes: Arc::clone(&lanes),
            limits: Limits {
                frame_bytes_max: 16 << 20,
                read_bytes: None,
                ack_buffering: true,
                accept_client_writes: true,
            },
            manages: false,
            facts,
            tls: None,
            closing: false,
        }));
        let serve =
            connection::serve(reader, writer, [local, peer], Tap::default(), posted, Arc::clone(&shared));
        Peer { stream: ours, served: tokio::spawn(serve), shared, lanes, post, tasks, config }
    }
}

/// The XDR side of the pipe.
pub struct Peer {
    pub stream: DuplexStream,
    pub served: JoinHandle<()>,
    pub shared: Arc<Shared>,
    pub lanes: Arc<[Arc<Lane>]>,
    pub post: watch::Sender<Arc<Terms>>,
    config: Config,
    pub tasks: JoinSet<()>,
}

impl Peer {
    /// Closes the port, as the end of the connector does.
    pub fn close(&self) {
        self.post.send_modify(|terms| *terms = Arc::new(Terms { closing: true, ..Terms::clone(terms) }));
    }

    /// Posts terms with another routing, and the same lanes.
    pub fn post_routing(&mut self, routing: Routing) {
        self.config.root.routing = Some(routing);
        let router = Router::new(&self.config, Instant::now().into_std()).unwrap();
        self.post.send_modify(|terms| {
            let routes = router.for_port(8901);
            *terms = Arc::new(Terms { number: terms.number + 1, routes, ..Terms::clone(terms) });
        });
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The result code of the next ack.
    pub async fn ack(&mut self) -> u8 {
        let mut ack = [0; 30];
        self.stream.read_exact(&mut ack).await.unwrap();
        assert_eq!(ack[..8], [2, 3, 0, 0, 0, 0, 0, 22], "an ack frame");
        ack[13]
    }

    pub async fn acks(&mut self, count: usize) -> Vec<u8> {
        let mut codes = Vec::new();
        for _ in 0..count {
            codes.push(self.ack().await);
        }
        codes
    }
}

/// What became of the records of a source that ships what was refused again.
#[derive(Debug, Default)]
pub struct Shipped {
    /// Confirmed, in the order of the answers.
    pub confirmed: Vec<u32>,
    /// Refused for good.
    pub given_up: Vec<u32>,
    /// Answers that asked for another try.
    pub refused: usize,
    /// The longest that an answer took.
    pub slowest: Duration,
}

impl Peer {
    /// Ships the records numbered `numbers`, `in_flight` at a time and those that are refused again and again, until all
    /// are answered for good or `time` is over. `bytes` makes a record of its number.
    pub async fn ship(
        &mut self,
        numbers: impl IntoIterator<Item = u32>,
        in_flight: usize,
        time: Duration,
        bytes: impl Fn(u32) -> Vec<u8>,
    ) -> Shipped {
        let (mut sent, mut again) = (VecDeque::new(), VecDeque::new());
        let (start, mut numbers, mut shipped) = (Instant::now(), numbers.into_iter(), Shipped::default());
        loop {
            while sent.len() < in_flight
                && let Some(number) = again.pop_front().or_else(|| numbers.next())
            {
                self.send(&bytes(number)).await;
                sent.push_back((number, Instant::now()));
            }
            let Some((number, at)) = sent.pop_front() else { return shipped };
            let left = time.saturating_sub(start.elapsed());
            let Ok(code) = tokio::time::timeout(left, self.ack()).await else { return shipped };
            shipped.slowest = shipped.slowest.max(at.elapsed());
            match reaction(code) {
                Reaction::Complete => shipped.confirmed.push(number),
                Reaction::Retry => {
                    shipped.refused += 1;
                    again.push_back(number);
                }
                Reaction::Abandon => shipped.given_up.push(number),
            }
        }
    }

    /// Records of a lane that no retry can help, each time that they came.
    pub fn dead_letters(&self, lane: usize) -> u64 {
        let letters = &self.stats(lane).letters;
        letters.sent.total() + letters.held.total() + letters.dropped.total()
    }

    /// The numbers of a lane.
    pub fn stats(&self, lane: usize) -> &LaneStats {
        self.lanes[lane].stats()
    }
}

/// The record of a number, all of them different.
pub fn numbered(n: u32) -> Vec<u8> {
    numbered_in(None, n)
}

/// The same, in a set.
pub fn numbered_in(set: Option<&str>, n: u32) -> Vec<u8> {
    record_with_digest(set, digest_of(n), n.into())
}

/// Its digest.
pub fn digest_of(n: u32) -> [u8; 20] {
    let mut digest = [0; 20];
    digest[..4].copy_from_slice(&n.to_be_bytes());
    digest
}

/// A record of namespace `test` with digest 20 × `key` and bin `n`.
pub fn record(key: u8, n: i64) -> Vec<u8> {
    record_in(None, key, n)
}

pub fn record_in(set: Option<&str>, key: u8, n: i64) -> Vec<u8> {
    record_with_digest(set, [key; 20], n)
}

pub fn record_with_digest(set: Option<&str>, digest: [u8; 20], n: i64) -> Vec<u8> {
    version(set, digest, n, 1_700_000_000_000)
}

/// A version of a record, last updated at `lut_unix_ms`.
pub fn version(set: Option<&str>, digest: [u8; 20], n: i64, lut_unix_ms: u64) -> Vec<u8> {
    version_holding(set, digest, &Particle::Integer(n), lut_unix_ms)
}

/// A version of a record with any value in bin `n`.
pub fn version_holding(set: Option<&str>, digest: [u8; 20], n: &Particle<'_>, lut_unix_ms: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let head = Head {
        change: Change::Replace,
        namespace: b"test",
        set: set.map(str::as_bytes),
        digest,
        user_key: None,
        generation: 1,
        ttl_seconds: 0,
        lut_unix_ms: Some(lut_unix_ms),
    };
    let mut message = Message::begin(&mut bytes, &head);
    message.bin(b"n", n);
    message.finish();
    bytes
}

/// A record deleted at `lut_unix_ms`.
pub fn delete(digest: [u8; 20], lut_unix_ms: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let head = Head {
        change: Change::Delete,
        namespace: b"test",
        set: None,
        digest,
        user_key: None,
        generation: 2,
        ttl_seconds: 0,
        lut_unix_ms: Some(lut_unix_ms),
    };
    Message::begin(&mut bytes, &head).finish();
    bytes
}

/// A record with a text of `bytes` bytes.
pub fn large_record(key: u8, bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let head = Head {
        change: Change::Replace,
        namespace: b"test",
        set: None,
        digest: [key; 20],
        user_key: None,
        generation: 1,
        ttl_seconds: 0,
        lut_unix_ms: None,
    };
    let mut message = Message::begin(&mut out, &head);
    message.bin(b"text", &Particle::String(&vec![b'x'; bytes]));
    message.finish();
    out
}

/// The same message as XDR sends it with `enable-compression`.
pub fn compressed(message: &[u8]) -> Vec<u8> {
    let announced = (message.len() as u64).to_be_bytes().to_vec();
    let mut zlib = ZlibEncoder::new(announced, Compression::fast());
    zlib.write_all(message).unwrap();
    let body = zlib.finish().unwrap();
    [(0x0204_0000_0000_0000 | body.len() as u64).to_be_bytes().to_vec(), body].concat()
}

/// The value of bin `n` in a body.
pub fn n_of(body: &str) -> i64 {
    serde_json::from_str::<serde_json::Value>(body).unwrap()["n"].as_i64().unwrap()
}

/// The values of bin `n` in the body of a batch.
pub fn all_n_of(body: &str) -> Vec<i64> {
    let records: Vec<serde_json::Value> = serde_json::from_str(body).unwrap();
    records.iter().map(|record| record["n"].as_i64().unwrap()).collect()
}

pub async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// A destination that only lends its name; the tests put their own targets behind it.
fn unused_destination() -> Destination {
    let json = serde_json::json!({"urls": ["http://127.0.0.1:1/"]});
    let target = adapters::TargetConfig::Http(serde_json::from_value(json).unwrap());
    Destination { target, workers: None, max_attempts: 1, max_queued: 1, dead_letter: None }
}
