//! One direction of a connection: what is under way, and how it ends.

use std::{collections::VecDeque, io, task::Waker};

use tokio::time::Instant;

/// What comes out of a wire next.
pub(super) enum Next {
    /// Bytes that have arrived.
    Bytes,
    /// Something at that time.
    At(Instant),
    Nothing,
    End,
    Reset,
}

#[derive(Default)]
pub(super) struct Wire {
    /// Bytes, and when they arrive: never before those in front of them.
    segments: VecDeque<(Instant, VecDeque<u8>)>,
    pub(super) bytes: usize,
    ends: Option<Instant>,
    pub(super) reset: Option<Instant>,
    /// The reader has closed its end.
    pub(super) reader_gone: bool,
    /// The reader's machine is no more, and does not say so.
    pub(super) void: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    last_due: Option<Instant>,
}

impl Wire {
    pub(super) fn push(&mut self, bytes: &[u8], due: Instant) {
        let due = self.last_due.map_or(due, |last| last.max(due));
        self.last_due = Some(due);
        if self.void {
            // Sent into nowhere. The kernel keeps them until it gives up.
            self.bytes += bytes.len();
            return;
        }
        self.bytes += bytes.len();
        self.segments.push_back((due, bytes.iter().copied().collect()));
        self.wake_reader();
    }

    pub(super) fn end(&mut self, due: Instant) {
        let due = self.last_due.map_or(due, |last| last.max(due));
        self.ends.get_or_insert(due);
        self.wake();
    }

    pub(super) fn reset(&mut self, due: Instant) {
        self.reset.get_or_insert(due);
        self.wake();
    }

    /// What is under way is lost.
    pub(super) fn lose_after(&mut self, now: Instant) {
        self.segments.retain(|(due, _)| *due <= now);
        self.bytes = self.segments.iter().map(|(_, bytes)| bytes.len()).sum();
    }

    pub(super) fn has_arrived(&self, now: Instant) -> bool {
        self.segments.front().is_some_and(|(due, _)| *due <= now)
    }

    pub(super) fn next(&self, now: Instant) -> Next {
        if self.reset.is_some_and(|due| due <= now) {
            return Next::Reset;
        }
        match (self.segments.front(), self.ends) {
            (Some((due, _)), _) if *due <= now => Next::Bytes,
            (None, Some(due)) if due <= now => Next::End,
            (first, ends) => {
                let soonest = first.map(|(due, _)| *due).or(ends);
                let soonest = soonest.into_iter().chain(self.reset).min();
                soonest.map_or(Next::Nothing, Next::At)
            }
        }
    }

    /// Takes what has arrived, `most` bytes of it.
    pub(super) fn take(&mut self, now: Instant, most: usize, mut put: impl FnMut(&[u8])) -> usize {
        let mut taken = 0;
        while let Some((due, bytes)) = self.segments.front_mut()
            && *due <= now
            && taken < most
        {
            let count = bytes.len().min(most - taken);
            let run = &bytes.make_contiguous()[..count];
            put(run);
            bytes.drain(..count);
            taken += count;
            if bytes.is_empty() {
                self.segments.pop_front();
            }
        }
        self.bytes -= taken;
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
        taken
    }

    pub(super) fn first(&self) -> Option<u8> {
        self.segments.front().and_then(|(_, bytes)| bytes.front().copied())
    }

    /// Why nothing can be written, if that is so.
    pub(super) fn refuses(&self, now: Instant) -> Option<io::Error> {
        if self.ends.is_some() {
            return Some(io::ErrorKind::BrokenPipe.into());
        }
        self.reset.is_some_and(|due| due <= now).then(|| io::ErrorKind::ConnectionReset.into())
    }

    pub(super) fn wake(&mut self) {
        self.wake_reader();
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
