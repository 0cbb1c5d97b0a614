//! The log file: keeps its name, and is renamed to `FILE.YYYY-MM-DD` when the day in UTC is over.
//!
//! The one invariant: nothing that stands in a file is overwritten or cut, whoever else moves files about. Time is
//! an argument. The crates that rotate logs either write dated names, or count instead of naming the day, or follow
//! local time and their own clock; and none notices that somebody else moved the file.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::day::Day;

/// A log file that is being written.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    history_max: usize,
    open: Open,
    /// When the path was last looked at.
    looked: SystemTime,
}

/// What did not work. The line is lost, or it is in the file and something around it failed.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) error: io::Error,
    /// Such as "rotate".
    pub(super) doing: &'static str,
    pub(super) lost: bool,
}

impl LogFile {
    /// Opens the file at `path`, made when missing; its folder must be there.
    pub(super) fn open(path: &Path, history_max: usize, now: SystemTime) -> io::Result<Self> {
        let open = Open::at(path, now)?;
        // As if it had never been looked at: a file of an earlier day is rotated before the first line.
        Ok(Self { path: path.to_owned(), history_max, open, looked: SystemTime::UNIX_EPOCH })
    }

    /// Whether [`Self::open`] would work; leaves everything as it was.
    pub(super) fn check(path: &Path) -> io::Result<()> {
        if path.exists() {
            return Open::at(path, SystemTime::UNIX_EPOCH).map(drop);
        }
        OpenOptions::new().append(true).create_new(true).open(path)?;
        fs::remove_file(path)
    }

    /// Appends `line`, in the file of the day `now`.
    pub(super) fn write(&mut self, line: &[u8], now: SystemTime) -> Result<(), Trouble> {
        let since = now.duration_since(self.looked);
        let look = since.map_or(true, |since| since >= LOOK_EVERY) || Day::of(now) != Day::of(self.looked);
        let looked = if look { self.look(now) } else { Ok(()) };
        let lost = |error| Trouble { error, doing: "write", lost: true };
        self.open.lines.write(line).map_err(lost)?;
        looked
    }

    /// Follows the path when somebody moved the file away, and rotates when the day is over.
    fn look(&mut self, now: SystemTime) -> Result<(), Trouble> {
        self.looked = now;
        let trouble = |doing| move |error| Trouble { error, doing, lost: false };
        if !self.open.is_at(&self.path) {
            // Until that works the lines go where the file went.
            self.open = Open::at(&self.path, now).map_err(trouble("open"))?;
        }
        if self.open.rotates && self.open.day < Day::of(now) {
            if self.open.lines.to.metadata().is_ok_and(|found| found.len() == 0) {
                self.open.day = Day::of(now);
                return Ok(());
            }
            self.rotate(now).map_err(trouble("rotate"))?;
            self.forget_the_oldest().map_err(trouble("delete old files beside"))?;
        }
        Ok(())
    }

    fn rotate(&mut self, now: SystemTime) -> io::Result<()> {
        let target = self.reserve()?;
        if let Err(error) = fs::rename(&self.path, &target) {
            let _ = fs::remove_file(&target);
            return Err(error);
        }
        self.open = Open::at(&self.path, now)?;
        Ok(())
    }

    /// An empty file with the name for what is rotated: it did not exist before, so that renaming destroys nothing.
    fn reserve(&self) -> io::Result<PathBuf> {
        let mut last = io::ErrorKind::AlreadyExists.into();
        for n in 0..SAME_DAY_MAX {
            let name = match n {
                0 => self.beside(&format!(".{}", self.open.day)),
                n => self.beside(&format!(".{}.{n}", self.open.day)),
            };
            match OpenOptions::new().write(true).create_new(true).open(&name) {
                Ok(_) => return Ok(name),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(suffix);
        name.into()
    }

    /// Deletes the oldest rotated files beyond those that are kept. Other files are none of its business.
    fn forget_the_oldest(&self) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let name = self.path.file_name().unwrap_or_default().as_encoded_bytes();
        let mut rotated = Vec::new();
        for entry in fs::read_dir(folder.unwrap_or_else(|| Path::new(".")))? {
            let entry = entry?;
            let found = entry.file_name();
            let suffix = found.as_encoded_bytes().strip_prefix(name).and_then(|s| s.strip_prefix(b"."));
            if let Some(age) = suffix.and_then(age)
                && entry.file_type()?.is_file()
            {
                rotated.push((age, entry.path()));
            }
        }
        rotated.sort_unstable();
        let surplus = rotated.len().saturating_sub(self.history_max);
        rotated.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

/// How often the path is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most files of one day: more than that is something else going wrong.
const SAME_DAY_MAX: u32 = 1000;

/// Day and number of `YYYY-MM-DD` or `YYYY-MM-DD.N`, which sort by age.
fn age(suffix: &[u8]) -> Option<(Day, u32)> {
    let suffix = str::from_utf8(suffix).ok()?;
    let (day, n) = suffix.split_once('.').unwrap_or((suffix, "0"));
    let (day, number) = (day.parse().ok()?, n.parse::<u32>().ok()?);
    // What this file never writes is not its own.
    (number < SAME_DAY_MAX && (suffix.len() == DAY_LENGTH || number.to_string() == n && number > 0))
        .then_some((day, number))
}

const DAY_LENGTH: usize = "YYYY-MM-DD".len();

/// The file as it was opened.
#[derive(Debug)]
struct Open {
    lines: Lines<File>,
    /// Device and number of the file.
    id: (u64, u64),
    /// The day its lines are of.
    day: Day,
    /// False for what is no ordinary file, such as `/dev/stdout`: that stays where it is.
    rotates: bool,
}

impl Open {
    fn at(path: &Path, now: SystemTime) -> io::Result<Self> {
        // To open a pipe is to wait for who reads it.
        if fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a pipe, not a file"));
        }
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let found = file.metadata()?;
        let written = found.modified().unwrap_or(now);
        let day = Day::of(written).min(Day::of(now));
        let id = (found.dev(), found.ino());
        Ok(Self { lines: Lines { to: file, torn: false }, id, day, rotates: found.is_file() })
    }

    /// Whether the path still leads here.
    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == self.id)
    }
}

/// Whole lines: one that was cut off stays alone on its line.
#[derive(Debug)]
struct Lines<W> {
    to: W,
    torn: bool,
}

impl<W: Write> Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.to.write_all(b"\n")?;
            self.torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match self.to.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.torn = !rest.is_empty();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
