//! Puts the frames of one stream together, and finds the next message after bytes that are none.

use crate::wire::frame::{self, Frame, PROTOCOL_BYTES_MAX};

/// One direction of one connection, or a whole file.
#[derive(Debug, Default)]
pub(super) struct Stream {
    buf: Vec<u8>,
    /// Offset of the buffer's first byte.
    offset: u64,
    /// Bytes are being skipped since this offset, because no frame was recognised there.
    seeking_since: Option<u64>,
}

/// What is in a stream.
pub(super) enum Found<'a> {
    /// A whole frame.
    Frame { offset: u64, frame: Frame<'a> },
    /// Bytes that are no frame.
    Broken { offset: u64, error: String },
}

impl Stream {
    /// A stream whose beginning is not known to be the beginning of a frame.
    pub(super) fn in_the_middle() -> Self {
        Self { seeking_since: Some(0), ..Self::default() }
    }

    /// Bytes kept until a frame is whole.
    pub(super) fn held_bytes(&self) -> usize {
        self.buf.len()
    }

    /// Takes the next bytes and tells what they complete.
    pub(super) fn feed<E>(
        &mut self,
        bytes: &[u8],
        mut found: impl FnMut(Found<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.buf.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let rest = &self.buf[at..];
            let offset = self.offset + at as u64;
            if let Some(since) = self.seeking_since {
                let (skipped, is_found) = seek(rest);
                at += skipped;
                if !is_found {
                    break;
                }
                self.seeking_since = None;
                let until = offset + skipped as u64;
                if until > since {
                    found(skipped_bytes(since, until))?;
                }
                continue;
            }
            match frame::next(rest, PROTOCOL_BYTES_MAX) {
                Ok(Some(frame)) => {
                    found(Found::Frame { offset, frame })?;
                    at += frame.bytes.len();
                }
                Ok(None) => break,
                Err(error) => {
                    found(Found::Broken { offset, error: error.to_string() })?;
                    self.seeking_since = Some(offset);
                    at += 1;
                }
            }
        }
        self.offset += at as u64;
        self.buf.drain(..at);
        Ok(())
    }

    /// Tells what is left when no more bytes come.
    pub(super) fn end<E>(self, mut found: impl FnMut(Found<'_>) -> Result<(), E>) -> Result<(), E> {
        let end = self.offset + self.buf.len() as u64;
        match self.seeking_since {
            Some(since) if since < end => found(skipped_bytes(since, end)),
            None if !self.buf.is_empty() => {
                let error = format!(
                    "the stream ends inside a frame, after {} of {} bytes",
                    self.buf.len(),
                    frame::needed(&self.buf)
                );
                found(Found::Broken { offset: self.offset, error })
            }
            _ => Ok(()),
        }
    }
}

fn skipped_bytes(since: u64, until: u64) -> Found<'static> {
    Found::Broken { offset: since, error: format!("{} bytes skipped that are no frame", until - since) }
}

/// How many bytes to skip, and whether a message starts there.
///
/// Messages and acks alike are told by the first bytes of both their headers; their size is below 4 GiB.
fn seek(bytes: &[u8]) -> (usize, bool) {
    let is_message = |window: &[u8]| window[..4] == [2, 3, 0, 0] && window[8] == 22;
    match bytes.windows(9).position(is_message) {
        Some(at) => (at, true),
        None => (bytes.len().saturating_sub(8), false),
    }
}
