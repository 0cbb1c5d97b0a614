//! Cuts a byte stream into frames, and inflates compressed ones.
//!
//! A frame is judged by its 8-byte header alone, before its body is there, so a peer cannot make anyone wait
//! for, or make room for, a frame that would be refused.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

use super::message::{MessageError, Problem};

/// Bytes of the header in front of every frame.
pub const HEADER_BYTES: usize = 8;

/// Most bytes after the header that the protocol allows.
pub const PROTOCOL_BYTES_MAX: usize = 128 << 20;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text questions about the node.
    Info,
    /// Login.
    Security,
    /// One record, or an answer about one.
    Message,
    /// A message frame inside a zlib stream.
    Compressed,
}

/// One whole frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it carries.
    pub kind: Kind,
    /// All of it, header included.
    pub bytes: &'a [u8],
}

impl<'a> Frame<'a> {
    /// What follows the header.
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }
}

/// Bodies hold records, so only their size is shown.
impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:?}, {} bytes)", self.kind, self.bytes.len())
    }
}

/// Looks for one whole frame at the start of `buf`.
///
/// `Ok(None)` means that more bytes are needed. An error means: close the connection, for nobody can tell
/// where the next frame starts. The caller consumes `frame.bytes.len()`. `frame_bytes_max` bounds what
/// follows the header.
pub fn next(buf: &[u8], frame_bytes_max: usize) -> Result<Option<Frame<'_>>, FrameError> {
    let Some(header) = buf.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let (kind, size) = judge(header, frame_bytes_max)?;
    Ok(buf.get(..HEADER_BYTES + size).map(|bytes| Frame { kind, bytes }))
}

/// How many bytes the frame at the start of `buf` has in all, so that a reader can make room for it.
///
/// [`HEADER_BYTES`] while the header is not there yet. Only worth trusting after [`next`] accepted the header.
pub fn needed(buf: &[u8]) -> usize {
    let Some(header) = buf.first_chunk::<HEADER_BYTES>() else { return HEADER_BYTES };
    let size = size(header).min(PROTOCOL_BYTES_MAX as u64);
    HEADER_BYTES + usize::try_from(size).unwrap_or(PROTOCOL_BYTES_MAX)
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not this protocol.
    #[error("protocol version {found}, expected 2: the peer does not speak the Aerospike protocol")]
    Version {
        /// The first byte.
        found: u8,
    },
    /// A type of frame that has no business here.
    #[error("frame type {found}, expected 1 (info), 2 (security), 3 (message) or 4 (compressed)")]
    Type {
        /// The second byte.
        found: u8,
    },
    /// More than is accepted.
    #[error("frame of {found} bytes, at most {max} are accepted")]
    Size {
        /// Bytes that would follow the header.
        found: u64,
        /// Most that may.
        max: u64,
    },
    /// The peer wants TLS on a port without it.
    #[error(
        "a TLS handshake on a clear-text port: give the source this connector's TLS port, or drop its tls-name"
    )]
    TlsOnClearPort,
    /// The peer speaks HTTP: a server before 5.0 ships that way, and probes often do.
    #[error(
        "an HTTP request on the XDR port: servers before 5.0 are not supported, and probes have their own port"
    )]
    Http,
}

/// Inflates a compressed frame into `out`, which is cleared first and may be reused.
///
/// The result is a whole message frame. Output is bounded by the size the frame announces and by
/// `frame_bytes_max`; room is made as bytes come, so an announcement alone reserves nothing.
pub fn inflate<'a>(
    frame: Frame<'_>,
    frame_bytes_max: usize,
    out: &'a mut Vec<u8>,
) -> Result<Frame<'a>, MessageError> {
    out.clear();
    let (announced, stream) = split_compressed(frame.body())?;
    let max = (frame_bytes_max.min(PROTOCOL_BYTES_MAX) + HEADER_BYTES) as u64;
    if announced > max {
        return Err(Problem::InflatedSize { announced, max }.into());
    }
    let announced_bytes = usize::try_from(announced).unwrap_or(usize::MAX);
    let inflated = inflate_stream(stream, announced_bytes, out)?;
    if !inflated || out.len() != announced_bytes {
        return Err(Problem::InflatedLength { announced, found: out.len() as u64 }.into());
    }
    match next(out, frame_bytes_max) {
        Ok(Some(frame)) if frame.kind == Kind::Message && frame.bytes.len() == announced_bytes => Ok(frame),
        _ => Err(Problem::InflatedFrame.into()),
    }
}

