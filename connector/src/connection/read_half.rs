//! The read half: bytes become frames, frames become answers or records on their way, each with its slot in the
//! reply queue before the next frame is looked at.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use adapters::world;
use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::Sleep,
};

use super::{
    ASSEMBLING_BYTES_MAX, ConnectionError, FRAME_WITHIN, Posted, Shared, closed, intake::Intake, now,
};
use crate::{
    recorder::{Direction, Tap},
    replies::Replies,
    wire::{
        ack::{self, ResultCode},
        frame::{self, Frame, Kind},
        info::{self, NodeFacts},
        security,
    },
};

/// The longest that bytes are assumed to have lain in the socket while the connection did not catch up, unless it is
/// known that nothing was read for longer.
const UNREAD_AGE_MAX: Duration = Duration::from_millis(1500);

/// Frames beyond this need leave to be put together, because their connections could be thousands.
const LARGE_FRAME_BYTES: usize = 128 * 1024;

/// Bytes read at a time unless configured: the most when much comes, the least on an idle connection.
const READ_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES_MIN: usize = 4 * 1024;

pub(super) struct ReadHalf<R> {
    reader: R,
    buffer: BytesMut,
    read_bytes: usize,
    /// When the socket was last seen empty: what is read now was sent after that.
    caught_up: Instant,
    /// The same for the frame that the buffer begins with, where a part of it was there when the socket was seen empty.
    begun: Option<Instant>,
    /// When the last read ended.
    read_at: Instant,
    /// Until then what is read may have lain in the socket since before a long wait for the window.
    held_back_until: Instant,
    intake: Intake,
    replies: Arc<Replies>,
    posted: Posted,
    /// Those of the terms, with this connection's address.
    facts: NodeFacts,
    tap: Tap,
    shared: Arc<Shared>,
}

impl<R: AsyncRead + Unpin> ReadHalf<R> {
    /// Goes on reading after what came first, which counts as read now.
    pub(super) fn new(
        (reader, first): (R, BytesMut),
        replies: Arc<Replies>,
        local: SocketAddr,
        tap: Tap,
        posted: Posted,
        shared: Arc<Shared>,
    ) -> Self {
        let start = now();
        let intake = Intake::new(Arc::clone(&replies), posted.clone(), Arc::clone(&shared));
        let terms = intake.terms();
        tap.bytes(Direction::FromPeer, &first);
        Self {
            reader,
            buffer: first,
            read_bytes: terms.limits.read_bytes.unwrap_or(READ_BYTES_MIN),
            caught_up: start,
            begun: None,
            read_at: start,
            held_back_until: start,
            replies,
            facts: NodeFacts { address: local, ..terms.facts.clone() },
            intake,
            posted,
            tap,
            shared,
        }
    }

    /// Reads until the peer closes, the stream breaks, or the port closes.
    pub(super) async fn run(&mut self) -> Result<(), ConnectionError> {
        let shared = Arc::clone(&self.shared);
        let (mut posted, mut closing) = (self.posted.clone(), self.posted.clone());
        let mut stall = std::pin::pin!(tokio::time::sleep(FRAME_WITHIN));
        let mut partial_since = None;
        let mut room = None;
        loop {
            let used = self.take_frames().await?;
            if self.buffer.is_empty() {
                partial_since = None;
                if self.buffer.capacity() > self.read_bytes.max(READ_BYTES_MIN) * 4 {
                    self.buffer = BytesMut::new();
                }
            } else if used || partial_since.is_none() {
                partial_since = Some(now());
            }
            let frame_bytes = frame::needed(&self.buffer);
            if frame_bytes <= LARGE_FRAME_BYTES {
                room = None;
            } else if room.is_none() {
                let bytes = frame_bytes.min(ASSEMBLING_BYTES_MAX) as u32;
                room = tokio::select! {
                    biased;
                    () = closed(&mut closing) => return Ok(()),
                    // Others may have promised much, and send nothing.
                    stalled = stalled(stall.as_mut(), partial_since) => return Err(stalled),
                    room = shared.assembling.acquire_many(bytes) => room.ok(),
                };
            }
            if self.intake.terms().closing {
                return Ok(());
            }
            tokio::select! {
                biased;
                // Between two reads, so that a record is never read on two terms, and a part of one stays where it is.
                changed = posted.changed() => match changed {
                    Ok(()) => self.take_up(),
                    Err(_) => return Ok(()),
                },
                stalled = stalled(stall.as_mut(), partial_since) => return Err(stalled),
                read = self.read() => if read? == 0 { return Ok(()) },
            }
        }
    }

