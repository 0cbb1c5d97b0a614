//! Rotation with a clock of the test's own.

use std::fs::FileTimes;

use tempfile::TempDir;

use super::*;

/// 2026-08-01, 12:00.
const NOON: Duration = Duration::from_secs(1_785_585_600);
const DAY: Duration = Duration::from_secs(86_400);

fn noon_and(more: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + NOON + more
}

struct Logs {
    folder: TempDir,
    file: LogFile,
}

impl Logs {
    fn new() -> Self {
        Self::with(&[], 30)
    }

    /// With files of earlier days, and when they were last written.
    fn with(files: &[(&str, &str, SystemTime)], history_max: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content, written) in files {
            let file = File::create(folder.path().join(name)).unwrap();
            (&file).write_all(content.as_bytes()).unwrap();
            file.set_times(FileTimes::new().set_modified(*written)).unwrap();
        }
        let file =
            LogFile::open(&folder.path().join("a.log"), history_max, noon_and(Duration::ZERO)).unwrap();
        Self { folder, file }
    }

    fn write(&mut self, line: &str, after: Duration) {
        self.file.write(format!("{line}\n").as_bytes(), noon_and(after)).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    fn content(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.folder.path().join(from), self.folder.path().join(to)).unwrap();
    }
}

#[test]
fn the_file_is_renamed_when_its_day_is_over() {
    let mut logs = Logs::new();
    logs.write("one", Duration::ZERO);
    logs.write("two", DAY / 2 - Duration::from_millis(1));
    assert_eq!(logs.names(), ["a.log"]);
    // Less than a second after it was last looked at.
    logs.write("three", DAY / 2);
    assert_eq!(logs.names(), ["a.log", "a.log.2026-08-01"]);
    assert_eq!(logs.content("a.log.2026-08-01"), "one\ntwo\n");
    assert_eq!(logs.content("a.log"), "three\n");
    logs.write("four", DAY * 5);
    assert_eq!(logs.names(), ["a.log", "a.log.2026-08-01", "a.log.2026-08-02"]);
}

#[test]
fn a_file_of_an_earlier_day_is_rotated_before_the_first_line() {
    let mut logs = Logs::with(&[("a.log", "old\n", noon_and(Duration::ZERO) - DAY * 3)], 30);
    assert_eq!(logs.names(), ["a.log"], "opening changes nothing");
    logs.write("new", Duration::ZERO);
    assert_eq!(logs.content("a.log.2026-07-29"), "old\n");
    assert_eq!(logs.content("a.log"), "new\n");
}

#[test]
fn a_file_of_today_is_continued_and_an_empty_one_is_of_today() {
    let mut logs = Logs::with(&[("a.log", "before\n", noon_and(Duration::ZERO))], 30);
    logs.write("after", Duration::ZERO);
    assert_eq!(logs.content("a.log"), "before\nafter\n");

    let mut logs = Logs::with(&[("a.log", "", noon_and(Duration::ZERO) - DAY)], 30);
    logs.write("first", Duration::ZERO);
    assert_eq!(logs.names(), ["a.log"]);
}

#[test]
fn what_was_rotated_before_is_never_overwritten() {
    let kept = noon_and(Duration::ZERO);
    let mut logs =
        Logs::with(&[("a.log.2026-08-01", "kept\n", kept), ("a.log.2026-08-01.1", "kept too\n", kept)], 30);
    logs.write("one", Duration::ZERO);
    logs.write("two", DAY);
    assert_eq!(logs.content("a.log.2026-08-01"), "kept\n");
    assert_eq!(logs.content("a.log.2026-08-01.1"), "kept too\n");
    assert_eq!(logs.content("a.log.2026-08-01.2"), "one\n");
}

#[test]
fn the_oldest_of_its_own_are_deleted_and_nothing_else() {
    let at = noon_and(Duration::ZERO);
    let own = ["a.log.2026-07-01", "a.log.2026-07-02.2", "a.log.2026-07-02.10", "a.log.2026-07-02"];
    let others = [
        "a.log.2026-07-01.gz",
        "a.log.2026-07-01.0",
        "a.log.2026-07-01.07",
        "a.log.2026-07-01.1000",
        "a.log.2026-7-1",
        "a.log.old",
        "a.logs.2026-07-01",
        "b.log.2026-07-01",
        "xa.log.2026-07-01",
    ];
    let files: Vec<_> = own.iter().chain(&others).map(|name| (*name, "", at)).collect();
    let mut logs = Logs::with(&files, 2);
    fs::create_dir(logs.folder.path().join("a.log.2026-06-30")).unwrap();
    logs.write("one", Duration::ZERO);
    logs.write("two", DAY);
    let mut expected = others.to_vec();
    expected.extend(["a.log", "a.log.2026-06-30", "a.log.2026-07-02.10", "a.log.2026-08-01"]);
    expected.sort_unstable();
    assert_eq!(logs.names(), expected);
}

