//! What a reload changed, in words and as JSON: names and keys, never a value.

use std::fmt;

use serde::Serialize;

use crate::config::Config;

/// More keys than this help nobody.
const KEYS_MAX: usize = 100;

/// What a reload changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Changes {
    /// Paths of the keys that are set otherwise than before; at most 100 of them.
    pub keys: Vec<String>,
    /// What became of the destinations.
    pub destinations: Destinations,
    /// What became of the ports, as `address:port`.
    pub ports: Ports,
    /// Keys that are set otherwise and take effect after a restart.
    pub needs_restart: Vec<&'static str>,
}

/// Destinations by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Destinations {
    /// New ones.
    pub added: Vec<String>,
    /// Those that go on with other settings, or with other batches.
    pub changed: Vec<String>,
    /// Those that end when they have nothing left.
    pub removed: Vec<String>,
    /// Those that nothing happened to.
    pub kept: Vec<String>,
}

/// Ports by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// New ones.
    pub opened: Vec<String>,
    /// Those whose connections end when everything read from them is answered.
    pub closed: Vec<String>,
}

impl Changes {
    /// Takes the keys, as many as help.
    pub(crate) fn of_keys(mut keys: Vec<String>) -> Self {
        keys.truncate(KEYS_MAX);
        Self { keys, ..Self::default() }
    }

    /// Whether everything is as it was.
    pub fn is_empty(&self) -> bool {
        let Self { keys, destinations, ports, needs_restart } = self;
        let Destinations { added, changed, removed, kept: _ } = destinations;
        keys.is_empty()
            && needs_restart.is_empty()
            && [added, changed, removed, &ports.opened, &ports.closed].iter().all(|list| list.is_empty())
    }
}

/// One line for the log.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing is different");
        }
        let Destinations { added, changed, removed, kept: _ } = &self.destinations;
        let restart: Vec<String> = self.needs_restart.iter().map(|key| (*key).to_owned()).collect();
        let parts = [
            ("changed keys", &self.keys),
            ("destinations added", added),
            ("destinations changed", changed),
            ("destinations removed", removed),
            ("ports opened", &self.ports.opened),
            ("ports closed", &self.ports.closed),
            ("takes effect after a restart", &restart),
        ];
        let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
        for (n, (what, names)) in parts.enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}{what}: {}", names.join(", "))?;
        }
        Ok(())
    }
}

/// Lets `new` keep what cannot change while the connector runs, and tells which of it was meant to.
pub(crate) fn keep_what_needs_restart(running: &Config, new: &mut Config) -> Vec<&'static str> {
    let mut keys = Vec::new();
    macro_rules! keep {
        ($($key:literal $($field:ident).+,)+) => {$(
            if running.$($field).+ != new.$($field).+ {
                keys.push($key);
                new.$($field).+.clone_from(&running.$($field).+);
            }
        )+};
    }
    keep! {
        "service.protocol" service.protocol,
        "service.http2-max-concurrent-streams" service.http2_streams_max,
        "service.worker-threads" service.worker_threads,
        "service.remember-partial-success" service.remember_partial_success,
        "logging.file" logging.file,
        "logging.enable-console-logging" logging.console,
        "logging.format" logging.json,
        "logging.max-history" logging.max_history,
    }
    keys
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    fn config(text: &str) -> Config {
        parse(text, Path::new("")).unwrap().config
    }

    #[test]
    fn what_needs_a_restart_is_named_and_kept() {
        let running = config("service: {worker-threads: 2}\nlogging: {file: a.log}");
        let mut new = config("service: {worker-threads: 3, max-concurrent-records: 7}");
        let keys = keep_what_needs_restart(&running, &mut new);
        assert_eq!(keys, ["service.worker-threads", "logging.file", "logging.enable-console-logging"]);
        assert_eq!(new.service.worker_threads, running.service.worker_threads);
        assert_eq!((new.logging.file, new.logging.console), (running.logging.file.clone(), false));
        assert_eq!(new.service.max_concurrent_records.get(), 7);
        assert!(keep_what_needs_restart(&running, &mut running.clone()).is_empty());
    }

    #[test]
    fn one_line_tells_it_all() {
        assert_eq!(Changes::default().to_string(), "nothing is different");
        let mut changes = Changes::of_keys(vec!["batching".to_owned(), "destinations.b".to_owned()]);
        changes.destinations.added.push("b".to_owned());
        changes.destinations.kept.push("c".to_owned());
        changes.ports.closed.push("0.0.0.0:8901".to_owned());
        changes.needs_restart.push("logging.file");
        assert_eq!(
            changes.to_string(),
            "changed keys: batching, destinations.b; destinations added: b; ports closed: 0.0.0.0:8901; takes effect after \
             a restart: logging.file"
        );
        assert_eq!(
            serde_json::to_string(&changes).unwrap(),
            r#"{"keys":["batching","destinations.b"],"destinations":{"added":["b"],"changed":[],"removed":[],"kept":["c"]},"ports":{"opened":[],"closed":["0.0.0.0:8901"]},"needs-restart":["logging.file"]}"#
        );
        assert_eq!(Changes::of_keys(vec![String::new(); 300]).keys.len(), 100);
    }
}
