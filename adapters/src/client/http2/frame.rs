//! Frames of HTTP/2 (RFC 9113, sections 4 and 6): bytes to meaning and back. Pure.
//!
//! What is wrong with a frame by itself is found here; what is wrong with it at its moment, by the session.

use std::fmt;

/// What a client begins with.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const HEAD_BYTES: usize = 9;
/// Most bytes of a frame's payload that anyone may send without being allowed more.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 16_384;
/// Largest window, largest stream.
pub(crate) const MOST: u32 = 0x7fff_ffff;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITIZED: u8 = 0x20;

/// Why a stream or a connection ends: section 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u32);

impl Code {
    pub(crate) const NO_ERROR: Self = Self(0);
    pub(crate) const PROTOCOL_ERROR: Self = Self(1);
    pub(crate) const FLOW_CONTROL_ERROR: Self = Self(3);
    pub(crate) const FRAME_SIZE_ERROR: Self = Self(6);
    pub(crate) const REFUSED_STREAM: Self = Self(7);
    pub(crate) const CANCEL: Self = Self(8);
    pub(crate) const COMPRESSION_ERROR: Self = Self(9);
    pub(crate) const ENHANCE_YOUR_CALM: Self = Self(11);
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "error {:#x}", self.0),
        }
    }
}

const NAMES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// What the peer did that ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) what: &'static str,
}

impl Fault {
    pub(crate) const fn new(code: Code, what: &'static str) -> Self {
        Self { code, what }
    }

    pub(crate) const fn protocol(what: &'static str) -> Self {
        Self::new(Code::PROTOCOL_ERROR, what)
    }

    const fn size(what: &'static str) -> Self {
        Self::new(Code::FRAME_SIZE_ERROR, what)
    }
}

/// The first bytes of every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl Head {
    pub(crate) fn read(bytes: &[u8; HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & MOST,
        }
    }

    pub(crate) fn bytes(self) -> [u8; HEAD_BYTES] {
        let [_, a, b, c] = (self.length as u32).to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }
}

/// Appends a frame.
pub(crate) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&Head { length: payload.len(), kind, flags, stream }.bytes());
    out.extend_from_slice(payload);
}

/// A frame with its meaning.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// `charged`: what it takes of the windows, padding included.
    Data {
        stream: u32,
        data: &'a [u8],
        charged: u32,
        ends: bool,
    },
    /// `whole`: no CONTINUATION follows.
    Headers {
        stream: u32,
        block: &'a [u8],
        ends: bool,
        whole: bool,
    },
    Continuation {
        stream: u32,
        block: &'a [u8],
        whole: bool,
    },
    Reset {
        stream: u32,
        code: Code,
    },
    /// Pairs of two bytes and four.
    Settings(&'a [u8]),
    SettingsTaken,
    Ping([u8; 8]),
    GoAway {
        last: u32,
        code: Code,
    },
    /// Stream 0 is the connection.
    Window {
        stream: u32,
        increment: u32,
    },
    /// Nothing that is looked at: answers to pings, priorities, kinds that nobody knows.
    Other,
}

impl<'a> Frame<'a> {
    pub(crate) fn read(head: Head, payload: &'a [u8]) -> Result<Self, Fault> {
        let Head { kind, flags, stream, .. } = head;
        let has = |flag: u8| flags & flag != 0;
        match kind {
            DATA | HEADERS | PRIORITY | RST_STREAM | CONTINUATION if stream == 0 => {
                return Err(Fault::protocol("a frame of a stream came without one"));
            }
            SETTINGS | PING | GOAWAY if stream != 0 => {
                return Err(Fault::protocol("a frame of the connection came on a stream"));
            }
            _ => {}
        }
        Ok(match kind {
            DATA => Self::Data {
                stream,
                data: unpadded(payload, has(PADDED))?,
                charged: payload.len() as u32,
                ends: has(END_STREAM),
            },
            HEADERS => {
                let inner = unpadded(payload, has(PADDED))?;
                let block = if has(PRIORITIZED) { inner.get(5..) } else { Some(inner) };
                Self::Headers {
                    stream,
                    block: block.ok_or(Fault::size("HEADERS too short for its priority"))?,
                    ends: has(END_STREAM),
                    whole: has(END_HEADERS),
                }
            }
            CONTINUATION => Self::Continuation { stream, block: payload, whole: has(END_HEADERS) },
            PRIORITY if payload.len() != 5 => return Err(Fault::size("PRIORITY that has not 5 bytes")),
            RST_STREAM => Self::Reset {
                stream,
                code: Code(number(payload).ok_or(Fault::size("RST_STREAM that has not 4 bytes"))?),
            },
            SETTINGS if has(ACK) && !payload.is_empty() => {
                return Err(Fault::size("SETTINGS that acknowledge and have a payload"));
            }
            SETTINGS if has(ACK) => Self::SettingsTaken,
            SETTINGS if !payload.len().is_multiple_of(6) => {
                return Err(Fault::size("SETTINGS that break off"));
            }
            SETTINGS => Self::Settings(payload),
            PUSH_PROMISE => return Err(Fault::protocol("PUSH_PROMISE, which was not allowed")),
            PING => {
                let bytes = payload.try_into().map_err(|_| Fault::size("PING that has not 8 bytes"))?;
                if has(ACK) { Self::Other } else { Self::Ping(bytes) }
            }
            GOAWAY => match payload {
                [a, b, c, d, e, f, g, h, ..] => Self::GoAway {
                    last: u32::from_be_bytes([*a, *b, *c, *d]) & MOST,
                    code: Code(u32::from_be_bytes([*e, *f, *g, *h])),
                },
                _ => return Err(Fault::size("GOAWAY that has not 8 bytes")),
            },
            WINDOW_UPDATE => Self::Window {
                stream,
                increment: number(payload).ok_or(Fault::size("WINDOW_UPDATE that has not 4 bytes"))? & MOST,
            },
            _ => Self::Other,
        })
    }
}

