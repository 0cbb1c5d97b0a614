//! The configuration as it stands in the file: names, types, defaults and what each key does.
//!
//! The one source for loading, for the schema and for `docs/configuration.md`. Doc comments here are
//! the reference: they say the unit. Extensions of the schema that the loader obeys:
//! `x-not-yet` (a documented key of the vendor's connector that is accepted, with a warning),
//! `x-note` (one that is accepted and has no effect by design, which is only mentioned),
//! `x-refused` (a key or mode that cannot work here, and what to write instead),
//! `x-alias` (another name of the key or mode), `x-tag-default` (the variant that is meant without a tag).
//! `x-elsewhere` has hints about keys that only other variants know.
//! Three more are for the reference: `x-ours` (not in the vendor's connector), `x-default` (a default
//! that has no JSON form) and `x-kind` (what one may write, where the schema cannot say it).

#![expect(
    dead_code,
    reason = "some keys are only there to be known: the shape check warns of them or refuses them"
)]

use std::{collections::BTreeMap, num::NonZeroUsize};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Value;

mod batching;
mod bin_transforms;
mod destination;
mod format;
mod logging;
mod record_ordering;
mod routing;
mod tls;

pub(crate) use batching::{BatchBody, Batching};
pub(crate) use bin_transforms::{BinTransforms, Filter, FilterType, NameTransform, Regex};
pub(crate) use destination::{Destination, KINDS, Misfit, SHARED_KEYS, Shared, kind};
pub(crate) use format::{
    AvroEncoding, ContentMode, DurableMember, EventData, Format, FormatMode, HttpMethod, NO_JAVA_FORMAT,
    NanPolicy, RequestTemplate, Variant,
};
pub(crate) use logging::{LogFormat, Logging};
pub(crate) use record_ordering::RecordOrdering;
pub(crate) use routing::{Names, Routing, Rule, Table};
pub(crate) use tls::{Protocol, ServerTls};

/// The whole file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct File {
    /// The side that faces XDR.
    #[serde(default)]
    pub(crate) service: Service,
    /// Where records go: a name of your choice for each destination.
    #[serde(default)]
    pub(crate) destinations: BTreeMap<String, Destination>,
    #[serde(flatten)]
    pub(crate) sections: Sections,
    /// No version of a record after a newer one.
    pub(crate) record_ordering: Option<RecordOrdering>,
    /// Overrides by namespace.
    #[serde(default)]
    pub(crate) namespaces: BTreeMap<String, Namespace>,
    /// Overrides by listening port, 1024 to 65535; such a port is listened on even when `service.port` does
    /// not name it. Order: set, then namespace, then port, then root.
    #[serde(default)]
    pub(crate) port_based_config: BTreeMap<String, Port>,
    /// Logs.
    #[serde(default)]
    pub(crate) logging: Logging,
    /// Metrics.
    #[serde(default)]
    #[schemars(extend("x-ours" = true))]
    pub(crate) metrics: Metrics,
}

/// Sections that may stand at root, in a namespace, in a set and in a port; the innermost one counts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Sections {
    /// How a record becomes a request body. Also in short: `format: json`. Without any it is `xdr`, with a warning.
    pub(crate) format: Option<Format>,
    /// Where records go. Records without any routing are skipped: acknowledged and sent nowhere.
    pub(crate) routing: Option<Routing>,
    /// Which records are sent: those of which this expression is true. The others are acknowledged. What a record does not
    /// have is not true; a record of which the expression cannot be worked out is sent.
    #[schemars(extend("x-ours" = true))]
    pub(crate) filter: Option<String>,
    /// Several records in one request.
    pub(crate) batching: Option<Batching>,
    /// Bins to keep, drop or rename.
    pub(crate) bin_transforms: Option<BinTransforms>,
    /// Changes records by a Java class.
    #[serde(default)]
    #[schemars(with = "Value", extend("x-refused" = NO_JAVA_TRANSFORMER))]
    pub(crate) custom_transformer: IgnoredAny,
    /// Merges records by a Java class.
    #[serde(default)]
    #[schemars(with = "Value", extend("x-refused" = NO_JAVA_BATCHES))]
    pub(crate) batch_formatter_class: IgnoredAny,
}

/// One namespace.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Namespace {
    #[serde(flatten)]
    pub(crate) sections: Sections,
    /// No version of a record after a newer one.
    pub(crate) record_ordering: Option<RecordOrdering>,
    /// Overrides by set.
    #[serde(default)]
    pub(crate) sets: BTreeMap<String, Sections>,
}

/// One listening port.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Port {
    #[serde(flatten)]
    pub(crate) sections: Sections,
    /// No version of a record after a newer one.
    pub(crate) record_ordering: Option<RecordOrdering>,
    /// Overrides by namespace, for records that arrive on this port.
    #[serde(default)]
    #[schemars(extend("x-ours" = true))]
    pub(crate) namespaces: BTreeMap<String, Namespace>,
}

const NO_JAVA_TRANSFORMER: &str =
    "Java classes cannot run in this connector; `bin-transforms` keeps, drops and renames bins";
const NO_JAVA_BATCHES: &str = "Java classes cannot run in this connector; `batching` puts records together, in the form that \
                               `batching.body` names";

