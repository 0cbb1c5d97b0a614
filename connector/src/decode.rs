//! The command `decode`: frames from files to readable JSON, one object on a line.
//!
//! Files are read as streams: what is held is one frame for each stream, however large the file. What cannot
//! be read is said where it stands, and reading goes on at the next message. Records are shown whole;
//! credentials never.

mod stream;
mod value;
mod view;

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use self::{
    stream::{Found, Stream},
    view::FrameView,
};
use crate::recording::{self, Direction};

/// Most connections a recording may have open at once, and most bytes their unfinished frames may hold.
const OPEN_MAX: usize = 1 << 16;
const HELD_BYTES_MAX: usize = 512 << 20;

/// Prints the frames of `files`, of which `-` is standard input.
///
/// A file holds frames as raw bytes or as hexadecimal text, or is a recording of the connector.
pub fn run(files: &[PathBuf], out: &mut dyn Write) -> Result<(), DecodeError> {
    let mut out = BufWriter::new(out);
    for path in files {
        let file = (files.len() > 1).then(|| path.display().to_string());
        match decode_file(path, &mut Printer { out: &mut out, file }) {
            Ok(()) => {}
            // `decode … | head` is no failure.
            Err(Failed::Write(source)) if source.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(Failed::Write(source)) => return Err(DecodeError::Write { source }),
            Err(Failed::Read(source)) => {
                out.flush().map_err(|source| DecodeError::Write { source })?;
                return Err(DecodeError::Read { path: path.clone(), source });
            }
        }
    }
    out.flush().map_err(|source| DecodeError::Write { source })
}

/// Why nothing more is printed.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A file cannot be read, or is not what it seemed at first.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("cannot write the output")]
    Write {
        /// Why.
        source: io::Error,
    },
}

enum Failed {
    Read(io::Error),
    Write(io::Error),
}

fn decode_file(path: &Path, printer: &mut Printer<'_>) -> Result<(), Failed> {
    let mut input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(Failed::Read)?)
    };
    let mut head = Vec::new();
    (&mut input).take(recording::MAGIC.len() as u64).read_to_end(&mut head).map_err(Failed::Read)?;
    let is_recording = head == recording::MAGIC;
    let is_hex = head.iter().all(|byte| byte.is_ascii_hexdigit() || byte.is_ascii_whitespace());
    let input = BufReader::with_capacity(64 << 10, io::Cursor::new(head).chain(input));
    if is_recording {
        decode_recording(input, printer)
    } else if is_hex {
        decode_stream(&mut Hex { inner: input, offset: 0 }, printer)
    } else {
        decode_stream(&mut Raw(input), printer)
    }
}

/// A file that is one stream of bytes.
fn decode_stream(source: &mut dyn Source, printer: &mut Printer<'_>) -> Result<(), Failed> {
    let mut stream = Stream::default();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        source.read_some(&mut bytes).map_err(Failed::Read)?;
        if bytes.is_empty() {
            return stream.end(|found| printer.found(&Origin::default(), found));
        }
        stream.feed(&bytes, |found| printer.found(&Origin::default(), found))?;
    }
}

/// A recording: two streams for each connection.
fn decode_recording(input: impl Read, printer: &mut Printer<'_>) -> Result<(), Failed> {
    let mut open: HashMap<u64, [Stream; 2]> = HashMap::new();
    let mut held_bytes = 0;
    for chunk in recording::Reader::new(input).map_err(Failed::Read)? {
        let chunk = chunk.map_err(Failed::Read)?;
        let origin = Origin {
            time_unix_us: Some(chunk.time_unix_us),
            connection: Some(chunk.connection),
            direction: None,
        };
        match chunk.direction {
            Direction::Opened => {
                open.insert(chunk.connection, [Stream::default(), Stream::default()]);
                printer.line(&origin, None, &Event { kind: "opened" })?;
            }
            Direction::Closed => {
                for (stream, direction) in open.remove(&chunk.connection).into_iter().flatten().zip(BOTH) {
                    held_bytes -= stream.held_bytes();
                    let origin = Origin { direction: Some(direction), ..origin };
                    stream.end(|found| printer.found(&origin, found))?;
                }
                printer.line(&origin, None, &Event { kind: "closed" })?;
            }
            Direction::FromPeer | Direction::ToPeer => {
                // Unknown connections come from a recording that went on in a new file.
                let streams = open
                    .entry(chunk.connection)
                    .or_insert_with(|| [Stream::in_the_middle(), Stream::in_the_middle()]);
                let stream = &mut streams[chunk.direction as usize];
                let origin = Origin { direction: Some(chunk.direction), ..origin };
                held_bytes -= stream.held_bytes();
                stream.feed(&chunk.bytes, |found| printer.found(&origin, found))?;
                held_bytes += stream.held_bytes();
            }
        }
        if open.len() > OPEN_MAX || held_bytes > HELD_BYTES_MAX {
            let text = "more connections with unfinished frames than can be followed at once";
            return Err(Failed::Read(io::Error::new(io::ErrorKind::InvalidData, text)));
        }
    }
    let mut left: Vec<_> = open.into_iter().collect();
    left.sort_unstable_by_key(|(connection, _)| *connection);
    for (connection, streams) in left {
        for (stream, direction) in streams.into_iter().zip(BOTH) {
            let origin =
                Origin { time_unix_us: None, connection: Some(connection), direction: Some(direction) };
            stream.end(|found| printer.found(&origin, found))?;
        }
    }
    Ok(())
}

