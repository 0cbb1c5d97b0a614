//! HTTP/2 for clients that send nothing but requests with bodies: what their headers say is not looked at, so nothing has
//! to be decoded, and every answer is one byte of headers.

use std::{
    collections::{HashMap, VecDeque},
    io,
    time::Instant,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time,
};

use super::{
    Sink,
    faults::{Fault, MARK, records},
};

/// What a client begins with.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection whose first bytes, the preface among them, are in `input`.
pub(super) async fn serve(
    sink: &Sink,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut input: Vec<u8>,
) -> io::Result<()> {
    let mut connection =
        Connection { sink, out: Vec::new(), late: VecDeque::new(), bodies: HashMap::new(), credit: 0 };
    connection.open();
    let mut taken = PREFACE.len();
    loop {
        while let Some(bytes) = whole_frame(&input[taken..]) {
            connection.take(&input[taken..taken + bytes]);
            taken += bytes;
        }
        input.drain(..taken);
        taken = 0;
        connection.answer_late();
        if !connection.out.is_empty() {
            stream.write_all(&connection.out).await?;
            stream.flush().await?;
            connection.out.clear();
        }
        match connection.late.front() {
            None => {
                if stream.read_buf(&mut input).await? == 0 {
                    return Ok(());
                }
            }
            Some((due, _)) => tokio::select! {
                read = stream.read_buf(&mut input) => if read? == 0 { return Ok(()) },
                () = time::sleep_until((*due).into()) => {}
            },
        }
    }
}

/// Bytes of the frame at the start of `input`, if it is all there.
fn whole_frame(input: &[u8]) -> Option<usize> {
    let [a, b, c, ..] = *input.first_chunk::<FRAME_HEADER_BYTES>()?;
    let bytes = FRAME_HEADER_BYTES + u32::from_be_bytes([0, a, b, c]) as usize;
    (input.len() >= bytes).then_some(bytes)
}

struct Connection<'s> {
    sink: &'s Sink,
    out: Vec<u8>,
    /// Streams to be answered later.
    late: VecDeque<(Instant, u32)>,
    /// Bodies whose end is not there yet: records in them, and bytes that may begin a mark.
    bodies: HashMap<u32, Body>,
    /// Bytes the client may not send any more until it is told that they were taken.
    credit: u32,
}

#[derive(Default)]
struct Body {
    records: u64,
    bytes: u64,
    tail: Vec<u8>,
}

impl Connection<'_> {
    fn open(&mut self) {
        let mut settings = Vec::new();
        for (id, value) in [(MAX_CONCURRENT_STREAMS, 1024), (INITIAL_WINDOW_SIZE, WINDOW_MAX)] {
            settings.extend_from_slice(&u16::to_be_bytes(id));
            settings.extend_from_slice(&u32::to_be_bytes(value));
        }
        self.frame(SETTINGS, 0, 0, &settings);
        self.frame(WINDOW_UPDATE, 0, 0, &(WINDOW_MAX - 65_535).to_be_bytes());
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        self.out.extend_from_slice(&[kind, flags]);
        self.out.extend_from_slice(&stream.to_be_bytes());
        self.out.extend_from_slice(payload);
    }

    fn take(&mut self, frame: &[u8]) {
        let (header, payload) = frame.split_at(FRAME_HEADER_BYTES);
        let (kind, flags) = (header[3], header[4]);
        let stream = u32::from_be_bytes([header[5] & 0x7f, header[6], header[7], header[8]]);
        match kind {
            DATA => self.data(stream, flags, payload),
            SETTINGS if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => self.frame(PING, ACK, 0, payload),
            // Of requests without a body there are none.
            _ => {}
        }
    }

    fn data(&mut self, stream: u32, flags: u8, payload: &[u8]) {
        self.credit += payload.len() as u32;
        if self.credit > WINDOW_MAX / 2 {
            let credit = self.credit.to_be_bytes();
            self.frame(WINDOW_UPDATE, 0, 0, &credit);
            self.credit = 0;
        }
        let ends = flags & END_STREAM != 0;
        let mut body = if ends { self.bodies.remove(&stream).unwrap_or_default() } else { Body::default() };
        if ends && body.bytes == 0 {
            body.records = records(payload);
            body.bytes = payload.len() as u64;
        } else {
            let begun = if ends { &mut body } else { self.bodies.entry(stream).or_default() };
            begun.add(payload);
        }
        if ends {
            self.request(stream, &body);
        }
    }

    fn request(&mut self, stream: u32, body: &Body) {
        let sink = self.sink;
        match sink.faults.of(sink.counts.request()) {
            None => {
                sink.counts.confirmed(body.records, body.bytes);
                if sink.faults.delay.is_zero() {
                    self.frame(HEADERS, END_HEADERS | END_STREAM, stream, &STATUS_204);
                } else {
                    self.late.push_back((Instant::now() + sink.faults.delay, stream));
                }
            }
            Some(fault) => {
                sink.counts.failed();
                let status = match fault {
                    Fault::Unavailable => b"503",
                    Fault::TooMany => b"429",
                    Fault::Cut => return self.frame(RST_STREAM, 0, stream, &INTERNAL_ERROR.to_be_bytes()),
                };
                let headers = [&STATUS_LITERAL[..], status].concat();
                self.frame(HEADERS, END_HEADERS | END_STREAM, stream, &headers);
            }
        }
    }

    fn answer_late(&mut self) {
        let now = Instant::now();
        while let Some((_, stream)) = self.late.pop_front_if(|(due, _)| *due <= now) {
            self.frame(HEADERS, END_HEADERS | END_STREAM, stream, &STATUS_204);
        }
    }
}

impl Body {
    /// Counts marks in the next part, one across the border included.
    fn add(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        let overlap = MARK.len() - 1;
        self.tail.extend_from_slice(&part[..part.len().min(overlap)]);
        self.records += records(&self.tail) + records(part);
        let end = if part.len() >= overlap { part } else { &self.tail };
        self.tail = end[end.len().saturating_sub(overlap)..].to_vec();
    }
}

const FRAME_HEADER_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const WINDOW_MAX: u32 = i32::MAX as u32;
const INTERNAL_ERROR: u32 = 2;
/// `:status: 204`, number 9 of the static table.
const STATUS_204: [u8; 1] = [0x89];
/// `:status`, name 8 of the static table, with three characters to follow.
const STATUS_LITERAL: [u8; 2] = [0x08, 3];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_however_a_body_is_cut() {
        let body = br#"[{"_meta":{"a":1}},{"_meta":{"b":"_meta"}},{"_meta":{}}]"#;
        let all = records(body);
        assert_eq!(all, 4, "three records and a text that looks like one");
        for first in 0..body.len() {
            for second in first..body.len() {
                let mut parts = Body::default();
                for part in [&body[..first], &body[first..second], &body[second..]] {
                    parts.add(part);
                }
                assert_eq!(
                    (parts.records, parts.bytes),
                    (all, body.len() as u64),
                    "cut at {first} and {second}"
                );
            }
        }
    }

    #[test]
    fn a_frame_is_taken_once_it_is_whole() {
        let frame = [0, 0, 2, DATA, 0, 0, 0, 0, 1, b'x', b'y', b'z'];
        for (bytes, whole) in [(8, None), (9, None), (10, None), (11, Some(11)), (12, Some(11))] {
            assert_eq!(whole_frame(&frame[..bytes]), whole, "{bytes} bytes");
        }
    }
}
