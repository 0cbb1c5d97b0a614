//! The meaning of `logging`.

use std::{collections::BTreeMap, time::Duration};

use super::{Meaning, given};
use crate::{
    config::{
        Logging,
        file::{self, LogFormat},
        problem::join,
    },
    logging::check_levels,
};

impl Meaning<'_> {
    pub(super) fn logging(&mut self, file: file::Logging) -> Logging {
        let node = self.tree.get("logging");
        if file.file.is_none() && given(node, "enable-console-logging") && !file.enable_console_logging {
            let path = "logging.enable-console-logging";
            let message = "has no effect: without a `file` logs go to standard error";
            self.findings.note(self.tree.line_of(path), path, message);
        }
        if file.file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            self.problem("logging.file", "must not be empty; leave it out to log to standard error");
        }
        let mut logging = Logging::from(file);
        logging.file = logging.file.map(|file| self.folder.join(file));
        // The vendor's file may name Java loggers that mean nothing here: no reason to refuse it.
        logging.levels.retain(|logger, level| {
            let one = BTreeMap::from([(logger.clone(), level.clone())]);
            let Err(e) = check_levels(&one) else { return true };
            self.warn(&join("logging.levels", logger), format!("no effect: {e}"));
            false
        });
        logging
    }
}

impl From<file::Logging> for Logging {
    fn from(file: file::Logging) -> Self {
        Self {
            levels: file
                .levels
                .into_iter()
                .map(|(logger, level)| (logger, level.as_str().to_owned()))
                .collect(),
            ticker_interval: Duration::from_secs(file.ticker_interval),
            json: file.format == LogFormat::Json,
            console: file.enable_console_logging || file.file.is_none(),
            file: file.file,
            max_history: file.max_history,
        }
    }
}

impl Default for Logging {
    fn default() -> Self {
        file::Logging::default().into()
    }
}
