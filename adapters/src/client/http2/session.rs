//! The client's side of an HTTP/2 connection (RFC 9113) without the connection: bytes in, bytes out. Pure.
//!
//! Requests and what is received append to the bytes that are due, so that all that happens in one turn leaves in one write.
//! Nothing that a peer sends makes it hold more than the bounds at the end of this file.

use std::{
    collections::{HashMap, VecDeque},
    task::{Poll, Waker},
};

use bytes::Bytes;
use foldhash::fast::FixedState;

use self::stream::{Phase, Stream};
use super::{
    super::{ANSWER_BODY_BYTES_MAX, ANSWER_HEAD_BYTES_MAX, Answered, Lost, kept::Keep},
    fields::Fields,
    frame::{self, Code, Fault, Frame, HEAD_BYTES, Head, MOST, PAYLOAD_BYTES_MAX},
    hpack::{Decoder, Encoder},
};

mod receiving;
mod stream;
#[cfg(test)]
mod tests;

/// One connection.
pub(super) struct Session {
    /// To be written.
    out: Vec<u8>,
    encoder: Encoder,
    decoder: Decoder,
    peer: Peer,
    /// By number. What has an answer stays until that is fetched.
    streams: HashMap<u32, Stream, FixedState>,
    /// Those without an answer.
    open: usize,
    next_stream: u32,
    /// What may still be sent of bodies, over all streams.
    send_window: i64,
    /// Streams with more of a body, and leave to send it.
    sending: VecDeque<u32>,
    /// What the peer may still send of bodies, and what it has not been told of that was taken.
    receive_left: u32,
    receive_taken: u32,
    /// A header block of which more has to come.
    block: Option<Block>,
    /// The peer's GOAWAY: the last stream it takes, and why.
    going_away: Option<(u32, Code)>,
    /// Frames since the last useful one.
    useless: u32,
    heard: bool,
    end: Option<Lost>,
    closing: bool,
    /// Whose answers came.
    wake: Vec<Waker>,
}

/// What the peer's settings say.
struct Peer {
    greeted: bool,
    streams_max: usize,
    initial_window: i64,
    frame_bytes_max: usize,
}

struct Block {
    stream: u32,
    ends: bool,
    bytes: Vec<u8>,
    frames: u32,
}

