//! One XDR connection: ships records, reads answers, reacts to result codes as XDR is known to.
//!
//! One task does all of it. Messages in flight form a ring in the order they were shipped, which is the
//! order of the answers; the age of the oldest one is the only clock. When the connection ends, for whatever
//! reason, everything in the ring is shipped again on the next one.

use std::{collections::VecDeque, io, pin::pin, sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::watch,
    time::Instant,
};

use super::{
    connect::{self, Stream},
    latency::Latencies,
    ledger_file::{ACKED, Entry, SHIPPED},
    source::{Queued, Source},
    stale::Stale,
    totals::Reaction,
};

/// Ships what is queued for one lane until the run is finished.
#[derive(Debug)]
pub(super) struct Shipper {
    source: Arc<Source>,
    lane: usize,
    finished: watch::Receiver<bool>,
    /// Taken from the lane, about to be shipped.
    waiting: VecDeque<Queued>,
    ring: VecDeque<InFlight>,
    /// Refused for now; in the order they fall due, because the pause is always the same.
    retries: VecDeque<(Instant, Queued)>,
    stale: Stale,
    out: Vec<u8>,
    written: usize,
    entries: Vec<Entry>,
    report: ShipperReport,
}

/// What only one shipper knows while the run lasts.
#[derive(Debug, Default)]
pub(super) struct ShipperReport {
    pub(super) latencies: Latencies,
    /// The longest that a message waited for an answer of any kind, or for the end of its connection.
    pub(super) unanswered_max_us: u64,
    pub(super) ledger_write_failures: u64,
}

#[derive(Debug)]
struct InFlight {
    shipped_us: u64,
    record: Queued,
    version: u32,
    /// A newer version was shipped before: whatever the answer, nothing depends on it.
    stale: bool,
}

/// Why a connection ended.
#[derive(Debug)]
enum End {
    Finished,
    Reset,
    TimedOut,
    Malformed,
}

impl Shipper {
    pub(super) fn new(source: Arc<Source>, lane: usize) -> Self {
        let depth = source.settings.depth;
        Self {
            finished: source.finished(),
            lane,
            waiting: VecDeque::with_capacity(depth),
            ring: VecDeque::with_capacity(depth),
            retries: VecDeque::new(),
            stale: Stale::new(source.generator.workload()),
            out: Vec::with_capacity(2 * OUT_BYTES),
            written: 0,
            entries: Vec::new(),
            report: ShipperReport::default(),
            source,
        }
    }

