//! What the adapters' own types leave unsaid in their schemas: ranges, defaults that have no JSON form there, which
//! keys are ours, and the vendor's keys that they do not have.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::config::file::tls::{Protocol, StoreType};

/// Amends those of `keys` that the settings of one adapter have.
pub(super) fn keys(keys: &mut Map<String, Value>) {
    let status = json!({ "type": "integer", "format": "uint16", "minimum": 200, "maximum": 599 });
    let ours = json!({ "items": status, "x-ours": true });
    for (key, more) in [
        ("urls", json!({ "minItems": 1 })),
        ("protocol", json!({ "default": "HTTP_2" })),
        ("compression", json!({ "default": "none" })),
        ("call-timeout", json!({ "minimum": 1 })),
        ("connect-timeout", json!({ "minimum": 1 })),
        ("connection-ttl", json!({ "minimum": -1 })),
        ("http-success-status-codes", json!({ "items": status, "x-default": "200 to 299" })),
        ("http-permanent-status-codes", ours.clone()),
        ("retry-on", ours.clone()),
        ("reject-on", ours),
        ("partial-response", json!({ "x-ours": true })),
        ("answers", json!({ "x-ours": true, "x-default": "none" })),
        ("secrets", json!({ "minItems": 1 })),
        ("max-request-bytes", json!({ "x-ours": true, "x-default": "no limit" })),
        ("health-check", json!({ "x-default": "on" })),
        ("function-name", json!({ "minLength": 1 })),
        ("invocation-type", json!({ "default": "RequestResponse" })),
        ("payload", json!({ "default": "event" })),
        ("region", json!({ "x-default": "of the URL, the environment or the profile" })),
        ("token", json!({ "x-default": "none" })),
    ] {
        amend(keys, key, more);
    }
}

/// Amends the sections that the adapters' settings hold.
pub(super) fn definitions(generator: &mut SchemaGenerator) {
    let status = json!({ "type": "integer", "format": "uint16", "minimum": 200, "maximum": 599 });
    if let Some(keys) = definition(generator, "HealthCheck") {
        for key in ["interval-seconds", "healthy-threshold", "unhealthy-threshold", "call-timeout"] {
            amend(keys, key, json!({ "minimum": 1 }));
        }
        amend(keys, "success-status-codes", json!({ "items": status, "x-default": "below 500" }));
        for key in ["enabled", "method", "path", "success-status-codes"] {
            amend(keys, key, json!({ "x-ours": true }));
        }
    }
    if let Some(keys) = definition(generator, "AwsWebIdentity") {
        amend(keys, "audience", json!({ "minLength": 1 }));
        amend(keys, "duration-seconds", json!({ "minimum": 60, "maximum": 3600 }));
    }
    if let Some(sources) =
        generator.definitions_mut().get_mut("Source").and_then(|s| s["anyOf"].as_array_mut())
    {
        for source in sources {
            source["x-elsewhere"] = json!({ "file": ONE_SOURCE, "aws-web-identity": ONE_SOURCE });
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
        for key in ["trust-store", "key-store"] {
            amend(keys, key, json!({ "x-default": "none" }));
        }
    }
    // As with the versions.
    generator.definitions_mut().remove("StoreType");
    let store_type = generator.subschema_for::<StoreType>();
    if let Some(keys) = definition(generator, "Store") {
        amend(keys, "key-password-file", json!({ "x-default": "the password of the store" }));
        let described =
            json!({ "description": "What kind of store it is. Has no effect: what is in the file tells." });
        let mut property = store_type.to_value();
        if let (Value::Object(property), Value::Object(described)) = (&mut property, described) {
            property.extend(described);
            property.insert("x-default".to_owned(), "seen by the content".into());
        }
        keys.insert("store-type".to_owned(), property);
    }
}

const ONE_SOURCE: &str = "a token comes from one place; write `file` or `aws-web-identity`";

/// Adds `more` to what the schema says of `key`.
pub(super) fn amend(keys: &mut Map<String, Value>, key: &str, more: Value) {
    if let (Some(Value::Object(property)), Value::Object(more)) = (keys.get_mut(key), more) {
        property.extend(more);
    }
}

/// The object under `key` of a schema, made when missing.
pub(super) fn members<'a>(schema: &'a mut Schema, key: &str) -> &'a mut Map<String, Value> {
    let value = schema.ensure_object().entry(key).or_insert_with(|| Value::Object(Map::new()));
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made an object just above")
}

/// The keys of a definition that the generator made.
fn definition<'a>(generator: &'a mut SchemaGenerator, name: &str) -> Option<&'a mut Map<String, Value>> {
    generator.definitions_mut().get_mut(name)?.get_mut("properties")?.as_object_mut()
}
