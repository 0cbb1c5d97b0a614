//! Gathers what h2 writes in one turn into one write to the socket.
//!
//! h2 flushes after every DATA frame (hyperium/h2 #902), one system call per request. Here a flush only marks
//! the bytes as due; [`Coalesced::drive`] writes them all once the connection has had its turn.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connect::Io;

/// A stream whose writes wait for the end of the turn. Clones are the same stream; one goes into the
/// connection, the other stays with the task that drives it.
#[derive(Clone)]
pub(super) struct Coalesced(Arc<Mutex<Buffered>>);

struct Buffered {
    io: Io,
    due: Vec<u8>,
    written: usize,
    yielded: bool,
    /// How a write failed that the connection does not know of.
    broken: Option<io::ErrorKind>,
}

impl Coalesced {
    pub(super) fn new(io: Io) -> Self {
        Self(Arc::new(Mutex::new(Buffered { io, due: Vec::new(), written: 0, yielded: false, broken: None })))
    }

    /// Gives `connection`, which writes to this stream, its turn, and then writes what it left.
    pub(super) fn drive<F: Future + Unpin>(
        &self,
        connection: &mut F,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let result = Pin::new(&mut *connection).poll(cx);
        if result.is_ready() {
            return result;
        }
        let written = self.lock().end_of_turn(cx);
        match written {
            Poll::Ready(Err(error)) => {
                // The connection was told that all went well. Its next read tells it otherwise.
                self.lock().broken = Some(error.kind());
                Pin::new(connection).poll(cx)
            }
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Buffered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffered {
    /// Tasks that are ready to send get a turn first, so that what they send goes out in the same write.
    fn end_of_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.yielded = !self.yielded && self.written == 0 && !self.due.is_empty();
        if self.yielded {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.write_due(cx)
    }

    fn write_due(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.due.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.written < self.due.len() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.due[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        self.due.clear();
        self.written = 0;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Waits for room, so that `due` never holds more than [`DUE_BYTES_MAX`].
    fn make_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.due.len() >= DUE_BYTES_MAX {
            ready!(self.write_due(cx))?;
        }
        Poll::Ready(Ok(DUE_BYTES_MAX - self.due.len()))
    }
}

impl AsyncRead for Coalesced {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut buffered = self.lock();
        match buffered.broken {
            Some(kind) => Poll::Ready(Err(kind.into())),
            None => Pin::new(&mut buffered.io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Coalesced {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut buffered = self.lock();
        let count = ready!(buffered.make_room(cx))?.min(buf.len());
        buffered.due.extend_from_slice(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut buffered = self.lock();
        let room = ready!(buffered.make_room(cx))?;
        let mut left = room;
        for buf in bufs {
            let count = left.min(buf.len());
            buffered.due.extend_from_slice(&buf[..count]);
            left -= count;
        }
        Poll::Ready(Ok(room - left))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffered = self.lock();
        ready!(buffered.write_due(cx))?;
        Pin::new(&mut buffered.io).poll_shutdown(cx)
    }
}

/// Several full frames; beyond it one write more costs little.
const DUE_BYTES_MAX: usize = 64 * 1024;
