//! `format` as it stands in the file.

use std::{collections::BTreeMap, path::PathBuf};

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
    /// The whole request as templates make it: its body, path, query and headers.
    #[schemars(extend("x-ours" = true))]
    Template {
        /// Media type of the body. Says how values are escaped in it, too.
        #[serde(default = "json")]
        #[schemars(length(min = 1))]
        content_type: String,
        #[serde(flatten)]
        request: RequestTemplate,
        /// What is different for writes.
        write: Option<Box<Variant>>,
        /// What is different for deletes.
        delete: Option<Box<Variant>>,
    },
    /// An event of CloudEvents 1.0.
    #[serde(rename = "cloudevents")]
    #[schemars(extend("x-ours" = true))]
    CloudEvents {
        /// Where the attributes stand.
        #[serde(default)]
        content_mode: ContentMode,
        /// Template of the attribute `source`, a URI reference; values are percent-encoded.
        #[schemars(extend("x-default" = "`/aerospike/NAMESPACE`"))]
        source: Option<String>,
        /// Template of the attribute `type`.
        #[serde(rename = "type")]
        #[schemars(extend("x-default" = "`aerospike.record.write` or `aerospike.record.delete`"))]
        kind: Option<String>,
        /// Template of the attribute `subject`.
        #[schemars(extend("x-default" = "the digest in hexadecimal"))]
        subject: Option<String>,
        /// The format of the data.
        #[serde(default)]
        data: EventData,
        /// With `data: flat-json`, the member that holds the metadata.
        #[serde(default = "metadata")]
        #[schemars(length(min = 1))]
        metadata_key: String,
        /// Numeric keys of maps become strings; otherwise such a record cannot be written.
        #[serde(default = "yes")]
        stringify_map_keys: bool,
        /// What becomes of NaN and the infinities, which JSON does not have.
        #[serde(default)]
        nan_policy: NanPolicy,
    },
    /// The vendor's default: the message as XDR sent it.
    #[schemars(extend("x-refused" = NO_XDR))]
    Xdr {},
    /// A Java class.
    #[schemars(extend("x-refused" = NO_JAVA_FORMAT))]
    Custom {},
}

pub(crate) const NO_XDR: &str = "format not supported yet; use `json`, `flat-json`, `message-pack` or `avro`";
pub(crate) const NO_JAVA_FORMAT: &str = "Java classes cannot run in this connector; `mode: template` gives body, path, method and headers any form that can be \
     written down, `mode: cloudevents` that of a CloudEvent";

/// Where the attributes of an event stand.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ContentMode {
    /// In the body, around the data.
    #[default]
    Structured,
    /// In headers; the body is the data.
    Binary,
}

/// The format of the data of an event.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EventData {
    /// As `mode: json`.
    #[default]
    Json,
    /// As `mode: flat-json`.
    FlatJson,
}

/// A request as templates make it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct RequestTemplate {
    /// Template of the body. This or `body-file`; a request without either has no body.
    pub(crate) body: Option<String>,
    /// A file with the template of the body, at most 1 MiB. This or `body`.
    pub(crate) body_file: Option<PathBuf>,
    /// Method of the request.
    #[schemars(extend("x-default" = "POST"))]
    pub(crate) method: Option<HttpMethod>,
    /// Template of the path, relative to the URL of the destination: one that begins with a slash replaces the path of the
    /// URL, any other one what stands behind its last slash. Values are percent-encoded.
    #[schemars(extend("x-default" = "that of the URL"))]
    pub(crate) path: Option<String>,
    /// Template of the query, without a question mark. Values are percent-encoded.
    #[schemars(extend("x-default" = "that of the URL, unless there is a `path`"))]
    pub(crate) query: Option<String>,
    /// Templates of headers, by name. One that comes out empty is left out.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Statuses that confirm delivery, instead of those of the destination.
    #[serde(default)]
    pub(crate) success_status_codes: Vec<u16>,
}

/// What is different for one kind of change.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Variant {
    #[serde(flatten)]
    pub(crate) request: RequestTemplate,
    /// Such changes are not sent, but acknowledged.
    #[serde(default)]
    pub(crate) skip: bool,
}

/// Methods of requests.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum HttpMethod {
    Delete,
    Get,
    Head,
    Patch,
    Post,
    Put,
}

fn metadata() -> String {
    "metadata".to_owned()
}

fn json() -> String {
    "application/json".to_owned()
}

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