#[test]
fn a_file_that_others_moved_is_followed_by_a_new_one() {
    let mut logs = Logs::new();
    logs.write("one", Duration::ZERO);
    logs.rename("a.log", "a.log.1");
    logs.write("not looked yet", Duration::from_millis(999));
    logs.write("two", Duration::from_secs(1));
    assert_eq!(logs.content("a.log.1"), "one\nnot looked yet\n");
    assert_eq!(logs.content("a.log"), "two\n");
    // Or logrotate makes the new file itself.
    logs.rename("a.log", "a.log.2");
    fs::write(logs.folder.path().join("a.log"), "").unwrap();
    logs.write("three", Duration::from_secs(2));
    assert_eq!((logs.content("a.log.2"), logs.content("a.log")), ("two\n".to_owned(), "three\n".to_owned()));
}

#[test]
fn a_file_that_others_moved_at_midnight_is_not_rotated_once_more() {
    let mut logs = Logs::new();
    logs.write("one", Duration::ZERO);
    logs.rename("a.log", "moved");
    logs.write("two", DAY);
    assert_eq!(logs.names(), ["a.log", "moved"]);
    assert_eq!(logs.content("a.log"), "two\n");
}

#[test]
fn lines_go_on_where_they_can_while_the_folder_is_gone() {
    let mut logs = Logs::new();
    logs.write("one", Duration::ZERO);
    let (folder, away) = (logs.folder.path().to_owned(), logs.folder.path().with_extension("away"));
    fs::rename(&folder, &away).unwrap();
    let trouble = logs.file.write(b"two\n", noon_and(DAY)).unwrap_err();
    assert_eq!((trouble.doing, trouble.lost), ("open", false));
    assert_eq!(fs::read_to_string(away.join("a.log")).unwrap(), "one\ntwo\n");
    fs::rename(&away, &folder).unwrap();
    logs.write("three", DAY + Duration::from_secs(1));
    assert_eq!(logs.content("a.log.2026-08-01"), "one\ntwo\n");
    assert_eq!(logs.content("a.log"), "three\n");
}

#[test]
fn a_clock_that_is_set_back_rotates_nothing() {
    let mut logs = Logs::new();
    // Nothing was written before, so there is nothing to rotate either.
    logs.write("one", DAY);
    logs.write("two", Duration::ZERO);
    assert_eq!(logs.content("a.log"), "one\ntwo\n");
    assert_eq!(logs.names(), ["a.log"]);
}

#[test]
fn a_device_is_written_and_stays_where_it_is() {
    let at = noon_and(Duration::ZERO);
    let mut null = LogFile::open(Path::new("/dev/null"), 1, at).unwrap();
    null.write(b"one\n", at).unwrap();
    null.write(b"two\n", at + DAY).unwrap();
    let mut full = LogFile::open(Path::new("/dev/full"), 1, at).unwrap();
    let trouble = full.write(b"one\n", at).unwrap_err();
    assert_eq!((trouble.doing, trouble.lost), ("write", true));
    assert_eq!(trouble.error.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn checking_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.log");
    LogFile::check(&file).unwrap();
    assert!(!file.exists());
    fs::write(&file, "kept").unwrap();
    LogFile::check(&file).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    assert!(LogFile::check(folder.path()).is_err());
    assert!(LogFile::check(&folder.path().join("nowhere/a.log")).is_err());
    assert!(LogFile::check(Path::new("/dev/null")).is_ok());
}

/// Takes so many bytes, then one failure, then so many again.
struct Tight(Vec<u8>, usize);

impl Write for Tight {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(self.1);
        if fits == 0 {
            self.1 = 100;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.1 -= fits;
        self.0.extend_from_slice(&bytes[..fits]);
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_that_was_cut_off_stays_alone() {
    let mut lines = Lines { to: Tight(Vec::new(), 7), torn: false };
    lines.write(b"one\n").unwrap();
    lines.write(b"two and more\n").unwrap_err();
    lines.write(b"three\n").unwrap();
    lines.write(b"four\n").unwrap();
    assert_eq!(String::from_utf8(lines.to.0).unwrap(), "one\ntwo\nthree\nfour\n");
    // One that did not begin leaves nothing behind.
    let mut lines = Lines { to: Tight(Vec::new(), 4), torn: false };
    lines.write(b"one\n").unwrap();
    lines.write(b"two\n").unwrap_err();
    lines.write(b"three\n").unwrap();
    assert_eq!(String::from_utf8(lines.to.0).unwrap(), "one\nthree\n");
}
