//! A node that ships by XDR: connections, records in flight on each, answers taken in order.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use esp_connector::{
    simulator::{
        encode::{Change, Head, Message, UserKey, digest},
        particle::Particle,
    },
    wire::ack::{ACK_BYTES, Reaction, reaction},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf},
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    events::Events,
    ledger::{Ledger, Version},
    network::{End, Network},
};

/// XDR gives an answer so long.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How often a connection without anything in flight looks whether there is something.
const LOOKED_EVERY: Duration = Duration::from_millis(500);

/// Last-update times count from here, one for each version.
pub const FIRST_LUT_UNIX_MS: u64 = 1_780_000_000_000;

const NAMESPACE: &[u8] = b"test";
const SET: &[u8] = b"records";

/// How a node ships.
#[derive(Clone, Debug)]
pub struct Habits {
    pub connections: usize,
    /// Records in flight on a connection.
    pub window: usize,
    /// A newer version goes while an older one is unanswered.
    pub overlapping: bool,
    /// Longest pause before a record, in milliseconds.
    pub pause_ms: u64,
    /// In 100: how often a record is a delete, a question comes before it, and it is compressed.
    pub deletes: u32,
    pub questions: u32,
    pub compressed: u32,
    /// Bytes of the largest records.
    pub bytes: usize,
    /// In 1,000: how often a message makes no sense.
    pub nonsense: u32,
}

/// One node.
#[derive(Clone)]
pub struct Node {
    pub number: usize,
    pub host: IpAddr,
    pub connector: SocketAddr,
    pub habits: Habits,
    /// The records that it is master of.
    pub keys: Arc<Vec<usize>>,
    pub network: Network,
    pub ledger: Ledger,
    pub events: Events,
    pub stopped: Arc<AtomicBool>,
    /// Answers may be late that were due before this, because the network held them up.
    pub disturbed_until: Arc<Mutex<Instant>>,
    pub next_connection: Arc<AtomicU64>,
}

/// What a node waits for.
#[derive(Clone, Copy)]
enum Owed {
    Record(Version, Instant),
    /// An answer to a message that makes no sense.
    Refusal(Instant),
    Info(Instant),
}

impl Owed {
    fn since(&self) -> Instant {
        match self {
            Self::Record(_, since) | Self::Refusal(since) | Self::Info(since) => *since,
        }
    }
}

/// Why a connection ends.
#[derive(Debug)]
enum Ended {
    Closed,
    Late,
    Stopped,
}

impl Node {
    /// Ships on one connection after the other, until stopped.
    pub async fn run(self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        while !self.stopped.load(Relaxed) {
            let connecting = timeout(Duration::from_secs(3), self.network.connect(self.host, self.connector));
            let Ok(Ok(end)) = connecting.await else {
                let pause = random.u64(20..400);
                sleep(Duration::from_millis(pause)).await;
                continue;
            };
            let connection = self.next_connection.fetch_add(1, Relaxed);
            self.events.note(&format_args!("node {} opens connection {connection}", self.number));
            let owed = Mutex::new(VecDeque::new());
            let (reader, writer) = tokio::io::split(end);
            let ended = {
                let (mut reading, mut writing) = (
                    std::pin::pin!(self.read(reader, connection, &owed)),
                    std::pin::pin!(self.write(writer, connection, &owed, &mut random)),
                );
                tokio::select! {
                    biased;
                    ended = &mut reading => ended,
                    ended = &mut writing => ended,
                }
            };
            self.events.note(&format_args!("node {} leaves connection {connection}: {ended:?}", self.number));
            let owed = owed.into_inner().unwrap_or_else(PoisonError::into_inner);
            for owed in owed {
                if let Owed::Record(version, _) = owed {
                    self.ledger.lost(version);
                }
            }
        }
    }

    async fn write(
        &self,
        mut writer: WriteHalf<End>,
        connection: u64,
        owed: &Mutex<VecDeque<Owed>>,
        random: &mut fastrand::Rng,
    ) -> Ended {
        let habits = &self.habits;
        let owe = |what| owed.lock().unwrap_or_else(PoisonError::into_inner).push_back(what);
        let mut out = Vec::new();
        loop {
            let changed = self.ledger.changed.notified();
            if self.stopped.load(Relaxed) {
                return Ended::Stopped;
            }
            let full = owed.lock().unwrap_or_else(PoisonError::into_inner).len() >= habits.window;
            let next = self.ledger.next(&self.keys, habits.overlapping);
            let Some(version) = next.filter(|_| !full) else {
                // Pauses after refusals end without a word.
                _ = timeout(Duration::from_millis(100), changed).await;
                continue;
            };
            out.clear();
            let now = Instant::now();
            {
                if random.u32(..100) < habits.questions {
                    question(&mut out);
                    owe(Owed::Info(now));
                }
                if random.u32(..1000) < habits.nonsense {
                    nonsense(&mut out);
                    owe(Owed::Refusal(now));
                }
                let delete = random.u32(..100) < habits.deletes;
                let bytes = if random.u32(..10) == 0 { habits.bytes } else { random.usize(..200) };
                let compressed = random.u32(..100) < habits.compressed;
                record(&mut out, version, delete, bytes, compressed);
            }
            owe(Owed::Record(version, now));
            self.ledger.ship(version, connection);
            match timeout(ANSWER_WITHIN, writer.write_all(&out)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Ended::Closed,
                Err(_) => return Ended::Late,
            }
            let pause = random.u64(..=habits.pause_ms);
            if pause > 0 {
                sleep(Duration::from_millis(pause)).await;
            }
        }
    }

