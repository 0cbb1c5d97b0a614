//! The folder: made when missing, locked, and what was left open in it put right; files begun and finished.
//!
//! Invariant: no file is ever overwritten or appended to by another run, and a finished file ends with a whole line.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use tracing::{debug, info, warn};

use super::{
    fault::Fault,
    names::{Name, OPEN},
};

/// A folder that nobody else writes to under the same prefix.
pub(super) struct Folder {
    path: PathBuf,
    prefix: String,
    itself: File,
    lock: File,
    /// The newest name, which all later ones follow.
    last: Option<Name>,
}

/// The file that is being written.
pub(super) struct Open {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Bytes in it that are confirmed; there are no others between two writes.
    pub(super) bytes: u64,
    pub(super) begun: Instant,
    name: Name,
}

impl Folder {
    /// Makes the folder where it is missing, and waits for nobody: another writer is an error.
    pub(super) fn open(path: &Path, prefix: &str) -> Result<Self, Fault> {
        let at = |what: &str| format!("cannot {what} folder {}", path.display());
        make(path).map_err(|error| Fault::new(&at("make"), &error))?;
        let itself = File::open(path).map_err(|error| Fault::new(&at("open"), &error))?;
        let lock_path = lock_path(path, prefix);
        let lock = private().create(true).truncate(false).open(&lock_path);
        let lock =
            lock.map_err(|error| Fault::new(&format!("cannot open {}", lock_path.display()), &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Fault::held(format!(
                    "another writer holds {}: only one connector may write to folder {} under the name {prefix}",
                    lock_path.display(),
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => {
                return Err(Fault::new(&format!("cannot lock {}", lock_path.display()), &error));
            }
        }
        let mut folder = Self { path: path.to_owned(), prefix: prefix.to_owned(), itself, lock, last: None };
        folder.put_right().map_err(|error| Fault::new(&at("read"), &error))?;
        Ok(folder)
    }

    /// Whether the path still leads to this folder, and the lock file in it is the one that is held.
    pub(super) fn is_in_place(&self) -> bool {
        same(&self.itself, &self.path) && same(&self.lock, &lock_path(&self.path, &self.prefix))
    }

    /// Begins a file.
    pub(super) fn begin(&mut self) -> Result<Open, Fault> {
        loop {
            let name = Name::after(self.last.as_ref(), now_ms());
            let path = self.path.join(format!("{}{OPEN}", name.file(&self.prefix)));
            let taken = fs::symlink_metadata(self.finished(&name)).is_ok();
            self.last = Some(name.clone());
            if taken {
                continue;
            }
            match private().create_new(true).append(true).open(&path) {
                Ok(file) => {
                    let open = Open { file, path, bytes: 0, begun: Instant::now(), name };
                    return match self.itself.sync_all() {
                        Ok(()) => Ok(open),
                        Err(error) => {
                            let _ = fs::remove_file(&open.path);
                            Err(Fault::new(&format!("cannot sync folder {}", self.path.display()), &error))
                        }
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Fault::new(&format!("cannot begin {}", path.display()), &error)),
            }
        }
    }

    /// Gives a file its final name, or removes it when it holds nothing. All in it is safe before: whatever fails here is
    /// put right at the next start.
    pub(super) fn finish(&self, open: &Open) {
        let result = if open.bytes == 0 {
            fs::remove_file(&open.path)
        } else {
            fs::rename(&open.path, self.finished(&open.name)).and_then(|()| self.itself.sync_all())
        };
        match result {
            Ok(()) => debug!(file = %open.path.display(), bytes = open.bytes, "file finished"),
            Err(error) => warn!(file = %open.path.display(), %error, "cannot give a file its final name"),
        }
    }

    /// Removes the oldest files beyond `max`; the one that is being written counts, and is the newest.
    pub(super) fn prune(&self, max: usize) {
        let mut files = match self.files() {
            Ok(files) => files,
            Err(error) => {
                warn!(folder = %self.path.display(), %error, "cannot look for old files");
                return;
            }
        };
        files.sort_unstable();
        let surplus = files.len().saturating_sub(max);
        for (_, path, _) in files.into_iter().take(surplus) {
            match fs::remove_file(&path) {
                Ok(()) => info!(file = %path.display(), "oldest file removed, as max-files asks"),
                Err(error) => warn!(file = %path.display(), %error, "cannot remove an old file"),
            }
        }
    }

    fn finished(&self, name: &Name) -> PathBuf {
        self.path.join(name.file(&self.prefix))
    }

    /// Our files: name, path, and whether it is finished.
    fn files(&self) -> io::Result<Vec<(Name, PathBuf, bool)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name().to_str().and_then(|name| Name::parse(&self.prefix, name));
            files.extend(name.map(|(name, finished)| (name, entry.path(), finished)));
        }
        Ok(files)
    }

    /// Finishes what a writer left open that ended without notice: what follows the last whole line was never confirmed.
    fn put_right(&mut self) -> io::Result<()> {
        for (name, path, finished) in self.files()? {
            if !finished && let Err(error) = self.close(&name, &path) {
                warn!(file = %path.display(), %error, "cannot finish a file that was left open");
            }
            self.last = self.last.take().max(Some(name));
        }
        Ok(())
    }

    fn close(&self, name: &Name, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let (bytes, whole) = (file.metadata()?.len(), whole_lines(&mut file)?);
        if whole < bytes {
            file.set_len(whole)?;
        }
        if whole == 0 {
            fs::remove_file(path)?;
        } else {
            file.sync_all()?;
            let finished = self.finished(name);
            if fs::symlink_metadata(&finished).is_ok() {
                return Err(io::Error::other(format!("{} is there already", finished.display())));
            }
            fs::rename(path, finished)?;
        }
        self.itself.sync_all()?;
        info!(
            file = %path.display(), bytes = whole, cut = bytes - whole,
            "a file that was left open is finished; nothing that was cut off had been confirmed"
        );
        Ok(())
    }
}

impl Drop for Folder {
    /// Closing alone would leave the lock to a child process that is just being started.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Open {
    /// Whether the path still leads to this file, and nobody else wrote to it.
    pub(super) fn is_in_place(&self) -> bool {
        same(&self.file, &self.path) && self.file.metadata().is_ok_and(|about| about.len() == self.bytes)
    }
}

pub(super) fn lock_path(folder: &Path, prefix: &str) -> PathBuf {
    folder.join(format!(".{prefix}.lock"))
}

/// Record data is nobody else's.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Makes `path` and what is missing above it, safely on disk.
pub(super) fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        make(above)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        // Anything but a folder shows when it is opened as one.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(above.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Bytes up to and with the last line end, searched from behind.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut chunk = vec![0; 64 * 1024];
    while end > 0 {
        let start = end.saturating_sub(chunk.len() as u64);
        let part = &mut chunk[..usize::try_from(end - start).unwrap_or_default()];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
