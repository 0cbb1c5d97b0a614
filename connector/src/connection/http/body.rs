//! The bodies of requests: which form a message comes in, pure.
//!
//! The first byte tells: 2 begins a frame, 22 (the size of a message's header) a message without one. Anything else is
//! a form that is not known here, such as the 1 of servers before 5.0.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::wire::frame::{self, Frame, FrameError, HEADER_BYTES, Kind};

/// Why a body holds no message that could be looked at.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("the body is empty")]
    Empty,
    #[error("the first byte is {0}, expected 2 (a frame) or 22 (a message)")]
    Version(u8),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("a frame that holds no record")]
    NoRecord,
    #[error("the frame is {expected} bytes long and the body {found}: one message in a request")]
    Length { expected: usize, found: usize },
    #[error("an encoding of the body other than gzip")]
    Encoding,
    #[error("not gzip, though its header says so")]
    Gzip,
    #[error("larger than the {0} bytes that are accepted")]
    Size(usize),
}

/// The frame in `body`; one that came without its header is put together in `scratch`, which is empty.
pub(super) fn frame<'a>(
    body: &'a [u8],
    frame_bytes_max: usize,
    scratch: &'a mut Vec<u8>,
) -> Result<Frame<'a>, Problem> {
    match *body.first().ok_or(Problem::Empty)? {
        FRAME => {}
        MESSAGE if body.len() > frame_bytes_max => return Err(Problem::Size(frame_bytes_max)),
        MESSAGE => {
            let header = (u64::from(FRAME) << 56) | (3 << 48) | body.len() as u64;
            scratch.reserve_exact(HEADER_BYTES + body.len());
            scratch.extend_from_slice(&header.to_be_bytes());
            scratch.extend_from_slice(body);
            return Ok(Frame { kind: Kind::Message, bytes: scratch });
        }
        other => return Err(Problem::Version(other)),
    }
    match frame::next(body, frame_bytes_max)? {
        Some(frame) if frame.bytes.len() != body.len() => {
            Err(Problem::Length { expected: frame.bytes.len(), found: body.len() })
        }
        Some(Frame { kind: Kind::Info | Kind::Security, .. }) => Err(Problem::NoRecord),
        Some(frame) => Ok(frame),
        None => Err(Problem::Length { expected: frame::needed(body), found: body.len() }),
    }
}

/// How many bytes the gzip stream in `body` holds, as its end says.
pub(super) fn gzip_bytes(body: &[u8]) -> Result<usize, Problem> {
    let end = body.last_chunk::<4>().ok_or(Problem::Gzip)?;
    Ok(u32::from_le_bytes(*end) as usize)
}

/// What the gzip stream in `body` holds, which must be as much as [`gzip_bytes`] says.
pub(super) fn gunzip(body: &[u8]) -> Result<Vec<u8>, Problem> {
    let bytes = gzip_bytes(body)?;
    let mut inflated = Vec::new();
    let read = GzDecoder::new(body).take(bytes as u64 + 1).read_to_end(&mut inflated);
    if read.is_ok_and(|read| read == bytes) { Ok(inflated) } else { Err(Problem::Gzip) }
}

/// First byte of a frame: the version of the protocol.
const FRAME: u8 = 2;
/// First byte of a message: the size of its header.
const MESSAGE: u8 = 22;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 1 << 10;

    fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![2, kind, 0, 0, 0, 0, 0, body.len() as u8];
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn a_message_with_and_without_its_header_is_the_same_frame() {
        let message = [22, 16, 1, 0];
        let whole = framed(3, &message);
        let expected = Ok(Frame { kind: Kind::Message, bytes: &whole });
        assert_eq!(frame(&whole, MAX, &mut Vec::new()), expected);
        assert_eq!(frame(&message, MAX, &mut Vec::new()), expected);
        let compressed = framed(4, &[0, 0, 0, 0, 0, 0, 1, 2, 9]);
        let mut scratch = Vec::new();
        let found = frame(&compressed, MAX, &mut scratch).expect("compressed ones are taken too");
        assert_eq!((found.kind, frame::inflated_bytes(found)), (Kind::Compressed, 258));
    }

    #[test]
    fn what_is_no_message_is_told_apart() {
        let mut two = framed(3, &[22]);
        two.extend(framed(3, &[22]));
        for (body, expected) in [
            (&[] as &[u8], Problem::Empty),
            (&[1, 2, 3], Problem::Version(1)),
            (b"{\"a\": 1}", Problem::Version(b'{')),
            (&[2, 3, 0], Problem::Length { expected: 8, found: 3 }),
            (&framed(3, &[22, 0])[..9], Problem::Length { expected: 10, found: 9 }),
            (&two, Problem::Length { expected: 9, found: 18 }),
            (&framed(1, b"build\n"), Problem::NoRecord),
            (&framed(2, &[0; 16]), Problem::NoRecord),
            (&framed(5, &[0]), Problem::Frame(FrameError::Type { found: 5 })),
            (&[2, 3, 0, 0, 0, 0, 4, 1], Problem::Frame(FrameError::Size { found: 1025, max: MAX as u64 })),
            (&[22; MAX + 1], Problem::Size(MAX)),
        ] {
            assert_eq!(frame(body, MAX, &mut Vec::new()), Err(expected));
        }
    }

    #[test]
    fn gzip_holds_what_its_end_says_or_nothing() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&[7; 5000]).expect("memory");
        let gzip = gzip.finish().expect("memory");
        assert_eq!(gunzip(&gzip), Ok(vec![7; 5000]));
        let mut lying = gzip.clone();
        let end = lying.len() - 4;
        lying[end..].copy_from_slice(&100_u32.to_le_bytes());
        assert_eq!(gunzip(&lying), Err(Problem::Gzip));
        assert_eq!(gunzip(&gzip[..gzip.len() - 9]), Err(Problem::Gzip));
        assert_eq!(gunzip(b"no"), Err(Problem::Gzip));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(frame) = frame(&bytes, MAX, &mut Vec::new()) {
                let _ = frame::inflated_bytes(frame);
            }
            let _ = gunzip(&bytes);
        }
    }
}
