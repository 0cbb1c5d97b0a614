//! Builds the targets of a configuration, and TLS of its listeners: the last things that can be wrong with it.
//!
//! An adapter reports the first setting that it cannot use. That setting is then set aside and the target
//! built again, so that the operator sees all of them; a target built that way is never handed out.

use std::{collections::BTreeMap, mem};

use adapters::{
    SharedTarget, TargetConfig, credentials,
    http::{self, Tls},
    tls::{Identity, date_complaint},
};

use super::{
    Config,
    problem::{Findings, join},
    settings::{headers_mut, http_settings, http_settings_mut},
    tree::Node,
};
use crate::tls::{Acceptor, Side};

/// The targets that could be built; the rest is reported.
pub(crate) fn build(config: &Config, tree: &Node, findings: &mut Findings) -> BTreeMap<String, SharedTarget> {
    listeners(config, tree, findings);
    let mut targets = BTreeMap::new();
    for (name, destination) in &config.destinations {
        let mut settings = destination.target.clone();
        let mut whole = true;
        // Every round reports one problem; a file can hold many, but nobody reads further than this.
        for _ in 0..MAX_ROUNDS {
            match settings.clone().build(name) {
                Ok(target) if whole => {
                    let tls = http_settings(&destination.target).and_then(|http| http.tls.as_ref());
                    if let Some((key, identity)) = tls.and_then(Tls::identity) {
                        let path = format!("{}.tls.{key}", join("destinations", name));
                        dates(Some(&identity), &path, tree, findings);
                    }
                    targets.insert(name.clone(), target);
                }
                Ok(_) => {}
                Err(e) => {
                    let destination = join("destinations", name);
                    let path =
                        if e.key.is_empty() { destination } else { format!("{destination}.{}", e.key) };
                    findings.problem(tree.line_of(&path), &path, e.problem);
                    whole = false;
                    if set_aside(&mut settings, &e.key) {
                        continue;
                    }
                }
            }
            break;
        }
    }
    targets
}

const MAX_ROUNDS: usize = 50;

/// Reads what the listeners' TLS needs, to report what is wrong with it. They are set up when they are opened.
fn listeners(config: &Config, tree: &Node, findings: &mut Findings) {
    let manage = config.service.manage.as_ref().and_then(|manage| manage.tls.as_ref());
    for (side, tls) in [(Side::Xdr, config.service.tls.as_ref()), (Side::Manage, manage)] {
        let Some(tls) = tls else { continue };
        match Acceptor::new(side, tls) {
            Ok(acceptor) => {
                let path = join(side.path(), tls.identity.key());
                dates(acceptor.identity().as_ref(), &path, tree, findings);
            }
            Err(e) => {
                let path = format!("{}.{}", side.path(), e.key);
                findings.problem(tree.line_of(&path), &path, e.problem);
            }
        }
    }
}

/// Warns of a certificate outside of its dates: it can be exchanged while the connector runs.
fn dates(identity: Option<&Identity>, path: &str, tree: &Node, findings: &mut Findings) {
    if let Some(complaint) = identity.and_then(date_complaint) {
        findings.warn(tree.line_of(path), path, complaint);
    }
}

