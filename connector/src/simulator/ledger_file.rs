//! The ledger's two sides as files, when source and receiver are different processes.
//!
//! Append only, 16 bytes an entry, written before the answer they belong to leaves the process: a killed
//! process loses no entry whose answer anybody saw. A torn last entry is ignored, and cut off on reopening.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::ledger::Account;

/// Which side a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What the source shipped and had acknowledged.
    Source,
    /// What the receiver confirmed.
    Receiver,
}

/// One line of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The record's number.
    pub id: u64,
    /// Its version.
    pub version: u32,
    /// Source: [`SHIPPED`] or [`ACKED`]. Receiver: how many entries were in the file when the record
    /// arrived, which tells a late arrival from a late answer.
    pub mark: u32,
}

/// Mark of an entry: put on the wire.
pub const SHIPPED: u32 = 0;
/// Mark of an entry: acknowledged.
pub const ACKED: u32 = 1;

/// One side of the ledger, open for appending.
#[derive(Debug)]
pub struct LedgerFile {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    entries: u32,
}

impl LedgerFile {
    /// Opens `path`, or creates it. Entries of an earlier run of the same side stay.
    pub fn append(path: &Path, side: Side) -> Result<Self, LedgerFileError> {
        let fail = |source| LedgerFileError::Io { path: path.to_path_buf(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(fail)?;
        let bytes = file.metadata().map_err(fail)?.len();
        if bytes < ENTRY_BYTES as u64 {
            file.set_len(0).map_err(fail)?;
            file.write_all(&side.header()).map_err(fail)?;
            return Ok(Self { inner: Mutex::new(Inner { file, entries: 0 }) });
        }
        check_header(&mut file, side, path)?;
        file.set_len(bytes - bytes % ENTRY_BYTES as u64).map_err(fail)?;
        let entries = u32::try_from(bytes / ENTRY_BYTES as u64 - 1).unwrap_or(u32::MAX);
        Ok(Self { inner: Mutex::new(Inner { file, entries }) })
    }

    /// Opens `path` for a new run: entries of an earlier one go. A file that is no such ledger is refused.
    pub fn replace(path: &Path, side: Side) -> Result<Self, LedgerFileError> {
        let ledger = Self::append(path, side)?;
        {
            let mut inner = ledger.lock();
            inner
                .file
                .set_len(ENTRY_BYTES as u64)
                .map_err(|source| LedgerFileError::Io { path: path.to_path_buf(), source })?;
            inner.entries = 0;
        }
        Ok(ledger)
    }

    /// Entries so far.
    pub fn entries(&self) -> u32 {
        self.lock().entries
    }

    /// Appends, in one write.
    pub fn write(&self, entries: &[Entry]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        for Entry { id, version, mark } in entries {
            bytes.extend_from_slice(&id.to_be_bytes());
            bytes.extend_from_slice(&version.to_be_bytes());
            bytes.extend_from_slice(&mark.to_be_bytes());
        }
        let mut inner = self.lock();
        inner.file.write_all(&bytes)?;
        inner.entries = inner.entries.saturating_add(entries.len() as u32);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares what `source` says was acknowledged with what `receiver` says was delivered.
pub fn account(source: &Path, receiver: &Path) -> Result<Account, LedgerFileError> {
    let mut records: HashMap<u64, Versions> = HashMap::new();
    let mut account = Account::default();
    each_entry(source, Side::Source, |_, entry| {
        let record = records.entry(entry.id).or_default();
        let (newest, count) = match entry.mark {
            ACKED => (&mut record.acked, &mut account.acked),
            _ => (&mut record.shipped, &mut account.shipped),
        };
        if *newest < entry.version {
            *newest = entry.version;
            *count += 1;
        }
    })?;
    each_entry(receiver, Side::Receiver, |index, entry| {
        let Some(record) = records.get_mut(&entry.id) else {
            account.foreign += 1;
            return;
        };
        if record.delivered > entry.version && record.delivered_at < entry.mark {
            account.reordered += 1;
        }
        if record.delivered < entry.version {
            record.delivered = entry.version;
            record.delivered_at = index;
            account.delivered += 1;
        } else {
            account.duplicates += 1;
        }
    })?;
    account.lost = records.values().filter(|record| record.delivered < record.acked).count() as u64;
    Ok(account)
}

#[derive(Default)]
struct Versions {
    shipped: u32,
    acked: u32,
    delivered: u32,
    /// Index of the entry that set `delivered`.
    delivered_at: u32,
}

fn each_entry(path: &Path, side: Side, mut each: impl FnMut(u32, Entry)) -> Result<(), LedgerFileError> {
    let fail = |source| LedgerFileError::Io { path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(fail)?;
    check_header(&mut file, side, path)?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut bytes = [0; ENTRY_BYTES];
    for index in 0.. {
        match reader.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(fail(error)),
        }
        let [i0, i1, i2, i3, i4, i5, i6, i7, v0, v1, v2, v3, m0, m1, m2, m3] = bytes;
        each(
            index,
            Entry {
                id: u64::from_be_bytes([i0, i1, i2, i3, i4, i5, i6, i7]),
                version: u32::from_be_bytes([v0, v1, v2, v3]),
                mark: u32::from_be_bytes([m0, m1, m2, m3]),
            },
        );
    }
    Ok(())
}

fn check_header(file: &mut File, side: Side, path: &Path) -> Result<(), LedgerFileError> {
    let mut header = [0; ENTRY_BYTES];
    let read = file.read_exact(&mut header);
    if read.is_err() || header != side.header() {
        return Err(LedgerFileError::NotALedger { path: path.to_path_buf(), side });
    }
    Ok(())
}

impl Side {
    fn header(self) -> [u8; ENTRY_BYTES] {
        match self {
            Self::Source => *b"esp-ledger 1 src",
            Self::Receiver => *b"esp-ledger 1 dst",
        }
    }
}

const ENTRY_BYTES: usize = 16;

/// Why a ledger file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerFileError {
    /// Opening, reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Some other file, or the other side's.
    #[error("{}: expected the ledger file that `{}` writes", path.display(), match side {
        Side::Source => "simulate --ledger",
        Side::Receiver => "receive --ledger",
    })]
    NotALedger {
        /// The file.
        path: PathBuf,
        /// The side that was expected.
        side: Side,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64, version: u32, mark: u32) -> Entry {
        Entry { id, version, mark }
    }

