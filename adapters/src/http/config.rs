//! The settings of a plain HTTP destination. Data only; [`super::Http::new`] checks and uses them.

use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::tls::{self, Identity, Store, Version};

/// Settings of a plain HTTP destination, named as the vendor names them.
///
/// Part of the settings of every destination that speaks HTTP, so unknown keys are the caller's to find.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// Endpoints, or the load balancers in front of them; requests are balanced over the healthy ones.
    pub urls: Vec<String>,
    /// HTTP version: over TLS negotiated by ALPN, in clear text by prior knowledge.
    #[serde(default)]
    pub protocol: Protocol,
    /// Compression of request bodies.
    #[serde(default)]
    pub compression: Compression,
    /// Only bodies larger than this many bytes are compressed.
    #[serde(default)]
    pub compression_threshold: usize,
    /// Trust and client certificate; the system's trusted authorities when absent.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Most connections to one endpoint.
    #[serde(default = "one")]
    pub max_connections_per_endpoint: NonZeroUsize,
    /// Most requests at once on one HTTP/2 connection; the peer's own limit applies too.
    #[serde(default = "hundred")]
    pub http2_max_concurrent_streams: NonZeroUsize,
    /// Milliseconds for a whole call: name lookup, connect, request and answer.
    #[serde(default = "call_timeout")]
    pub call_timeout: u64,
    /// Milliseconds for a TCP connect, and for the TLS handshake after it.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: u64,
    /// Milliseconds after which a connection is replaced; -1 means never.
    #[serde(default = "never")]
    pub connection_ttl: i64,
    /// Static request headers.
    #[serde(default)]
    pub headers: BTreeMap<String, HeaderValue>,
    /// Statuses that confirm delivery; 200 to 299 when empty.
    #[serde(default)]
    pub http_success_status_codes: Vec<u16>,
    /// Statuses that make a refusal final: a record that is refused with one alone goes to the dead letters, or is given
    /// up for good where there are none. Empty by default: nothing is lost.
    #[serde(default)]
    pub http_permanent_status_codes: Vec<u16>,
    /// Statuses that say that another attempt may succeed, whatever they usually mean.
    #[serde(default)]
    pub retry_on: Vec<u16>,
    /// Statuses that refuse the record, whatever they usually mean: it goes to the dead letters, or is held.
    #[serde(default)]
    pub reject_on: Vec<u16>,
    /// Whether the body of a success is searched for `batchItemFailures`, the records that were not processed.
    #[serde(default)]
    pub partial_response: bool,
    /// What the body of a success tells of single records. `partial-response` is the short form of `batch-item-failures`.
    #[serde(default)]
    pub answers: Option<Answers>,
    /// Most bytes of a request body, before compression; larger batches are split, larger records refused.
    #[serde(default)]
    pub max_request_bytes: Option<NonZeroUsize>,
    /// Probes that take endpoints out of the balancing set.
    #[serde(default)]
    pub health_check: HealthCheck,
}

/// HTTP version towards a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Protocol {
    /// HTTP/1.1.
    #[serde(rename = "HTTP_1_1")]
    Http1,
    /// HTTP/2; over TLS a peer that only offers HTTP/1.1 is served with that, and a warning.
    #[default]
    #[serde(rename = "HTTP_2")]
    Http2,
}

/// In what form the body of a success tells of single records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Answers {
    /// `{"batchItemFailures": [...]}` names the records that were not processed.
    BatchItemFailures,
    /// `{"items": [...]}` of `_bulk` of Elasticsearch and OpenSearch: one item for each record, in the order of the request.
    ElasticsearchBulk,
}

impl Config {
    /// How the body of a success is read; `None` when nobody looks at it.
    pub fn answers(&self) -> Option<Answers> {
        self.answers.or_else(|| self.partial_response.then_some(Answers::BatchItemFailures))
    }
}

/// Compression of request bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Bodies go as they are.
    #[default]
    None,
    /// `Content-Encoding: gzip`.
    Gzip,
}

/// A header value: in place, or read from the environment or a file when the connector starts.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HeaderValue {
    /// The value itself.
    Plain(String),
    /// The value of an environment variable.
    Env {
        /// Name of the variable.
        env: String,
    },
    /// The content of a file, without the line end.
    File {
        /// Path, relative to the configuration file.
        file: PathBuf,
    },
    /// The value itself, long form.
    Value {
        /// The value.
        value: String,
    },
}

impl std::fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(_) | Self::Value { .. } => f.write_str("(hidden)"),
            Self::Env { env } => write!(f, "env {env}"),
            Self::File { file } => write!(f, "file {}", file.display()),
        }
    }
}

/// TLS towards a destination: PEM files, or stores of Java. They are read again when they change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tls {
    /// Authorities trusted instead of the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Client certificate chain.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// Private key of the client certificate.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Authorities trusted instead of the system's, in place of `ca-file`.
    #[serde(default)]
    pub trust_store: Option<Store>,
    /// Client certificate and its key, in place of `certificate-file` and `key-file`.
    #[serde(default)]
    pub key_store: Option<Store>,
    /// Versions of TLS that are offered; all when empty.
    #[serde(default)]
    pub protocols: Vec<Version>,
    /// Cipher suites that are offered, by the names of Java or IANA, the preferred ones first; all when empty.
    #[serde(default)]
    pub ciphers: Vec<String>,
}

impl Tls {
    /// The client certificate that is shown, when there is one and it can be read.
    pub fn identity(&self) -> Option<(&'static str, Identity)> {
        let source = tls::identity(self).ok()??;
        Some((source.key(), source.identity()?))
    }

    /// Whether any file is named.
    pub(crate) fn names_files(&self) -> bool {
        let files = [&self.ca_file, &self.certificate_file, &self.key_file];
        files.iter().any(|file| file.is_some()) || self.trust_store.is_some() || self.key_store.is_some()
    }
}

/// Probes of each endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct HealthCheck {
    /// Whether endpoints are probed.
    pub enabled: bool,
    /// Seconds between probes of an endpoint.
    pub interval_seconds: u64,
    /// Successes in a row before an endpoint counts as healthy again.
    pub healthy_threshold: u32,
    /// Failures in a row before it counts as unhealthy.
    pub unhealthy_threshold: u32,
    /// Milliseconds for one probe.
    pub call_timeout: u64,
    /// Method of the probe.
    pub method: String,
    /// Path of the probe; the path of the endpoint's URL when absent.
    pub path: Option<String>,
    /// Statuses that count as alive; every status below 500 when empty, so that POST-only endpoints pass.
    pub success_status_codes: Vec<u16>,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            enabled: true,
            interval_seconds: 5,
            healthy_threshold: 3,
            unhealthy_threshold: 3,
            call_timeout: 1000,
            method: "GET".to_owned(),
            path: None,
            success_status_codes: Vec::new(),
        }
    }
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

fn hundred() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(99)
}

fn call_timeout() -> u64 {
    1000
}

fn connect_timeout() -> u64 {
    300
}

fn never() -> i64 {
    -1
}
