//! Logs: text or JSON lines in a file, on standard error or both, with levels that can be changed while running.
//!
//! What is logged never contains a bin value or a secret; that is up to the callers. This module decides
//! who may speak, how it looks, and how often.

use std::{
    collections::BTreeMap,
    env, fmt,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tracing::Subscriber;
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt::MakeWriter,
    layer::{Layered, SubscriberExt},
    reload,
    util::SubscriberInitExt,
};

use self::{file::LogFile, levels::Levels, writer::FileWriter};
use crate::config;

pub(crate) mod day;
mod file;
mod levels;
mod limited;
mod ticker;
mod writer;

pub use self::{
    limited::{Limited, SharedLimited},
    ticker::ticker,
};

/// Starts logging for the whole process, once.
pub fn init(config: &config::Logging) -> Result<LogHandle, LogError> {
    let levels = Levels::default().changed(&config.levels)?;
    let start = |path: &PathBuf| {
        FileWriter::start(path, config.max_history).map_err(|error| LogError::unusable(path, &error))
    };
    let file = config.file.as_ref().map(start).transpose()?;
    let mut outputs = Vec::new();
    if let Some(file) = &file {
        outputs.push(lines(config.json, false, file.clone()));
    }
    if config.console {
        let terminal = io::stderr().is_terminal();
        let colours = terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        outputs.push(lines(config.json, colours, io::stderr));
    }
    let (subscriber, handle) = subscriber(levels, outputs, file);
    subscriber.try_init().map_err(|_| LogError::AlreadyStarted)?;
    Ok(handle)
}

/// Refuses a log file that [`init`] would refuse. Leaves nothing behind.
pub fn check_file(path: &Path) -> Result<(), LogError> {
    LogFile::check(path).map_err(|error| LogError::unusable(path, &error))
}

/// Refuses levels that [`init`] and [`LogHandle::set_levels`] would refuse.
pub fn check_levels(levels: &BTreeMap<String, String>) -> Result<(), LogError> {
    Levels::default().changed(levels).map(drop)
}

/// Reads and changes the levels of running logs. Clones share them.
#[derive(Clone)]
pub struct LogHandle(Arc<Shared>);

struct Shared {
    levels: Mutex<Levels>,
    /// Makes the subscriber follow; nothing when there is none.
    apply: Option<reload::Handle<Targets, Registry>>,
    file: Option<FileWriter>,
}

impl LogHandle {
    /// A handle that drives no logs: for a program that has a subscriber of its own, and for tests.
    pub fn detached() -> Self {
        Self(Arc::new(Shared { levels: Mutex::new(Levels::default()), apply: None, file: None }))
    }

    /// Lines that could not be written to the log file.
    pub fn lost_lines(&self) -> u64 {
        self.0.file.as_ref().map_or(0, FileWriter::lost)
    }

    /// Waits until the log file has every line up to now, a second at most. For the end of the process.
    pub fn flush(&self) {
        if let Some(file) = &self.0.file {
            file.flush();
        }
    }

    /// Logger to level, those set explicitly and `root`.
    pub fn levels(&self) -> BTreeMap<String, String> {
        self.0.levels.lock().unwrap_or_else(PoisonError::into_inner).names()
    }

    /// Sets the named loggers and no others, as at the start.
    pub fn replace_levels(&self, levels: &BTreeMap<String, String>) -> Result<(), LogError> {
        self.change(|_| Levels::default().changed(levels))
    }

    /// Changes the named loggers and leaves the others; on an error nothing changes.
    pub fn set_levels(&self, changes: &BTreeMap<String, String>) -> Result<(), LogError> {
        self.change(|levels| levels.changed(changes))
    }

    fn change(&self, change: impl FnOnce(&Levels) -> Result<Levels, LogError>) -> Result<(), LogError> {
        let mut levels = self.0.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&levels)?;
        if let Some(handle) = &self.0.apply {
            handle.reload(changed.targets()).map_err(|_| LogError::Stopped)?;
        }
        *levels = changed;
        Ok(())
    }
}

impl fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogHandle").field(&self.levels()).finish()
    }
}

/// Why logs cannot be set up as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// No such logger.
    #[error(
        "unknown logger {0:?}: expected root, record-parser, server, com.aerospike.connect, or a module path \
         such as esp_connector::lane or adapters::http"
    )]
    UnknownLogger(String),
    /// No such level.
    #[error("level {level:?} of logger {logger}: expected error, warn, info, debug, trace or off")]
    UnknownLevel {
        /// Logger it was meant for.
        logger: String,
        /// What was given.
        level: String,
    },
    /// The table of levels is bounded.
    #[error("more than {} loggers with a level of their own", levels::LOGGERS_MAX)]
    TooManyLoggers,
    /// The log file cannot be written.
    #[error("the log file {} {problem}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// Something in this process logs already.
    #[error("logging was already started")]
    AlreadyStarted,
    /// The subscriber is gone.
    #[error("logging was stopped")]
    Stopped,
}

impl LogError {
    fn unusable(path: &Path, error: &io::Error) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let problem = match folder.filter(|folder| !folder.is_dir()) {
            Some(folder) => format!("cannot be written: there is no folder {}", folder.display()),
            None => format!("cannot be written: {error}"),
        };
        Self::File { path: path.to_owned(), problem }
    }
}

