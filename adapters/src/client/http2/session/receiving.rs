//! What the peer sends, and what it comes to. Pure.

use super::{
    BLOCK_BYTES_MAX, BLOCK_FRAMES_MAX, Block, CONNECTION_WINDOW_BYTES, Code, Fault, Fields, Frame,
    HEAD_BYTES, Head, Lost, MOST, PAYLOAD_BYTES_MAX, STREAM_WINDOW_BYTES, Session, USELESS_MAX,
    stream::{Answering, Phase},
};
use crate::client::{ANSWER_HEAD_BYTES_MAX, http2::frame, kept::Kept};

const SETTING_HEADER_TABLE_SIZE: u16 = 1;
const SETTING_ENABLE_PUSH: u16 = 2;
const SETTING_MAX_CONCURRENT_STREAMS: u16 = 3;
const SETTING_INITIAL_WINDOW_SIZE: u16 = 4;
const SETTING_MAX_FRAME_SIZE: u16 = 5;

impl Session {
    /// Takes the frames that `input` begins with, and says how many bytes they are. A fault ends the connection, and all
    /// that waits on it.
    pub(in super::super) fn receive(&mut self, input: &[u8]) -> usize {
        let mut rest = input;
        while self.end.is_none() {
            match self.take_frame(&mut rest) {
                Ok(true) => {}
                Ok(false) => return input.len() - rest.len(),
                Err(fault) => self.fail(fault),
            }
        }
        input.len()
    }

    fn fail(&mut self, fault: Fault) {
        self.end_with(Lost::Malformed(format!("{} ({})", fault.what, fault.code)));
        self.go_away(fault.code);
    }

    /// False when the next frame is not all there.
    fn take_frame(&mut self, rest: &mut &[u8]) -> Result<bool, Fault> {
        let Some((head, behind)) = rest.split_first_chunk::<HEAD_BYTES>() else { return Ok(false) };
        let head = Head::read(head);
        if head.length > PAYLOAD_BYTES_MAX {
            return Err(Fault::new(Code::FRAME_SIZE_ERROR, "a frame larger than was allowed"));
        }
        if !self.peer.greeted && head.kind != frame::SETTINGS {
            return Err(Fault::protocol("it did not begin with its settings"));
        }
        let Some((payload, behind)) = behind.split_at_checked(head.length) else { return Ok(false) };
        *rest = behind;
        if self.block.is_some() != (head.kind == frame::CONTINUATION) {
            return Err(Fault::protocol(
                "a header block that was broken off, or goes on without a beginning",
            ));
        }
        match Frame::read(head, payload)? {
            Frame::Data { stream, data, charged, ends } => self.data(stream, data, charged, ends)?,
            Frame::Headers { stream, block, ends, whole: true } => self.fields(stream, block, ends)?,
            Frame::Headers { stream, block, ends, whole: false } => {
                self.block = Some(Block { stream, ends, bytes: block.to_vec(), frames: 1 });
            }
            Frame::Continuation { stream, block, whole } => self.more_of_block(stream, block, whole)?,
            Frame::Reset { stream, code } => self.was_reset(stream, code)?,
            Frame::Settings(pairs) => self.settings(pairs)?,
            Frame::Ping(bytes) => {
                self.useless()?;
                frame::write(&mut self.out, frame::PING, frame::ACK, 0, &bytes);
            }
            Frame::GoAway { last, code } => self.goes_away(last, code)?,
            Frame::Window { stream, increment } => self.window(stream, increment)?,
            Frame::SettingsTaken if self.peer.greeted => {}
            Frame::SettingsTaken => return Err(Fault::protocol("it did not begin with its settings")),
            Frame::Other => self.useless()?,
        }
        Ok(true)
    }

    /// A peer may send what leads nowhere, but not for ever.
    fn useless(&mut self) -> Result<(), Fault> {
        self.useless += 1;
        if self.useless > USELESS_MAX {
            return Err(Fault::new(Code::ENHANCE_YOUR_CALM, "frames without end that lead nowhere"));
        }
        Ok(())
    }

    /// Only streams that were begun can be spoken of.
    fn known(&self, stream: u32) -> Result<(), Fault> {
        if stream.is_multiple_of(2) || stream >= self.next_stream {
            return Err(Fault::protocol("a frame of a stream that nobody began"));
        }
        Ok(())
    }