impl Session {
    /// One that has to say hello.
    pub(super) fn new() -> Self {
        let mut out = frame::PREFACE.to_vec();
        let mut settings = Vec::new();
        for (id, value) in [
            (ENABLE_PUSH, 0),
            (INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES),
            (MAX_HEADER_LIST_SIZE, ANSWER_HEAD_BYTES_MAX as u32),
        ] {
            settings.extend_from_slice(&u16::to_be_bytes(id));
            settings.extend_from_slice(&u32::to_be_bytes(value));
        }
        frame::write(&mut out, frame::SETTINGS, 0, 0, &settings);
        let more = CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES;
        frame::write(&mut out, frame::WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        Self {
            out,
            encoder: Encoder::new(),
            decoder: Decoder::new(TABLE_BYTES_MAX),
            peer: Peer {
                greeted: false,
                streams_max: usize::MAX,
                initial_window: DEFAULT_WINDOW_BYTES.into(),
                frame_bytes_max: PAYLOAD_BYTES_MAX,
            },
            streams: HashMap::default(),
            open: 0,
            next_stream: 1,
            send_window: DEFAULT_WINDOW_BYTES.into(),
            sending: VecDeque::new(),
            receive_left: CONNECTION_WINDOW_BYTES,
            receive_taken: 0,
            block: None,
            going_away: None,
            useless: 0,
            heard: false,
            end: None,
            closing: false,
            wake: Vec::new(),
        }
    }

    /// How many streams the peer allows at once; 0 before its settings came.
    pub(super) fn streams_max(&self) -> usize {
        if self.peer.greeted { self.peer.streams_max } else { 0 }
    }

    /// Whether no more requests can begin, because the peer does not want any or all is over.
    pub(super) fn is_retired(&self) -> bool {
        self.end.is_some() || self.going_away.is_some() || self.closing
    }

    /// Whether nothing is left to do but to write what is due.
    pub(super) fn is_finished(&self) -> bool {
        self.end.is_some() || (self.is_retired() && self.open == 0)
    }

    /// Why it ended.
    pub(super) fn end(&self) -> Option<&Lost> {
        self.end.as_ref()
    }

    /// While this stays the same, a head that left nothing to remember has the same bytes again.
    pub(super) fn generation(&self) -> u64 {
        self.encoder.generation()
    }

    /// Begins a request. `head` appends its header block, or says why there is none. An error says why nothing was
    /// sent.
    pub(super) fn begin(
        &mut self,
        head: impl FnOnce(&mut Encoder, &mut Vec<u8>),
        body: Bytes,
        keep: Keep,
    ) -> Result<u32, &'static str> {
        if self.is_retired() {
            return Err("the connection is going away");
        }
        if self.open >= self.streams_max() {
            return Err("the peer allows no more streams");
        }
        if self.next_stream > MOST {
            return Err("the connection has no stream number left");
        }
        if self.out.len() > OUT_BYTES_MAX {
            return Err("the peer does not read");
        }
        let id = self.next_stream;
        self.next_stream += 2;
        self.open += 1;
        let at = self.out.len();
        self.out.extend_from_slice(&[0; HEAD_BYTES]);
        self.encoder.begin(&mut self.out);
        head(&mut self.encoder, &mut self.out);
        let ends = body.is_empty();
        self.finish_head(at, id, if ends { frame::END_STREAM } else { 0 });
        self.streams.insert(id, Stream::new(body, self.peer.initial_window, keep));
        if !ends {
            if self.sending.len() > 2 * self.open + SENDING_SPARE {
                let streams = &self.streams;
                self.sending.retain(|id| streams.get(id).is_some_and(|stream| !stream.is_done()));
            }
            self.sending.push_back(id);
            self.send();
        }
        Ok(id)
    }

