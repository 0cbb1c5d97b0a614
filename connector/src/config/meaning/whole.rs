//! What only shows when everything is put together: sections that do not fit each other, and what nobody uses.

use std::collections::BTreeSet;

use adapters::{TargetConfig, aws_lambda::PayloadShape, http::Answers};

use super::{
    Meaning,
    destination::{UNREAD_BULK, is_bulk},
};
use crate::config::{
    AvroEncoding, BatchBody, Batching, BinTransforms, Config, Effective, Format, Scope, http_settings,
    problem::join, type_name,
};
use crate::{
    cost,
    encode::{Encoder, XDR_ALONE, XDR_WHOLE},
};

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
            if let Some((path, message)) = default_format(config, scope, &effective)
                && told.insert(path.clone())
            {
                self.warn(&path, message);
            }
            let effective = Effective { format: Some(effective.format.unwrap_or(&Format::Xdr)), ..effective };
            let problem = unfit_xdr(config, scope, &effective)
                .or_else(|| unfit_body(config, scope, &effective))
                .or_else(|| no_json(config, scope, &effective))
                .or_else(|| no_http(config, scope, &effective))
                .or_else(|| unshared(config, scope, &effective));
            if let Some((path, message)) = problem
                && told.insert(path.clone())
            {
                self.problem(&path, message);
            }
        }
        if !routed {
            let message = "NO RECORD GOES ANYWHERE: without `routing` every record is acknowledged to XDR and sent \
                           nowhere; add `routing: {mode: static, destination: …}`";
            self.findings.warn(0, "", message);
        } else {
            self.alone(config);
            self.unread_answers(config);
            for name in self.names.difference(&self.used).cloned().collect::<Vec<_>>() {
                self.warn(&join("destinations", &name), "no route names it");
            }
        }
    }

    /// Where requests go to `_bulk`, whose answer is a success whatever became of the records, and nobody reads it.
    fn unread_answers(&mut self, config: &Config) {
        let mut told = BTreeSet::new();
        for effective in config.scopes().map(|scope| config.effective(scope)) {
            let Some(Format::Template(template)) = effective.format else { continue };
            let requests = [&template.write, &template.delete].into_iter().flatten();
            if !requests.filter_map(|request| request.path.as_deref()).any(is_bulk) {
                continue;
            }
            for name in effective.destinations() {
                let target = config.destinations.get(name).map(|destination| &destination.target);
                let unread = target.and_then(http_settings).is_some_and(|http| {
                    http.answers != Some(Answers::ElasticsearchBulk)
                        && !http.urls.iter().any(|url| is_bulk(url))
                });
                if unread && told.insert(name) {
                    self.warn(&join("destinations", name), UNREAD_BULK);
                }
            }
        }
    }

    /// Where a record is a call, and calls are what is billed.
    fn alone(&mut self, config: &Config) {
        let mut told = BTreeSet::new();
        for scope in config.scopes() {
            let effective = config.effective(scope);
            if effective.batching.is_some_and(|batching| batching.enabled && batching.max_records.get() > 1) {
                continue;
            }
            for name in effective.destinations().into_iter().filter(|name| told.insert(name.to_owned())) {
                let Some(destination) = config.destinations.get(name) else { continue };
                let Some((alone, by_hundred)) = cost::alone_and_by_hundred(&destination.target) else {
                    continue;
                };
                let message = format!(
                    "gets {scope} in a call for each record: about {alone} for a million of 1 KB, and {by_hundred} with 100 in a \
                     call (`batching: {{max-records: 100}}`); `esp-connector cost` works out yours"
                );
                self.note(&join("destinations", name), message);
            }
        }
    }
}

/// Where records are routed without a format, and what that means: few want it who come from elsewhere.
fn default_format(config: &Config, scope: Scope<'_>, effective: &Effective<'_>) -> Option<(String, String)> {
    if effective.format.is_some() {
        return None;
    }
    let path = config.section_path(scope, "routing", |sections| sections.routing.is_some())?;
    let message = "no `format` applies to these records, so that they go as XDR's own messages (`xdr`, the vendor's \
                   default), which other connectors read; for JSON add `format: {mode: json}`, or write `format: xdr`";
    Some((path, message.to_owned()))
}