/// How many bytes `frame` has when it is inflated, as it says itself; none when it is not compressed.
pub fn inflated_bytes(frame: Frame<'_>) -> usize {
    if frame.kind != Kind::Compressed {
        return 0;
    }
    let announced = split_compressed(frame.body()).map_or(0, |(announced, _)| announced);
    usize::try_from(announced).unwrap_or(usize::MAX)
}

/// Splits the body of a compressed frame into the announced size of the frame within and the zlib stream.
pub fn split_compressed(body: &[u8]) -> Result<(u64, &[u8]), MessageError> {
    let (announced, stream) =
        body.split_first_chunk::<8>().ok_or(Problem::CompressedShort { found: body.len() })?;
    Ok((u64::from_be_bytes(*announced), stream))
}

/// Fills `out` up to `bytes_max`; true when the stream ended there. What follows the stream is ignored, as
/// servers do.
fn inflate_stream(mut stream: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<bool, Problem> {
    const STEP_BYTES: usize = 16 << 10;
    let mut zlib = Decompress::new(true);
    let mut filled = 0;
    loop {
        // Records shrink to a third or so: the first guess is right for most, and later ones double.
        let room = (stream.len() * 4).max(out.len()).max(STEP_BYTES).min(bytes_max - filled);
        out.resize(filled + room, 0);
        let (read, written) = (zlib.total_in(), zlib.total_out());
        let status = zlib
            .decompress(stream, &mut out[filled..], FlushDecompress::None)
            .map_err(|source| Problem::Zlib { problem: source.to_string() });
        let consumed = usize::try_from(zlib.total_in() - read).unwrap_or(stream.len());
        let produced = usize::try_from(zlib.total_out() - written).unwrap_or(room);
        filled += produced;
        stream = &stream[consumed..];
        match status {
            Ok(Status::StreamEnd) => {
                out.truncate(filled);
                return Ok(true);
            }
            // No progress: the stream is cut short, or holds more than was announced.
            Ok(_) if consumed == 0 && produced == 0 => {
                out.truncate(filled);
                return Ok(false);
            }
            Ok(_) => {}
            Err(problem) => {
                out.clear();
                return Err(problem);
            }
        }
    }
}

fn judge(header: &[u8; HEADER_BYTES], frame_bytes_max: usize) -> Result<(Kind, usize), FrameError> {
    let kind = match (header[0], header[1]) {
        (2, 1) => Kind::Info,
        // Servers take both versions here, because old clients sent 0.
        (0 | 2, 2) => Kind::Security,
        (2, 3) => Kind::Message,
        (2, 4) => Kind::Compressed,
        (2, found) => return Err(FrameError::Type { found }),
        (22, 3) if header[5] == 1 => return Err(FrameError::TlsOnClearPort),
        _ if is_http(header) => return Err(FrameError::Http),
        (found, _) => return Err(FrameError::Version { found }),
    };
    let max = frame_bytes_max.min(PROTOCOL_BYTES_MAX);
    let found = size(header);
    match usize::try_from(found) {
        Ok(size) if size <= max => Ok((kind, size)),
        _ => Err(FrameError::Size { found, max: max as u64 }),
    }
}

fn size(header: &[u8; HEADER_BYTES]) -> u64 {
    u64::from_be_bytes(*header) & 0x0000_ffff_ffff_ffff
}

fn is_http(header: &[u8; HEADER_BYTES]) -> bool {
    const METHODS: [&[u8]; 5] = [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"OPTIONS "];
    METHODS.iter().any(|method| header.starts_with(method))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::ZlibEncoder};
    use proptest::prelude::*;

    use super::*;
    use crate::wire::ack::ResultCode;

    const MAX: usize = 16 << 20;

    fn message(body: &[u8]) -> Vec<u8> {
        let mut frame = (0x0203_0000_0000_0000 | body.len() as u64).to_be_bytes().to_vec();
        frame.extend_from_slice(body);
        frame
    }

    fn compressed(announced: u64, plain: &[u8]) -> Vec<u8> {
        let mut zlib = ZlibEncoder::new(announced.to_be_bytes().to_vec(), Compression::fast());
        zlib.write_all(plain).unwrap();
        let mut frame = message(&zlib.finish().unwrap());
        frame[1] = 4;
        frame
    }

    fn inflated(bytes: &[u8], max: usize) -> Result<Vec<u8>, MessageError> {
        let frame = next(bytes, MAX).unwrap().unwrap();
        let mut out = vec![7; 3];
        inflate(frame, max, &mut out).map(|frame| frame.bytes.to_vec())
    }

    #[test]
    fn headers_are_judged_before_the_body() {
        let cases: [(&[u8], FrameError); 8] = [
            (&[3, 3, 0, 0, 0, 0, 0, 1], FrameError::Version { found: 3 }),
            (&[0, 3, 0, 0, 0, 0, 0, 1], FrameError::Version { found: 0 }),
            (&[2, 0, 0, 0, 0, 0, 0, 1], FrameError::Type { found: 0 }),
            (&[2, 5, 0, 0, 0, 0, 0, 1], FrameError::Type { found: 5 }),
            (&[2, 3, 0, 0, 0, 0, 1, 1], FrameError::Size { found: 257, max: 256 }),
            (&[2, 3, 0xff, 0, 0, 0, 0, 0], FrameError::Size { found: 0xff00_0000_0000, max: 256 }),
            (&[22, 3, 1, 2, 0, 1, 0, 1], FrameError::TlsOnClearPort),
            (b"POST / HTTP/1.1", FrameError::Http),
        ];
        for (bytes, expected) in cases {
            assert_eq!(next(bytes, 256), Err(expected));
        }
        assert_eq!(next(&[2, 3, 0, 0, 0, 0, 1, 0], 256), Ok(None), "256 bytes are allowed");
        assert_eq!(next(&[0, 2, 0, 0, 0, 0, 0, 0], 256).unwrap().unwrap().kind, Kind::Security);
    }

    #[test]
    fn needed_is_the_whole_frame_and_never_absurd() {
        assert_eq!(needed(&[]), 8);
        assert_eq!(needed(&[2, 3, 0, 0, 0, 0, 0]), 8);
        assert_eq!(needed(&[2, 3, 0, 0, 0, 0, 1, 2, 99]), 8 + 258);
        assert_eq!(needed(&[0xff; 8]), 8 + PROTOCOL_BYTES_MAX);
    }

    #[test]
    fn inflates_large_and_small_and_reports_each_lie() {
        let small = message(b"hello");
        assert_eq!(inflated(&compressed(13, &small), MAX).unwrap(), small);
        let large = message(&vec![b'x'; 3 << 20]);
        assert_eq!(inflated(&compressed(large.len() as u64, &large), MAX).unwrap(), large);

        let mut info = small.clone();
        info[1] = 1;
        let mut cut = compressed(13, &small);
        cut.truncate(cut.len() - 3);
        cut[7] -= 3;
        let cases = [
            compressed(14, &small),
            compressed(12, &small),
            compressed(13, &info),
            compressed(0, &[]),
            compressed(u64::MAX, &small),
            cut,
        ];
        for bytes in cases {
            let error = inflated(&bytes, MAX).unwrap_err();
            assert_eq!(error.result_code(), ResultCode::Parameter, "{error}");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = message(&vec![0; 4 << 20]);
        let bytes = compressed(bomb.len() as u64, &bomb);
        assert!(inflated(&bytes, 1 << 20).is_err());
        let lying = compressed(1000, &bomb);
        let frame = next(&lying, MAX).unwrap().unwrap();
        let mut out = Vec::new();
        assert!(inflate(frame, MAX, &mut out).is_err());
        assert!(out.capacity() <= 64 << 10, "{}", out.capacity());
    }

    fn frames(stream: &[u8]) -> Vec<&[u8]> {
        let mut rest = stream;
        let mut frames = Vec::new();
        while let Ok(Some(frame)) = next(rest, MAX) {
            frames.push(frame.bytes);
            rest = &rest[frame.bytes.len()..];
        }
        frames
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6),
            chunk in 1_usize..40,
        ) {
            let stream: Vec<u8> = bodies.iter().flat_map(|body| message(body)).collect();
            let mut buf = Vec::new();
            let mut found = Vec::new();
            for bytes in stream.chunks(chunk) {
                buf.extend_from_slice(bytes);
                while let Some(frame) = next(&buf, MAX).unwrap() {
                    found.push(frame.bytes.to_vec());
                    let consumed = frame.bytes.len();
                    buf.drain(..consumed);
                }
                prop_assert!(needed(&buf) > buf.len());
            }
            prop_assert_eq!(found, frames(&stream));
            prop_assert!(buf.is_empty());
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = next(&bytes, MAX);
            let _ = needed(&bytes);
            let frame = Frame { kind: Kind::Compressed, bytes: &bytes };
            let _ = inflate(frame, MAX, &mut Vec::new());
        }
    }
}