    /// The answer of stream `id`, or a note whom to wake when it is there.
    pub(super) fn poll_answer(&mut self, id: u32, waker: &Waker) -> Poll<Result<Answered, Lost>> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Err(Lost::Broken("the stream has ended".to_owned())));
        };
        if !stream.is_done() {
            match &mut stream.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            return Poll::Pending;
        }
        match self.streams.remove(&id).map(|stream| stream.phase) {
            Some(Phase::Done(result)) => Poll::Ready(result),
            _ => Poll::Ready(Err(Lost::Broken("the stream has ended".to_owned()))),
        }
    }

    /// Nobody waits for the answer of stream `id` any more.
    pub(super) fn cancel(&mut self, id: u32) {
        if let Some(stream) = self.streams.remove(&id)
            && !stream.is_done()
        {
            self.open -= 1;
            self.reset(id, Code::CANCEL);
        }
    }

    /// Takes what is due, in exchange for an empty buffer.
    pub(super) fn take_due(&mut self, empty: &mut Vec<u8>) {
        self.send();
        std::mem::swap(&mut self.out, empty);
        // What was taken makes room for more.
        if self.out.capacity() > KEEP_BYTES {
            self.out = Vec::new();
        }
    }

    pub(super) fn is_due(&self) -> bool {
        !self.out.is_empty() || (self.send_window > 0 && !self.sending.is_empty())
    }

    /// Those whose answers came since.
    pub(super) fn take_woken(&mut self, woken: &mut Vec<Waker>) {
        woken.append(&mut self.wake);
    }

    /// Whether a head of an answer came since.
    pub(super) fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Nobody will begin a request any more.
    pub(super) fn say_goodbye(&mut self) {
        if !self.closing && self.end.is_none() {
            self.closing = true;
            self.go_away(Code::NO_ERROR);
        }
    }

    /// The connection broke, or the peer closed it.
    pub(super) fn broken(&mut self, words: &str) {
        self.end_with(Lost::Broken(words.to_owned()));
    }

    fn end_with(&mut self, lost: Lost) {
        if self.end.is_none() {
            self.finish_streams(0, &lost);
            self.out.clear();
            self.sending.clear();
            self.end = Some(lost);
        }
    }

    /// Ends all streams above `last`.
    fn finish_streams(&mut self, last: u32, lost: &Lost) {
        for (id, stream) in &mut self.streams {
            if *id > last && !stream.is_done() {
                self.open -= 1;
                self.wake.extend(stream.lose(lost.clone()));
            }
        }
    }

    /// Moves bodies to the bytes that are due, a frame of each stream in turn.
    fn send(&mut self) {
        while self.send_window > 0
            && self.out.len() < DUE_BYTES_MAX
            && let Some(id) = self.sending.pop_front()
        {
            let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_done()) else { continue };
            let room = self.send_window.min(stream.send_window).min(self.peer.frame_bytes_max as i64);
            let Ok(room @ 1..) = usize::try_from(room) else {
                stream.waits_for_window = true;
                continue;
            };
            let part = stream.body.split_to(room.min(stream.body.len()));
            let ends = stream.body.is_empty();
            stream.send_window -= part.len() as i64;
            self.send_window -= part.len() as i64;
            self.useless = self.useless.saturating_sub(UPDATES_A_FRAME);
            frame::write(&mut self.out, frame::DATA, if ends { frame::END_STREAM } else { 0 }, id, &part);
            if !ends {
                self.sending.push_back(id);
            }
        }
    }

    /// Makes HEADERS, and CONTINUATION where one is not enough, of the block behind `at`.
    fn finish_head(&mut self, at: usize, stream: u32, flags: u8) {
        let length = self.out.len() - at - HEAD_BYTES;
        let (kind, most) = (frame::HEADERS, self.peer.frame_bytes_max);
        if length <= most {
            let head = Head { length, kind, flags: flags | frame::END_HEADERS, stream };
            self.out[at..at + HEAD_BYTES].copy_from_slice(&head.bytes());
            return;
        }
        let block = self.out.split_off(at + HEAD_BYTES);
        self.out.truncate(at);
        let parts = block.chunks(most);
        let last = parts.len() - 1;
        for (number, part) in parts.enumerate() {
            let (kind, flags) = if number == 0 { (kind, flags) } else { (frame::CONTINUATION, 0) };
            let end = if number == last { frame::END_HEADERS } else { 0 };
            frame::write(&mut self.out, kind, flags | end, stream, part);
        }
    }

    fn reset(&mut self, stream: u32, code: Code) {
        frame::write(&mut self.out, frame::RST_STREAM, 0, stream, &code.0.to_be_bytes());
    }

    fn go_away(&mut self, code: Code) {
        // The peer began no stream.
        let [a, b, c, d] = code.0.to_be_bytes();
        frame::write(&mut self.out, frame::GOAWAY, 0, 0, &[0, 0, 0, 0, a, b, c, d]);
    }
}

const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_HEADER_LIST_SIZE: u16 = 6;

/// Of both sides before they say otherwise.
const DEFAULT_WINDOW_BYTES: u32 = 65_535;
/// Answers that may be under way together before the peer has to pause.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
const STREAM_WINDOW_BYTES: u32 = ANSWER_BODY_BYTES_MAX as u32;
/// What the peer may keep in the table of HPACK.
const TABLE_BYTES_MAX: usize = 4096;
/// Bodies wait once so much is due: one write more costs little then.
const DUE_BYTES_MAX: usize = 64 * 1024;
/// Heads and all else are due at once, up to here.
const OUT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Streams that ended may still stand among those that have something to send.
const SENDING_SPARE: usize = 64;
/// A buffer that grew beyond this is given back.
const KEEP_BYTES: usize = 2 * DUE_BYTES_MAX;
/// Of a header block in parts.
const BLOCK_BYTES_MAX: usize = ANSWER_HEAD_BYTES_MAX;
const BLOCK_FRAMES_MAX: u32 = 32;
/// Frames in a row that help nobody: pings, settings, empty parts, early hints, windows for nothing.
const USELESS_MAX: u32 = 10_000;
/// Window updates that a frame of a body may earn.
const UPDATES_A_FRAME: u32 = 4;
