//! One connection to a connector: dead letters in, verdicts out, and again what was refused for now.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{PAUSE, lines::Line};
use crate::{
    notification::RecordId,
    simulator::{
        Reaction, Tls,
        connect::{Stream, dial},
        shipper::next_answer,
    },
};

/// A connector answers within ten seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Connections tried in a row, a pause apart, before the connector counts as gone.
const DIALS: u32 = 5;

/// What became of a dead letter.
#[derive(Debug)]
pub(super) enum Verdict {
    Acknowledged,
    Refused(String),
}

/// What is on its way.
#[derive(Debug)]
struct Shipped {
    line: Line,
    attempts: u32,
    since: Instant,
}

pub(super) struct Shipping {
    to: String,
    tls: Option<Tls>,
    depth: usize,
    attempts_max: u32,
    stream: Option<Box<dyn Stream>>,
    input: BytesMut,
    /// Shipped and not answered, in the order of the answers.
    ring: VecDeque<Shipped>,
    /// To be shipped again, in the order they fall due.
    again: VecDeque<(Instant, Shipped)>,
    /// Records of both.
    busy: HashSet<RecordId>,
    gave_up: Option<String>,
}

impl Shipping {
    pub(super) fn new(to: String, tls: Option<Tls>, depth: usize, attempts_max: u32) -> Self {
        Self {
            to,
            tls,
            depth,
            attempts_max,
            stream: None,
            input: BytesMut::new(),
            ring: VecDeque::new(),
            again: VecDeque::new(),
            busy: HashSet::new(),
            gave_up: None,
        }
    }

    /// Why nothing can be shipped any more.
    pub(super) fn gave_up(&self) -> Option<&str> {
        self.gave_up.as_deref()
    }

    /// Whether anything is on its way.
    pub(super) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Whether a dead letter of a record may be shipped now: only one of each record at a time.
    pub(super) fn has_room(&self, record: &RecordId) -> bool {
        self.busy.len() < self.depth && !self.busy.contains(record)
    }

    /// Ships a dead letter; tells of those that this was the end of.
    pub(super) async fn ship(&mut self, line: Line) -> Vec<(Line, Verdict)> {
        let Ok(letter) = &line.letter else { return Vec::new() };
        self.busy.insert(letter.record);
        self.send(Shipped { line, attempts: 0, since: Instant::now() }).await
    }

    /// Waits until something happens to what is on its way.
    pub(super) async fn progress(&mut self) -> Vec<(Line, Verdict)> {
        if self.gave_up.is_some() {
            return self.give_up();
        }
        let due = self.again.front().map(|(due, _)| *due);
        if due.is_some_and(|due| due <= Instant::now())
            && let Some((_, shipped)) = self.again.pop_front()
        {
            return self.send(shipped).await;
        }
        let answer_by = self.ring.front().map(|oldest| oldest.since + ANSWER_WITHIN);
        let Some(until) = due.into_iter().chain(answer_by).min() else { return Vec::new() };
        let (Some(stream), Some(answer_by)) = (&mut self.stream, answer_by) else {
            sleep_until(until).await;
            return Vec::new();
        };
        match timeout_at(until, stream.read_buf(&mut self.input)).await {
            Ok(Ok(bytes)) if bytes > 0 => self.take_answers(),
            Ok(_) => self.lost("the connection broke"),
            Err(_) if Instant::now() >= answer_by => self.lost("no answer came in time"),
            Err(_) => Vec::new(),
        }
    }

    fn take_answers(&mut self) -> Vec<(Line, Verdict)> {
        let mut known = Vec::new();
        while let Some(answer) = next_answer(&mut self.input) {
            let (Ok(code), Some(shipped)) = (answer, self.ring.pop_front()) else {
                known.extend(self.lost("what came was no answer to what was shipped"));
                break;
            };
            match Reaction::to(code) {
                Reaction::Complete => known.push(self.done(shipped, Verdict::Acknowledged)),
                Reaction::Retry => {
                    known.extend(self.retry(shipped, &format!("for now, with result code {code}")));
                }
                Reaction::Abandon => {
                    let reason = format!("for good, with result code {code}");
                    known.push(self.done(shipped, Verdict::Refused(reason)));
                }
            }
        }
        known
    }

    fn done(&mut self, shipped: Shipped, verdict: Verdict) -> (Line, Verdict) {
        if let Ok(letter) = &shipped.line.letter {
            self.busy.remove(&letter.record);
        }
        (shipped.line, verdict)
    }

    fn retry(&mut self, shipped: Shipped, reason: &str) -> Option<(Line, Verdict)> {
        if shipped.attempts >= self.attempts_max {
            let reason = format!("{reason}, {} times", shipped.attempts);
            return Some(self.done(shipped, Verdict::Refused(reason)));
        }
        self.again.push_back((Instant::now() + PAUSE, shipped));
        None
    }

    /// Nothing more comes on this connection: what is unanswered goes again on another one.
    fn lost(&mut self, reason: &str) -> Vec<(Line, Verdict)> {
        self.stream = None;
        self.input.clear();
        let unanswered: Vec<_> = self.ring.drain(..).collect();
        unanswered.into_iter().filter_map(|shipped| self.retry(shipped, reason)).collect()
    }

    fn give_up(&mut self) -> Vec<(Line, Verdict)> {
        let reason = self.gave_up.clone().unwrap_or_default();
        let again = self.again.drain(..).map(|(_, shipped)| shipped);
        let all: Vec<_> = self.ring.drain(..).chain(again).collect();
        all.into_iter().map(|shipped| self.done(shipped, Verdict::Refused(reason.clone()))).collect()
    }

    /// Puts one on the wire, on a new connection if there is none.
    async fn send(&mut self, mut shipped: Shipped) -> Vec<(Line, Verdict)> {
        if self.stream.is_none() {
            self.stream = self.connect().await;
        }
        shipped.attempts += 1;
        shipped.since = Instant::now();
        let mut written = true;
        if let (Some(stream), Ok(letter)) = (&mut self.stream, &shipped.line.letter) {
            let write = async {
                stream.write_all(&letter.frame).await?;
                stream.flush().await
            };
            written = timeout(ANSWER_WITHIN, write).await.is_ok_and(|written| written.is_ok());
        }
        self.ring.push_back(shipped);
        if written { Vec::new() } else { self.lost("the connection broke") }
    }

    async fn connect(&mut self) -> Option<Box<dyn Stream>> {
        let mut failure = String::new();
        for dialled in 0..DIALS {
            if dialled > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            match dial(&self.to, self.tls.as_ref()).await {
                Ok(stream) => return Some(stream),
                Err(error) => failure = format!("{} cannot be reached: {error}", self.to),
            }
        }
        self.gave_up = Some(failure);
        None
    }
}
