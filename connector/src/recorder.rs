//! The flight recorder: raw traffic of the XDR port, both directions, into a bounded set of files.
//!
//! For diagnosis against a real cluster. The files hold record data in the clear; `esp-connector decode` reads them.
//! A recorder that cannot write says so once and stops recording; it never stops the traffic.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use tracing::error;

pub use crate::recording::Direction;
use crate::recording::{self, Chunk};

/// Size at which a file is closed and the next one begun.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Files kept; the oldest goes first.
const FILES_MAX: u64 = 8;

/// Writes recordings into one folder.
#[derive(Debug)]
pub struct Recorder {
    folder: PathBuf,
    connections: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` after a failed write.
    file: Option<BufWriter<File>>,
    number: u64,
    bytes: u64,
    scratch: Vec<u8>,
}

impl Recorder {
    /// Begins recording into `folder`, which is made when missing. Earlier recordings there are kept and count
    /// towards the bound.
    pub fn new(folder: &Path) -> io::Result<Arc<Self>> {
        fs::create_dir_all(folder)?;
        let newest = fs::read_dir(folder)?
            .filter_map(|entry| number_of(entry.ok()?.file_name().to_str()?))
            .max()
            .unwrap_or(0);
        let number = newest + 1;
        let file = begin(folder, number)?;
        let state = State { file: Some(file), number, bytes: 0, scratch: Vec::new() };
        Ok(Arc::new(Self {
            folder: folder.to_owned(),
            connections: AtomicU64::new(0),
            state: Mutex::new(state),
        }))
    }

    /// A tap for the next connection.
    pub fn tap(self: &Arc<Self>) -> Tap {
        let connection = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        Tap { recorder: Some(Arc::clone(self)), connection }
    }

    fn write(&self, connection: u64, direction: Direction, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.try_write(&mut state, connection, direction, bytes) {
            error!(%error, folder = %self.folder.display(), "the recording ends: cannot write");
            state.file = None;
        }
    }

    fn try_write(
        &self,
        state: &mut State,
        connection: u64,
        direction: Direction,
        bytes: &[u8],
    ) -> io::Result<()> {
        let Some(file) = &mut state.file else { return Ok(()) };
        let time_unix_us =
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
        state.scratch.clear();
        recording::encode(
            &Chunk { time_unix_us, connection, direction, bytes: bytes.into() },
            &mut state.scratch,
        );
        file.write_all(&state.scratch)?;
        state.bytes += state.scratch.len() as u64;
        if direction == Direction::Closed {
            file.flush()?;
        }
        if state.bytes >= FILE_BYTES_MAX {
            file.flush()?;
            state.number += 1;
            state.bytes = 0;
            state.file = Some(begin(&self.folder, state.number)?);
        }
        Ok(())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = state.file.as_mut().map(Write::flush) {
            error!(%error, "the end of the recording is lost");
        }
    }
}

/// Opens file `number` and removes the one that falls out of the bound.
fn begin(folder: &Path, number: u64) -> io::Result<BufWriter<File>> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = BufWriter::new(options.open(folder.join(name_of(number)))?);
    file.write_all(recording::MAGIC)?;
    if let Some(oldest) = number.checked_sub(FILES_MAX) {
        let _ = fs::remove_file(folder.join(name_of(oldest)));
    }
    Ok(file)
}

fn name_of(number: u64) -> String {
    format!("xdr-{number:06}.esprec")
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("xdr-")?.strip_suffix(".esprec")?.parse().ok()
}

/// One connection's line to the recorder; does nothing when nothing is recorded.
#[derive(Clone, Debug, Default)]
pub struct Tap {
    recorder: Option<Arc<Recorder>>,
    connection: u64,
}

impl Tap {
    /// The connection was accepted.
    pub fn opened(&self) {
        self.bytes(Direction::Opened, &[]);
    }

    /// The connection ended.
    pub fn closed(&self) {
        self.bytes(Direction::Closed, &[]);
    }

    /// Bytes went one way.
    pub fn bytes(&self, direction: Direction, bytes: &[u8]) {
        if let Some(recorder) = &self.recorder {
            recorder.write(self.connection, direction, bytes);
        }
    }
}
