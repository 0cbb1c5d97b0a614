//! One request and its answer. Pure.

use std::task::Waker;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{
    super::super::{
        Answered, Lost,
        kept::{Keep, Kept},
    },
    STREAM_WINDOW_BYTES,
};

pub(super) struct Stream {
    /// What is left of the request's body.
    pub(super) body: Bytes,
    pub(super) send_window: i64,
    /// There is more of the body than the peer's window for this stream allows.
    pub(super) waits_for_window: bool,
    /// What the peer may still send, and what it has not been told of that was taken.
    pub(super) receive_left: u32,
    pub(super) receive_taken: u32,
    pub(super) keep: Keep,
    pub(super) phase: Phase,
    pub(super) waker: Option<Waker>,
}

pub(super) enum Phase {
    /// Nothing has come but early hints.
    Asked,
    /// The body is coming.
    Answering(Answering),
    /// To be fetched.
    Done(Result<Answered, Lost>),
}

pub(super) struct Answering {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) kept: Kept,
    /// Bytes that have to come, where the peer said how many.
    pub(super) to_come: Option<u64>,
}

impl Answering {
    pub(super) fn answered(self, whole: bool) -> Answered {
        Answered::new(self.status, self.headers, whole, self.kept)
    }
}

impl Stream {
    pub(super) fn new(body: Bytes, send_window: i64, keep: Keep) -> Self {
        Self {
            body,
            send_window,
            waits_for_window: false,
            receive_left: STREAM_WINDOW_BYTES,
            receive_taken: 0,
            keep,
            phase: Phase::Asked,
            waker: None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done(_))
    }

    /// The answer ends here: all of it, or as much as is wanted.
    pub(super) fn finish(&mut self, whole: bool) -> Option<Waker> {
        if let Phase::Answering(answering) = std::mem::replace(&mut self.phase, Phase::Asked) {
            self.phase = Phase::Done(Ok(answering.answered(whole)));
        }
        self.body = Bytes::new();
        self.waker.take()
    }

    /// There is no answer, or only a part of one.
    pub(super) fn lose(&mut self, lost: Lost) -> Option<Waker> {
        if matches!(self.phase, Phase::Answering(_)) {
            return self.finish(false);
        }
        self.phase = Phase::Done(Err(lost));
        self.body = Bytes::new();
        self.waker.take()
    }
}
