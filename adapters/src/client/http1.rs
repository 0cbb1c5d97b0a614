//! One HTTP/1.1 connection, owned by whoever sends the request on it.
//!
//! There is no task behind it: the caller writes and reads. Head and body go out in one write, and an answer of the usual
//! size comes in one read. Dropping it, at any time, closes it.
//!
//! Surely not processed is only a request of which nothing was written. One that a used connection closed under, without a
//! word, most likely met the end of its idle time ([`Lost::Stale`]).

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    time::Instant,
};

use super::{
    Answered, Lost,
    connect::{Io, Memory, Quiet},
    kept::{Keep, Kept},
    request::RequestHead,
    slots::Permit,
};
use crate::http1::{Body, Head, HeadReader, Malformed};

#[cfg(test)]
mod reference;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;

/// An open connection that has no request on it.
pub(super) struct Http1<S = Io> {
    stream: S,
    memory: Memory,
    /// Of the request. Its room serves the next one.
    head: RequestHead,
    /// What came and is not understood yet.
    unread: BytesMut,
    /// False from when a request is sent until its answer has come whole and leaves room for another.
    reusable: bool,
    /// A request was sent on it.
    used: bool,
    pub(super) opened: Instant,
    pub(super) idle_since: Instant,
    _permit: Permit,
}

impl<S: AsyncRead + AsyncWrite + Quiet + Unpin> Http1<S> {
    /// Takes the stream over; sends nothing.
    pub(super) fn new(stream: S, memory: Memory, permit: Permit) -> Self {
        let now = Instant::now();
        Self {
            stream,
            memory,
            head: RequestHead::default(),
            unread: BytesMut::new(),
            reusable: true,
            used: false,
            opened: now,
            idle_since: now,
            _permit: permit,
        }
    }

    /// Whether the connection can take a request: one look, no waiting.
    ///
    /// A peer that closed it meanwhile, or sent what nobody asked for, shows here.
    pub(super) fn is_usable(&mut self, now: Instant) -> bool {
        self.reusable
            && self.fill(HEAD_READ_BYTES, &mut Context::from_waker(Waker::noop())).is_pending()
            // One more call to the system, so only where there was time for something to happen.
            && (now.duration_since(self.idle_since) < LOOK_AFTER || self.stream.is_quiet())
    }

    /// Whether the connection can go back to the idle ones after [`Self::exchange`].
    pub(super) fn is_reusable(&self) -> bool {
        self.reusable
    }

    /// Where the head of the next request is written.
    pub(super) fn head(&mut self) -> &mut RequestHead {
        &mut self.head
    }

    /// Sends one request, whose head has been written, and reads the whole answer, or as much of it as counts. To be called
    /// right after [`Self::is_usable`] where a request was on the connection before.
    pub(super) async fn exchange(&mut self, mut body: &[u8], keep: Keep) -> Result<Answered, Lost> {
        // Before the first byte: what has ended by now surely did nothing with the request.
        if !self.used && !self.is_usable(self.idle_since) {
            let fault = self.memory.fault();
            return Err(Lost::Unprocessed(fault.unwrap_or_else(|| "the connection was closed".to_owned())));
        }
        self.reusable = false;
        let reused = std::mem::replace(&mut self.used, true);
        if body.len() <= COPIED_BYTES_MAX {
            self.head.bytes.extend_from_slice(body);
            body = &[];
        }
        let mut sending = Sending::default();
        let mut reader = HeadReader::new(self.head.is_for_head);
        let mut heard = false;
        let head = poll_fn(|cx| {
            sending.go_on(&mut self.stream, &self.head.bytes, body, cx);
            // Also after a failure: the peer may have answered before it closed.
            self.poll_head(&mut reader, &mut heard, cx)
        });
        let mut head = match head.await {
            Ok(head) => head,
            Err(NoHead::Malformed(malformed)) => return Err(Lost::Malformed(malformed.to_string())),
            Err(NoHead::Ended(error)) => {
                let text = self.memory.fault().unwrap_or_else(|| match sending.failed.or(error) {
                    Some(error) => format!("the connection broke before the answer: {error}"),
                    None => "the connection was closed before the answer".to_owned(),
                });
                return Err(if reused && !heard { Lost::Stale(text) } else { Lost::Broken(text) });
            }
        };
        let mut kept = Kept::new(keep, head.status);
        let whole = poll_fn(|cx| {
            sending.go_on(&mut self.stream, &self.head.bytes, body, cx);
            self.poll_body(&mut head.body, &mut kept, cx)
        });
        let whole = whole.await;
        let read = head.body.is_whole() && !kept.cut && self.unread.is_empty();
        self.reusable = head.reusable && read && sending.done;
        Ok(Answered::new(head.status, head.headers, whole, kept))
    }