fn number(payload: &[u8]) -> Option<u32> {
    payload.try_into().ok().map(u32::from_be_bytes)
}

fn unpadded(payload: &[u8], padded: bool) -> Result<&[u8], Fault> {
    if !padded {
        return Ok(payload);
    }
    let (&padding, rest) = payload.split_first().ok_or(Fault::size("a padded frame without a byte"))?;
    let kept = rest.len().checked_sub(padding.into()).ok_or(Fault::protocol("more padding than payload"))?;
    Ok(&rest[..kept])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<Frame<'_>, Code> {
        let mut bytes = Vec::new();
        write(&mut bytes, kind, flags, stream, payload);
        let head = Head::read(bytes.first_chunk().unwrap());
        assert_eq!((head.length, head.bytes()), (payload.len(), *bytes.first_chunk().unwrap()));
        Frame::read(head, payload).map_err(|fault| fault.code)
    }

    #[test]
    fn padding_is_taken_off_and_charged() {
        let data = Frame::Data { stream: 3, data: b"ab", charged: 5, ends: true };
        assert_eq!(read(DATA, PADDED | END_STREAM, 3, &[2, b'a', b'b', 0, 0]), Ok(data));
        let none = Frame::Data { stream: 3, data: b"", charged: 1, ends: false };
        assert_eq!(read(DATA, PADDED, 3, &[0]), Ok(none));
        assert_eq!(read(DATA, PADDED, 3, &[2, 0]), Err(Code::PROTOCOL_ERROR));
        assert_eq!(read(DATA, PADDED, 3, &[]), Err(Code::FRAME_SIZE_ERROR));
        let headers = Frame::Headers { stream: 1, block: &[0x88], ends: false, whole: true };
        let payload = [1, 0, 0, 0, 0, 0, 0x88, 0];
        assert_eq!(read(HEADERS, PADDED | PRIORITIZED | END_HEADERS, 1, &payload), Ok(headers));
        assert_eq!(read(HEADERS, PRIORITIZED, 1, &[0; 4]), Err(Code::FRAME_SIZE_ERROR));
    }

    #[test]
    fn sizes_and_streams_are_checked() {
        for kind in [DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION] {
            assert_eq!(read(kind, 0, 0, &[0; 5]), Err(Code::PROTOCOL_ERROR), "{kind}");
        }
        for kind in [SETTINGS, PING, GOAWAY] {
            assert_eq!(read(kind, 0, 1, &[0; 8]), Err(Code::PROTOCOL_ERROR), "{kind}");
        }
        for (kind, flags, bytes) in
            [(PRIORITY, 0, 4), (RST_STREAM, 0, 5), (SETTINGS, 0, 7), (SETTINGS, ACK, 6), (PING, 0, 7)]
        {
            let stream = u32::from(kind < SETTINGS);
            assert_eq!(read(kind, flags, stream, &[0; 8][..bytes]), Err(Code::FRAME_SIZE_ERROR), "{kind}");
        }
        assert_eq!(read(GOAWAY, 0, 0, &[0; 7]), Err(Code::FRAME_SIZE_ERROR));
        assert_eq!(read(WINDOW_UPDATE, 0, 0, &[0; 3]), Err(Code::FRAME_SIZE_ERROR));
        assert_eq!(read(PUSH_PROMISE, 0, 1, &[0; 8]), Err(Code::PROTOCOL_ERROR));
    }

    #[test]
    fn reserved_bits_mean_nothing() {
        let last = Frame::GoAway { last: 7, code: Code::NO_ERROR };
        assert_eq!(read(GOAWAY, 0xff, 0, &[0x80, 0, 0, 7, 0, 0, 0, 0, b'x']), Ok(last));
        let window = Frame::Window { stream: 0, increment: 1 };
        assert_eq!(read(WINDOW_UPDATE, 0, 0, &[0x80, 0, 0, 1]), Ok(window));
        assert_eq!(Head::read(&[0, 0, 0, 0, 0, 0x80, 0, 0, 5]).stream, 5);
        assert_eq!(read(0xfa, 0xff, 9, b"what"), Ok(Frame::Other));
    }

    #[test]
    fn codes_have_names() {
        assert_eq!(Code::ENHANCE_YOUR_CALM.to_string(), "ENHANCE_YOUR_CALM");
        assert_eq!(Code(77).to_string(), "error 0x4d");
    }
}
