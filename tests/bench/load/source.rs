//! A source of change records that does as XDR does: several connections, a window of unanswered records on each, answers
//! in order, what is refused shipped again after a pause.
//!
//! Records are shipped until the time is over; then every answer is awaited, so that what was shipped is what was acked.

use std::{
    collections::VecDeque,
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf as _, BytesMut};
use clap::Args;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time,
};
use tokio_rustls::TlsConnector;

use crate::{
    Failure,
    frames::{Frames, RecordArgs},
    pace::Pace,
    print_json,
    spread::{Quantiles, Spread},
};

/// Ships records, as a cluster does, or JSON lines, and tells what was answered.
#[derive(Args, Clone, Debug)]
pub(crate) struct SourceArgs {
    /// Where to ship to; it may begin to listen a little later.
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    /// How long to ship.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,
    /// Most records to ship.
    #[arg(long, value_name = "N", default_value_t = u64::MAX)]
    records: u64,
    /// Records per second; as many as are taken without it.
    #[arg(long, value_name = "R", default_value_t = 0)]
    rate: u64,
    /// Connections.
    #[arg(long, value_name = "N", default_value_t = 8)]
    connections: usize,
    /// Unanswered records on each.
    #[arg(long, value_name = "N", default_value_t = 256)]
    depth: usize,
    /// Give up on answers so long after the end; XDR itself waits 10 s for each.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    patience: f64,
    /// Ship the bodies as lines that nobody answers, for programs that read those.
    #[arg(long)]
    lines: bool,
    /// Speak TLS, trusting this authority.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    #[command(flatten)]
    frames: RecordArgs,
}

#[derive(Debug, Serialize)]
struct Report {
    shipped: u64,
    acked: u64,
    /// Answers that made a record be shipped again.
    refused: u64,
    /// Answers that gave a record up.
    abandoned: u64,
    seconds: f64,
    record_bytes: usize,
    latency: Quantiles,
}

/// What all connections share.
#[derive(Debug)]
struct Plan {
    args: SourceArgs,
    frames: Frames,
    pace: Arc<Pace>,
}

/// `source`.
pub(crate) async fn run(args: SourceArgs) -> Result<(), Failure> {
    let frames = Frames::new(&args.frames)?;
    let frames = if args.lines { frames.into_lines()? } else { frames };
    let record_bytes = frames.mean_bytes();
    let tls = args.tls_ca.as_deref().map(trust).transpose()?;
    let first = connect(&args.to).await?;
    let pace = Pace::start(args.rate, Duration::from_secs_f64(args.seconds), args.records);
    let plan = Arc::new(Plan { pace, frames, args });
    let mut connections = JoinSet::new();
    let mut stream = Some(first);
    for _ in 0..plan.args.connections {
        let stream = match stream.take() {
            Some(first) => first,
            None => connect(&plan.args.to).await?,
        };
        let (plan, tls) = (Arc::clone(&plan), tls.clone());
        connections.spawn(async move {
            match tls {
                None => Connection::new(plan).serve(stream).await,
                Some(tls) => {
                    let name = ServerName::try_from("127.0.0.1")?;
                    let stream = tls.connect(name, stream).await?;
                    Connection::new(plan).serve(stream).await
                }
            }
        });
    }
    let mut all = Seen::default();
    while let Some(connection) = connections.join_next().await {
        all.merge(connection??);
    }
    print_json(&Report {
        shipped: all.shipped,
        acked: all.acked,
        refused: all.refused,
        abandoned: all.abandoned,
        seconds: plan.pace.started.elapsed().as_secs_f64(),
        record_bytes,
        latency: all.latency.quantiles(),
    })
}

/// Connects as soon as somebody listens.
async fn connect(to: &str) -> Result<TcpStream, Failure> {
    let begun = Instant::now();
    loop {
        match TcpStream::connect(to).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) if begun.elapsed() > CONNECT_TIMEOUT => return Err(format!("{to}: {error}").into()),
            Err(_) => time::sleep(Duration::from_millis(1)).await,
        }
    }
}

fn trust(authority: &std::path::Path) -> Result<TlsConnector, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// What one connection saw.
#[derive(Debug, Default)]
struct Seen {
    shipped: u64,
    acked: u64,
    refused: u64,
    abandoned: u64,
    latency: Spread,
}

impl Seen {
    fn merge(&mut self, other: Self) {
        self.shipped += other.shipped;
        self.acked += other.acked;
        self.refused += other.refused;
        self.abandoned += other.abandoned;
        self.latency.merge(other.latency);
    }
}