/// The side that faces XDR.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Service {
    /// Protocol of the sender.
    #[serde(default)]
    pub(crate) protocol: Incoming,
    /// Clear-text listening port or ports; 0 lets the system choose.
    #[schemars(extend("x-default" = "8080; none when there is `tls`"))]
    pub(crate) port: Option<OneOrMany<u16>>,
    /// Interface address or addresses to bind.
    #[serde(default = "any_address")]
    pub(crate) address: OneOrMany<String>,
    /// TLS listener, with ports of its own.
    #[schemars(extend("x-default" = "off"))]
    pub(crate) tls: Option<ServerTls>,
    /// Threads that read from XDR.
    #[serde(default)]
    #[schemars(with = "Value", extend("x-note" = "one pool of `worker-threads` does all the work"))]
    pub(crate) io_threads: IgnoredAny,
    /// Threads of the connector.
    #[schemars(range(min = 1, max = 1024), extend("x-default" = "one per processor"))]
    pub(crate) worker_threads: Option<NonZeroUsize>,
    /// Most records read from XDR and not yet answered.
    #[serde(default = "max_concurrent_records")]
    #[schemars(extend("x-alias" = "max-concurrent-requests"))]
    pub(crate) max_concurrent_records: NonZeroUsize,
    /// Most bytes of memory for the records read and not yet answered; at least `max-frame-bytes`.
    #[serde(default = "max_concurrent_bytes")]
    #[schemars(extend("x-ours" = true))]
    pub(crate) max_concurrent_bytes: NonZeroUsize,
    /// Largest message accepted from XDR, in bytes.
    #[serde(default = "max_frame_bytes")]
    #[schemars(range(min = 1024, max = 134_217_728), extend("x-ours" = true))]
    pub(crate) max_frame_bytes: usize,
    /// Management endpoint: metrics, health, log levels.
    #[schemars(extend("x-default" = "off"))]
    pub(crate) manage: Option<Manage>,
    /// Label `cluster_name` of every metric.
    #[schemars(extend("x-default" = "the product's name"))]
    pub(crate) cluster_name: Option<String>,
    /// Write several answers to XDR at once.
    #[serde(default = "yes")]
    pub(crate) enable_tcp_xdr_ack_buffering: bool,
    /// Bytes read from a connection per attempt; more helps with large records.
    #[schemars(range(min = 1024, max = 67_108_864), extend("x-default" = "the connector's choice"))]
    pub(crate) socket_receive_buffer_bytes: Option<usize>,
    /// Requests at once on an incoming HTTP/2 connection; 0 and less stand for the default.
    #[schemars(range(max = 100_000), extend("x-default" = "1000"))]
    pub(crate) http2_max_concurrent_streams: Option<i64>,
    /// Milliseconds that SIGTERM waits for the records in process.
    #[serde(default = "shutdown_grace_period")]
    #[schemars(range(max = 600_000), extend("x-ours" = true))]
    pub(crate) shutdown_grace_period: u64,
    /// Also take writes of ordinary clients, which lack the XDR flag: for trying out and for tests.
    #[serde(default = "yes")]
    #[schemars(extend("x-ours" = true))]
    pub(crate) accept_client_writes: bool,
    /// How many records at most are remembered that some of their destinations have and others not yet: those that XDR
    /// ships again then go only where they are missing. 0 turns it off.
    #[serde(default = "remember_partial_success")]
    #[schemars(range(max = 100_000_000), extend("x-ours" = true))]
    pub(crate) remember_partial_success: usize,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            protocol: Incoming::default(),
            port: None,
            address: any_address(),
            tls: None,
            io_threads: IgnoredAny,
            worker_threads: None,
            max_concurrent_records: max_concurrent_records(),
            max_concurrent_bytes: max_concurrent_bytes(),
            max_frame_bytes: max_frame_bytes(),
            manage: None,
            cluster_name: None,
            enable_tcp_xdr_ack_buffering: yes(),
            socket_receive_buffer_bytes: None,
            http2_max_concurrent_streams: None,
            shutdown_grace_period: shutdown_grace_period(),
            accept_client_writes: yes(),
            remember_partial_success: remember_partial_success(),
        }
    }
}

/// Protocol of the sender.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
pub(crate) enum Incoming {
    /// XDR of server 5.0 and later.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    /// HTTP/1.1, as other connectors send with `format: xdr`.
    #[serde(rename = "HTTP_1_1")]
    Http1,
    /// HTTP/2, and HTTP/1.1 from senders that have no other.
    #[serde(rename = "HTTP_2")]
    Http2,
}

/// Management endpoint.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Manage {
    /// Clear-text port or ports; 0 lets the system choose.
    #[schemars(extend("x-default" = "required, unless there is `tls`"))]
    pub(crate) port: Option<OneOrMany<u16>>,
    /// Interface address or addresses to bind.
    #[serde(default = "any_address")]
    pub(crate) address: OneOrMany<String>,
    /// TLS listener, with ports of its own.
    #[schemars(extend("x-default" = "off"))]
    pub(crate) tls: Option<ServerTls>,
}

/// One value, or a list of them.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMany<T> {
    One(T),
    Many(#[schemars(length(min = 1))] Vec<T>),
}

impl<T> OneOrMany<T> {
    pub(crate) fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// Metrics.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Metrics {
    /// Also export the vendor's JVM gauges, so that its Grafana board works unchanged.
    #[serde(default)]
    pub(crate) jvm_compat: bool,
}

fn any_address() -> OneOrMany<String> {
    OneOrMany::One("0.0.0.0".to_owned())
}

fn max_concurrent_records() -> NonZeroUsize {
    const { NonZeroUsize::new(32_768).expect("not zero") }
}

fn max_concurrent_bytes() -> NonZeroUsize {
    const { NonZeroUsize::new(64 << 20).expect("not zero") }
}

fn max_frame_bytes() -> usize {
    16 << 20
}

fn shutdown_grace_period() -> u64 {
    10_000
}

fn remember_partial_success() -> usize {
    100_000
}

fn yes() -> bool {
    true
}

/// The schema of the whole file.
pub(crate) fn schema() -> Value {
    schemars::schema_for!(File).to_value()
}
