//! The configuration as it stands in the file: names, types, defaults and what each key does.
//!
//! The one source for loading, for the schema and for `docs/configuration.md`. Doc comments here are
//! the reference: they say the unit. Extensions of the schema that the loader obeys:
//! `x-not-yet` (a documented key of the vendor's connector that is accepted, with a warning),
//! `x-off` (the member that turns such a section off, so that no warning is due),
//! `x-refused` (a key or mode that cannot work here, and what to write instead),
//! `x-alias` (another name of the key), `x-tag-default` (the variant that is meant without a tag).
//! Two more are for the reference: `x-ours` (not in the vendor's connector) and `x-default` (a default
//! that has no JSON form).

#![expect(
    dead_code,
    reason = "some keys are only there to be known: the shape check warns of them or refuses them"
)]

use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Value;

mod destination;
mod tls;

pub(crate) use destination::{Destination, SHARED_KEYS, Shared};
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
    /// Order by last-update time.
    #[serde(default)]
    #[schemars(with = "Value", extend("x-not-yet" = NO_ORDERING, "x-off" = "enable"))]
    pub(crate) record_ordering: IgnoredAny,
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
    /// How a record becomes a request body. Also in short: `format: json`.
    pub(crate) format: Option<Format>,
    /// Where records go. Records without any routing are skipped: acknowledged and sent nowhere.
    pub(crate) routing: Option<Routing>,
    /// Several records in one request.
    #[serde(default)]
    #[schemars(with = "Value", extend("x-not-yet" = "each record is one request", "x-off" = "enabled"))]
    pub(crate) batching: IgnoredAny,
    /// Bins to keep, drop or rename.
    #[serde(default)]
    #[schemars(with = "Value", extend("x-not-yet" = "every bin is sent, under its own name"))]
    pub(crate) bin_transforms: IgnoredAny,
    /// Changes records by a Java class.
    #[serde(default)]
    #[schemars(with = "Value", extend("x-refused" = NO_JAVA))]
    pub(crate) custom_transformer: IgnoredAny,
    /// Merges records by a Java class.
    #[serde(default)]
    #[schemars(with = "Value", extend("x-refused" = NO_JAVA))]
    pub(crate) batch_formatter_class: IgnoredAny,
}

/// One namespace.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Namespace {
    #[serde(flatten)]
    pub(crate) sections: Sections,
    /// Order by last-update time.
    #[serde(default)]
    #[schemars(with = "Value", extend("x-not-yet" = NO_ORDERING, "x-off" = "enable"))]
    pub(crate) record_ordering: IgnoredAny,
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
    /// Order by last-update time.
    #[serde(default)]
    #[schemars(with = "Value", extend("x-not-yet" = NO_ORDERING, "x-off" = "enable"))]
    pub(crate) record_ordering: IgnoredAny,
    /// Overrides by namespace, for records that arrive on this port.
    #[serde(default)]
    #[schemars(extend("x-ours" = true))]
    pub(crate) namespaces: BTreeMap<String, Namespace>,
}

const NO_ORDERING: &str = "records are sent in the order they arrive";
const NO_JAVA: &str = "Java classes cannot run in this connector; do that work in the receiver, or keep to the built-in \
                       formats and routing";

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
    #[schemars(with = "Value", extend("x-not-yet" = "one pool of `worker-threads` does all the work"))]
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
    /// Streams of an incoming HTTP/2 connection.
    #[serde(default)]
    #[schemars(with = "Value", extend("x-not-yet" = "it concerns incoming HTTP, which is not supported"))]
    pub(crate) http2_max_concurrent_streams: IgnoredAny,
    /// Milliseconds that SIGTERM waits for the records in process.
    #[serde(default = "shutdown_grace_period")]
    #[schemars(range(max = 600_000), extend("x-ours" = true))]
    pub(crate) shutdown_grace_period: u64,
    /// Also take writes of ordinary clients, which lack the XDR flag: for trying out and for tests.
    #[serde(default = "yes")]
    #[schemars(extend("x-ours" = true))]
    pub(crate) accept_client_writes: bool,
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
            http2_max_concurrent_streams: IgnoredAny,
            shutdown_grace_period: shutdown_grace_period(),
            accept_client_writes: yes(),
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
    /// HTTP/1.1, as servers before 5.0 send.
    #[serde(rename = "HTTP_1_1")]
    #[schemars(extend("x-refused" = NO_HTTP))]
    Http1,
    /// HTTP/2, as servers before 5.0 and other connectors send.
    #[serde(rename = "HTTP_2")]
    #[schemars(extend("x-refused" = NO_HTTP))]
    Http2,
}

