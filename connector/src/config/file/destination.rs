//! One destination as it stands in the file, and its schema: the keys that all share, joined with those of
//! the adapter that `type` names. Another adapter is another line in [`kinds`].

use std::{borrow::Cow, num::NonZeroUsize};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::tls::{NO_KEY_STORE, NO_TRUST_STORE, Protocol};

/// One destination: the keys all of them share, and those of the adapter that `type` names.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Destination(pub(crate) Map<String, Value>);

/// Keys of every destination.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Shared {
    /// Most requests in flight; the destination's own limit applies too.
    #[schemars(range(min = 1, max = 65_536), extend("x-ours" = true, "x-default" = "only that limit"))]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Attempts inside the connector before XDR is told to ship the record again.
    #[serde(default = "max_attempts")]
    #[schemars(range(min = 1, max = 20), extend("x-ours" = true))]
    pub(crate) max_attempts: u32,
    /// Most records that wait for this destination, for each of its endpoints.
    #[serde(default = "max_request_queued_per_endpoint")]
    pub(crate) max_request_queued_per_endpoint: NonZeroUsize,
}

/// The keys of [`Shared`], as written.
pub(crate) const SHARED_KEYS: [&str; 3] = ["workers", "max-attempts", "max-request-queued-per-endpoint"];

/// Every `type` of destination with the schema of its adapter; the first is meant when there is no `type`.
fn kinds(generator: &mut SchemaGenerator) -> [(&'static str, Schema); 1] {
    [("http", http(generator))]
}

impl JsonSchema for Destination {
    fn schema_name() -> Cow<'static, str> {
        "Destination".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let shared = Shared::json_schema(generator);
        let kinds = kinds(generator);
        let default = kinds[0].0;
        let variants: Vec<Schema> = kinds
            .into_iter()
            .map(|(kind, mut schema)| {
                let properties = members(&mut schema, "properties");
                if let Some(Value::Object(shared)) = shared.get("properties") {
                    properties.extend(shared.clone());
                }
                let tag = json!({
                    "const": kind, "type": "string", "description": "What delivers.", "default": default,
                    "x-ours": true,
                });
                properties.insert("type".to_owned(), tag);
                schema
            })
            .collect();
        schemars::json_schema!({ "oneOf": variants, "x-tag-default": default })
    }
}

/// The schema of a plain HTTP destination, with what the adapter's types leave unsaid: ranges, defaults that
/// have no JSON form there, and the vendor's keys that it does not have.
fn http(generator: &mut SchemaGenerator) -> Schema {
    let status = json!({ "type": "integer", "format": "uint16", "minimum": 200, "maximum": 599 });
    // Also puts the adapter's own types among the definitions.
    let mut schema = adapters::http::Config::json_schema(generator);
    let keys = members(&mut schema, "properties");
    amend(keys, "urls", json!({ "minItems": 1 }));
    amend(keys, "protocol", json!({ "default": "HTTP_2" }));
    amend(keys, "compression", json!({ "default": "none" }));
    amend(keys, "call-timeout", json!({ "minimum": 1 }));
    amend(keys, "connect-timeout", json!({ "minimum": 1 }));
    amend(keys, "connection-ttl", json!({ "minimum": -1 }));
    amend(keys, "http-success-status-codes", json!({ "items": status, "x-default": "200 to 299" }));
    amend(keys, "http-permanent-status-codes", json!({ "items": status, "x-ours": true }));
    if let Some(keys) = definition(generator, "HealthCheck") {
        for key in ["interval-seconds", "healthy-threshold", "unhealthy-threshold", "call-timeout"] {
            amend(keys, key, json!({ "minimum": 1 }));
        }
        amend(keys, "success-status-codes", json!({ "items": status, "x-default": "below 500" }));
        for key in ["enabled", "method", "path", "success-status-codes"] {
            amend(keys, key, json!({ "x-ours": true }));
        }
    }
    let version = generator.subschema_for::<Protocol>();
    // The versions that are refused have to be known, and the adapter has only the others.
    generator.definitions_mut().remove("Version");
    if let Some(keys) = definition(generator, "Tls") {
        for key in ["ca-file", "certificate-file", "key-file"] {
            amend(keys, key, json!({ "x-ours": true }));
        }
        amend(keys, "protocols", json!({ "items": version, "x-default": "all" }));
        amend(keys, "ciphers", json!({ "x-default": "all" }));
        keys.insert(
            "trust-store".to_owned(),
            json!({ "description": "Trusted authorities.", "x-refused": NO_TRUST_STORE }),
        );
        keys.insert(
            "key-store".to_owned(),
            json!({ "description": "Client certificate.", "x-refused": NO_KEY_STORE }),
        );
    }
    schema
}

/// The keys of a definition that the generator made.
fn definition<'a>(generator: &'a mut SchemaGenerator, name: &str) -> Option<&'a mut Map<String, Value>> {
    generator.definitions_mut().get_mut(name)?.get_mut("properties")?.as_object_mut()
}

/// Adds `more` to what the schema says of `key`.
fn amend(keys: &mut Map<String, Value>, key: &str, more: Value) {
    if let (Some(Value::Object(property)), Value::Object(more)) = (keys.get_mut(key), more) {
        property.extend(more);
    }
}

/// The object under `key` of a schema, made when missing.
fn members<'a>(schema: &'a mut Schema, key: &str) -> &'a mut Map<String, Value> {
    let value = schema.ensure_object().entry(key).or_insert_with(|| Value::Object(Map::new()));
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made an object just above")
}

fn max_attempts() -> u32 {
    5
}

fn max_request_queued_per_endpoint() -> NonZeroUsize {
    const { NonZeroUsize::new(32_768).expect("not zero") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_keys_are_the_fields() {
        let schema = schemars::schema_for!(Shared).to_value();
        let fields: Vec<&str> =
            schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut keys = SHARED_KEYS;
        keys.sort_unstable();
        assert_eq!(fields, keys);
    }
}
