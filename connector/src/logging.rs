//! Logs: text or JSON lines on standard error, with levels that can be changed while running.
//!
//! What is logged never contains a bin value or a secret; that is up to the callers. This module decides
//! who may speak, how it looks, and how often.

use std::{
    collections::BTreeMap,
    env, fmt,
    io::{self, IsTerminal},
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

use self::levels::Levels;
use crate::config;

mod levels;
mod limited;
mod ticker;

pub use self::{limited::Limited, ticker::ticker};

/// Starts logging for the whole process, once. The file of the configuration is not written yet.
pub fn init(config: &config::Logging) -> Result<LogHandle, LogError> {
    let levels = Levels::default().changed(&config.levels)?;
    let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (subscriber, handle) = subscriber(levels, config.json, colours, io::stderr);
    subscriber.try_init().map_err(|_| LogError::AlreadyStarted)?;
    Ok(handle)
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
}

impl LogHandle {
    /// A handle that drives no logs: for a program that has a subscriber of its own, and for tests.
    pub fn detached() -> Self {
        Self(Arc::new(Shared { levels: Mutex::new(Levels::default()), apply: None }))
    }

    /// Logger to level, those set explicitly and `root`.
    pub fn levels(&self) -> BTreeMap<String, String> {
        self.0.levels.lock().unwrap_or_else(PoisonError::into_inner).names()
    }

    /// Changes the named loggers and leaves the others; on an error nothing changes.
    pub fn set_levels(&self, changes: &BTreeMap<String, String>) -> Result<(), LogError> {
        let mut levels = self.0.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = levels.changed(changes)?;
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
    /// Something in this process logs already.
    #[error("logging was already started")]
    AlreadyStarted,
    /// The subscriber is gone.
    #[error("logging was stopped")]
    Stopped,
}

fn subscriber<W>(levels: Levels, json: bool, colours: bool, writer: W) -> (impl Subscriber, LogHandle)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(levels.targets());
    // A closed standard error is no reason to stop delivering: failed writes stay unmentioned, because
    // mentioning them means writing there again, which panics.
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    let lines: Box<dyn Layer<Filtered> + Send + Sync> = if json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.compact().with_ansi(colours).boxed()
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    (subscriber, LogHandle(Arc::new(Shared { levels: Mutex::new(levels), apply: Some(handle) })))
}

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
        let (subscriber, handle) = subscriber(Levels::default(), json, false, move || writer.clone());
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
        let (subscriber, handle) = subscriber(Levels::default(), false, false, io::sink);
        drop(subscriber);
        assert_eq!(handle.set_levels(&map(&[("root", "warn")])), Err(LogError::Stopped));
        assert_eq!(handle.levels(), map(&[("root", "info")]));
        let detached = LogHandle::detached();
        detached.set_levels(&map(&[("root", "warn")])).unwrap();
        assert_eq!(detached.levels(), map(&[("root", "warn")]));
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
