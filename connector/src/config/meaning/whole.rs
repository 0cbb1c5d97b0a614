//! What only shows when everything is put together: sections that do not fit each other, and what nobody uses.

use std::collections::BTreeSet;

use adapters::TargetConfig;

use super::Meaning;
use crate::config::{AvroEncoding, BatchBody, Config, Effective, Format, Scope, problem::join};

impl Meaning<'_> {
    /// Looks at every kind of record that the configuration tells apart.
    pub(super) fn whole(&mut self, config: &Config) {
        let mut told = BTreeSet::new();
        let mut routed = false;
        // What is wrong on every port is told without one.
        let (some_port, any_port): (Vec<_>, Vec<_>) = config.scopes().partition(|scope| scope.port.is_some());
        for scope in any_port.into_iter().chain(some_port) {
            let effective = config.effective(scope);
            if !effective.goes_somewhere() {
                continue;
            }
            routed = true;
            let Some((path, message)) =
                no_format(config, scope, &effective).or_else(|| unfit_body(config, scope, &effective))
            else {
                continue;
            };
            if told.insert(path.clone()) {
                self.problem(&path, message);
            }
        }
        if !routed {
            let message = "NO RECORD GOES ANYWHERE: without `routing` every record is acknowledged to XDR and sent \
                           nowhere; add `routing: {mode: static, destination: …}`";
            self.findings.warn(0, "", message);
        } else {
            self.given_up_together(config);
            for name in self.names.difference(&self.used).cloned().collect::<Vec<_>>() {
                self.warn(&join("destinations", &name), "no route names it");
            }
        }
    }

    /// An answer is about a request: what it refuses for good takes the sound records beside it along.
    fn given_up_together(&mut self, config: &Config) {
        let batched = |name: &&String| {
            config.scopes().any(|scope| {
                let effective = config.effective(scope);
                effective.batching.is_some_and(|batching| batching.enabled && batching.max_records.get() > 1)
                    && effective.destinations().contains(name.as_str())
            })
        };
        for (name, destination) in &config.destinations {
            let TargetConfig::Http(http) = &destination.target else { continue };
            if !http.http_permanent_status_codes.is_empty() && batched(&name) {
                let path = format!("{}.http-permanent-status-codes", join("destinations", name));
                let message = "gives up all records of a batch that is answered so, the sound ones too; turn batching off \
                               for this destination, or leave this out";
                self.warn(&path, message);
            }
        }
    }
}

/// Where records are routed, and that it takes a format.
fn no_format(config: &Config, scope: Scope<'_>, effective: &Effective<'_>) -> Option<(String, String)> {
    if effective.format.is_some() {
        return None;
    }
    let path = config.section_path(scope, "routing", |sections| sections.routing.is_some())?;
    let message = "no `format` applies to these records, and the vendor's default (`xdr`) is not supported yet; add \
                   `format: {mode: json}`";
    Some((path, message.to_owned()))
}

/// Where records are batched in a body that their format does not go into, and why.
fn unfit_body(config: &Config, scope: Scope<'_>, effective: &Effective<'_>) -> Option<(String, String)> {
    let body = effective.batching.filter(|batching| batching.enabled)?.body?;
    let (format, why) = match (effective.format?, body) {
        (Format::Avro { encoding: AvroEncoding::Ocf, .. }, _) => {
            ("an Avro object container file", "which is a body already")
        }
        (Format::MessagePack, BatchBody::JsonArray | BatchBody::Ndjson) => {
            ("message-pack", "which is not JSON")
        }
        (Format::Avro { .. }, BatchBody::JsonArray | BatchBody::Ndjson) => ("avro", "which is not JSON"),
        _ => return None,
    };
    let section = config.section_path(scope, "batching", |sections| sections.batching.is_some())?;
    let message = format!("the format of {} is {format}, {why}; leave `body` out", words(scope));
    Some((join(&section, "body"), message))
}

/// The records of a scope.
fn words(scope: Scope<'_>) -> String {
    let mut words = match (scope.namespace, scope.set) {
        (Some(namespace), Some(set)) => format!("set {namespace}.{set}"),
        (Some(namespace), None) => format!("namespace {namespace}"),
        _ => "all other records".to_owned(),
    };
    if let Some(port) = scope.port {
        words.push_str(&format!(" from port {port}"));
    }
    words
}
