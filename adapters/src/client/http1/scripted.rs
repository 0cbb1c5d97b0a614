//! A stream without a network: what is read from it, in which pieces, and how it ends.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::client::connect::Quiet;

/// What comes after the last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing.
    Silence,
    Close,
    Reset,
}

/// One end of a connection. Nobody is ever woken: what can be read can be read at once.
pub(super) struct Scripted {
    pub(super) pieces: VecDeque<Vec<u8>>,
    pub(super) then: Then,
    /// Bytes that have to be written before anything is to be read, but for what was not asked for.
    pub(super) reads_after: usize,
    /// Only the system knows yet what is to be read.
    pub(super) unheard: bool,
    /// Bytes that can be written; the next one fails, or waits for ever.
    pub(super) writes_max: usize,
    pub(super) write_fails: bool,
    /// Bytes that can be written at once; then one attempt in two has to wait.
    pub(super) step: usize,
    waited: bool,
    pub(super) written: Vec<u8>,
    pub(super) writes: usize,
}

impl Scripted {
    /// Says `pieces` when a request has come.
    pub(super) fn new(pieces: impl IntoIterator<Item = Vec<u8>>, then: Then) -> Self {
        Self {
            pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(),
            then,
            reads_after: 1,
            unheard: false,
            writes_max: usize::MAX,
            write_fails: false,
            step: usize::MAX,
            waited: true,
            written: Vec::new(),
            writes: 0,
        }
    }
}

impl Quiet for Scripted {
    fn is_quiet(&mut self) -> bool {
        self.written.len() < self.reads_after || self.pieces.is_empty() && self.then == Then::Silence
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unheard || self.written.len() < self.reads_after {
            return Poll::Pending;
        }
        let Some(mut piece) = self.pieces.pop_front() else {
            return match self.then {
                Then::Silence => Poll::Pending,
                Then::Close => Poll::Ready(Ok(())),
                Then::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            };
        };
        let rest = piece.split_off(piece.len().min(buf.remaining()));
        buf.put_slice(&piece);
        if !rest.is_empty() {
            self.pieces.push_front(rest);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = self.writes_max - self.written.len();
        if room == 0 && self.write_fails {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if room == 0 {
            return Poll::Pending;
        }
        self.waited = !self.waited;
        if self.waited && self.step < usize::MAX {
            return Poll::Pending;
        }
        let length = bytes.len().min(room).min(self.step);
        self.writes += 1;
        self.written.extend_from_slice(&bytes[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, &pieces.iter().flat_map(|piece| piece.iter().copied()).collect::<Vec<_>>())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
