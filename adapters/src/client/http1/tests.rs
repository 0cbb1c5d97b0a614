//! Answers, cut into pieces at every place, read by ours and by hyper.

use std::{fmt, pin::pin, sync::Arc};

use ::http::{HeaderMap, Method, header::RETRY_AFTER};
use bytes::Bytes;
use http_body_util::Full;
use proptest::prelude::*;

use super::{
    reference,
    scripted::{Scripted, Then, Then::*},
    *,
};
use crate::client::{ANSWER_BODY_BYTES_MAX, slots::Slots};

/// What an exchange came to, as far as anybody looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Waits,
    Answer {
        status: u16,
        headers: Vec<(String, Vec<u8>)>,
        body: Vec<u8>,
        whole: bool,
        cut: bool,
        again: bool,
    },
    No(&'static str),
}

impl Seen {
    pub(super) fn new(result: Result<Answered, Lost>, again: bool) -> Self {
        match result {
            Ok(Answered { status, headers, whole, body, cut }) => Self::Answer {
                headers: read(&headers, status.is_success()),
                status: status.as_u16(),
                body: body.to_vec(),
                whole,
                cut,
                again,
            },
            Err(Lost::Unprocessed(_)) => Self::No("unprocessed"),
            Err(Lost::Stale(_)) => Self::No("stale"),
            Err(Lost::Broken(_)) => Self::No("broken"),
            Err(Lost::Malformed(_)) => Self::No("malformed"),
            Err(Lost::Unproven(_)) => Self::No("unproven"),
        }
    }

    fn whole(&self) -> bool {
        matches!(self, Self::Answer { whole: true, .. })
    }

    fn again(&self) -> bool {
        matches!(self, Self::Answer { again: true, .. })
    }

    /// The same but for whether the connection may be used again.
    fn closing(self) -> Self {
        match self {
            Self::Answer { status, headers, body, whole, cut, .. } => {
                Self::Answer { status, headers, body, whole, cut, again: false }
            }
            other => other,
        }
    }
}

/// Headers that somebody reads.
fn read(headers: &HeaderMap, is_success: bool) -> Vec<(String, Vec<u8>)> {
    let mut read: Vec<_> = headers
        .iter()
        .filter(|(name, _)| !is_success || *name == RETRY_AFTER)
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    read.sort();
    read
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waits => f.write_str("waits"),
            Self::No(why) => f.write_str(why),
            Self::Answer { status, body, whole, cut, again, .. } => {
                write!(f, "{status}")?;
                match body.len() {
                    0 => (),
                    1..99 => write!(f, " {}", String::from_utf8_lossy(body))?,
                    long => write!(f, " {long} bytes")?,
                }
                let marks = [(*cut, "cut"), (!whole, "broken"), (!again, "closed")];
                marks.iter().filter(|(is, _)| *is).try_for_each(|(_, mark)| write!(f, " {mark}"))
            }
        }
    }
}

/// Polls for as long as it may get on without anything happening elsewhere.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    (0..100).find_map(|_| match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

fn connection(stream: Scripted) -> Http1<Scripted> {
    let permit = Permit::take(&Arc::new(Slots::new(Arc::default())), 1).unwrap();
    let mut connection = Http1::new(stream, Memory::default(), permit);
    connection.head.bytes = HEAD.to_vec();
    connection
}

const HEAD: &[u8] = b"POST / HTTP/1.1\r\n\r\n";

fn ours_on(connection: &mut Http1<Scripted>, body: &[u8]) -> Seen {
    connection.head.bytes = HEAD.to_vec();
    let result = at_once(connection.exchange(body, Keep::All(ANSWER_BODY_BYTES_MAX)));
    let Some(result) = result else { return Seen::Waits };
    Seen::new(result, connection.is_reusable() && connection.is_usable(Instant::now()))
}

fn ours(method: &Method, stream: Scripted) -> Seen {
    let mut connection = connection(stream);
    connection.head.is_for_head = *method == Method::HEAD;
    ours_on(&mut connection, b"")
}

fn hypers(method: &Method, stream: Scripted) -> Seen {
    let mut request = hyper::Request::new(Full::new(Bytes::new()));
    *request.method_mut() = method.clone();
    at_once(reference::exchange(stream, request, Keep::All(ANSWER_BODY_BYTES_MAX))).unwrap_or(Seen::Waits)
}

