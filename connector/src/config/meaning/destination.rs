//! The meaning of one destination: its settings by `type`, relative file names, and what its author may have overlooked.

use std::{mem, net::IpAddr};

use adapters::{
    TargetConfig, aws_alb, aws_lambda,
    aws_lambda::InvocationType,
    http::{Answers, Compression, HeaderValue},
    token,
};
use serde_json::{Map, Value};

use super::{Meaning, given};
use crate::{
    config::{
        Destination,
        file::{self, KINDS, SHARED_KEYS, Shared},
        problem::join,
        settings::{
            aws_credentials, behind_is_lambda, call_timeout_ms_mut, compression, headers_mut, http_settings,
            http_settings_mut, type_name,
        },
        tree::Node,
    },
    connection::ANSWER_WITHIN,
};

/// After so long records are answered without their calls. What goes on then keeps a worker, and later versions, for nothing.
const CALL_MS_MAX: u64 = ANSWER_WITHIN.as_millis() as u64;

impl Meaning<'_> {
    pub(super) fn destination(&mut self, name: &str, file: file::Destination) -> Option<Destination> {
        let path = join("destinations", name);
        let (mut shared, mut own) = (Map::new(), Map::new());
        let mut kind = &KINDS[0];
        for (key, value) in file.0 {
            match key.as_str() {
                // The shape knows no other names.
                "type" => kind = value.as_str().and_then(file::kind).unwrap_or(kind),
                key if SHARED_KEYS.contains(&key) => drop(shared.insert(key.to_owned(), value)),
                _ => drop(own.insert(key, value)),
            }
        }
        let shared: Shared = Self::typed(self.findings, self.tree, &path, Value::Object(shared))?;
        let read = kind.settings(own);
        let mut target = Self::accepted(self.findings, self.tree, &path, read)?;
        self.files(&path, &mut target);
        if let Some(ms) = call_timeout_ms_mut(&mut target).filter(|ms| **ms > CALL_MS_MAX) {
            let message =
                format!("{ms} ms: calls end after {CALL_MS_MAX} ms all the same, to answer XDR in time");
            *ms = CALL_MS_MAX;
            self.warn(&join(&path, "call-timeout"), message);
        }
        let node = self.tree.get("destinations").and_then(|all| all.get(name));
        self.look_again(&path, node, &target);
        Some(Destination {
            target,
            workers: shared.workers,
            max_attempts: shared.max_attempts,
            max_queued: shared.max_request_queued_per_endpoint.get(),
            dead_letter: shared.dead_letter.and_then(|place| self.dead_letter(name, &place)),
        })
    }

    /// File names are relative to the configuration's folder.
    fn files(&mut self, path: &str, target: &mut TargetConfig) {
        if let Some(tls) = http_settings_mut(target).and_then(|http| http.tls.as_mut()) {
            for file in [&mut tls.ca_file, &mut tls.certificate_file, &mut tls.key_file] {
                *file = file.take().map(|file| self.folder.join(file));
            }
            for store in [&mut tls.key_store, &mut tls.trust_store].into_iter().flatten() {
                store.files_mut().for_each(|file| *file = self.folder.join(&file));
            }
            tls.ciphers = self.ciphers(&join(path, "tls"), mem::take(&mut tls.ciphers));
        }
        for value in headers_mut(target).into_iter().flat_map(|headers| headers.values_mut()) {
            if let HeaderValue::File { file } = value {
                *file = self.folder.join(&file);
            }
        }
        match target {
            TargetConfig::AwsAlb(aws_alb::Config { token: Some(token::Source::File { file }), .. }) => {
                *file = self.folder.join(&file);
            }
            TargetConfig::Webhook(hook) => {
                for secret in &mut hook.secrets {
                    if let HeaderValue::File { file } = secret {
                        *file = self.folder.join(&file);
                    }
                }
            }
            TargetConfig::File(folder) => folder.path = self.folder.join(&folder.path),
            _ => {}
        }
    }

    /// What is right by itself and perhaps not meant.
    fn look_again(&mut self, path: &str, node: Option<&Node>, target: &TargetConfig) {
        self.in_the_clear(path, target);
        self.credentials(path, target);
        let squeezed = compression(target) != Compression::None;
        if squeezed && behind_is_lambda(target) {
            let message = "a Lambda function gets what is compressed as base64, a third longer, and has to unpack it itself";
            self.note(&join(path, "compression"), message);
        }
        match target {
            TargetConfig::AwsLambda(lambda) => self.lambda(path, node, lambda),
            TargetConfig::GcpFunctions(gcp) if gcp.audience.is_none() => {
                let own = |url: &String| {
                    [".run.app", ".cloudfunctions.net"].iter().any(|end| host(url).ends_with(end))
                };
                if !gcp.http.urls.iter().all(own) {
                    let message = "tokens are made out to this address, which is none of Google's own: the service takes them \
                                   where that is one of its custom audiences; otherwise set `audience` to its run.app URL";
                    self.note(&join(path, "urls"), message);
                }
            }
            TargetConfig::AwsAlb(alb) => {
                let certificate = alb
                    .http
                    .tls
                    .as_ref()
                    .is_some_and(|tls| tls.certificate_file.is_some() || tls.key_store.is_some());
                if alb.token.is_none() && !certificate {
                    let message = "sends neither a `token` nor a client certificate (`tls`): whoever reaches the load \
                                   balancer can send the same, unless its network keeps them out";
                    self.note(path, message);
                }
            }
            _ => {}
        }
        self.answers(path, node, target);
        let probed = http_settings(target).is_some_and(|http| http.health_check.enabled);
        if probed && !matches!(target, TargetConfig::Http(_)) {
            let message = "probes carry no signature and no token, and each may be billed as a call";
            self.note(&join(path, "health-check"), message);
        }
    }

    /// An answer to `_bulk` is a success whatever became of the records.
    fn answers(&mut self, path: &str, node: Option<&Node>, target: &TargetConfig) {
        let Some(http) = http_settings(target) else { return };
        if http.answers.is_some() && given(node, "partial-response") {
            let message = "has no effect: `answers` says how the body of a success is read";
            self.warn(&join(path, "partial-response"), message);
        }
        if http.urls.iter().any(|url| is_bulk(url)) && http.answers != Some(Answers::ElasticsearchBulk) {
            self.warn(&join(path, "urls"), UNREAD_BULK);
        }
    }

    fn lambda(&mut self, path: &str, node: Option<&Node>, lambda: &aws_lambda::Config) {
        if lambda.invocation_type == InvocationType::Event {
            let message = "`Event` acknowledges records before the function has seen them: Lambda queues the call, the order \
                           of a record's versions is lost, and what the function fails on shows in its own dead-letter \
                           queue, not here";
            self.warn(&join(path, "invocation-type"), message);
            if lambda.partial_response && given(node, "partial-response") {
                self.warn(
                    &join(path, "partial-response"),
                    "has no effect with `Event`: there is no answer to search",
                );
            }
        }
    }

    /// Who reads along where there is no TLS.
    fn in_the_clear(&mut self, path: &str, target: &TargetConfig) {
        let what = match target {
            TargetConfig::AwsApiGateway(_)
            | TargetConfig::AwsFunctionUrl(_)
            | TargetConfig::AwsOpensearch(_)
            | TargetConfig::AwsLambda(_) => "the session token and the records",
            TargetConfig::GcpFunctions(_) => "the identity token and the records",
            TargetConfig::AwsAlb(alb) if alb.token.is_some() => "the token and the records",
            TargetConfig::AwsAlb(_)
            | TargetConfig::Http(_)
            | TargetConfig::Webhook(_)
            | TargetConfig::File(_) => return,
        };
        let urls: Vec<(String, &str)> = match target {
            TargetConfig::AwsLambda(lambda) => {
                lambda.endpoint_url.iter().map(|url| (join(path, "endpoint-url"), url.as_str())).collect()
            }
            other => http_settings(other)
                .into_iter()
                .flat_map(|http| http.urls.iter().enumerate())
                .map(|(n, url)| (format!("{path}.urls[{n}]"), url.as_str()))
                .collect(),
        };
        for (place, url) in urls {
            if url.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("http://")) && !is_loopback(url) {
                let message =
                    format!("{what} go in clear text, for everyone on the way to read; write `https://`");
                self.warn(&place, message);
            }
        }
    }

    fn credentials(&mut self, path: &str, target: &TargetConfig) {
        let Some(credentials) = aws_credentials(target) else { return };
        if credentials.external_id.is_some() && credentials.role_arn.is_none() {
            let message = "has no effect: it belongs to a role that is assumed, and there is no `role-arn`";
            self.warn(&join(path, "external-id"), message);
        }
        let TargetConfig::AwsAlb(alb) = target else { return };
        if matches!(alb.token, Some(token::Source::AwsWebIdentity { .. })) {
            return;
        }
        let unused = [
            ("region", &credentials.region),
            ("profile", &credentials.profile),
            ("role-arn", &credentials.role_arn),
        ];
        for (key, _) in unused.into_iter().filter(|(_, value)| value.is_some()) {
            let message = format!(
                "has no effect: `{}` needs AWS credentials only for `token: {{aws-web-identity: …}}`",
                type_name(target)
            );
            self.warn(&join(path, key), message);
        }
    }
}

/// Whether a URL, or a path, is that of Elasticsearch's API for many documents.
pub(super) fn is_bulk(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default().trim().trim_end_matches('/');
    path.ends_with("/_bulk") || path == "_bulk"
}

pub(super) const UNREAD_BULK: &str = "`_bulk` answers 200 also when it refused records, which would be lost: set `answers: elasticsearch-bulk`";

/// The host of a URL, without the port.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// Whether a URL names this machine.
fn is_loopback(url: &str) -> bool {
    let host = host(url);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_the_rest() {
        for here in [
            "http://localhost",
            "LOCALHOST:80/x",
            "127.0.0.1:9/",
            "http://127.9.9.9?x",
            "https://[::1]:8080/",
        ] {
            assert!(is_loopback(here), "{here}");
        }
        for far in
            ["localhost.example.net/", "128.0.0.1/", "[::2]/", "127.0.0.1.example.net", "", "h/localhost"]
        {
            assert!(!is_loopback(far), "{far}");
        }
    }
}
