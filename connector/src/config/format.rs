//! `format` as it is meant: every choice made, every default in its place.

use std::collections::BTreeMap;

/// `format`: how a notification becomes bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `json`: typed bins.
    Json(JsonRules),
    /// `flat-json`: bins as plain members.
    FlatJson {
        /// `metadata-key`: the member that holds the metadata.
        metadata_key: String,
        /// `durable` (ours): which deletes carry the member `durable`. Default: all.
        durable: DurableMember,
        /// What both JSON formats share.
        rules: JsonRules,
    },
    /// `message-pack`.
    MessagePack,
    /// `avro`.
    Avro {
        /// `schema`, or the text of `schema-file`.
        schema: String,
        /// `stringify-map-keys`: numeric map keys become strings. Default true.
        stringify_map_keys: bool,
        /// `encoding` (ours). Default raw.
        encoding: AvroEncoding,
    },
    /// `xdr`: XDR's message as it came. What counts where no `format` does.
    #[default]
    Xdr,
    /// `cloudevents` (ours): an event of CloudEvents 1.0.
    CloudEvents(Box<CloudEvents>),
    /// `template` (ours): the whole request, as templates make it.
    Template(Box<TemplateFormat>),
}

/// `format: {mode: cloudevents}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvents {
    /// `content-mode`. Default structured.
    pub content_mode: ContentMode,
    /// `source`, a template. Default `/aerospike/NAMESPACE`.
    pub source: Option<String>,
    /// `type`, a template. Default `aerospike.record.write` and `aerospike.record.delete`.
    pub kind: Option<String>,
    /// `subject`, a template. Default: the digest.
    pub subject: Option<String>,
    /// `data`. Default `json`.
    pub data: EventData,
    /// What JSON formats share.
    pub rules: JsonRules,
}

/// `content-mode`: where the attributes of an event stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentMode {
    /// `structured`: in the body, around the data.
    #[default]
    Structured,
    /// `binary`: in headers; the body is the data.
    Binary,
}

/// `data`: how the record stands in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventData {
    /// `json`.
    Json,
    /// `flat-json`.
    FlatJson {
        /// `metadata-key`. Default `metadata`.
        metadata_key: String,
    },
}

/// `format: {mode: template}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateFormat {
    /// `content-type` of the body. Default `application/json`.
    pub content_type: String,
    /// Requests for writes; `None` when they are not sent.
    pub write: Option<RequestTemplate>,
    /// Requests for deletes; `None` when they are not sent.
    pub delete: Option<RequestTemplate>,
}

/// A request as templates make it. What is absent is as the destination has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestTemplate {
    /// `body`, or the text of `body-file`; no body at all when absent.
    pub body: Option<String>,
    /// `method`.
    pub method: Option<&'static str>,
    /// `path`, relative to the URL of the destination.
    pub path: Option<String>,
    /// `query`.
    pub query: Option<String>,
    /// `headers`.
    pub headers: BTreeMap<String, String>,
    /// `success-status-codes`; those of the destination when empty.
    pub success_status_codes: Vec<u16>,
}

/// How values become JSON where JSON has no form of its own for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonRules {
    /// `stringify-map-keys`: numeric map keys become strings. Default true.
    pub stringify_map_keys: bool,
    /// `nan-policy` (ours): NaN and the infinities.
    pub nan_policy: NanPolicy,
}

impl Default for JsonRules {
    fn default() -> Self {
        Self { stringify_map_keys: true, nan_policy: NanPolicy::String }
    }
}

/// `nan-policy`: what becomes of NaN and the infinities, which JSON does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NanPolicy {
    /// `string`: `"NaN"`, `"Infinity"`, `"-Infinity"`, as Java writes them.
    #[default]
    String,
    /// `null`.
    Null,
    /// `error`: such a record cannot be written.
    Error,
}

/// `durable` of `flat-json`: which deletes carry that member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DurableMember {
    /// `always`.
    #[default]
    Always,
    /// `when-true`: only durable ones.
    WhenTrue,
}

/// `encoding` of `avro`: what stands around the datum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AvroEncoding {
    /// `raw`: nothing.
    #[default]
    Raw,
    /// `single-object`: a marker and the fingerprint of the schema.
    SingleObject,
    /// `ocf`: a whole object container file, schema included, for each request.
    Ocf,
}
