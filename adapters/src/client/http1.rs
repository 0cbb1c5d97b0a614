//! One HTTP/1.1 connection, owned by whoever sends the request on it.
//!
//! There is no task behind it: connection and answer are polled together by the caller, which saves a task
//! switch and a channel hop per request. Dropping it, at any time, closes it.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::{
    ANSWER_HEAD_BYTES_MAX, Answered, Lost,
    connect::{ConnectError, Io, Memory},
    kept::{Keep, Kept},
    slots::Permit,
};

/// An open connection that has no request on it.
pub(super) struct Http1 {
    sender: http1::SendRequest<Full<Bytes>>,
    connection: http1::Connection<TokioIo<Io>, Full<Bytes>>,
    memory: Memory,
    ended: bool,
    reused: bool,
    pub(super) opened: Instant,
    pub(super) idle_since: Instant,
    _permit: Permit,
}

impl Http1 {
    /// Takes the stream over; sends nothing.
    pub(super) async fn new(io: Io, permit: Permit) -> Result<Self, ConnectError> {
        let memory = io.memory();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(ANSWER_HEAD_BYTES_MAX)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| ConnectError::new("HTTP/1.1 setup failed", &error))?;
        let now = Instant::now();
        Ok(Self {
            sender,
            connection,
            memory,
            ended: false,
            reused: false,
            opened: now,
            idle_since: now,
            _permit: permit,
        })
    }

    /// Whether the connection can take a request: one look, no waiting.
    ///
    /// A peer that closed it meanwhile, or sent what nobody asked for, shows here.
    pub(super) async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(!self.ended && self.sender.is_ready())
        })
        .await
    }

    /// Sends one request and reads the whole answer, or as much of it as counts.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        keep: Keep,
    ) -> Result<Answered, Lost> {
        let reused = std::mem::replace(&mut self.reused, true);
        self.memory.forget_heard();
        let answer = pin!(self.sender.try_send_request(request));
        let answer = wait(answer, &mut self.connection, &mut self.ended).await;
        match answer {
            Some(Ok(answer)) => Ok(self.read(answer, keep).await),
            Some(Err(error)) => Err(self.lost(error, reused)),
            None => Err(Lost::Broken("the connection ended".to_owned())),
        }
    }

    /// Whether the connection can go back to the idle ones after [`Self::exchange`].
    pub(super) fn is_reusable(&self) -> bool {
        !self.ended && self.sender.is_ready()
    }

    async fn read(&mut self, answer: Response<Incoming>, keep: Keep) -> Answered {
        let (head, mut body) = answer.into_parts();
        let mut kept = Kept::new(keep, head.status);
        let mut whole = true;
        while !body.is_end_stream() {
            let frame = wait(NextFrame(&mut body), &mut self.connection, &mut self.ended).await;
            match frame {
                Some(Some(Ok(frame))) => {
                    if frame.data_ref().is_some_and(|piece| !kept.push(piece)) {
                        // Enough was heard to believe the status; what follows is not worth the reading.
                        self.ended = true;
                        break;
                    }
                }
                Some(None) => break,
                Some(Some(Err(_))) | None => {
                    whole = false;
                    break;
                }
            }
        }
        drop(body);
        // Lets hyper see that both halves are done, which makes the connection ready for the next request.
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(())
        })
        .await;
        Answered::new(head.status, head.headers, whole, kept)
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        self.ended = self.ended || Pin::new(&mut self.connection).poll(cx).is_ready();
    }

    fn lost<T>(&self, mut error: TrySendError<T>, reused: bool) -> Lost {
        if error.take_message().is_some() {
            return Lost::Unprocessed("the connection was closed".to_owned());
        }
        let error = error.into_error();
        let text = self.memory.fault().unwrap_or_else(|| describe(&error));
        if error.is_parse() {
            Lost::Malformed(text)
        } else if reused && !self.memory.heard() {
            Lost::Stale(text)
        } else {
            Lost::Broken(text)
        }
    }
}

/// Polls the connection and what waits on it together; `None` when the connection ended without a result.
///
/// Only polling the connection can complete `waiting`, and this happens right before each look at it. So
/// `waiting` needs no waker: with one, each completed answer would wake the task that is running already.
async fn wait<F: Future + Unpin>(
    mut waiting: F,
    connection: &mut http1::Connection<TokioIo<Io>, Full<Bytes>>,
    ended: &mut bool,
) -> Option<F::Output> {
    poll_fn(|cx| {
        *ended = *ended || Pin::new(&mut *connection).poll(cx).is_ready();
        match Pin::new(&mut waiting).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if *ended => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// The next piece of an answer's body.
struct NextFrame<'a>(&'a mut Incoming);

impl Future for NextFrame<'_> {
    type Output = Option<hyper::Result<hyper::body::Frame<Bytes>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut *self.0).poll_frame(cx)
    }
}

fn describe(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