/// Where something else is wanted of messages than that they are passed on, one by one.
fn unfit_xdr(config: &Config, scope: Scope<'_>, effective: &Effective<'_>) -> Option<(String, String)> {
    if effective.format != Some(&Format::Xdr) {
        return None;
    }
    let changes = |bins: &BinTransforms| *bins != BinTransforms::default();
    if effective.bin_transforms.is_some_and(changes) {
        let path =
            config.section_path(scope, "bin-transforms", |sections| sections.bin_transforms.is_some())?;
        let message =
            format!("the format of {scope} is xdr: {XDR_WHOLE}; remove it, or choose another format");
        return Some((path, message));
    }
    let several = |batching: &&Batching| batching.enabled && batching.max_records.get() > 1;
    effective.batching.filter(several)?;
    let path = config.section_path(scope, "batching", |sections| sections.batching.is_some())?;
    let message = format!("the format of {scope} is xdr: {XDR_ALONE}; remove it, or choose another format");
    Some((path, message))
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
    let message = format!("the format of {} is {format}, {why}; leave `body` out", scope);
    Some((join(&section, "body"), message))
}

/// Where records whose requests have parts of their own are routed to a destination that knows bodies only.
fn no_http(config: &Config, scope: Scope<'_>, effective: &Effective<'_>) -> Option<(String, String)> {
    let speaks_no_http = |name: &&str| {
        let target = config.destinations.get(*name).map(|destination| &destination.target);
        target.is_some_and(|target| http_settings(target).is_none())
    };
    let name = effective.destinations().into_iter().find(speaks_no_http)?;
    let encoder = Encoder::new(effective.format?.clone()).ok().filter(Encoder::needs_http)?;
    drop(encoder);
    let type_name = type_name(&config.destinations.get(name)?.target);
    let path = config.section_path(scope, "format", |sections| sections.format.is_some())?;
    let message = format!(
        "sets method, path, query, headers or statuses of requests (`content-mode: binary` does), which `{name}` (`type: {type_name}`) does not have, and          {scope} go there; leave them out, or route to a destination that speaks HTTP"
    );
    Some((path, message))
}

/// Where records are batched whose requests differ in more than the body.
fn unshared(config: &Config, scope: Scope<'_>, effective: &Effective<'_>) -> Option<(String, String)> {
    let format @ (Format::Template(_) | Format::CloudEvents(_)) = effective.format? else { return None };
    let error = Encoder::new(format.clone()).ok()?.batch_policy(effective.batching).err()?;
    let path = config.section_path(scope, "batching", |sections| sections.batching.is_some())?;
    Some((path, format!("{scope}: {error}")))
}

/// Where records are routed to a function that is called with the body alone, and that body is no JSON text.
fn no_json(config: &Config, scope: Scope<'_>, effective: &Effective<'_>) -> Option<(String, String)> {
    let raw = |name: &&str| {
        let target = config.destinations.get(*name).map(|destination| &destination.target);
        matches!(target, Some(TargetConfig::AwsLambda(lambda)) if lambda.payload == PayloadShape::Raw)
    };
    let name = effective.destinations().into_iter().find(raw)?;
    let several = effective.batching.filter(|batching| batching.enabled && batching.max_records.get() > 1);
    let what = match (effective.format?, several.and_then(|batching| batching.body)) {
        (Format::MessagePack, _) => "message-pack",
        (Format::Avro { .. }, _) => "avro",
        (Format::Xdr, _) => "xdr messages",
        (_, Some(BatchBody::Ndjson)) => "lines (`body: ndjson`)",
        (_, Some(BatchBody::Concatenated)) => "several texts in a row (`body: concatenated`)",
        _ => return None,
    };
    let message = format!(
        "Lambda takes nothing but one JSON text as it is, and {} go there as {what}; write `payload: event`, which wraps \
         anything",
        scope
    );
    Some((join(&join("destinations", name), "payload"), message))
}
