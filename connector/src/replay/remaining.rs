//! The file of what remains to be replayed. It takes its name when it is complete, so that it may replace a file that is
//! still being read.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::ReplayError;

/// The file while it is written.
#[derive(Debug)]
pub(super) struct Remaining {
    path: PathBuf,
    unfinished: PathBuf,
    file: BufWriter<File>,
}

impl Remaining {
    /// Begins a file that will be called `path`. Dead letters hold records, so nobody else may read it.
    pub(super) fn create(path: &Path) -> Result<Self, ReplayError> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&unfinished).map_err(|error| fail(path, error))?;
        Ok(Self { path: path.to_owned(), unfinished, file: BufWriter::new(file) })
    }

    pub(super) fn push(&mut self, line: &[u8]) -> Result<(), ReplayError> {
        let mut write = || {
            self.file.write_all(line)?;
            self.file.write_all(b"\n")
        };
        write().map_err(|error| fail(&self.path, error))
    }

    /// Gives the file its name, once its content is on the disk.
    pub(super) fn finish(self) -> Result<(), ReplayError> {
        let Self { path, unfinished, file } = self;
        let file = file.into_inner().map_err(|error| fail(&path, error.into_error()))?;
        file.sync_all().and_then(|()| fs::rename(&unfinished, &path)).map_err(|error| fail(&path, error))
    }
}

fn fail(path: &Path, error: io::Error) -> ReplayError {
    ReplayError::Write { path: path.to_owned(), error }
}