    /// From now on records are read on the terms that were posted last.
    fn take_up(&mut self) {
        self.intake.take_up();
        self.facts = NodeFacts { address: self.facts.address, ..self.intake.terms().facts.clone() };
    }

    /// Reads once, and takes note when the socket was empty.
    async fn read(&mut self) -> Result<usize, ConnectionError> {
        self.buffer.reserve(self.read_bytes);
        let resumed = now();
        if resumed.saturating_duration_since(self.read_at) > UNREAD_AGE_MAX {
            self.held_back_until = resumed + UNREAD_AGE_MAX;
        }
        let mut was_empty = false;
        let before = self.buffer.len();
        let bytes = {
            let mut read = std::pin::pin!(self.reader.read_buf(&mut self.buffer));
            std::future::poll_fn(|context| {
                let poll = read.as_mut().poll(context);
                // Out of budget means the runtime wants its turn, not that there is nothing to read.
                was_empty |= poll.is_pending() && tokio::task::coop::has_budget_remaining();
                poll
            })
            .await?
        };
        self.adapt_read_bytes(bytes);
        let now = now();
        self.read_at = now;
        if was_empty {
            if before > 0 && now < self.held_back_until {
                // What it begins with waited for the rest as long as the socket was full, and not for a slow peer.
                self.begun.get_or_insert(self.caught_up);
            }
            self.caught_up = now;
        } else if now >= self.held_back_until {
            self.caught_up = self.caught_up.max(now - UNREAD_AGE_MAX);
        }
        self.tap.bytes(Direction::FromPeer, &self.buffer[before..]);
        Ok(bytes)
    }

    /// Reads grow with what really comes, never by what a header promises: thousands of idle connections stay small.
    fn adapt_read_bytes(&mut self, read: usize) {
        if self.intake.terms().limits.read_bytes.is_none() {
            self.read_bytes = match read {
                read if read >= self.read_bytes => {
                    (self.read_bytes * 2).clamp(READ_BYTES_MIN, READ_BYTES_MAX)
                }
                read if read < self.read_bytes / 4 => (self.read_bytes / 2).max(READ_BYTES_MIN),
                _ => self.read_bytes.max(READ_BYTES_MIN),
            };
        }
    }

    /// Handles every whole frame in the buffer; true if there was one.
    async fn take_frames(&mut self) -> Result<bool, ConnectionError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.take_frames_of(&mut buffer).await;
        self.buffer = buffer;
        result
    }

    async fn take_frames_of(&mut self, buffer: &mut BytesMut) -> Result<bool, ConnectionError> {
        let now_unix_ms = world::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let mut any = false;
        while let Some(frame) = frame::next(buffer, self.intake.terms().limits.frame_bytes_max)? {
            let bytes = frame.bytes.len();
            self.handle(frame, now_unix_ms).await;
            buffer.advance(bytes);
            any = true;
        }
        Ok(any)
    }

    async fn handle(&mut self, frame: Frame<'_>, now_unix_ms: u64) {
        let caught_up = self.begun.take().unwrap_or(self.caught_up);
        match frame.kind {
            Kind::Message | Kind::Compressed => {
                if let Err(code) = self.intake.take(frame, now_unix_ms, caught_up).await {
                    self.answer(code).await;
                }
            }
            Kind::Info => {
                self.shared.metrics.info_request();
                let mut answer = Vec::new();
                info::answer(frame.body(), &self.facts, &mut answer);
                self.replies.push_known(answer).await;
            }
            Kind::Security => {
                let mut answer = Vec::new();
                security::answer(frame.body(), &mut answer);
                self.replies.push_known(answer).await;
            }
        }
    }

    async fn answer(&self, code: ResultCode) {
        let mut answer = Vec::with_capacity(ack::ACK_BYTES);
        ack::encode(code, &mut answer);
        self.replies.push_known(answer).await;
    }
}

/// Ends when a frame has been incomplete for too long. The timer is armed seldom: it is only read when it fires.
async fn stalled(mut timer: Pin<&mut Sleep>, partial_since: Option<Instant>) -> ConnectionError {
    let Some(since) = partial_since else { std::future::pending().await };
    let due = tokio::time::Instant::from(since + FRAME_WITHIN);
    loop {
        timer.as_mut().await;
        if timer.deadline() >= due {
            return ConnectionError::Stalled;
        }
        timer.as_mut().reset(due);
    }
}
