//! `logging` as it stands in the file.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Logs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Logging {
    /// Log file; its folder must exist. At midnight UTC it is renamed to `FILE.YYYY-MM-DD`, the day it is about, and
    /// a new one starts; also when the connector starts and finds the file of an earlier day.
    pub(crate) file: Option<PathBuf>,
    /// Log to standard error too. Without a `file` that is always so.
    #[serde(default)]
    pub(crate) enable_console_logging: bool,
    /// Rotated log files that are kept; older ones are deleted. No other file is.
    #[serde(default = "max_history")]
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) max_history: usize,
    /// Level of each logger: `root`, `record-parser`, `server`, `com.aerospike.connect`, or one of our module
    /// paths such as `esp_connector::lane`. Other names load with a warning. A released binary says no more at
    /// `trace` than at `debug`.
    #[serde(default)]
    pub(crate) levels: BTreeMap<String, Level>,
    /// Seconds between statistics lines; 0 turns them off.
    #[serde(default = "ticker_interval")]
    #[schemars(range(max = 86_400))]
    pub(crate) ticker_interval: u64,
    /// Form of a line, in the file and on standard error.
    #[serde(default)]
    pub(crate) format: LogFormat,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            file: None,
            enable_console_logging: false,
            max_history: max_history(),
            levels: BTreeMap::new(),
            ticker_interval: ticker_interval(),
            format: LogFormat::default(),
        }
    }
}

/// Least severity that is logged.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// Text.
    #[default]
    Simple,
    /// One JSON object a line.
    Json,
}

fn max_history() -> usize {
    30
}

fn ticker_interval() -> u64 {
    10
}