    fn poll_head(
        &mut self,
        reader: &mut HeadReader,
        heard: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Head, NoHead>> {
        loop {
            match ready!(self.fill(HEAD_READ_BYTES, cx)) {
                Ok(0) => return Poll::Ready(Err(NoHead::Ended(None))),
                Ok(_) => *heard = true,
                Err(error) => return Poll::Ready(Err(NoHead::Ended(Some(error)))),
            }
            let (used, head) = reader.read(&self.unread).map_err(NoHead::Malformed)?;
            self.unread.advance(used);
            if let Some(head) = head {
                return Poll::Ready(Ok(head));
            }
        }
    }

    /// Whether the body is whole; one that is cut off because it is too long counts as such: enough was heard to believe the
    /// status.
    fn poll_body(&mut self, body: &mut Body, kept: &mut Kept, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            while !body.is_whole() && !self.unread.is_empty() {
                let Ok((used, content)) = body.read(&self.unread) else { return Poll::Ready(false) };
                let more = kept.push(content);
                self.unread.advance(used);
                if !more {
                    return Poll::Ready(true);
                }
            }
            if body.is_whole() {
                return Poll::Ready(true);
            }
            match ready!(self.fill(BODY_READ_BYTES, cx)) {
                Ok(0) => return Poll::Ready(body.is_whole_at_end()),
                Ok(_) => (),
                Err(_) => return Poll::Ready(false),
            }
        }
    }

    /// Reads what has come, which may be less than `space` holds; 0 at the end.
    fn fill(&mut self, space: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.unread.reserve(space);
        pin!(self.stream.read_buf(&mut self.unread)).poll(cx)
    }
}

/// Why there is no head.
enum NoHead {
    /// The connection ended, in order or with an error.
    Ended(Option<io::Error>),
    Malformed(Malformed),
}

/// A request on its way out.
#[derive(Default)]
struct Sending {
    written: usize,
    done: bool,
    failed: Option<io::Error>,
}

impl Sending {
    /// Writes as much as goes.
    fn go_on<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        head: &[u8],
        body: &[u8],
        cx: &mut Context<'_>,
    ) {
        if self.done || self.failed.is_some() {
            return;
        }
        match self.poll(Pin::new(stream), head, body, cx) {
            Poll::Ready(Ok(())) => self.done = true,
            Poll::Ready(Err(error)) => self.failed = Some(error),
            Poll::Pending => (),
        }
    }

    fn poll<S: AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut S>,
        head: &[u8],
        body: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.written < head.len() + body.len() {
            let written = match head.get(self.written..) {
                // The usual case: one buffer costs the system less than a list of one.
                Some(head) if !head.is_empty() && body.is_empty() => stream.as_mut().poll_write(cx, head),
                Some(head) if !head.is_empty() => {
                    let pieces = [IoSlice::new(head), IoSlice::new(body)];
                    stream.as_mut().poll_write_vectored(cx, &pieces)
                }
                _ => stream.as_mut().poll_write(cx, &body[self.written - head.len()..]),
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        stream.poll_flush(cx)
    }
}

/// Room for a head and a short body, which most answers are.
const HEAD_READ_BYTES: usize = 4 * 1024;
const BODY_READ_BYTES: usize = 16 * 1024;
/// Bodies up to here are copied behind the head: to send one buffer costs the system less than two.
const COPIED_BYTES_MAX: usize = 4 * 1024;
/// How long a connection is idle before the system is asked about it, too.
const LOOK_AFTER: Duration = Duration::from_millis(1);
