//! The types of destinations: which adapter delivers, which defaults differ from plain HTTP, and what is said to those
//! who write a key of another type.

use std::collections::BTreeMap;

use adapters::{TargetConfig, aws_alb, aws_http, aws_lambda, file, gcp_functions, http, webhook};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::amend::{self, amend};

/// One `type` of destination.
#[derive(Debug)]
pub(crate) struct Kind {
    /// As written after `type`.
    pub(crate) name: &'static str,
    /// What it is, for the reference.
    pub(super) words: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
    read: fn(Value) -> Result<TargetConfig, Misfit>,
    /// Who is called over the public network: [`afar_defaults`] then take the place of those of plain HTTP.
    afar: Option<Afar>,
    /// Defaults that the adapter sets by itself, in words.
    own_defaults: &'static [(&'static str, &'static str)],
    /// Keys that this type does not have, and what to do instead.
    instead: &'static [&'static [(&'static str, &'static str)]],
}

/// Who is called over the public network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Afar {
    /// Somebody's function, which may say in its answer what it could not process.
    Function,
    /// A service with an API of its own.
    Service,
}

/// Where the settings do not fit the adapter's type, and why. May hold a value: not for the eyes of anyone.
pub(crate) type Misfit = serde_path_to_error::Error<serde_json::Error>;

/// Every type; the first is meant when there is no `type`.
pub(crate) const KINDS: [Kind; 9] = [
    Kind {
        name: "http",
        words: "POST to any HTTP service.",
        schema: http::Config::json_schema,
        read: |value| read(value).map(TargetConfig::Http),
        afar: None,
        own_defaults: &[],
        instead: &[],
    },
    Kind {
        name: "aws-api-gateway",
        words: "An HTTP or REST API of Amazon API Gateway; requests are signed (Signature Version 4).",
        schema: aws_http::Config::json_schema,
        read: |value| read(value).map(TargetConfig::AwsApiGateway),
        afar: Some(Afar::Function),
        own_defaults: &[("service", "`execute-api`"), ("max-request-bytes", "4194304")],
        instead: &[NO_KEYS, NO_FUNCTION_BY_URL],
    },
    Kind {
        name: "aws-function-url",
        words: "The URL of a Lambda function; requests are signed (Signature Version 4).",
        schema: aws_http::Config::json_schema,
        read: |value| read(value).map(TargetConfig::AwsFunctionUrl),
        afar: Some(Afar::Function),
        own_defaults: &[("service", "`lambda`"), ("max-request-bytes", "4194304")],
        instead: &[NO_KEYS, NO_FUNCTION_BY_URL],
    },
    Kind {
        name: "aws-opensearch",
        words: "A domain of Amazon OpenSearch Service, or a serverless collection; requests are signed (Signature Version 4).",
        schema: aws_http::Config::json_schema,
        read: |value| read(value).map(TargetConfig::AwsOpensearch),
        afar: Some(Afar::Service),
        own_defaults: &[("service", "of the URL, or `es`"), ("max-request-bytes", "5242880")],
        instead: &[NO_KEYS],
    },
    Kind {
        name: "aws-alb",
        words: "An application load balancer of AWS: a bearer token, a client certificate, or the network alone.",
        schema: aws_alb::Config::json_schema,
        read: |value| read(value).map(TargetConfig::AwsAlb),
        afar: Some(Afar::Function),
        own_defaults: &[("max-request-bytes", "921600")],
        instead: &[
            NO_KEYS,
            NO_FUNCTION_BY_URL,
            &[
                ("service", "load balancers do not check signatures; `token` is what they check"),
                ("audience", "it belongs in `token: {aws-web-identity: {audience: …}}`"),
            ],
        ],
    },
    Kind {
        name: "aws-lambda",
        words: "A Lambda function, invoked directly.",
        schema: aws_lambda::Config::json_schema,
        read: |value| read(value).map(TargetConfig::AwsLambda),
        afar: None,
        own_defaults: &[("max-request-bytes", "4194304; 900000 with `Event`")],
        instead: &[
            NO_KEYS,
            &[(
                "urls",
                "`aws-lambda` is named by `function-name`; for the URL of a function write `type: aws-function-url`",
            )],
            &[
                ("service", "the service is always `lambda`"),
                ("protocol", "HTTP/2 is taken where the Lambda API offers it"),
                ("tls", "the Lambda API shows a public certificate"),
                ("health-check", "the Lambda API has no endpoints of its own to probe"),
                ("max-connections-per-endpoint", "`workers` limits how many calls run at once"),
                ("http2-max-concurrent-streams", "`workers` limits how many calls run at once"),
            ],
        ],
    },
    Kind {
        name: "gcp-functions",
        words: "A Google Cloud function or a Cloud Run service; requests carry an identity token.",
        schema: gcp_functions::Config::json_schema,
        read: |value| read(value).map(TargetConfig::GcpFunctions),
        afar: Some(Afar::Function),
        own_defaults: &[("max-request-bytes", "10000000")],
        instead: &[
            NO_KEY_FILE,
            &[
                ("function-name", "a function of Google is named by `urls`"),
                ("region", "the region is part of `urls`"),
                ("role-arn", "a service account is impersonated by `impersonate`"),
                ("token", "the token comes from Google; `audience` says for whom"),
            ],
        ],
    },
    Kind {
        name: "webhook",
        words: "POST to a receiver of Standard Webhooks; requests are signed with a shared secret (HMAC-SHA256).",
        schema: webhook::Config::json_schema,
        read: |value| read(value).map(TargetConfig::Webhook),
        afar: Some(Afar::Service),
        own_defaults: &[],
        instead: &[&[
            ("secret", "there may be several: `secrets: [{file: …}]`"),
            ("token", "a webhook is signed; a token goes into `headers`"),
        ]],
    },
    Kind {
        name: "file",
        words: "Lines in files of a folder, synced to disk before they are confirmed.",
        schema: file::Config::json_schema,
        read: |value| read(value).map(TargetConfig::File),
        afar: None,
        own_defaults: &[("max-files", "all are kept")],
        instead: &[&[
            ("urls", "files are named by their folder, `path`"),
            ("file", "files are named by their folder, `path`"),
            ("folder", "files are named by their folder, `path`"),
        ]],
    },
];

