//! `format` as it stands in the file.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::yes;

/// How a record becomes a request body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Format {
    Short(String),
    Full(FormatMode),
}

/// How a record becomes a request body, by `mode`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "mode", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(crate) enum FormatMode {
    /// One JSON object with the metadata and typed bins.
    Json {
        /// Numeric keys of maps become strings; otherwise such a record cannot be written.
        #[serde(default = "yes")]
        stringify_map_keys: bool,
        /// What becomes of NaN and the infinities, which JSON does not have.
        #[serde(default)]
        #[schemars(extend("x-ours" = true))]
        nan_policy: NanPolicy,
    },
    /// One JSON object whose members are the bins.
    FlatJson {
        /// The member that holds the metadata.
        #[schemars(length(min = 1))]
        metadata_key: String,
        /// Numeric keys of maps become strings; otherwise such a record cannot be written.
        #[serde(default = "yes")]
        stringify_map_keys: bool,
        /// What becomes of NaN and the infinities, which JSON does not have.
        #[serde(default)]
        #[schemars(extend("x-ours" = true))]
        nan_policy: NanPolicy,
        /// Which deletes carry the member `durable`.
        #[serde(default)]
        #[schemars(extend("x-ours" = true))]
        durable: DurableMember,
    },
    /// One MessagePack array with the metadata and typed bins.
    #[schemars(extend("x-alias" = "msgpack"))]
    MessagePack {},
    /// Avro, by a schema of yours.
    Avro {
        /// The schema: JSON text, or the same as YAML. This or `schema-file`.
        #[schemars(with = "Option<Value>", extend("x-kind" = "text or section"))]
        schema: Option<Value>,
        /// A file with the schema as JSON text, at most 1 MiB. This or `schema`.
        schema_file: Option<PathBuf>,
        /// Numeric keys of maps become strings; otherwise such a record cannot be written.
        #[serde(default = "yes")]
        stringify_map_keys: bool,
        /// What stands around the record.
        #[serde(default)]
        #[schemars(extend("x-ours" = true))]
        encoding: AvroEncoding,
    },
    /// XDR's own message as it came, for a connector with `service.protocol: HTTP_2` or `HTTP_1_1`: the default, as the
    /// vendor's.
    Xdr {},
    /// A Java class.
    #[schemars(extend("x-refused" = NO_JAVA_FORMAT))]
    Custom {},
}

pub(crate) const NO_JAVA_FORMAT: &str = "Java classes cannot run in this connector; use `json`, `flat-json`, `message-pack` or `avro` and give the body \
     its own form in the receiver; a `template` format for that is planned";

/// What becomes of NaN and the infinities.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NanPolicy {
    /// `"NaN"`, `"Infinity"` and `"-Infinity"`.
    #[default]
    String,
    /// `null`.
    Null,
    /// Such a record cannot be written.
    Error,
}

/// Which deletes carry the member `durable`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DurableMember {
    /// All.
    #[default]
    Always,
    /// Only durable ones.
    WhenTrue,
}

/// What stands around a record.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AvroEncoding {
    /// Nothing.
    #[default]
    Raw,
    /// Avro's marker and the fingerprint of the schema.
    SingleObject,
    /// An object container file with the schema, for each request.
    Ocf,
}
