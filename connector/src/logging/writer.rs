//! Hands log lines to a thread that writes the file, so that no delivery ever waits for a disk.
//!
//! Lines that cannot be taken or written are counted and told on standard error now and then. Never through the logs
//! themselves: that would come back here.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use tracing_subscriber::fmt::MakeWriter;

use super::{
    Limited,
    file::{LogFile, Trouble},
};

/// Where log lines are written to. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct FileWriter {
    lines: SyncSender<Vec<u8>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Lines that wait for the thread, the one it writes among them.
    waiting: Mutex<u64>,
    /// Told when none waits any more.
    written: Condvar,
    lost: AtomicU64,
}

impl Counts {
    fn waiting(&self) -> MutexGuard<'_, u64> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileWriter {
    /// Starts the thread.
    pub(super) fn start(path: &Path, history_max: usize) -> io::Result<Self> {
        let file = LogFile::open(path, history_max, SystemTime::now())?;
        let (lines, received) = sync_channel(WAITING_MAX);
        let counts = Arc::new(Counts::default());
        let telling = Telling {
            path: path.to_owned(),
            counts: Arc::clone(&counts),
            limited: Limited::new(TELL_EVERY),
            told: 0,
            in_trouble: false,
        };
        thread::Builder::new().name("log-file".to_owned()).spawn(|| run(file, received, telling))?;
        Ok(Self { lines, counts })
    }

    /// Lines that are in no file.
    pub(super) fn lost(&self) -> u64 {
        self.counts.lost.load(Relaxed)
    }

    /// Waits until everything up to now is written, but not for a disk that hangs.
    pub(super) fn flush(&self) {
        let waiting = self.counts.waiting();
        let _ = self.counts.written.wait_timeout_while(waiting, FLUSH_MAX, |waiting| *waiting > 0);
    }
}

/// Most lines that wait: the memory they may take.
const WAITING_MAX: usize = 4096;
const TELL_EVERY: Duration = Duration::from_secs(60);
const FLUSH_MAX: Duration = Duration::from_secs(1);

impl<'a> MakeWriter<'a> for FileWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// One call is one line: so does the layer that formats them.
impl Write for &FileWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let copy = line.to_vec();
        let mut waiting = self.counts.waiting();
        match self.lines.try_send(copy) {
            Ok(()) => *waiting += 1,
            Err(_) => drop(self.counts.lost.fetch_add(1, Relaxed)),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run(mut file: LogFile, lines: Receiver<Vec<u8>>, mut telling: Telling) {
    for line in lines {
        let written = file.write(&line, SystemTime::now());
        if let Some(words) = telling.of(&written, Instant::now()) {
            // Standard error may be closed: nothing is left to tell it to then.
            let _ = writeln!(io::stderr(), "esp-connector: {words}");
        }
        let mut waiting = telling.counts.waiting();
        *waiting = waiting.saturating_sub(1);
        if *waiting == 0 {
            telling.counts.written.notify_all();
        }
    }
}

/// What is said of a file that cannot be written, and how often.
#[derive(Debug)]
struct Telling {
    path: PathBuf,
    counts: Arc<Counts>,
    limited: Limited,
    /// Lines lost that were told of.
    told: u64,
    in_trouble: bool,
}

impl Telling {
    /// Counts a lost line; `Some` when it is time to say something.
    fn of(&mut self, written: &Result<(), Trouble>, now: Instant) -> Option<String> {
        let path = self.path.display();
        if matches!(written, Err(Trouble { lost: true, .. })) {
            self.counts.lost.fetch_add(1, Relaxed);
        }
        let lost = self.counts.lost.load(Relaxed);
        let news = lost > self.told;
        let words = match written {
            Err(Trouble { error, doing, .. }) => {
                self.limited.allow(now)?;
                self.in_trouble = true;
                format!("cannot {doing} the log file {path}: {error}")
            }
            Ok(()) if self.in_trouble => {
                self.in_trouble = false;
                format!("the log file {path} is written again")
            }
            Ok(()) if news => {
                self.limited.allow(now)?;
                format!("the log file {path} is written slower than lines come")
            }
            Ok(()) => return None,
        };
        self.told = lost;
        Some(if lost > 0 { format!("{words}; lines lost so far: {lost}") } else { words })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_reach_the_file_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let writer = FileWriter::start(&path, 1).unwrap();
        for n in 0..100 {
            writer.make_writer().write_all(format!("{n}\n").as_bytes()).unwrap();
        }
        writer.flush();
        let expected: String = (0..100).map(|n| format!("{n}\n")).collect();
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(writer.lost(), 0);
    }

    #[test]
    fn a_full_disk_loses_lines_and_nothing_else() {
        let writer = FileWriter::start(Path::new("/dev/full"), 1).unwrap();
        for _ in 0..3 {
            writer.make_writer().write_all(b"line\n").unwrap();
        }
        writer.flush();
        assert_eq!(writer.lost(), 3);
    }

    #[test]
    fn a_thread_that_is_gone_or_too_slow_holds_nobody_up() {
        let (lines, received) = sync_channel(2);
        let writer = FileWriter { lines, counts: Arc::default() };
        for _ in 0..5 {
            writer.make_writer().write_all(b"line\n").unwrap();
        }
        assert_eq!((writer.lost(), received.iter().take(2).count()), (3, 2));
        drop(received);
        writer.make_writer().write_all(b"line\n").unwrap();
        assert_eq!(writer.lost(), 4);
    }

    #[test]
    fn trouble_is_told_once_a_minute_and_so_is_its_end() {
        let mut telling = Telling {
            path: PathBuf::from("a.log"),
            counts: Arc::default(),
            limited: Limited::new(TELL_EVERY),
            told: 0,
            in_trouble: false,
        };
        let full = |lost| Err(Trouble { error: io::ErrorKind::StorageFull.into(), doing: "write", lost });
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(telling.of(&Ok(()), at(0)), None);
        let said = telling.of(&full(true), at(0)).unwrap();
        assert_eq!(said, "cannot write the log file a.log: no storage space; lines lost so far: 1");
        assert_eq!(telling.of(&full(true), at(59)), None);
        let said = telling.of(&Ok(()), at(59)).unwrap();
        assert_eq!(said, "the log file a.log is written again; lines lost so far: 2");
        assert_eq!(telling.of(&Ok(()), at(61)), None);
        telling.counts.lost.fetch_add(5, Relaxed);
        let said = telling.of(&Ok(()), at(61)).unwrap();
        assert_eq!(said, "the log file a.log is written slower than lines come; lines lost so far: 7");
        assert_eq!(telling.of(&full(false), at(62)), None);
    }
}