    fn data(&mut self, id: u32, data: &[u8], charged: u32, ends: bool) -> Result<(), Fault> {
        self.known(id)?;
        let beyond = Fault::new(Code::FLOW_CONTROL_ERROR, "more of a body than the window allows");
        self.receive_left = self.receive_left.checked_sub(charged).ok_or(beyond)?;
        self.receive_taken += charged;
        if self.receive_taken >= CONNECTION_WINDOW_BYTES / 2 {
            self.receive_left += self.receive_taken;
            let taken = std::mem::take(&mut self.receive_taken).to_be_bytes();
            frame::write(&mut self.out, frame::WINDOW_UPDATE, 0, 0, &taken);
        }
        if data.is_empty() && !ends {
            self.useless()?;
        }
        let Some(stream) = self.streams.get_mut(&id) else { return self.useless() };
        let answering = match &mut stream.phase {
            Phase::Asked => return Err(Fault::protocol("a body before its header")),
            Phase::Done(_) => return self.useless(),
            Phase::Answering(answering) => answering,
        };
        let Some(left) = stream.receive_left.checked_sub(charged) else {
            return self.stream_fault(id, Code::FLOW_CONTROL_ERROR, beyond.what);
        };
        if let Some(to_come) = &mut answering.to_come {
            match to_come.checked_sub(data.len() as u64) {
                Some(left) if left == 0 || !ends => *to_come = left,
                _ => {
                    return self.stream_fault(
                        id,
                        Code::PROTOCOL_ERROR,
                        "a body that is not as long as was said",
                    );
                }
            }
        }
        if !answering.kept.push(data) {
            // Enough was heard to believe the status.
            return self.finish(id, if ends { None } else { Some(Code::CANCEL) });
        }
        if ends {
            return self.finish(id, None);
        }
        stream.receive_left = left;
        stream.receive_taken += charged;
        if stream.receive_taken >= STREAM_WINDOW_BYTES / 2 {
            stream.receive_left += stream.receive_taken;
            let taken = std::mem::take(&mut stream.receive_taken).to_be_bytes();
            frame::write(&mut self.out, frame::WINDOW_UPDATE, 0, id, &taken);
        }
        Ok(())
    }

    /// The answer of a stream is there, and it is over: with `code` where the peer has to be told.
    fn finish(&mut self, id: u32, code: Option<Code>) -> Result<(), Fault> {
        if let Some(stream) = self.streams.get_mut(&id) {
            // An answer before the end of the request: what is left of it is wanted by nobody.
            let code = code.or_else(|| (!stream.body.is_empty()).then_some(Code::CANCEL));
            self.open -= 1;
            self.wake.extend(stream.finish(true));
            if let Some(code) = code {
                self.reset(id, code);
            }
        }
        Ok(())
    }

