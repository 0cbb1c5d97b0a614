//! Logger names and levels: the vendor's names beside our module paths.
//!
//! The vendor's names stand for our modules: `record-parser` for the wire, `server` for what accepts and
//! serves connections, `com.aerospike.connect` for everything of ours. The longest matching module path
//! decides, so a level for `record-parser` holds whatever `com.aerospike.connect` says.

use std::collections::BTreeMap;

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::LogError;

/// Logger to level, `root` always among them.
#[derive(Clone, Debug)]
pub(super) struct Levels(BTreeMap<String, LevelFilter>);

impl Default for Levels {
    fn default() -> Self {
        Self(BTreeMap::from([(ROOT.to_owned(), LevelFilter::INFO)]))
    }
}

impl Levels {
    /// These levels with some loggers changed or added.
    pub(super) fn changed(&self, changes: &BTreeMap<String, String>) -> Result<Self, LogError> {
        let mut changed = self.clone();
        for (logger, level) in changes {
            if logger != ROOT && vendor_modules(logger).is_none() && !is_module_path(logger) {
                return Err(LogError::UnknownLogger(logger.clone()));
            }
            let level = parse_level(level)
                .ok_or_else(|| LogError::UnknownLevel { logger: logger.clone(), level: level.clone() })?;
            changed.0.insert(logger.clone(), level);
        }
        if changed.0.len() > LOGGERS_MAX { Err(LogError::TooManyLoggers) } else { Ok(changed) }
    }

    /// As the subscriber wants it.
    pub(super) fn targets(&self) -> Targets {
        let root = self.0.get(ROOT).copied().unwrap_or(LevelFilter::INFO);
        let mut targets = Targets::new().with_default(root);
        for module in TOLD_BY_US {
            targets = targets.with_target(module, LevelFilter::OFF);
        }
        for (logger, level) in &self.0 {
            for module in vendor_modules(logger).unwrap_or_default() {
                targets = targets.with_target(*module, *level);
            }
        }
        // After the vendor's names: who names a module means exactly that module.
        for (logger, level) in self.0.iter().filter(|(logger, _)| is_module_path(logger)) {
            targets = targets.with_target(logger.as_str(), *level);
        }
        targets
    }

    /// Logger and level as text.
    pub(super) fn names(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(logger, level)| (logger.clone(), level.to_string())).collect()
    }
}

fn parse_level(text: &str) -> Option<LevelFilter> {
    // By hand: the library's parser also takes numbers and nothing at all.
    Some(match text.to_ascii_lowercase().as_str() {
        "off" => LevelFilter::OFF,
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return None,
    })
}

fn vendor_modules(logger: &str) -> Option<&'static [&'static str]> {
    match logger {
        "record-parser" => Some(&["esp_connector::wire"]),
        "server" => Some(&["esp_connector::listener", "esp_connector::connection"]),
        "com.aerospike.connect" => Some(&["esp_connector", "adapters"]),
        _ => None,
    }
}

fn is_module_path(logger: &str) -> bool {
    let mut segments = logger.split("::");
    matches!(segments.next(), Some("esp_connector" | "adapters"))
        && segments.all(|segment| {
            !segment.is_empty()
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        })
}

/// Libraries that are never heard, because our own lines say the same, and better: one logs each failure of a connection as an
/// error, without saying whose it is; the AWS SDK repeats the words of refusals, which may hold what was sent or signed, and
/// lines of the profile. A name stands for all that begin with it.
const TOLD_BY_US: [&str; 2] = ["aws_", "rustls_platform_verifier"];
const ROOT: &str = "root";
/// Most loggers with a level of their own: whoever can reach the management port can add them.
pub(super) const LOGGERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn levels(pairs: &[(&str, &str)]) -> Levels {
        let changes = pairs.iter().map(|(logger, level)| (logger.to_string(), level.to_string())).collect();
        Levels::default().changed(&changes).unwrap()
    }

    #[test]
    fn vendor_names_reach_our_modules() {
        let targets = levels(&[("root", "warn"), ("record-parser", "debug"), ("server", "trace")]).targets();
        assert!(targets.would_enable("esp_connector::wire::frame", &Level::DEBUG));
        assert!(!targets.would_enable("esp_connector::wire::frame", &Level::TRACE));
        assert!(targets.would_enable("esp_connector::listener", &Level::TRACE));
        assert!(targets.would_enable("esp_connector::connection", &Level::TRACE));
        assert!(!targets.would_enable("esp_connector::lane", &Level::INFO));
        assert!(!targets.would_enable("hyper", &Level::INFO));
        assert!(targets.would_enable("hyper", &Level::WARN));
        assert!(!targets.would_enable("rustls_platform_verifier::verification::others", &Level::ERROR));
    }

    #[test]
    fn what_repeats_secrets_is_not_heard_at_any_level() {
        let targets = levels(&[("root", "trace"), ("com.aerospike.connect", "trace")]).targets();
        for library in
            ["aws_config::profile", "aws_smithy_runtime::client::orchestrator", "aws_sigv4::http_request"]
        {
            assert!(!targets.would_enable(library, &Level::ERROR), "{library}");
        }
        assert!(targets.would_enable("adapters::aws_lambda", &Level::TRACE));
    }

    #[test]
    fn the_longer_path_and_our_own_name_win() {
        let ours = [("com.aerospike.connect", "error"), ("esp_connector", "debug"), ("record-parser", "off")];
        let targets = levels(&ours).targets();
        assert!(targets.would_enable("esp_connector::lane", &Level::DEBUG));
        assert!(!targets.would_enable("adapters::http", &Level::WARN));
        assert!(!targets.would_enable("esp_connector::wire", &Level::ERROR));
    }

    #[test]
    fn only_known_loggers_and_levels() {
        for logger in
            ["", "Root", "esp_connector::", "esp_connector::Wire", "hyper", "esp_connectors", "a::b"]
        {
            let changes = BTreeMap::from([(logger.to_owned(), "info".to_owned())]);
            assert!(Levels::default().changed(&changes).is_err(), "{logger}");
        }
        for level in ["", "3", "warning", "fatal", " info"] {
            let changes = BTreeMap::from([("root".to_owned(), level.to_owned())]);
            assert!(Levels::default().changed(&changes).is_err(), "{level}");
        }
    }

    #[test]
    fn the_table_is_bounded() {
        let changes = (0..LOGGERS_MAX).map(|i| (format!("esp_connector::m{i}"), "info".to_owned())).collect();
        assert_eq!(Levels::default().changed(&changes).unwrap_err(), LogError::TooManyLoggers);
    }
}