/// Replaces the setting `key` by something harmless. False when that is not known how, or changes nothing.
fn set_aside(settings: &mut TargetConfig, key: &str) -> bool {
    let (first, rest) = key.split_once(['.', '[']).unwrap_or((key, ""));
    if first == "headers" {
        let Some(headers) = headers_mut(settings) else { return false };
        // A name may hold anything, a dot too; what follows it says where the value comes from.
        let before = headers.len();
        if rest.is_empty() {
            headers.clear();
            return before > 0;
        }
        let is_meant = |name: &str| {
            let after = rest
                .get(..name.len())
                .filter(|start| start.eq_ignore_ascii_case(name))
                .map(|_| &rest[name.len()..]);
            after.is_some_and(|after| after.is_empty() || after.starts_with('.'))
        };
        headers.retain(|name, _| !is_meant(name));
        return headers.len() < before;
    }
    if let Some(http) = http_settings_mut(settings)
        && set_aside_http(http, first, rest)
    {
        return true;
    }
    let gone = |setting: &mut Option<String>| setting.take().is_some();
    match (settings, first) {
        (
            TargetConfig::AwsApiGateway(aws)
            | TargetConfig::AwsFunctionUrl(aws)
            | TargetConfig::AwsOpensearch(aws),
            _,
        ) => match first {
            "service" => gone(&mut aws.service),
            _ => set_aside_credentials(&mut aws.credentials, first),
        },
        (TargetConfig::Webhook(hook), "secrets") => {
            let index = rest.trim_end_matches(']').parse().ok();
            index.filter(|index| hook.secrets.len() > 1 && *index < hook.secrets.len()).is_some_and(|index| {
                hook.secrets.remove(index);
                true
            })
        }
        (TargetConfig::AwsAlb(alb), "token") => alb.token.take().is_some(),
        (TargetConfig::AwsAlb(alb), _) => set_aside_credentials(&mut alb.credentials, first),
        (TargetConfig::AwsLambda(lambda), "endpoint-url") => gone(&mut lambda.endpoint_url),
        (TargetConfig::AwsLambda(lambda), "qualifier") => gone(&mut lambda.qualifier),
        (TargetConfig::AwsLambda(lambda), "max-request-bytes") => lambda.max_request_bytes.take().is_some(),
        (TargetConfig::AwsLambda(lambda), "compression") => {
            mem::replace(&mut lambda.compression, http::Compression::None) != http::Compression::None
        }
        (TargetConfig::AwsLambda(lambda), "function-name") => {
            mem::replace(&mut lambda.function_name, HARMLESS_NAME.to_owned()) != HARMLESS_NAME
        }
        (TargetConfig::AwsLambda(lambda), _) => {
            let lists = [
                ("http-success-status-codes", &mut lambda.http_success_status_codes),
                ("http-permanent-status-codes", &mut lambda.http_permanent_status_codes),
                ("retry-on", &mut lambda.retry_on),
                ("reject-on", &mut lambda.reject_on),
            ];
            set_aside_list(lists, first) || set_aside_credentials(&mut lambda.credentials, first)
        }
        (TargetConfig::GcpFunctions(gcp), "audience") => gone(&mut gcp.audience),
        (TargetConfig::GcpFunctions(gcp), "impersonate") => gone(&mut gcp.impersonate),
        _ => false,
    }
}

fn set_aside_http(http: &mut http::Config, first: &str, rest: &str) -> bool {
    match (first, &mut http.tls) {
        ("urls", _) => {
            let url = rest.trim_end_matches(']').parse().ok().and_then(|n: usize| http.urls.get_mut(n));
            let Some(url) = url.filter(|url| *url != HARMLESS_URL) else { return false };
            *url = HARMLESS_URL.to_owned();
            true
        }
        ("tls", Some(tls)) if rest == "ca-file" && tls.ca_file.is_some() => {
            tls.ca_file = None;
            true
        }
        ("tls", Some(tls)) if rest.starts_with("trust-store") && tls.trust_store.is_some() => {
            tls.trust_store = None;
            true
        }
        ("tls", Some(tls)) if rest == "ciphers" && !tls.ciphers.is_empty() => {
            tls.ciphers.clear();
            true
        }
        ("tls", tls @ Some(_)) => {
            *tls = None;
            true
        }
        ("compression", _) => {
            mem::replace(&mut http.compression, http::Compression::None) != http::Compression::None
        }
        ("health-check", _) => {
            let off = http::HealthCheck { enabled: false, ..http::HealthCheck::default() };
            mem::replace(&mut http.health_check, off).enabled
        }
        _ => set_aside_list(
            [
                ("http-success-status-codes", &mut http.http_success_status_codes),
                ("http-permanent-status-codes", &mut http.http_permanent_status_codes),
                ("retry-on", &mut http.retry_on),
                ("reject-on", &mut http.reject_on),
            ],
            first,
        ),
    }
}

fn set_aside_list(lists: [(&str, &mut Vec<u16>); 4], key: &str) -> bool {
    lists.into_iter().any(|(name, list)| name == key && !mem::take(list).is_empty())
}

fn set_aside_credentials(credentials: &mut credentials::Config, key: &str) -> bool {
    let setting = match key {
        "region" => &mut credentials.region,
        "profile" => &mut credentials.profile,
        "role-arn" => &mut credentials.role_arn,
        "external-id" => &mut credentials.external_id,
        _ => return false,
    };
    setting.take().is_some()
}