/// An answer, what comes after it, what it is taken for, and what hyper takes it for where that is something else.
struct Case(&'static str, Then, &'static str, Option<&'static str>);

const fn case(answer: &'static str, then: Then, expected: &'static str) -> Case {
    Case(answer, then, expected, None)
}

const CASES: &[Case] = &[
    // The usual ones.
    case("HTTP/1.1 204 No Content\r\n\r\n", Silence, "204"),
    case("HTTP/1.1 204 No Content\r\n\r\n", Close, "204 closed"),
    case("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Silence, "200 ok"),
    case("HTTP/1.1 200 OK\r\nContent-Length:2 \r\n\r\nok", Reset, "200 ok closed"),
    case("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Silence, "200"),
    case("HTTP/1.1 503 \r\nRetry-After: 3\r\ndate: x\r\ncontent-length: 4\r\n\r\nbusy", Silence, "503 busy"),
    case("HTTP/1.1 200 OK\r\nRetry-After: 3\r\nx: y\r\ncontent-length: 0\r\n\r\n", Silence, "200"),
    case("HTTP/1.1 403 No\r\nx-e: \u{e9}\r\nx-e: 2\r\ncontent-length: 0\r\n\r\n", Silence, "403"),
    // Line ends that RFC 9112 (2.2) lets a reader forgive.
    case("\r\n\nHTTP/1.1 200 OK\ncontent-length: 2\n\nok", Silence, "200 ok"),
    // Chunks.
    case("HTTP/1.1 202 A\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Silence, "202 ok"),
    case(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n00a \t;x=\"y\"\r\n0123456789\r\n1\r\n!\r\n0;z\r\n\r\n",
        Silence,
        "200 0123456789!",
    ),
    case(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nx-sum: 1\r\ny:\r\n\r\n",
        Silence,
        "200 0123456789",
    ),
    case("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Silence, "200"),
    // Interim answers.
    case(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\ncontent-length: 9\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        Silence,
        "200 ok",
    ),
    case("HTTP/1.1 100 Continue\r\n\r\n", Silence, "waits"),
    case("HTTP/1.1 100 Continue\r\n\r\n", Close, "broken"),
    // No body, whatever the head says.
    case("HTTP/1.1 304 Same\r\ncontent-length: 5\r\n\r\n", Silence, "304"),
    case("HTTP/1.1 204 None\r\ntransfer-encoding: chunked\r\n\r\n", Silence, "204"),
    case("HTTP/1.1 204 None\r\ncontent-length: 1\r\n\r\nx", Silence, "204 closed"),
    case("HTTP/1.1 101 Switch\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", Silence, "101 closed"),
    // The connection's end as the body's.
    case("HTTP/1.1 200 OK\r\n\r\nbye", Close, "200 bye closed"),
    case("HTTP/1.1 200 OK\r\n\r\nbye", Silence, "waits"),
    case("HTTP/1.1 200 OK\r\n\r\nbye", Reset, "200 bye broken closed"),
    case("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\nbye", Close, "200 bye closed"),
    // Who wants to go on.
    case("HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n", Silence, "200 closed"),
    case("HTTP/1.1 200 OK\r\nconnection: x , close\r\ncontent-length: 0\r\n\r\n", Silence, "200 closed"),
    case(
        "HTTP/1.1 200 OK\r\nconnection: close\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n",
        Silence,
        "200 closed",
    ),
    case("HTTP/1.1 200 OK\r\nconnection: closed\r\ncontent-length: 0\r\n\r\n", Silence, "200"),
    case("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", Silence, "200 ok closed"),
    case("HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: Keep-Alive\r\n\r\nok", Silence, "200 ok"),
    case("HTTP/1.0 200 OK\r\n\r\nbye", Close, "200 bye closed"),
    // More than was asked for.
    case("HTTP/1.1 204 None\r\n\r\nHTTP/1.1 204 None\r\n\r\n", Silence, "204 closed"),
    case("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokay", Silence, "200 ok closed"),
    case("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n\r\n", Silence, "200 closed"),
    // Halves.
    case("", Close, "broken"),
    case("", Reset, "broken"),
    case("", Silence, "waits"),
    case("HTTP/1.1 20", Close, "broken"),
    case("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n", Close, "broken"),
    case("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n", Silence, "waits"),
    case("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", Close, "200 half broken closed"),
    case("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", Reset, "200 half broken closed"),
    case("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", Silence, "waits"),
    case("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal", Close, "200 hal broken closed"),
    case("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", Close, "200 broken closed"),
    // Lengths.
    case("HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\ncontent-length: 2\r\n\r\nok", Silence, "200 ok"),
    case("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", Silence, "malformed"),
    case("HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nok", Silence, "malformed"),
    case("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok", Silence, "malformed"),
    case("HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok", Silence, "malformed"),
    case("HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\nok", Silence, "malformed"),
    case("HTTP/1.1 200 OK\r\ncontent-length: 2 2\r\n\r\nok", Silence, "malformed"),
    case("HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nok", Silence, "malformed"),
    case("HTTP/1.1 200 OK\r\ncontent-length: 2,\r\n\r\nok", Silence, "malformed"),
    case("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\nok", Silence, "malformed"),
    case("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Silence, "malformed"),
    // Two framings at once: RFC 9112 (6.3) has the connection closed.
    Case(
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        Silence,
        "200 ok closed",
        Some("200 ok"),
    ),
    // Chunks that are none.
    case("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\n\r\n", Silence, "200 broken closed"),
    case("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n;\r\n\r\n", Silence, "200 broken closed"),
    case("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n\r\n", Silence, "200 broken closed"),
    case("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2 2\r\n\r\n", Silence, "200 broken closed"),
    case("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\n\r\n", Silence, "200 broken closed"),
    case("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\rx", Silence, "200 broken closed"),
    case("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0;a\nb\r\n", Silence, "200 broken closed"),
    case("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nokay", Silence, "200 ok broken closed"),
    case("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\rx", Silence, "200 ok broken closed"),
    case(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n11111111111111111\r\nok",
        Silence,
        "200 broken closed",
    ),
    // No size has 17 digits, zeros in front or not.
    Case(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n00000000000000000\r\n\r\n",
        Silence,
        "200 broken closed",
        Some("200"),
    ),
    case(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nno\r\n\r\n",
        Silence,
        "200 broken closed",
    ),
    case(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n: x\r\n\r\n",
        Silence,
        "200 broken closed",
    ),
    case(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: \0\r\n\r\n",
        Silence,
        "200 broken closed",
    ),
    case("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: b\rx", Silence, "200 broken closed"),
    // No HTTP/1.1.
    case("SSH-2.0-OpenSSH_9.2\r\n\r\n", Silence, "malformed"),
    case("HTTP/2.0 200 OK\r\n\r\n", Silence, "malformed"),
    case("HTTP/1.2 200 OK\r\n\r\n", Silence, "malformed"),
    case("http/1.1 200 OK\r\n\r\n", Silence, "malformed"),
    case("HTTP/1.1  200 OK\r\n\r\n", Silence, "malformed"),
    case("HTTP/1.1 20 OK\r\n\r\n", Silence, "malformed"),
    case("HTTP/1.1 2000 OK\r\n\r\n", Silence, "malformed"),
    case("HTTP/1.1 099 Low\r\n\r\n", Silence, "malformed"),
    case("HTTP/1.1 abc\r\n\r\n", Silence, "malformed"),
    case("HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n", Silence, "malformed"),
    case("HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n", Silence, "malformed"),
    case("HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n", Silence, "malformed"),
    case("HTTP/1.1 200 OK\r\nx\r\ncontent-length: 0\r\n\r\n", Silence, "malformed"),
    case("HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 0\r\n\r\n", Silence, "malformed"),
];

/// Text of the cases, where `\u{e9}` stands for one byte.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|char| char as u32 as u8).collect()
}

#[test]
fn wherever_an_answer_is_cut_it_is_the_same() {
    for Case(answer, then, expected, differs) in CASES {
        let answer = latin1(answer);
        let stream = |pieces: &[&[u8]]| Scripted::new(pieces.iter().map(|piece| piece.to_vec()), *then);
        let hypers_whole = hypers(&Method::POST, stream(&[&answer]));
        for cut in 0..=answer.len() {
            let (first, second) = answer.split_at(cut);
            let place =
                format!("{:?} | {:?}", first.escape_ascii().to_string(), second.escape_ascii().to_string());
            let ours = ours(&Method::POST, stream(&[first, second]));
            assert_eq!(ours.to_string(), *expected, "{place}");
            let hypers = hypers(&Method::POST, stream(&[first, second]));
            match differs {
                None => assert_eq!(ours, hypers, "{place}"),
                Some(differs) => assert_eq!(hypers.to_string(), *differs, "{place}"),
            }
            assert_eq!(hypers, hypers_whole, "{place}");
        }
        let bytes: Vec<_> = answer.chunks(1).collect();
        assert_eq!(ours(&Method::POST, stream(&bytes)).to_string(), *expected, "{:?}", answer.escape_ascii());
    }
}

#[test]
fn an_answer_to_head_has_no_body() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n",
        "HTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let stream = || Scripted::new([head.as_bytes().to_vec()], Silence);
        let ours = ours(&Method::HEAD, stream());
        assert!(ours.whole() && ours.again(), "{head:?}: {ours}");
        assert_eq!(ours, hypers(&Method::HEAD, stream()), "{head:?}");
    }
}

#[test]
fn nothing_grows_without_bound() {
    let long = |length| "x".repeat(length);
    let head = |length: usize| {
        let rest = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: \r\n\r\n".len();
        format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: {}\r\n\r\n", long(length - rest))
    };
    let headers = |count: usize| {
        format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "x: y\r\n".repeat(count - 1))
    };
    let chunked = |rest: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{rest}");
    let sized = |length| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{}", long(length));
    for (answer, expected, as_hyper) in [
        (head(65536), "200", false),
        (head(65537), "malformed", false),
        (format!("HTTP/1.1 200 OK\r\nx: {}", long(70_000)), "malformed", true),
        (long(70_000), "malformed", true),
        ("\r\n".repeat(40_000), "malformed", true),
        (headers(100), "200", true),
        (headers(101), "malformed", true),
        (sized(65536), "200 65536 bytes", true),
        (sized(65537), "200 65536 bytes cut closed", true),
        (format!("HTTP/1.1 500 X\r\n\r\n{}", long(65537)), "500 65536 bytes cut closed", true),
        (chunked(&format!("1{}", "0".repeat(15))), "waits", true),
        (chunked(&format!("10001\r\n{}", long(65537))), "200 65536 bytes cut closed", true),
        (chunked(&format!("0;{}\r\n\r\n", long(16_000))), "200", true),
        (chunked(&format!("0;{}\r\n\r\n", long(17_000))), "200 broken closed", true),
        (chunked(&format!("0\r\nx:{}\r\n\r\n", long(16_000))), "200", true),
        (chunked(&format!("0\r\nx:{}\r\n\r\n", long(17_000))), "200 broken closed", true),
        (
            chunked(&format!("{}0\r\n\r\n", format!("1;{}\r\nx\r\n", long(998)).repeat(17))),
            "200 xxxxxxxxxxxxxxxx broken closed",
            false,
        ),
    ] {
        for piece in [1, 1000, answer.len()] {
            let stream = || Scripted::new(answer.as_bytes().chunks(piece).map(<[u8]>::to_vec), Silence);
            let ours = ours(&Method::POST, stream());
            let place = format!("{}... of {} bytes in pieces of {piece}", &answer[..20], answer.len());
            assert_eq!(ours.to_string(), expected, "{place}");
            if as_hyper && piece > 1 {
                assert_eq!(hypers(&Method::POST, stream()), ours, "{place}");
            }
        }
    }
}

#[test]
fn what_nobody_asked_for_is_not_the_answer_to_the_next_request() {
    let timeout = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    for (said, then) in [(timeout, Close), (timeout, Silence), ("", Close), ("", Reset), ("\r\n", Silence)] {
        // On a new connection, and on one that has served.
        let mut stream = Scripted::new([said.as_bytes().to_vec()], then);
        stream.reads_after = 0;
        let mut fresh = connection(stream);
        assert!(!fresh.is_usable(Instant::now()), "{said:?} {then:?}");
        let mut stream = Scripted::new([said.as_bytes().to_vec()], then);
        stream.reads_after = 0;
        let mut fresh = connection(stream);
        assert_eq!(ours_on(&mut fresh, b"{}"), Seen::No("unprocessed"), "{said:?} {then:?}");
        assert!(fresh.stream.written.is_empty());

        let mut used = connection(Scripted::new([b"HTTP/1.1 204 None\r\n\r\n".to_vec()], Silence));
        assert_eq!(ours_on(&mut used, b"{}").to_string(), "204");
        used.stream.pieces.extend((!said.is_empty()).then(|| said.as_bytes().to_vec()));
        used.stream.then = then;
        assert!(!used.is_usable(used.idle_since), "{said:?} {then:?}");

        // What the runtime has not heard of is looked for where there was time for it to come.
        let mut stream = Scripted::new([said.as_bytes().to_vec()], then);
        (stream.reads_after, stream.unheard) = (0, true);
        let mut idle = connection(stream);
        assert!(idle.is_usable(idle.idle_since));
        assert!(!idle.is_usable(idle.idle_since + Duration::from_millis(2)), "{said:?} {then:?}");
    }
}

#[test]
fn only_silence_on_a_used_connection_may_be_repeated() {
    for (said, then, fresh, used) in [
        ("", Close, "broken", "stale"),
        ("", Reset, "broken", "stale"),
        ("H", Close, "broken", "broken"),
        ("HTTP/1.1 100 Continue\r\n\r\n", Reset, "broken", "broken"),
    ] {
        let mut new = connection(Scripted::new([said.as_bytes().to_vec()], then));
        assert_eq!(ours_on(&mut new, b"{}").to_string(), fresh, "{said:?}");

        let mut connection = connection(Scripted::new([b"HTTP/1.1 204 None\r\n\r\n".to_vec()], Silence));
        assert_eq!(ours_on(&mut connection, b"{}").to_string(), "204");
        connection.stream.reads_after = connection.stream.written.len() + 1;
        connection.stream.pieces.extend((!said.is_empty()).then(|| said.as_bytes().to_vec()));
        connection.stream.then = then;
        assert_eq!(ours_on(&mut connection, b"{}").to_string(), used, "{said:?}");
        assert!(!connection.is_usable(Instant::now()));
    }
}

#[test]
fn an_answer_before_the_end_of_the_request_is_the_answer() {
    let early = "HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nlarge";
    for (fails, then) in [(false, Silence), (false, Close), (true, Close), (true, Reset)] {
        let mut stream = Scripted::new(early.as_bytes().chunks(9).map(<[u8]>::to_vec), then);
        (stream.writes_max, stream.write_fails, stream.reads_after) = (30, fails, 30);
        let mut connection = connection(stream);
        assert_eq!(
            ours_on(&mut connection, &[b'x'; 1000]).to_string(),
            "413 large closed",
            "{fails} {then:?}"
        );
    }
    // Nothing said and nothing more taken: the peer may still have processed what it has.
    for then in [Close, Reset] {
        let mut stream = Scripted::new([], then);
        (stream.writes_max, stream.write_fails) = (30, true);
        let result = at_once(connection(stream).exchange(&[b'x'; 1000], Keep::Nothing)).unwrap();
        let Err(Lost::Broken(text)) = result else { panic!("taken for something else") };
        assert!(text.contains("broken pipe"), "{text}");
    }
}

#[test]
fn head_and_body_go_out_in_one_write() {
    for length in [0, 2, COPIED_BYTES_MAX, COPIED_BYTES_MAX + 1, 100_000] {
        let mut connection = connection(Scripted::new([b"HTTP/1.1 204 None\r\n\r\n".to_vec()], Silence));
        let body = vec![b'x'; length];
        assert_eq!(ours_on(&mut connection, &body).to_string(), "204");
        assert_eq!(connection.stream.written, [HEAD, &body].concat());
        assert_eq!(connection.stream.writes, 1, "{length}");
    }
}

#[test]
fn a_request_goes_out_whole_however_little_is_taken_at_once() {
    for body in [&b"{\"a\":1}"[..], &[b'x'; COPIED_BYTES_MAX + 1]] {
        let sent = [HEAD, body].concat();
        for room in (0..40).chain([1000, sent.len() - 1, sent.len()]).filter(|room| *room <= sent.len()) {
            let mut stream = Scripted::new([b"HTTP/1.1 204 None\r\n\r\n".to_vec()], Silence);
            (stream.writes_max, stream.reads_after) = (room, sent.len());
            let mut connection = connection(stream);
            let answered = at_once(async {
                let mut exchange = pin!(connection.exchange(body, Keep::Nothing));
                // Polled once more when there is room again.
                poll_fn(|cx| Poll::Ready(exchange.as_mut().poll(cx).is_ready())).await
            });
            assert_eq!(answered, Some(room == sent.len()), "{room}");
            assert_eq!(connection.stream.written, sent[..room]);
            assert!(room == sent.len() || !connection.is_usable(Instant::now()), "dropped midway");
        }
    }
}

/// Takes a few bytes, then none until it is polled again.
#[test]
fn what_was_not_taken_at_once_follows() {
    for (step, length) in [(1, 10), (7, 10), (19, 10), (20, 10), (7, 5000), (4999, 5000)] {
        let body: Vec<u8> = (0..length).map(|index| index as u8).collect();
        let sent = [HEAD, &body].concat();
        let mut stream = Scripted::new([b"HTTP/1.1 204 None\r\n\r\n".to_vec()], Silence);
        (stream.step, stream.reads_after) = (step, sent.len());
        let mut connection = connection(stream);
        let result = {
            let mut exchange = pin!(connection.exchange(&body, Keep::Nothing));
            let mut cx = Context::from_waker(Waker::noop());
            (0..10_000).find_map(|_| match exchange.as_mut().poll(&mut cx) {
                Poll::Ready(result) => Some(result),
                Poll::Pending => None,
            })
        };
        assert!(result.is_some_and(|result| result.is_ok()), "{step} {length}");
        assert_eq!(connection.stream.written, sent);
        assert!(connection.is_usable(connection.idle_since));
    }
}

/// One of the cases with a few bytes changed, in pieces.
fn damaged() -> impl Strategy<Value = (Vec<Vec<u8>>, Then)> {
    let byte = prop_oneof![
        Just(b'\r'),
        Just(b'\n'),
        Just(b' '),
        Just(b','),
        Just(b':'),
        Just(b'0'),
        Just(b'5'),
        any::<u8>()
    ];
    let change = (any::<prop::sample::Index>(), byte, 0..3u8);
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    (0..CASES.len(), prop::collection::vec(change, 0..4), cuts).prop_map(|(case, changes, cuts)| {
        let Case(answer, then, ..) = CASES[case];
        let mut answer = latin1(answer);
        for (at, byte, how) in changes {
            let at = at.index(answer.len() + 1);
            match how {
                0 => answer.insert(at, byte),
                _ if at == answer.len() => (),
                1 => answer[at] = byte,
                _ => _ = answer.remove(at),
            }
        }
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(answer.len() + 1)).collect();
        cuts.extend([0, answer.len()]);
        cuts.sort_unstable();
        (cuts.windows(2).map(|cut| answer[cut[0]..cut[1]].to_vec()).collect(), then)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Ours may refuse what hyper takes, or close what hyper keeps; never the other way round.
    #[test]
    fn damaged_answers_are_never_trusted_further_than_hyper_does((pieces, then) in damaged()) {
        let whole: Vec<u8> = pieces.concat();
        let ours_cut = ours(&Method::POST, Scripted::new(pieces.clone(), then));
        let ours = ours(&Method::POST, Scripted::new([whole.clone()], then));
        prop_assert_eq!(&ours_cut, &ours, "{:?}", whole.escape_ascii().to_string());
        let hypers = hypers(&Method::POST, Scripted::new([whole.clone()], then));
        let place = format!("{:?} {then:?}: {ours}, and for hyper {hypers}", whole.escape_ascii().to_string());
        prop_assert!(!ours.again() || hypers.again(), "{}", place);
        if ours.whole() {
            prop_assert_eq!(ours.closing(), hypers.closing(), "{}", place);
        }
    }
}