const BOTH: [Direction; 2] = [Direction::FromPeer, Direction::ToPeer];

/// Where a frame came from, as far as the file tells.
#[derive(Clone, Copy, Default)]
struct Origin {
    time_unix_us: Option<u64>,
    connection: Option<u64>,
    direction: Option<Direction>,
}

#[derive(Serialize)]
struct Event {
    kind: &'static str,
}

#[derive(Serialize)]
struct Broken {
    error: String,
}

#[derive(Serialize)]
struct Line<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_unix_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(flatten)]
    rest: &'a T,
}

struct Printer<'o> {
    out: &'o mut dyn Write,
    file: Option<String>,
}

impl Printer<'_> {
    fn found(&mut self, origin: &Origin, found: Found<'_>) -> Result<(), Failed> {
        match found {
            Found::Frame { offset, frame } => {
                let mut inflated = Vec::new();
                let now_unix_ms = origin.time_unix_us.map_or_else(now_unix_ms, |us| us / 1000);
                let mut view = FrameView::new(frame, origin.direction, now_unix_ms, &mut inflated);
                if origin.time_unix_us.is_none() {
                    view.forget_expiry();
                }
                self.line(origin, Some(offset), &view)
            }
            Found::Broken { offset, error } => self.line(origin, Some(offset), &Broken { error }),
        }
    }

    fn line(&mut self, origin: &Origin, offset: Option<u64>, rest: &impl Serialize) -> Result<(), Failed> {
        let line = Line {
            file: self.file.as_deref(),
            time_unix_us: origin.time_unix_us,
            connection: origin.connection,
            direction: origin.direction.map(|direction| match direction {
                Direction::FromPeer => "from-peer",
                Direction::ToPeer => "to-peer",
                Direction::Opened => "opened",
                Direction::Closed => "closed",
            }),
            offset,
            rest,
        };
        serde_json::to_writer(&mut *self.out, &line).map_err(|error| Failed::Write(error.into()))?;
        self.out.write_all(b"\n").map_err(Failed::Write)
    }
}

/// Only to judge odd last-update times in files without times.
fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Where the bytes of a stream come from.
trait Source {
    /// Appends some bytes; none at the end.
    fn read_some(&mut self, out: &mut Vec<u8>) -> io::Result<()>;
}

struct Raw<R>(R);

impl<R: BufRead> Source for Raw<R> {
    fn read_some(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let bytes = self.0.fill_buf()?;
        out.extend_from_slice(bytes);
        let consumed = bytes.len();
        self.0.consume(consumed);
        Ok(())
    }
}

/// Hexadecimal text; whitespace between digits means nothing.
struct Hex<R> {
    inner: R,
    offset: u64,
}

impl<R: BufRead> Source for Hex<R> {
    fn read_some(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut high = None;
        for byte in (&mut self.inner).bytes() {
            let byte = byte?;
            self.offset += 1;
            if byte.is_ascii_whitespace() {
                continue;
            }
            let Some(digit) = char::from(byte).to_digit(16) else {
                let text = format!("byte {} ({byte:#04x}) of hexadecimal text is no digit", self.offset - 1);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            };
            match high.take() {
                None => high = Some(digit),
                Some(high) => out.push((high * 16 + digit) as u8),
            }
            if out.len() == 64 << 10 {
                return Ok(());
            }
        }
        match high {
            None => Ok(()),
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "an odd number of hexadecimal digits")),
        }
    }
}

#[cfg(test)]
mod tests;
