//! Files of dead letters, line by line, read by a thread of its own that is never far ahead.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::ReplayError;
use crate::{
    notification::RecordId,
    wire::{
        frame::{self, Kind, PROTOCOL_BYTES_MAX},
        message,
    },
};

/// Lines read ahead of what is shipped.
const AHEAD: usize = 16;

/// Longest line: no message makes a longer dead letter, and a file without line ends must not fill the memory.
const LINE_BYTES_MAX: usize = 1 << 30;

/// One line of one file.
#[derive(Debug)]
pub(super) struct Line {
    /// Position of the file among those given.
    pub(super) file: usize,
    /// Counted from 1.
    pub(super) number: u64,
    /// As it stands there, without its end.
    pub(super) text: Vec<u8>,
    pub(super) letter: Result<Letter, String>,
}

/// What is shipped of a dead letter.
#[derive(PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) record: RecordId,
    pub(super) frame: Vec<u8>,
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Letter({})", self.record.digest())
    }
}

/// The lines of all files.
#[derive(Debug)]
pub(super) struct Lines(mpsc::Receiver<Result<Line, ReplayError>>);

impl Lines {
    /// Begins to read. The thread ends with the files, or when nobody wants more.
    pub(super) fn start(files: Vec<PathBuf>) -> Self {
        let (lines, receiver) = mpsc::channel(AHEAD);
        std::thread::spawn(move || {
            for (index, path) in files.iter().enumerate() {
                if let Err(error) = open(path).and_then(|file| read(index, file, &lines)) {
                    let _ = lines.blocking_send(Err(ReplayError::Read { path: path.clone(), error }));
                    return;
                }
            }
        });
        Self(receiver)
    }

    pub(super) async fn next(&mut self) -> Option<Result<Line, ReplayError>> {
        self.0.recv().await
    }
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    Ok(match path.to_str() {
        Some("-") => Box::new(BufReader::new(io::stdin())),
        _ => Box::new(BufReader::new(File::open(path)?)),
    })
}

fn read(
    file: usize,
    mut from: impl BufRead,
    lines: &mpsc::Sender<Result<Line, ReplayError>>,
) -> io::Result<()> {
    for number in 1.. {
        let mut text = Vec::new();
        let bytes = from.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut text)?;
        if bytes == 0 {
            return Ok(());
        }
        if bytes == LINE_BYTES_MAX && !text.ends_with(b"\n") {
            let problem =
                format!("line {number} has more than {LINE_BYTES_MAX} bytes: no file of dead letters");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        while text.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            text.pop();
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let letter = parse(&text);
        if lines.blocking_send(Ok(Line { file, number, text, letter })).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    frame: Option<Cow<'a, str>>,
}

/// What is wrong is said without any of the line's content: it holds a record.
pub(super) fn parse(text: &[u8]) -> Result<Letter, String> {
    let entry: Entry<'_> = serde_json::from_slice(text).map_err(|error| {
        use serde_json::error::Category;
        match error.classify() {
            Category::Eof => "the JSON object ends too soon".to_owned(),
            Category::Data => format!("no dead letter: see column {}", error.column()),
            Category::Syntax | Category::Io => format!("no JSON: see column {}", error.column()),
        }
    })?;
    let frame = entry.frame.ok_or("no dead letter: it has no `frame`")?;
    let frame = STANDARD.decode(&*frame).map_err(|_| "`frame` is no Base64".to_owned())?;
    let whole = frame::next(&frame, PROTOCOL_BYTES_MAX).map_err(|error| format!("`frame`: {error}"))?;
    let whole = whole.ok_or("`frame` is cut short")?;
    if whole.kind != Kind::Message || whole.bytes.len() != frame.len() {
        return Err("`frame` is not one message".to_owned());
    }
    // The time only matters for the expiry, which nobody looks at here.
    let decoded = message::decode(whole.body(), 0).map_err(|error| format!("`frame`: {error}"))?;
    Ok(Letter { record: decoded.notification.record_id(), frame })
}