const NO_HTTP: &str = "incoming HTTP is not supported yet; write `TCP` (server 5.0 or later)";

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
    },
    /// One JSON object whose members are the bins.
    FlatJson {
        /// The member that holds the metadata.
        #[schemars(length(min = 1))]
        metadata_key: String,
        /// Numeric keys of maps become strings; otherwise such a record cannot be written.
        #[serde(default = "yes")]
        stringify_map_keys: bool,
    },
    /// The vendor's default: the message as XDR sent it.
    #[schemars(extend("x-refused" = NO_FORMAT))]
    Xdr {},
    /// Avro.
    #[schemars(extend("x-refused" = NO_FORMAT))]
    Avro {},
    /// MessagePack.
    #[schemars(extend("x-refused" = NO_FORMAT))]
    MessagePack {},
    /// A Java class.
    #[schemars(extend("x-refused" = "Java classes cannot run in this connector; use `json` or `flat-json`"))]
    Custom {},
}

/// What is said of the vendor's formats that are still missing.
pub(crate) const NO_FORMAT: &str = "format not supported yet; use `json` or `flat-json`";

/// Where records go, by `mode`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "mode", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(crate) enum Routing {
    /// To one destination.
    Static {
        /// Its name under `destinations`.
        destination: String,
    },
    /// The same record to several destinations; it is acknowledged when all of them confirmed it.
    StaticMultiDestination {
        /// Their names under `destinations`; one name may stand without a list.
        destinations: OneOrMany<String>,
    },
    /// Nowhere: the record is acknowledged at once.
    Skip,
    /// A Java class.
    #[schemars(extend("x-refused" = "Java classes cannot run in this connector; route by namespace, set and port"))]
    Custom {},
}

/// Logs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Logging {
    /// Log file.
    #[schemars(extend("x-not-yet" = "logs go to standard error"))]
    pub(crate) file: Option<PathBuf>,
    /// Log to the console even when there is a file.
    #[serde(default)]
    #[schemars(with = "Value", extend("x-not-yet" = "logs always go to standard error"))]
    pub(crate) enable_console_logging: IgnoredAny,
    /// Rotated log files kept.
    #[serde(default)]
    #[schemars(with = "Value", extend("x-not-yet" = "logs go to standard error, nothing is rotated"))]
    pub(crate) max_history: IgnoredAny,
    /// Level of each logger: `root`, `record-parser`, `server`, `com.aerospike.connect`, or one of our module
    /// paths such as `esp_connector::lane`. Other names load with a warning.
    #[serde(default)]
    pub(crate) levels: BTreeMap<String, Level>,
    /// Seconds between statistics lines; 0 turns them off.
    #[serde(default = "ticker_interval")]
    #[schemars(range(max = 86_400))]
    pub(crate) ticker_interval: u64,
    /// Form of a line.
    #[serde(default)]
    pub(crate) format: LogFormat,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            file: None,
            enable_console_logging: IgnoredAny,
            max_history: IgnoredAny,
            levels: BTreeMap::new(),
            ticker_interval: ticker_interval(),
            format: LogFormat::default(),
        }
    }
}

/// Least severity that is logged.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// Text.
    #[default]
    Simple,
    /// One JSON object a line.
    Json,
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

fn ticker_interval() -> u64 {
    10
}

fn yes() -> bool {
    true
}

/// The schema of the whole file.
pub(crate) fn schema() -> Value {
    schemars::schema_for!(File).to_value()
}
