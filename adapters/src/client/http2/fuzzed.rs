//! What fuzzing looks at: bytes of a peer, and what may never come of them. Not part of any other build.

use std::task::{Poll, Waker};

use bytes::Bytes;

use super::{
    frame::{HEAD_BYTES, PAYLOAD_BYTES_MAX, SETTINGS, write},
    hpack::{Decoder, Encoder, Remember},
    session::Session,
};
use crate::client::kept::Keep;

/// A peer that greets and then sends `input`, in pieces as large as its first byte says, while requests of all sizes are open:
/// each of them comes to an end, and nothing piles up.
pub fn peer(input: &[u8]) {
    let Some((&piece, input)) = input.split_first() else { return };
    let mut session = Session::new();
    let mut greeting = Vec::new();
    write(&mut greeting, SETTINGS, 0, 0, &[]);
    assert_eq!(session.receive(&greeting), greeting.len());
    let mut streams = Vec::new();
    for body in [0, 1, 20_000, 200_000] {
        streams.push(begin(&mut session, body).expect("room for a few"));
    }
    let (mut unread, mut out) = (Vec::new(), Vec::new());
    for piece in input.chunks(usize::from(piece) + 1) {
        unread.extend_from_slice(piece);
        let taken = session.receive(&unread);
        unread.drain(..taken);
        assert!(unread.len() < HEAD_BYTES + PAYLOAD_BYTES_MAX, "a whole frame was left");
        session.take_due(&mut out);
        assert!(out.len() < 128 * 1024 + 32 * input.len(), "{} bytes due", out.len());
        out.clear();
        // What was answered is fetched, and another request takes its place.
        for (place, stream) in streams.iter_mut().enumerate() {
            if session.poll_answer(*stream, Waker::noop()).is_ready()
                && let Ok(next) = begin(&mut session, 100 * place)
            {
                *stream = next;
            }
        }
    }
    session.cancel(streams[0]);
    session.broken("the end");
    assert!(session.is_finished());
    for stream in streams {
        assert!(matches!(session.poll_answer(stream, Waker::noop()), Poll::Ready(_)), "{stream} has no end");
    }
}

/// Header blocks, each behind its length: what can be read can be written, and is the same when it is read again.
pub fn hpack(mut input: &[u8]) {
    let (mut decoder, mut encoder, mut again) = (Decoder::new(4096), Encoder::new(), Decoder::new(4096));
    while let Some((&length, rest)) = input.split_first() {
        let (block, rest) = rest.split_at(rest.len().min(length.into()));
        input = rest;
        let mut fields = Vec::new();
        let read = decoder.decode(block, |name, value, _| fields.push((name.to_vec(), value.to_vec())));
        if read.is_err() {
            return;
        }
        encoder.resize(usize::from(length) * 20);
        let mut out = Vec::new();
        encoder.begin(&mut out);
        for (place, (name, value)) in fields.iter().enumerate() {
            let remember = [Remember::Yes, Remember::No, Remember::Never][place % 3];
            encoder.field(name, value, remember, &mut out);
        }
        let mut back = Vec::new();
        let read = again.decode(&out, |name, value, _| back.push((name.to_vec(), value.to_vec())));
        assert!(read.is_ok() && back == fields);
    }
}

fn begin(session: &mut Session, body: usize) -> Result<u32, &'static str> {
    let head = |encoder: &mut Encoder, out: &mut Vec<u8>| {
        encoder.field(b":method", b"POST", Remember::Yes, out);
        encoder.field(b":path", b"/records", Remember::Yes, out);
        Encoder::content_length(body, out);
    };
    session.begin(head, Bytes::from(vec![0; body]), Keep::All(100_000))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_of_all_kinds(
            piece in any::<u8>(),
            frames in prop::collection::vec(
                (0u8..12, any::<u8>(), 0u32..12, prop::collection::vec(any::<u8>(), 0..40)), 0..60,
            ),
        ) {
            let mut input = vec![piece];
            for (kind, flags, stream, payload) in frames {
                write(&mut input, kind, flags, stream, &payload);
            }
            peer(&input);
        }

        #[test]
        fn answers_with_something_wrong(at in 0usize..90, with in any::<u8>(), piece in any::<u8>()) {
            let mut input = vec![piece];
            for (kind, flags, stream, payload) in [
                (4, 0, 0, &[0, 4, 0, 1, 0, 0][..]),
                (1, 4, 1, &[0x88]),
                (0, 1, 1, b"ok"),
                (1, 0, 3, &[0x88]),
                (9, 4, 3, b"\x40\x01a\x01b"),
                (0, 8, 3, b"\x01x\0"),
                (1, 5, 3, &[0xbe]),
                (8, 0, 0, &[0, 16, 0, 0]),
                (7, 0, 0, &[0, 0, 0, 5, 0, 0, 0, 0]),
            ] {
                write(&mut input, kind, flags, stream, payload);
            }
            let at = at % input.len();
            input[at] = with;
            peer(&input);
        }

        #[test]
        fn header_blocks(input in prop::collection::vec(any::<u8>(), 0..300)) {
            hpack(&input);
        }
    }
}
