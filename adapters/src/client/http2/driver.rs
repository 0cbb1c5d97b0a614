//! Owns the socket of a connection: reads what is there, lets those who got answers send again, and writes what all of them
//! left in one call.

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{Lost, Shared};
use crate::client::connect::{ConnectError, Io, Memory};

pub(super) struct Driver {
    io: Io,
    memory: Memory,
    shared: Arc<Shared>,
    /// What was read and is no whole frame yet: `input[..filled]`.
    input: Box<[u8]>,
    filled: usize,
    /// What is being written, and how much of it was.
    writing: Vec<u8>,
    written: usize,
    yielded: bool,
    woken: Vec<Waker>,
}

impl Driver {
    pub(super) fn new(io: Io, shared: Arc<Shared>) -> Self {
        Self {
            memory: io.memory(),
            io,
            shared,
            input: vec![0; INPUT_BYTES].into(),
            filled: 0,
            writing: Vec::new(),
            written: 0,
            yielded: false,
            woken: Vec::new(),
        }
    }

    /// Reads and writes what can be; ready once nothing is left but to say goodbye.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.read(cx);
        let turn = self.end_of_turn(cx);
        if turn.is_ready() {
            self.shared.ended.store(true, Ordering::Relaxed);
        }
        turn
    }

    /// Writes what is left, and closes.
    pub(super) fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Why the connection ended, where it was not we who ended it.
    pub(super) fn end(&self) -> Option<Lost> {
        self.shared.lock().session.end().cloned()
    }

    /// Why there was no greeting.
    pub(super) fn refusal(&self) -> ConnectError {
        if let Some(fault) = self.memory.fault() {
            return ConnectError::of("tls", fault);
        }
        let why = self.end().map_or_else(|| "it said goodbye".to_owned(), |end| end.to_string());
        ConnectError::of("connection", format!("the peer does not speak HTTP/2 (see protocol): {why}"))
    }

    fn read(&mut self, cx: &mut Context<'_>) {
        // With so much to read, others should get their turn; the socket is still ready then.
        for _ in 0..READS_MAX {
            let mut buf = ReadBuf::new(&mut self.input[self.filled..]);
            let result = match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Pending => return,
                Poll::Ready(result) => result.map(|()| buf.filled().len()),
            };
            match result {
                Ok(0) => return self.broken("the peer closed the connection"),
                Ok(count) => self.receive(count),
                Err(error) => return self.broken(&error.to_string()),
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Gives the session the `count` bytes that came behind what is there.
    fn receive(&mut self, count: usize) {
        let end = self.filled + count;
        let mut state = self.shared.lock();
        let taken = state.session.receive(&self.input[..end]);
        if state.session.take_heard() {
            state.last_answer = Instant::now();
        }
        state.session.take_woken(&mut self.woken);
        let streams = state.session.streams_max().min(self.shared.streams_configured);
        let retired = state.session.is_retired();
        drop(state);
        self.shared.streams.store(streams, Ordering::Relaxed);
        if retired {
            self.shared.ended.store(true, Ordering::Relaxed);
        }
        self.woken.drain(..).for_each(Waker::wake);
        self.input.copy_within(taken..end, 0);
        self.filled = end - taken;
    }

    fn broken(&mut self, words: &str) {
        let fault = self.memory.fault();
        let mut state = self.shared.lock();
        state.session.broken(fault.as_deref().unwrap_or(words));
        state.session.take_woken(&mut self.woken);
        drop(state);
        self.shared.ended.store(true, Ordering::Relaxed);
        self.woken.drain(..).for_each(Waker::wake);
    }

    /// Tasks that are ready to send get a turn first, so that what they send goes out in the same write.
    fn end_of_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
        if state.driver.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
            state.driver = Some(cx.waker().clone());
        }
        if state.session.is_finished() {
            return Poll::Ready(());
        }
        self.yielded = !self.yielded && self.writing.is_empty() && state.session.is_due();
        if self.yielded {
            state.driver_awake = true;
            drop(state);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        drop(state);
        match self.write(cx) {
            Poll::Ready(Ok(())) => Poll::Pending,
            Poll::Ready(Err(error)) => {
                self.broken(&error.to_string());
                Poll::Ready(())
            }
            Poll::Pending => {
                // The socket may never take more: who gives up meanwhile has to be heard.
                let mut state = self.shared.lock();
                state.driver_awake = false;
                if state.session.is_finished() { Poll::Ready(()) } else { Poll::Pending }
            }
        }
    }

    /// Writes all that is due, and then counts on being woken for more.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while self.written < self.writing.len() {
                match ready!(Pin::new(&mut self.io).poll_write(cx, &self.writing[self.written..]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => self.written += count,
                }
            }
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.writing.clear();
            self.written = 0;
            let mut state = self.shared.lock();
            state.session.take_due(&mut self.writing);
            if self.writing.is_empty() {
                state.driver_awake = false;
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Two whole frames.
const INPUT_BYTES: usize = 32 * 1024 + 2 * 9;
const READS_MAX: usize = 16;
