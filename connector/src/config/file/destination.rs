//! One destination as it stands in the file, and its schema: the keys that all share, joined with those of
//! the adapter that `type` names. Another adapter is another entry of [`KINDS`].

use std::{borrow::Cow, collections::BTreeMap, num::NonZeroUsize};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Map, Value, json};

mod amend;
mod kinds;

pub(crate) use kinds::{KINDS, Kind, Misfit, kind};

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
    /// Where records go that no retry can help: refused as they are, too large, impossible to write. The name of another
    /// destination, whose confirmation acknowledges them; or `drop`, which gives them up.
    #[schemars(
        length(min = 1),
        extend("x-ours" = true, "x-default" = "held: refused for now, again and again, until somebody acts")
    )]
    pub(crate) dead_letter: Option<String>,
}

/// The keys of [`Shared`], as written.
pub(crate) const SHARED_KEYS: [&str; 4] =
    ["workers", "max-attempts", "max-request-queued-per-endpoint", "dead-letter"];

impl JsonSchema for Destination {
    fn schema_name() -> Cow<'static, str> {
        "Destination".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let shared = Shared::json_schema(generator);
        let mut variants: Vec<(&Kind, Schema)> =
            KINDS.iter().map(|kind| (kind, kind.schema(generator))).collect();
        amend::definitions(generator);
        // Where each key is known, so that one that stands in the wrong place is told from one that does not exist.
        let mut homes: BTreeMap<String, Vec<&Kind>> = BTreeMap::new();
        for (kind, schema) in &mut variants {
            for key in amend::members(schema, "properties").keys() {
                homes.entry(key.clone()).or_default().push(kind);
            }
        }
        let variants: Vec<Schema> = variants
            .into_iter()
            .map(|(kind, mut schema)| {
                let elsewhere = kind.elsewhere(&homes);
                let properties = amend::members(&mut schema, "properties");
                if let Some(Value::Object(shared)) = shared.get("properties") {
                    properties.extend(shared.clone());
                }
                let tag = json!({
                    "const": kind.name, "type": "string", "description": "What delivers.", "default": KINDS[0].name,
                    "x-ours": true,
                });
                properties.insert("type".to_owned(), tag);
                let object = schema.ensure_object();
                object.insert("description".to_owned(), kind.words.into());
                object.insert("x-elsewhere".to_owned(), elsewhere);
                if kind.name != KINDS[0].name {
                    object.insert("x-ours".to_owned(), true.into());
                }
                schema
            })
            .collect();
        schemars::json_schema!({ "oneOf": variants, "x-tag-default": KINDS[0].name })
    }
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