fn subscriber(
    levels: Levels,
    outputs: Vec<Output>,
    file: Option<FileWriter>,
) -> (impl Subscriber, LogHandle) {
    let (filter, handle) = reload::Layer::new(levels.targets());
    let subscriber = tracing_subscriber::registry().with(filter).with(outputs);
    (subscriber, LogHandle(Arc::new(Shared { levels: Mutex::new(levels), apply: Some(handle), file })))
}

/// Writes every line to `writer`.
fn lines<W>(json: bool, colours: bool, writer: W) -> Output
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // A closed standard error is no reason to stop delivering: failed writes stay unmentioned, because
    // mentioning them means writing there again, which panics.
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    if json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.compact().with_ansi(colours).boxed()
    }
}

type Output = Box<dyn Layer<Filtered> + Send + Sync>;
type Filtered = Layered<reload::Layer<Targets, Registry>, Registry>;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// What was written, shared.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(logger, level)| (logger.to_string(), level.to_string())).collect()
    }

    fn with_logs(json: bool, test: impl FnOnce(&LogHandle, &Written)) {
        let written = Written::default();
        let writer = written.clone();
        let output = lines(json, false, move || writer.clone());
        let (subscriber, handle) = subscriber(Levels::default(), vec![output], None);
        tracing::subscriber::with_default(subscriber, || test(&handle, &written));
    }

    #[test]
    fn levels_change_while_running() {
        with_logs(false, |handle, written| {
            tracing::debug!(target: "esp_connector::lane", "hidden");
            assert_eq!(written.take(), "");
            handle.set_levels(&map(&[("com.aerospike.connect", "DEBUG")])).unwrap();
            tracing::debug!(target: "esp_connector::lane", "shown");
            tracing::debug!(target: "hyper", "still hidden");
            let text = written.take();
            assert!(text.contains("DEBUG esp_connector::lane: shown") && !text.contains("still"), "{text}");
            assert!(!text.contains('\u{1b}'), "no colours outside a terminal: {text:?}");
        });
    }

    #[test]
    fn json_is_one_flat_object_per_line() {
        with_logs(true, |_, written| {
            tracing::warn!(target: "adapters::http", endpoint = "a:1", attempt = 2, "one\nmessage");
            let text = written.take();
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            let line: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(line["level"], "WARN");
            assert_eq!(line["target"], "adapters::http");
            assert_eq!(line["message"], "one\nmessage");
            assert_eq!((&line["endpoint"], &line["attempt"]), (&"a:1".into(), &2.into()));
        });
    }

    #[test]
    fn a_refused_change_changes_nothing() {
        with_logs(false, |handle, written| {
            let before = handle.levels();
            let error = handle.set_levels(&map(&[("root", "trace"), ("servers", "info")])).unwrap_err();
            assert_eq!(error, LogError::UnknownLogger("servers".to_owned()));
            assert!(handle.set_levels(&map(&[("server", "loud"), ("root", "trace")])).is_err());
            assert_eq!(handle.levels(), before);
            tracing::debug!("hidden");
            assert_eq!(written.take(), "");
        });
    }

    #[test]
    fn a_handle_outlives_its_logs() {
        let (subscriber, handle) = subscriber(Levels::default(), vec![lines(false, false, io::sink)], None);
        drop(subscriber);
        assert_eq!(handle.set_levels(&map(&[("root", "warn")])), Err(LogError::Stopped));
        assert_eq!(handle.levels(), map(&[("root", "info")]));
        let detached = LogHandle::detached();
        detached.set_levels(&map(&[("root", "warn")])).unwrap();
        assert_eq!(detached.levels(), map(&[("root", "warn")]));
    }

    #[test]
    fn file_and_console_get_the_same_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let (console, file) = (Written::default(), FileWriter::start(&path, 1).unwrap());
        let writer = console.clone();
        let outputs = vec![lines(true, false, file.clone()), lines(true, false, move || writer.clone())];
        let (subscriber, handle) = subscriber(Levels::default(), outputs, Some(file));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(answer = 42, "both");
            tracing::debug!("neither");
        });
        handle.flush();
        let (console, file) = (console.take(), std::fs::read_to_string(&path).unwrap());
        // Each has its own time.
        let fields = |text: &str| {
            let mut line: serde_json::Value = serde_json::from_str(text).unwrap();
            line.as_object_mut().unwrap().remove("timestamp").unwrap();
            line
        };
        assert_eq!(fields(&console), fields(&file));
        assert_eq!((&fields(&file)["answer"], handle.lost_lines()), (&42.into(), 0));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (missing, is_folder) = (folder.path().join("logs/a.log"), folder.path());
        let error = check_file(&missing).unwrap_err().to_string();
        let shown = folder.path().display();
        assert_eq!(
            error,
            format!("the log file {shown}/logs/a.log cannot be written: there is no folder {shown}/logs")
        );
        let error = check_file(is_folder).unwrap_err().to_string();
        assert_eq!(error, format!("the log file {shown} cannot be written: Is a directory (os error 21)"));
        assert_eq!(check_file(&folder.path().join("a.log")), Ok(()));
    }

    #[test]
    fn messages_tell_what_is_expected() {
        let error = check_levels(&map(&[("record-parser", "verbose")])).unwrap_err().to_string();
        assert_eq!(
            error,
            "level \"verbose\" of logger record-parser: expected error, warn, info, debug, trace or off"
        );
        assert!(check_levels(&map(&[("a\nb", "info")])).unwrap_err().to_string().contains(r#""a\nb""#));
        assert_eq!(check_levels(&map(&[("root", "Error"), ("esp_connector::wire::frame", "TRACE")])), Ok(()));
    }
}