    async fn read(&self, mut reader: ReadHalf<End>, connection: u64, owed: &Mutex<VecDeque<Owed>>) -> Ended {
        let first = || owed.lock().unwrap_or_else(PoisonError::into_inner).front().copied();
        let mut answer = vec![0; ACK_BYTES];
        loop {
            let mut head = [0; 8];
            let mut read = std::pin::pin!(reader.read_exact(&mut head));
            let result = loop {
                // What is owed first changes only when an answer came.
                let oldest = first().map(|owed| owed.since());
                let until =
                    oldest.map_or_else(|| Instant::now() + LOOKED_EVERY, |since| since + ANSWER_WITHIN);
                match timeout_at(until, read.as_mut()).await {
                    Ok(result) => break result,
                    Err(_) if oldest.is_some() => {
                        self.check_late(connection, until);
                        return Ended::Late;
                    }
                    Err(_) => {}
                }
            };
            if result.is_err() {
                return Ended::Closed;
            }
            let [version, kind, size @ ..] = head;
            let size = size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
            if version != 2 || size > 1 << 20 {
                self.events.violated(&format_args!("source {connection} gets what is no frame: {head:?}"));
                return Ended::Closed;
            }
            answer.resize(size, 0);
            // The other end may be gone in the middle of it, and nobody says so.
            let until = first().map_or_else(Instant::now, |owed| owed.since()) + ANSWER_WITHIN;
            match timeout_at(until, reader.read_exact(&mut answer)).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return Ended::Closed,
                Err(_) => {
                    self.check_late(connection, until);
                    return Ended::Late;
                }
            }
            let Some(owed) = owed.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else {
                self.events.violated(&format_args!("source {connection} gets an answer to nothing"));
                return Ended::Closed;
            };
            match (owed, kind) {
                (Owed::Info(_), 1) => {}
                (Owed::Refusal(_), 3)
                    if answer.get(5).is_some_and(|code| reaction(*code) == Reaction::Abandon) => {}
                (Owed::Record(version, since), 3) if size == ACK_BYTES - 8 => {
                    let success = match reaction(answer[5]) {
                        Reaction::Complete => true,
                        Reaction::Retry => false,
                        Reaction::Abandon => {
                            let code = answer[5];
                            self.events
                                .violated(&format_args!("{version} is refused for good with code {code}"));
                            false
                        }
                    };
                    if since.elapsed() > ANSWER_WITHIN {
                        self.check_late(connection, since + ANSWER_WITHIN);
                    }
                    self.ledger.answered(version, connection, success, since.elapsed());
                }
                (Owed::Info(_), _) => self.events.violated(&format_args!("a question is answered by an ack")),
                (_, kind) => {
                    let code = answer.get(5);
                    self.events.violated(&format_args!(
                        "source {connection} gets an answer that is none to what it sent: type {kind}, code {code:?}"
                    ));
                }
            }
        }
    }

    fn check_late(&self, connection: u64, due: Instant) {
        let disturbed = *self.disturbed_until.lock().unwrap_or_else(PoisonError::into_inner);
        if due - ANSWER_WITHIN > disturbed {
            self.events.violated(&format_args!("source {connection} has no answer after 10 s"));
        }
    }
}

fn record(out: &mut Vec<u8>, version: Version, delete: bool, bytes: usize, compressed: bool) {
    let key = UserKey::Integer(version.key as i64);
    let head = Head {
        change: if delete { Change::Delete } else { Change::Replace },
        namespace: NAMESPACE,
        set: Some(SET),
        digest: digest(Some(SET), key),
        user_key: Some(key),
        generation: version.number as u32,
        ttl_seconds: 0,
        lut_unix_ms: Some(FIRST_LUT_UNIX_MS + version.number),
    };
    let text = vec![b'x'; bytes];
    let mut message = Message::begin(out, &head);
    if !delete {
        message.bin(b"version", &Particle::Integer(version.number as i64));
        message.bin(b"text", &Particle::String(&text));
    }
    if compressed {
        message.finish_compressed();
    } else {
        message.finish();
    }
}

/// Asks which build answers.
fn question(out: &mut Vec<u8>) {
    let text = b"build\n";
    out.extend_from_slice(&[2, 1, 0, 0, 0, 0, 0, text.len() as u8]);
    out.extend_from_slice(text);
}

/// A message whose header promises fields that are not there.
fn nonsense(out: &mut Vec<u8>) {
    out.extend_from_slice(&[2, 3, 0, 0, 0, 0, 0, 22]);
    let mut body = [0; 22];
    body[0] = 22;
    body[2] = 1;
    body[19] = 9;
    out.extend_from_slice(&body);
}