    pub(super) async fn run(mut self) -> ShipperReport {
        let mut failing_since: Option<Instant> = None;
        let mut pause = RECONNECT_PAUSE_MIN;
        let mut finished = self.finished.clone();
        while !*finished.borrow_and_update() {
            let instance = self.source.instance_of(self.lane);
            let connected = tokio::select! {
                connected = connect::connect(&self.source, instance) => connected,
                _ = finished.wait_for(|finished| *finished) => break,
            };
            match connected {
                Ok(stream) => {
                    self.source.totals.connects.fetch_add(1, Relaxed);
                    self.source.set_alive(instance, true);
                    failing_since = None;
                    let shipped_before = self.report.latencies.count();
                    let end = self.serve(stream).await;
                    self.count(&end);
                    self.ship_again();
                    if self.report.latencies.count() > shipped_before {
                        pause = RECONNECT_PAUSE_MIN;
                    }
                }
                Err(_) => {
                    self.source.totals.connect_failures.fetch_add(1, Relaxed);
                    let since = *failing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= INSTANCE_GIVEN_UP_AFTER {
                        self.source.set_alive(instance, false);
                        self.source.hand_over(self.lane);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(RECONNECT_PAUSE_MAX),
                _ = finished.wait_for(|finished| *finished) => {}
            }
        }
        self.report
    }

    fn count(&self, end: &End) {
        let totals = &self.source.totals;
        match end {
            End::Finished => return,
            End::Reset => totals.resets.fetch_add(1, Relaxed),
            End::TimedOut => totals.timeouts.fetch_add(1, Relaxed),
            End::Malformed => totals.malformed.fetch_add(1, Relaxed),
        };
    }

    /// Queues everything unanswered again, oldest first and ahead of what was never shipped.
    fn ship_again(&mut self) {
        self.out.clear();
        self.written = 0;
        let source = &self.source;
        if let Some(oldest) = self.ring.front() {
            let waited_us = source.now_us() - oldest.shipped_us;
            self.report.unanswered_max_us = self.report.unanswered_max_us.max(waited_us);
        }
        self.ring.retain(|sent| !sent.stale);
        source.totals.reshipped.fetch_add(self.ring.len() as u64, Relaxed);
        let in_flight = self.ring.drain(..).map(|sent| sent.record);
        let again: Vec<Queued> = in_flight.filter(|record| source.take_back(record.id)).collect();
        let retries = self.retries.drain(..).map(|(_, record)| record);
        let all: Vec<Queued> = again.into_iter().chain(retries).chain(self.waiting.drain(..)).collect();
        source.queue_first(self.lane, all.into_iter());
    }

    async fn serve(&mut self, stream: Box<dyn Stream>) -> End {
        let source = Arc::clone(&self.source);
        let timeout = source.settings.timeout;
        let mut finished = self.finished.clone();
        let (mut read, mut write) = tokio::io::split(stream);
        let mut input = BytesMut::with_capacity(INPUT_BYTES);
        let mut alarm = pin!(tokio::time::sleep(timeout));
        let mut unflushed = false;
        loop {
            self.fill();
            // The alarm is only ever set earlier here: most loops leave it alone.
            let due = self.next_due(timeout);
            if due.is_some_and(|due| due < alarm.deadline()) {
                alarm.as_mut().reset(due.unwrap_or_else(Instant::now));
            }
            let unwritten = self.written < self.out.len();
            tokio::select! {
                read = read.read_buf(&mut input) => match read {
                    Ok(0) | Err(_) => return End::Reset,
                    Ok(_) => if !self.take_answers(&mut input) { return End::Malformed },
                },
                written = write_or_flush(&mut write, &self.out[self.written..]),
                    if unwritten || unflushed => match written
                {
                    Ok(bytes) => {
                        unflushed = unwritten;
                        self.wrote(bytes);
                    }
                    Err(_) => return End::Reset,
                },
                () = source.lane(self.lane).ready.notified(), if self.has_room() => {}
                () = alarm.as_mut() => {
                    if self.is_overdue(timeout) {
                        return End::TimedOut;
                    }
                    let next = self.next_due(timeout).unwrap_or_else(|| Instant::now() + timeout);
                    alarm.as_mut().reset(next);
                }
                _ = finished.wait_for(|finished| *finished) => return End::Finished,
            }
        }
    }

    fn has_room(&self) -> bool {
        self.ring.len() < self.source.settings.depth && self.out.len() < OUT_BYTES
    }

    /// Puts records on the wire, those that fell due for a retry first.
    fn fill(&mut self) {
        if !self.has_room() {
            return;
        }
        if !self.retries.is_empty() {
            let now = Instant::now();
            let due = self.retries.iter().take_while(|(due, _)| *due <= now).count();
            self.waiting.extend(self.retries.drain(..due).map(|(_, record)| record));
            // What was refused is older than anything that waited meanwhile.
            self.waiting.rotate_right(due);
        }
        let room = self.source.settings.depth - self.ring.len();
        if self.waiting.len() < room {
            self.source.dequeue(self.lane, room - self.waiting.len(), &mut self.waiting);
        }
        let (bytes_before, ring_before) = (self.out.len(), self.ring.len());
        let shipped_us = self.source.now_us();
        let mut stale_versions = 0;
        while self.has_room() {
            if let Some((record, version)) = self.stale.due() {
                self.source.generator.encode(record.id, version, record.digest, &mut self.out);
                self.ring.push_back(InFlight { shipped_us, record, version, stale: true });
                stale_versions += 1;
                continue;
            }
            let Some(record) = self.waiting.pop_front() else { break };
            let version = self.source.take(record.id);
            self.source.generator.encode(record.id, version, record.digest, &mut self.out);
            self.source.ledger.shipped(record.id.into(), version);
            if self.source.ledger_file.is_some() {
                self.entries.push(Entry { id: record.id.into(), version, mark: SHIPPED });
            }
            self.ring.push_back(InFlight { shipped_us, record, version, stale: false });
            self.stale.after(record, version);
        }
        if self.ring.len() == ring_before {
            return;
        }
        let totals = &self.source.totals;
        totals.stale.fetch_add(stale_versions, Relaxed);
        totals.frames.fetch_add((self.ring.len() - ring_before) as u64, Relaxed);
        totals.bytes.fetch_add((self.out.len() - bytes_before) as u64, Relaxed);
    }

    fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
    }

    /// Handles every whole answer in `input`. False when one cannot be an answer.
    fn take_answers(&mut self, input: &mut BytesMut) -> bool {
        let now_us = self.source.now_us();
        let retry_at = Instant::now() + self.source.settings.retry_pause;
        let mut closed = 0;
        let mut sound = true;
        while let Some(answer) = next_answer(input) {
            // What is no answer takes nothing off the ring: that record is still unanswered.
            let answered = answer.ok().and_then(|code| Some((code, self.ring.pop_front()?)));
            let Some((code, InFlight { shipped_us, record, version, stale })) = answered else {
                sound = false;
                break;
            };
            self.source.totals.answers[usize::from(code)].fetch_add(1, Relaxed);
            self.report.unanswered_max_us = self.report.unanswered_max_us.max(now_us - shipped_us);
            if stale {
                continue;
            }
            match Reaction::to(code) {
                Reaction::Complete => {
                    self.source.ledger.acked(record.id.into(), version);
                    if self.source.ledger_file.is_some() {
                        self.entries.push(Entry { id: record.id.into(), version, mark: ACKED });
                    }
                    self.report.latencies.record(now_us - shipped_us);
                    closed += 1;
                }
                Reaction::Retry if self.source.take_back(record.id) => {
                    self.retries.push_back((retry_at, record));
                }
                Reaction::Retry => {}
                Reaction::Abandon => closed += 1,
            }
        }
        // The file first: once the last record is closed the run is over.
        let entries = self.entries.len() as u64;
        if let Err(error) = self.source.write_down(&mut self.entries) {
            self.ledger_failed(entries, &error);
        }
        self.source.close(closed);
        sound
    }

    fn ledger_failed(&mut self, entries: u64, error: &io::Error) {
        if self.report.ledger_write_failures == 0 {
            tracing::error!(%error, "ledger file: cannot write");
        }
        self.report.ledger_write_failures += entries;
    }

    /// When something has to be done although nothing arrives.
    fn next_due(&self, timeout: Duration) -> Option<Instant> {
        let oldest = self.ring.front();
        let answer =
            oldest.map(|sent| self.source.started + Duration::from_micros(sent.shipped_us) + timeout);
        let retry = self.retries.front().map(|(due, _)| *due).filter(|_| self.has_room());
        answer.into_iter().chain(retry).min()
    }

    fn is_overdue(&self, timeout: Duration) -> bool {
        let now_us = self.source.now_us();
        self.ring
            .front()
            .is_some_and(|sent| now_us.saturating_sub(sent.shipped_us) >= timeout.as_micros() as u64)
    }
}

/// One step that is done or not when the caller stops waiting: TLS keeps bytes back until it is flushed.
async fn write_or_flush(write: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return write.flush().await.map(|()| 0);
    }
    match write.write(bytes).await {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        result => result,
    }
}

/// Takes one whole answer off `input`: its result code, or that this is no answer.
pub(crate) fn next_answer(input: &mut BytesMut) -> Option<Result<u8, ()>> {
    let header = input.first_chunk::<PROTO_BYTES>()?;
    let [2, 3, size @ ..] = *header else { return Some(Err(())) };
    let [a, b, c, d, e, f] = size;
    let size = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    if !(22..=ANSWER_BYTES_MAX).contains(&size) {
        return Some(Err(()));
    }
    let frame_bytes = PROTO_BYTES + size as usize;
    if input.len() < frame_bytes {
        return None;
    }
    let code = input[RESULT_CODE_AT];
    input.advance(frame_bytes);
    Some(Ok(code))
}

const PROTO_BYTES: usize = 8;
const RESULT_CODE_AT: usize = 13;
/// Answers are 30 bytes; a server may add a little.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// Messages are encoded up to this far ahead of the socket.
const OUT_BYTES: usize = 64 * 1024;
const INPUT_BYTES: usize = 32 * 1024;
const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(50);
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// An instance that cannot be connected to for so long loses its records to the others.
const INSTANCE_GIVEN_UP_AFTER: Duration = Duration::from_secs(1);