    /// What the peer did wrong concerns this stream only.
    fn stream_fault(&mut self, id: u32, code: Code, what: &'static str) -> Result<(), Fault> {
        if let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_done()) {
            self.open -= 1;
            self.wake.extend(stream.lose(Lost::Malformed(format!("{what} ({code})"))));
            self.reset(id, code);
        }
        Ok(())
    }

    fn more_of_block(&mut self, stream: u32, part: &[u8], whole: bool) -> Result<(), Fault> {
        let Some(mut block) = self.block.take().filter(|block| block.stream == stream) else {
            return Err(Fault::protocol("a header block that goes on in another stream"));
        };
        block.frames += 1;
        if block.bytes.len() + part.len() > BLOCK_BYTES_MAX || block.frames > BLOCK_FRAMES_MAX {
            return Err(Fault::new(Code::ENHANCE_YOUR_CALM, "a header block without end"));
        }
        block.bytes.extend_from_slice(part);
        if whole {
            return self.fields(stream, &block.bytes, block.ends);
        }
        self.block = Some(block);
        Ok(())
    }

    /// A header block, which has to be read even where nobody wants it: the table depends on it.
    fn fields(&mut self, id: u32, block: &[u8], ends: bool) -> Result<(), Fault> {
        self.known(id)?;
        let mut fields = Fields::default();
        self.decoder
            .decode(block, |name, value, size| fields.take(name, value, size, ANSWER_HEAD_BYTES_MAX))
            .map_err(|_| Fault::new(Code::COMPRESSION_ERROR, "a header block that cannot be read"))?;
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_done()) else {
            return self.useless();
        };
        if let Some(what) = fields.malformed {
            return self.stream_fault(id, Code::PROTOCOL_ERROR, what);
        }
        let malformed = match (&mut stream.phase, fields.status) {
            (Phase::Done(_), _) => None,
            (Phase::Asked, None) => Some("an answer without a status"),
            (Phase::Asked, Some(status)) if status.is_informational() => {
                let wrong = ends || status == http::StatusCode::SWITCHING_PROTOCOLS;
                if !wrong {
                    return self.useless();
                }
                Some("an early hint in place of an answer")
            }
            (Phase::Asked, Some(status)) => {
                self.heard = true;
                self.useless = 0;
                let empty = matches!(status.as_u16(), 204 | 304);
                let to_come = fields.content_length.filter(|_| !empty);
                let kept = Kept::new(stream.keep, status);
                let missing = ends && to_come.is_some_and(|bytes| bytes > 0);
                if missing {
                    Some("an answer that ends before its body")
                } else {
                    let answering = Answering { status, headers: fields.headers, kept, to_come };
                    stream.phase = Phase::Answering(answering);
                    None
                }
            }
            (Phase::Answering(_), Some(_)) => Some("a second answer"),
            (Phase::Answering(_), None) if !ends => Some("trailers that end nothing"),
            (Phase::Answering(answering), None) => answering
                .to_come
                .is_some_and(|bytes| bytes > 0)
                .then_some("a body that is not as long as was said"),
        };
        match malformed {
            Some(what) => self.stream_fault(id, Code::PROTOCOL_ERROR, what),
            None if ends => self.finish(id, None),
            None => Ok(()),
        }
    }

    fn was_reset(&mut self, id: u32, code: Code) -> Result<(), Fault> {
        self.known(id)?;
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_done()) else {
            return self.useless();
        };
        let words = format!("the peer reset the stream ({code})");
        let lost = if code == Code::REFUSED_STREAM { Lost::Unprocessed(words) } else { Lost::Broken(words) };
        self.open -= 1;
        self.wake.extend(stream.lose(lost));
        Ok(())
    }

    fn settings(&mut self, pairs: &[u8]) -> Result<(), Fault> {
        self.peer.greeted = true;
        self.useless()?;
        for &[a, b, c, d, e, f] in pairs.as_chunks::<6>().0 {
            let value = u32::from_be_bytes([c, d, e, f]);
            match u16::from_be_bytes([a, b]) {
                SETTING_HEADER_TABLE_SIZE => self.encoder.resize(value as usize),
                SETTING_ENABLE_PUSH if value != 0 => {
                    return Err(Fault::protocol("a server that wants to be pushed to"));
                }
                SETTING_MAX_CONCURRENT_STREAMS => self.peer.streams_max = value as usize,
                SETTING_INITIAL_WINDOW_SIZE if value > MOST => {
                    return Err(Fault::new(Code::FLOW_CONTROL_ERROR, "a window larger than there are"));
                }
                SETTING_INITIAL_WINDOW_SIZE => self.resize_windows(value.into())?,
                SETTING_MAX_FRAME_SIZE if !(PAYLOAD_BYTES_MAX as u32..1 << 24).contains(&value) => {
                    return Err(Fault::protocol("a frame size out of range"));
                }
                SETTING_MAX_FRAME_SIZE => self.peer.frame_bytes_max = (value as usize).min(FRAME_BYTES_MAX),
                _ => {}
            }
        }
        frame::write(&mut self.out, frame::SETTINGS, frame::ACK, 0, &[]);
        Ok(())
    }

    /// Streams that are open change with it, and may come to owe.
    fn resize_windows(&mut self, window: i64) -> Result<(), Fault> {
        let change = window - self.peer.initial_window;
        self.peer.initial_window = window;
        for (id, stream) in &mut self.streams {
            stream.send_window += change;
            if stream.send_window > MOST.into() {
                return Err(Fault::new(Code::FLOW_CONTROL_ERROR, "a window larger than there are"));
            }
            if stream.waits_for_window && stream.send_window > 0 {
                stream.waits_for_window = false;
                self.sending.push_back(*id);
            }
        }
        self.send();
        Ok(())
    }

    fn window(&mut self, id: u32, increment: u32) -> Result<(), Fault> {
        self.useless()?;
        let nothing = "a window that opens by nothing";
        let beyond = "a window larger than there are";
        if id == 0 {
            if increment == 0 {
                return Err(Fault::protocol(nothing));
            }
            self.send_window += i64::from(increment);
            if self.send_window > MOST.into() {
                return Err(Fault::new(Code::FLOW_CONTROL_ERROR, beyond));
            }
        } else {
            self.known(id)?;
            let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_done()) else {
                return Ok(());
            };
            if increment == 0 {
                return self.stream_fault(id, Code::PROTOCOL_ERROR, nothing);
            }
            stream.send_window += i64::from(increment);
            if stream.send_window > MOST.into() {
                return self.stream_fault(id, Code::FLOW_CONTROL_ERROR, beyond);
            }
            if stream.waits_for_window && stream.send_window > 0 {
                stream.waits_for_window = false;
                self.sending.push_back(id);
            }
        }
        self.send();
        Ok(())
    }

    /// What the peer does not take, it surely did not process.
    fn goes_away(&mut self, last: u32, code: Code) -> Result<(), Fault> {
        self.useless()?;
        if self.going_away.is_some_and(|(before, _)| last > before) {
            return Err(Fault::protocol("a GOAWAY that takes an earlier one back"));
        }
        self.going_away = Some((last, code));
        self.finish_streams(last, &Lost::Unprocessed(format!("the peer is going away ({code})")));
        Ok(())
    }
}

/// Larger frames of bodies would save little.
const FRAME_BYTES_MAX: usize = 64 * 1024;