const HARMLESS_NAME: &str = "f";
const HARMLESS_URL: &str = "http://localhost/";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::parse;

    const TEXT: &str = r#"
destinations:
  a:
    urls: ["ftp://x/", "http://user:pw@h/", "http://ok/"]
    headers:
      Authorization: {env: ESP_CONNECTOR_TEST_NO_SUCH_VARIABLE}
      Bad Name: hunter2
      X-File: {file: nothing-here}
      Content-Length: "7"
    health-check: {method: "GE T"}
    tls:
      ca-file: missing.pem
      key-file: missing.key
  b:
    urls: ["http://127.0.0.1:9000/"]
format: json
routing: {mode: static-multi-destination, destinations: [a, b]}
"#;

    #[test]
    fn every_unusable_setting_is_reported_once_with_its_line() {
        let loaded = parse(TEXT, Path::new("/nowhere")).unwrap();
        let problems = loaded.targets().unwrap_err();
        let found: Vec<(usize, &str)> = problems.0.iter().map(|p| (p.line, p.path.as_str())).collect();
        assert_eq!(
            found,
            [
                (4, "destinations.a.urls[0]"),
                (4, "destinations.a.urls[1]"),
                (6, "destinations.a.headers.Authorization.env"),
                (7, "destinations.a.headers.Bad Name"),
                (8, "destinations.a.headers.X-File.file"),
                (9, "destinations.a.headers.Content-Length"),
                (10, "destinations.a.health-check.method"),
                (11, "destinations.a.tls.certificate-file"),
                (12, "destinations.a.tls.ca-file"),
            ],
            "{problems}"
        );
        assert!(!problems.to_string().contains("hunter2") && !problems.to_string().contains("pw@"));
    }

    const CLOUDS: &str = r#"
destinations:
  api:
    type: aws-api-gateway
    urls: ["https://a.example.net/x", "ftp://a/"]
    headers: {Authorization: hunter2, X-Key: {env: ESP_CONNECTOR_TEST_NO_SUCH_VARIABLE}}
    service: ""
    retry-on: [400]
    reject-on: [400]
    tls: {ca-file: missing.pem}
  function:
    type: aws-lambda
    function-name: "https://a.lambda-url.us-east-1.on.aws/"
    qualifier: "no such thing"
    endpoint-url: ftp://a/
    payload: raw
    compression: gzip
    headers: {X-A: b}
    max-request-bytes: 100000000
  elsewhere:
    type: aws-lambda
    function-name: arn:aws:lambda:eu-west-1:123456789012:function:f
    region: us-east-1
  url:
    type: aws-function-url
    urls: ["https://abcdefghij.lambda-url.eu-west-1.on.aws/"]
    region: us-east-1
"#;

    #[test]
    fn every_unusable_setting_of_a_cloud_is_reported_once() {
        let loaded = parse(CLOUDS, Path::new("/nowhere")).unwrap();
        let problems = loaded.targets().unwrap_err();
        let found: Vec<(usize, &str)> = problems.0.iter().map(|p| (p.line, p.path.as_str())).collect();
        assert_eq!(
            found,
            [
                (5, "destinations.api.urls[1]"),
                (6, "destinations.api.headers.X-Key.env"),
                (6, "destinations.api.headers.authorization"),
                (7, "destinations.api.service"),
                (8, "destinations.api.retry-on"),
                (10, "destinations.api.tls.ca-file"),
                (13, "destinations.function.function-name"),
                (14, "destinations.function.qualifier"),
                (15, "destinations.function.endpoint-url"),
                (17, "destinations.function.compression"),
                (18, "destinations.function.headers"),
                (19, "destinations.function.max-request-bytes"),
                (23, "destinations.elsewhere.region"),
                (27, "destinations.url.region"),
            ],
            "{problems}"
        );
        assert!(!problems.to_string().contains("hunter2"), "{problems}");
    }

    #[test]
    fn sound_settings_become_targets() {
        let text = "destinations: {b: {urls: ['http://127.0.0.1:9000/']}}";
        let targets = parse(text, Path::new("")).unwrap().targets().unwrap();
        assert_eq!(targets.keys().collect::<Vec<_>>(), ["b"]);
    }
}