    #[test]
    fn what_was_acked_and_not_delivered_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (source, receiver) = (dir.path().join("source"), dir.path().join("receiver"));
        let file = LedgerFile::append(&source, Side::Source).unwrap();
        file.write(&[entry(0, 1, SHIPPED), entry(1, 1, SHIPPED), entry(2, 1, SHIPPED)]).unwrap();
        file.write(&[entry(0, 1, ACKED), entry(1, 1, ACKED)]).unwrap();
        LedgerFile::append(&receiver, Side::Receiver).unwrap().write(&[entry(1, 1, 0)]).unwrap();
        // A second process goes on where the first was killed.
        LedgerFile::append(&receiver, Side::Receiver).unwrap().write(&[entry(1, 1, 1)]).unwrap();

        let account = account(&source, &receiver).unwrap();
        let expected =
            Account { shipped: 3, acked: 2, delivered: 1, duplicates: 1, lost: 1, ..Account::default() };
        assert_eq!(account, expected);
    }

    #[test]
    fn a_late_answer_is_no_order_violation_but_a_late_arrival_is() {
        let dir = tempfile::tempdir().unwrap();
        let (source, receiver) = (dir.path().join("source"), dir.path().join("receiver"));
        LedgerFile::append(&source, Side::Source).unwrap().write(&[entry(0, 2, ACKED)]).unwrap();
        let file = LedgerFile::append(&receiver, Side::Receiver).unwrap();
        file.write(&[entry(0, 2, 0), entry(0, 1, 0)]).unwrap();
        assert_eq!(account(&source, &receiver).unwrap().reordered, 0);
        file.write(&[entry(0, 1, file.entries())]).unwrap();
        assert_eq!(account(&source, &receiver).unwrap().reordered, 1);
    }

    #[test]
    fn a_torn_entry_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("receiver");
        LedgerFile::append(&path, Side::Receiver).unwrap().write(&[entry(1, 1, 0)]).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&[0; 5]).unwrap();
        let file = LedgerFile::append(&path, Side::Receiver).unwrap();
        assert_eq!(file.entries(), 1);
        file.write(&[entry(2, 1, 1)]).unwrap();
        let mut seen = Vec::new();
        each_entry(&path, Side::Receiver, |_, entry| seen.push(entry.id)).unwrap();
        assert_eq!(seen, [1, 2]);
    }

    #[test]
    fn a_new_run_starts_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("source");
        LedgerFile::append(&path, Side::Source).unwrap().write(&[entry(1, 1, ACKED)]).unwrap();
        LedgerFile::replace(&path, Side::Source).unwrap().write(&[entry(2, 1, ACKED)]).unwrap();
        let mut seen = Vec::new();
        each_entry(&path, Side::Source, |_, entry| seen.push(entry.id)).unwrap();
        assert_eq!(seen, [2]);
    }

    #[test]
    fn the_wrong_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("receiver");
        LedgerFile::append(&path, Side::Receiver).unwrap();
        let error = LedgerFile::append(&path, Side::Source).unwrap_err().to_string();
        assert!(error.contains("receiver") && error.contains("simulate --ledger"), "{error}");
        std::fs::write(&path, "somebody's notes, longer than a header").unwrap();
        assert!(LedgerFile::replace(&path, Side::Source).is_err());
        assert!(std::fs::read_to_string(&path).unwrap().contains("notes"), "left alone");
    }
}