/// The type called `name`.
pub(crate) fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

const NO_FUNCTION_BY_URL: &[(&str, &str)] =
    &[("function-name", "the function is found by `urls`; to invoke one directly write `type: aws-lambda`")];

const NO_KEYS: &[(&str, &str)] =
    &[("access-key-id", NO_SECRETS), ("secret-access-key", NO_SECRETS), ("session-token", NO_SECRETS)];

const NO_SECRETS: &str = "credentials have no place in this file: they come from the environment (`AWS_ACCESS_KEY_ID` and so \
                          on), `profile`, the container or the instance";

const NO_KEY_FILE: &[(&str, &str)] = &[
    ("credentials", NO_GOOGLE_SECRETS),
    ("credentials-file", NO_GOOGLE_SECRETS),
    ("key-file", NO_GOOGLE_SECRETS),
];

const NO_GOOGLE_SECRETS: &str = "the environment variable `GOOGLE_APPLICATION_CREDENTIALS` names it; on Google's own machines none is needed";

/// What a call over the public network to a service that scales needs, where plain HTTP has the vendor's defaults. Value, and
/// what the reference says where that is not the value.
fn afar_defaults(who: Afar) -> [(&'static str, Value, Option<&'static str>); 5] {
    [
        ("call-timeout", 7000.into(), None),
        ("connect-timeout", 3000.into(), None),
        ("max-connections-per-endpoint", 16.into(), None),
        ("partial-response", (who == Afar::Function).into(), None),
        // Probes are calls: they are not signed, and they cost money. One who writes the section wants it.
        ("health-check", json!({ "enabled": false }), Some("off")),
    ]
}

impl Kind {
    /// The adapter's settings, amended.
    pub(super) fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        let mut schema = (self.schema)(generator);
        let keys = amend::members(&mut schema, "properties");
        amend::keys(keys);
        if let Some(who) = self.afar {
            for (key, value, words) in afar_defaults(who) {
                match words {
                    Some(words) => amend(keys, key, json!({ "x-default": words })),
                    None => amend(keys, key, json!({ "default": value })),
                }
            }
        }
        for (key, words) in self.own_defaults {
            amend(keys, key, json!({ "x-default": words }));
        }
        schema
    }

    /// The settings in `own`, with this type's defaults for what is not there.
    pub(crate) fn settings(&self, mut own: Map<String, Value>) -> Result<TargetConfig, Misfit> {
        if let Some(who) = self.afar {
            for (key, value, _) in afar_defaults(who) {
                own.entry(key).or_insert(value);
            }
        }
        (self.read)(Value::Object(own))
    }

    /// For each key that others have and this one has not: what to do about it. `homes` has the types of each key.
    pub(super) fn elsewhere(&self, homes: &BTreeMap<String, Vec<&Self>>) -> Value {
        let mut hints = Map::new();
        for (key, kinds) in homes {
            if kinds.iter().any(|kind| kind.name == self.name) {
                continue;
            }
            let names: Vec<String> = kinds.iter().map(|kind| format!("`{}`", kind.name)).collect();
            let hint = match (self.name == KINDS[0].name, names.as_slice()) {
                (true, [_]) => format!("did you mean `type: {}`?", kinds[0].name),
                (true, _) => format!("is a `type` missing? It is a key of {}", names.join(", ")),
                (false, _) => format!("`{}` has no such key, {}", self.name, owners(&names)),
            };
            hints.insert(key.clone(), hint.into());
        }
        hints.extend(
            self.instead.iter().copied().flatten().map(|(key, hint)| ((*key).to_owned(), (*hint).into())),
        );
        Value::Object(hints)
    }
}