#[derive(Debug)]
struct Connection {
    plan: Arc<Plan>,
    /// Unanswered records: their number, and when they were due.
    ring: VecDeque<(u64, u64)>,
    /// Refused ones and when they are due again.
    again: VecDeque<(u64, u64)>,
    out: Vec<u8>,
    written: usize,
    seen: Seen,
}

impl Connection {
    fn new(plan: Arc<Plan>) -> Self {
        let ring = VecDeque::with_capacity(plan.args.depth);
        Self { plan, ring, again: VecDeque::new(), out: Vec::new(), written: 0, seen: Seen::default() }
    }

    async fn serve(mut self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Seen, Failure> {
        let plan = Arc::clone(&self.plan);
        let (mut read, mut write) = tokio::io::split(stream);
        let mut input = BytesMut::with_capacity(INPUT_BYTES);
        let end = plan.pace.started + Duration::from_secs_f64(plan.args.seconds + plan.args.patience);
        let mut too_late = pin!(time::sleep_until(end.into()));
        loop {
            let changed = plan.pace.changed.notified();
            self.fill();
            let (unwritten, room) = (self.written < self.out.len(), self.has_room());
            let idle = self.ring.is_empty() && !unwritten && self.again.is_empty();
            if plan.pace.is_done(plan.args.records) && idle {
                write.flush().await?;
                return Ok(self.seen);
            }
            tokio::select! {
                read = read.read_buf(&mut input), if !plan.args.lines => {
                    if read? == 0 {
                        return Err("the connector closed a connection".into());
                    }
                    self.take_answers(&mut input)?;
                }
                written = write.write(&self.out[self.written..]), if unwritten => {
                    self.written += written?;
                    if self.written == self.out.len() {
                        self.out.clear();
                        self.written = 0;
                        write.flush().await?;
                    }
                }
                () = changed, if room => {}
                () = time::sleep(REFUSED_PAUSE), if room && !self.again.is_empty() => {}
                () = too_late.as_mut() => return Err("no answers for too long".into()),
            }
        }
    }

    fn has_room(&self) -> bool {
        self.ring.len() < self.plan.args.depth && self.out.len() < OUT_BYTES
    }

    fn fill(&mut self) {
        let now_us = self.now_us();
        while let Some((due_us, number)) = self.again.front().copied() {
            if due_us > now_us || !self.has_room() {
                break;
            }
            self.again.pop_front();
            self.ship(number, now_us);
        }
        if !self.has_room() {
            return;
        }
        let room = (self.plan.args.depth - self.ring.len()).min(AT_ONCE);
        let (first, count) = self.plan.pace.take(room as u64);
        for number in first..first + count {
            self.ship(
                number,
                self.plan.pace.due_after(number).map_or(now_us, |after| after.as_micros() as u64),
            );
        }
        self.seen.shipped += count;
    }

    fn ship(&mut self, number: u64, due_us: u64) {
        if self.plan.args.lines {
            self.plan.frames.append_line(number, &mut self.out);
        } else {
            self.plan.frames.append(number, &mut self.out);
            self.ring.push_back((number, due_us));
        }
    }

    fn take_answers(&mut self, input: &mut BytesMut) -> Result<(), Failure> {
        let now_us = self.now_us();
        while let Some(answer) = input.first_chunk::<ANSWER_BYTES>() {
            let (header, code) = (answer[..8] == ANSWER_HEADER, answer[CODE_AT]);
            let Some((number, due_us)) = self.ring.pop_front().filter(|_| header) else {
                return Err("an answer that is none".into());
            };
            input.advance(ANSWER_BYTES);
            match code {
                0 => {
                    self.seen.acked += 1;
                    self.seen.latency.add(now_us.saturating_sub(due_us));
                }
                8 | 9 | 11 | 14 | 18 => {
                    self.seen.refused += 1;
                    self.again.push_back((now_us + REFUSED_PAUSE.as_micros() as u64, number));
                }
                _ => self.seen.abandoned += 1,
            }
        }
        Ok(())
    }

    fn now_us(&self) -> u64 {
        self.plan.pace.started.elapsed().as_micros() as u64
    }
}

const ANSWER_BYTES: usize = 30;
const ANSWER_HEADER: [u8; 8] = [2, 3, 0, 0, 0, 0, 0, 22];
const CODE_AT: usize = 13;
const INPUT_BYTES: usize = 32 * 1024;
const OUT_BYTES: usize = 64 * 1024;
/// So that connections share what is due.
const AT_ONCE: usize = 64;
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
