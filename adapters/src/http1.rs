//! What an answer of HTTP/1.1 says, read from its bytes as they come. Pure.
//!
//! However the bytes are cut into pieces, the result is the same (what is wrong with a head of many kilobytes may show later,
//! when it is whole). Nothing is guessed: an answer whose end could be seen in two places is malformed, or its connection
//! takes no further request.

use std::mem::MaybeUninit;

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::RETRY_AFTER};
use httparse::{Header, ParserConfig, Response, Status};

pub use self::chunked::Chunks;

mod chunked;

/// Most bytes of a head.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// A head that is looked at anew with each piece of it.
const SHORT_BYTES: usize = 4 * 1024;
/// Most headers in a head.
pub const HEADERS_MAX: usize = 100;

/// Reads the head of an answer, over interim ones (1xx).
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadReader {
    /// Bytes of the unfinished head that were looked at already, and hold no end of it.
    seen: usize,
    to_head: bool,
}

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    /// Its status; never an interim one, but for 101.
    pub status: StatusCode,
    /// All headers of what is no success; of a success `Retry-After` only, as nobody reads another.
    pub headers: HeaderMap,
    /// What follows.
    pub body: Body,
    /// Whether the connection may take another request when the body has ended.
    pub reusable: bool,
}

/// The body of an answer, as far as it has not come yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunks),
    /// All until the connection ends.
    UntilClose,
}

/// What came is not HTTP, or beyond all bounds. Never repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is no HTTP/1.1: {0}")]
pub struct Malformed(&'static str);

impl HeadReader {
    /// `to_head`: the request's method was HEAD, so that no body follows.
    pub fn new(to_head: bool) -> Self {
        Self { seen: 0, to_head }
    }

    /// How many of `bytes` are done with, and the head when it is whole. `bytes` are all that came since the ones done with.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(usize, Option<Head>), Malformed> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let Some((length, head)) = self.head(rest)? else {
                self.seen = rest.len();
                return Ok((used, None));
            };
            self.seen = 0;
            used += length;
            if let Some(head) = head {
                return Ok((used, Some(head)));
            }
        }
    }

    /// One head and its length; an interim one is left out.
    fn head(&self, bytes: &[u8]) -> Result<Option<(usize, Option<Head>)>, Malformed> {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut response = Response::new(&mut []);
        let parsed = if self.may_have_ended(bytes) {
            ParserConfig::default()
                .parse_response_with_uninit_headers(&mut response, bytes, &mut headers)
                .map_err(|error| Malformed(words(error)))?
        } else {
            Status::Partial
        };
        let length = match parsed {
            Status::Complete(length) if length <= HEAD_BYTES_MAX => length,
            Status::Partial if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
            _ => return Err(Malformed("its head is longer than 65536 bytes")),
        };
        let (Some(code), Some(minor)) = (response.code, response.version) else {
            return Err(Malformed("no status"));
        };
        let status = StatusCode::from_u16(code).map_err(|_| Malformed("a status below 100"))?;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Some((length, None)));
        }
        Head::new(status, minor == 0, response.headers, self.to_head).map(|head| Some((length, Some(head))))
    }

    /// Whether looking at the whole head again is worth it: many small pieces of a long one would else cost their square.
    fn may_have_ended(&self, bytes: &[u8]) -> bool {
        let new = &bytes[self.seen.saturating_sub(3)..];
        bytes.len() <= SHORT_BYTES
            || new.windows(2).any(|two| two == b"\n\n")
            || new.windows(3).any(|three| three == b"\n\r\n")
    }
}

impl Head {
    fn new(
        status: StatusCode,
        http10: bool,
        fields: &[Header<'_>],
        to_head: bool,
    ) -> Result<Self, Malformed> {
        let mut headers = HeaderMap::new();
        let (mut close, mut keep_alive, mut length) = (false, false, Ok(None));
        let mut last_coding = None;
        for Header { name, value } in fields {
            if name.eq_ignore_ascii_case("content-length") {
                length = length.and_then(|length| content_length(length, value));
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                last_coding = elements(value).last();
            } else if name.eq_ignore_ascii_case("connection") {
                close = close || elements(value).any(|option| option.eq_ignore_ascii_case(b"close"));
                keep_alive =
                    keep_alive || elements(value).any(|option| option.eq_ignore_ascii_case(b"keep-alive"));
            }
            if !status.is_success() || name.eq_ignore_ascii_case(RETRY_AFTER.as_str()) {
                let parsed = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value));
                if let (Ok(name), Ok(value)) = parsed {
                    headers.append(name, value);
                }
            }
        }
        let none = matches!(
            status,
            StatusCode::SWITCHING_PROTOCOLS | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        let body = match (last_coding, length) {
            _ if none || to_head => Body::Length(0),
            (Some(_), _) if http10 => return Err(Malformed("HTTP/1.0 with Transfer-Encoding")),
            (Some(coding), _) if coding.eq_ignore_ascii_case(b"chunked") => Body::Chunked(Chunks::default()),
            (Some(_), _) => Body::UntilClose,
            (None, Err(malformed)) => return Err(malformed),
            (None, Ok(Some(length))) => Body::Length(length),
            (None, Ok(None)) => Body::UntilClose,
        };
        // Two lengths at once, one of which somebody on the way may have believed.
        let ambiguous = last_coding.is_some() && length != Ok(None);
        let reusable = !close
            && (!http10 || keep_alive)
            && !ambiguous
            && status != StatusCode::SWITCHING_PROTOCOLS
            && body != Body::UntilClose;
        Ok(Self { status, headers, body, reusable })
    }
}

impl Body {
    /// Takes from `bytes`, which are not empty: how many are done with, and which of them are content. To be called until
    /// [`Body::is_whole`].
    pub fn read<'a>(&mut self, bytes: &'a [u8]) -> Result<(usize, &'a [u8]), Malformed> {
        match self {
            Self::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= length as u64;
                Ok((length, &bytes[..length]))
            }
            Self::Chunked(chunks) => chunks.read(bytes),
            Self::UntilClose => Ok((bytes.len(), bytes)),
        }
    }

    /// Whether all has come.
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_whole(),
            Self::UntilClose => false,
        }
    }

    /// Whether all has come now that the connection has ended.
    pub fn is_whole_at_end(&self) -> bool {
        *self == Self::UntilClose || self.is_whole()
    }
}

/// The elements of a list, without the space around them.
fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// A length said once more, or several times in one header, is no second length.
fn content_length(before: Option<u64>, value: &[u8]) -> Result<Option<u64>, Malformed> {
    elements(value).try_fold(before, |before, element| {
        let length = number(element).ok_or(Malformed("its Content-Length is no number of bytes"))?;
        match before {
            Some(before) if before != length => Err(Malformed("two different values of Content-Length")),
            _ => Ok(Some(length)),
        }
    })
}

/// Digits and nothing else: no sign, as the parsers of numbers allow.
fn number(digits: &[u8]) -> Option<u64> {
    let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn words(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::Version => "its first line does not begin with HTTP/1.0 or HTTP/1.1",
        httparse::Error::Status => "its first line holds no status",
        httparse::Error::TooManyHeaders => "more than 100 headers",
        httparse::Error::HeaderName => "a header name holds what none may hold",
        httparse::Error::HeaderValue => "a header value holds what none may hold",
        httparse::Error::NewLine => "a line ends wrongly",
        httparse::Error::Token => "its head holds what none may hold",
    }
}