fn owners(names: &[String]) -> String {
    if names.len() == 1 {
        format!("only {} has", names[0])
    } else {
        format!("only {} have", names.join(", "))
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, Misfit> {
    serde_path_to_error::deserialize(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(kind_name: &str, own: Value) -> TargetConfig {
        let Value::Object(own) = own else { panic!("{own}") };
        kind(kind_name).unwrap().settings(own).unwrap()
    }

    #[test]
    fn clouds_have_defaults_of_their_own() {
        for name in ["aws-api-gateway", "aws-function-url", "aws-alb", "gcp-functions"] {
            let target = settings(name, json!({ "urls": ["https://h/"] }));
            let http = crate::config::http_settings(&target).unwrap();
            assert_eq!((http.call_timeout, http.connect_timeout), (7000, 3000), "{name}");
            assert_eq!(http.max_connections_per_endpoint.get(), 16, "{name}");
            assert!(http.partial_response && !http.health_check.enabled, "{name}");
        }
        for (name, own) in [
            ("aws-opensearch", json!({ "urls": ["https://h/"] })),
            ("webhook", json!({ "urls": ["https://h/"], "secrets": ["whsec_"] })),
        ] {
            let target = settings(name, own);
            let http = crate::config::http_settings(&target).unwrap();
            assert_eq!((http.call_timeout, http.partial_response), (7000, false), "{name}");
            assert!(!http.health_check.enabled, "{name}");
        }
        let TargetConfig::Http(http) = settings("http", json!({ "urls": ["https://h/"] })) else { panic!() };
        assert_eq!((http.call_timeout, http.connect_timeout), (1000, 300));
        assert!(!http.partial_response && http.health_check.enabled);
        let target = settings("aws-lambda", json!({ "function-name": "f" }));
        let TargetConfig::AwsLambda(lambda) = target else { panic!() };
        assert_eq!((lambda.call_timeout, lambda.connect_timeout), (7000, 3000));
        assert!(lambda.partial_response);
    }

    #[test]
    fn what_is_written_wins_over_the_default() {
        let own = json!({
            "urls": ["https://h/"], "call-timeout": 1, "partial-response": false,
            "health-check": { "path": "/alive" },
        });
        let TargetConfig::AwsAlb(alb) = settings("aws-alb", own) else { panic!() };
        assert_eq!(alb.http.call_timeout, 1);
        assert!(!alb.http.partial_response);
        // One who writes the section wants probes.
        assert!(alb.http.health_check.enabled);
    }

    #[test]
    fn limits_in_the_reference_are_those_of_the_adapters() {
        let mut checked = 0;
        for kind in &KINDS {
            let Some((_, words)) = kind.own_defaults.iter().find(|(key, _)| *key == "max-request-bytes")
            else {
                continue;
            };
            let own = if kind.name == "aws-lambda" {
                json!({ "function-name": "f" })
            } else {
                json!({ "urls": ["http://127.0.0.1:1/"] })
            };
            let limit = |own: Value| {
                settings(kind.name, own)
                    .build("limit")
                    .unwrap()
                    .body_bytes_max("application/json")
                    .to_string()
            };
            let mut found = limit(own.clone());
            if kind.name == "aws-lambda" {
                let queued = json!({ "function-name": "f", "invocation-type": "Event" });
                found = format!("{found}; {} with `Event`", limit(queued));
            }
            assert_eq!(found, *words, "{}", kind.name);
            checked += 1;
        }
        assert_eq!(checked, 6);
    }

    #[test]
    fn hints_are_only_about_keys_that_a_type_does_not_have() {
        let mut generator = SchemaGenerator::default();
        for kind in &KINDS {
            let mut schema = kind.schema(&mut generator);
            let keys = amend::members(&mut schema, "properties");
            for (key, _) in kind.instead.iter().copied().flatten() {
                assert!(!keys.contains_key(*key), "{}: {key}", kind.name);
            }
            for (key, _) in kind.own_defaults {
                assert!(keys.contains_key(*key), "{}: {key}", kind.name);
            }
        }
    }
}
