//! The configuration file: the vendor's YAML shape, as typed values with their defaults.
//!
//! [`load`] turns text into a [`Config`] or the list of everything that is wrong with it, each problem
//! with line and path. Nothing here opens a socket; files named by the configuration are only resolved
//! against its folder.
//!
//! Text becomes a tree that knows its lines (`tree`), the tree is held against the schema of the types in
//! `file` (`shape`), what fits becomes those types, and they become a [`Config`] (`meaning`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use adapters::{
    SharedTarget, TargetConfig,
    tls::{KeySource, TrustSource, Version},
};

mod file;
mod format;
mod meaning;
mod outline;
mod problem;
mod published;
mod scope;
mod settings;
mod shape;
mod targets;
mod tree;
mod written;

pub use format::{
    AvroEncoding, CloudEvents, ContentMode, DurableMember, EventData, Format, JsonRules, NanPolicy,
    RequestTemplate, TemplateFormat,
};
pub use outline::Outline;
pub(crate) use problem::{Findings, nearest};
pub use problem::{Problem, Problems};
pub use scope::{Effective, Scope};
pub(crate) use settings::{
    aws_credentials, compression, header_files, headers_mut, http_settings, http_settings_mut, type_name,
};
pub(crate) use written::Written;

/// A configuration without mistakes, and what its author should know.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What has no effect yet, or looks like a slip. In line order.
    pub warnings: Vec<Problem>,
    /// What is so by design and no reason to act. In line order.
    pub notes: Vec<Problem>,
    file: PathBuf,
    tree: Arc<tree::Node>,
}

impl Loaded {
    /// Builds the target of every destination, by name: reads the files and variables that the settings
    /// name. Opens no connection; inside a runtime it starts the health checks.
    pub fn targets(&self) -> Result<BTreeMap<String, SharedTarget>, Problems> {
        let mut findings = Findings::new(&self.file);
        let targets = targets::build(&self.config, &self.tree, &mut findings);
        findings.finish().map(|_| targets)
    }

    /// What stands where in the file.
    pub fn outline(&self) -> Outline {
        Outline(Arc::clone(&self.tree))
    }
}

/// Reads the file at `path`.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    examine_file(path)?.finish(path)
}

/// Reads `text`; relative paths in it are relative to `folder`.
pub fn parse(text: &str, folder: &Path) -> Result<Loaded, Problems> {
    parse_by(&file::schema(), text, folder)
}

/// The same by a schema that was made before: making it takes most of the time that a small file takes.
pub(crate) fn parse_by(schema: &serde_json::Value, text: &str, folder: &Path) -> Result<Loaded, Problems> {
    examine(schema, text, Path::new(""), folder).finish(Path::new(""))
}

/// A configuration with everything found so far: when something is wrong, `config` holds what is right.
pub(crate) struct Examined {
    pub(crate) config: Config,
    pub(crate) findings: Findings,
    tree: tree::Node,
}

impl Examined {
    /// Builds the targets that can be built, and reports the rest among the findings.
    pub(crate) fn targets(&mut self) -> BTreeMap<String, SharedTarget> {
        targets::build(&self.config, &self.tree, &mut self.findings)
    }

    /// Adds what is wrong with the setting at `path`.
    pub(crate) fn problem(&mut self, path: &str, message: String) {
        self.findings.problem(self.tree.line_of(path), path, message);
    }

    /// The keys that stand in the file.
    pub(crate) fn written(&self) -> Vec<Written> {
        written::keys(&self.tree)
    }

    fn finish(self, file: &Path) -> Result<Loaded, Problems> {
        let notes = self.findings.notes();
        let warnings = self.findings.finish()?;
        Ok(Loaded { config: self.config, warnings, notes, file: file.to_owned(), tree: Arc::new(self.tree) })
    }
}

/// Like [`load`], for those who add findings of their own.
pub(crate) fn examine_file(path: &Path) -> Result<Examined, Problems> {
    let text = text_of(path)?;
    Ok(examine(&file::schema(), &text, path, folder_of(path)))
}

/// The same for a file that was written for the vendor's connector, or for its Helm chart, whose values hold one.
pub(crate) fn examine_vendor_file(path: &Path) -> Result<Examined, Problems> {
    let mut findings = Findings::new(path);
    let tree = tree::read(&text_of(path)?, &mut findings);
    let tree = tree.get(HELM_VALUES).cloned().unwrap_or(tree);
    Ok(judge(&file::schema(), tree, findings, folder_of(path)))
}

/// The key of the vendor's Helm chart that holds the file of the connector.
const HELM_VALUES: &str = "connectorConfig";

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new(""))
}

fn text_of(path: &Path) -> Result<String, Problems> {
    let unreadable = |message: String| {
        let mut findings = Findings::new(path);
        findings.problem(0, "", message);
        findings.finish().err().unwrap_or_else(|| Problems(Vec::new()))
    };
    let text = read(path).map_err(|e| unreadable(format!("cannot be read: {e}")))?;
    String::from_utf8(text).map_err(|_| unreadable("not UTF-8 text".to_owned()))
}

/// No more of a file than is looked at, so that a mistaken path to something endless does no harm.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(tree::MAX_TEXT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn examine(schema: &serde_json::Value, text: &str, file: &Path, folder: &Path) -> Examined {
    let mut findings = Findings::new(file);
    let tree = tree::read(text, &mut findings);
    judge(schema, tree, findings, folder)
}

fn judge(schema: &serde_json::Value, tree: tree::Node, mut findings: Findings, folder: &Path) -> Examined {
    let fits = shape::check(&tree, schema, &mut findings);
    let config = meaning::resolve(fits, &tree, folder, &mut findings);
    Examined { config, findings, tree }
}

/// The JSON Schema of the file, as the loader goes by it. Members that start with `x-` are ours; any validator ignores them.
pub fn schema() -> serde_json::Value {
    file::schema()
}

/// The same for editors and validators, who know nothing of those members.
pub fn published_schema() -> serde_json::Value {
    published::schema(file::schema())
}

/// A whole configuration, ready to run. The default has no destination and skips every record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Listening side.
    pub service: Service,
    /// Named destinations.
    pub destinations: BTreeMap<String, Destination>,
    /// Sections for every record.
    pub root: Sections,
    /// Overrides by namespace.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Overrides by listening port.
    pub ports: BTreeMap<u16, PortConfig>,
    /// Logs.
    pub logging: Logging,
    /// Export the vendor's JVM gauges, so that its Grafana board works unchanged.
    pub jvm_compat: bool,
}

/// `service`: the side that faces XDR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `protocol`: what senders speak. Default TCP.
    pub protocol: Incoming,
    /// `port`: clear-text listening ports. Default 8080, or none when there are ports for TLS.
    pub ports: Vec<u16>,
    /// `address`: interfaces to bind. Default `0.0.0.0`.
    pub addresses: Vec<String>,
    /// `tls`: the TLS listener; off when absent.
    pub tls: Option<ServerTls>,
    /// `max-concurrent-records`: most records read and not yet answered. Default 32768.
    pub max_concurrent_records: NonZeroUsize,
    /// `max-concurrent-bytes` (ours): most bytes those records may hold. Default 64 MiB.
    pub max_concurrent_bytes: NonZeroUsize,
    /// `max-frame-bytes` (ours): largest message accepted. Default 16 MiB, at most 128 MiB.
    pub max_frame_bytes: usize,
    /// `cluster-name`: label of every metric, and the answer to `cluster-name`.
    pub cluster_name: Option<String>,
    /// `enable-tcp-xdr-ack-buffering`: write several answers at once. Default true.
    pub ack_buffering: bool,
    /// `socket-receive-buffer-bytes`: bytes read from a connection per attempt.
    pub receive_buffer_bytes: Option<usize>,
    /// `worker-threads`: threads of the runtime. Default: processors.
    pub worker_threads: Option<NonZeroUsize>,
    /// `http2-max-concurrent-streams`: requests at once on an incoming HTTP/2 connection. Default 1000.
    pub http2_streams_max: u32,
    /// `manage`: the management endpoint; off when absent.
    pub manage: Option<Manage>,
    /// `shutdown-grace-period` (ours), milliseconds: how long SIGTERM waits for records in process.
    pub shutdown_grace: Duration,
    /// `accept-client-writes` (ours): take writes without the XDR bit. Default true.
    pub accept_client_writes: bool,
    /// `remember-partial-success` (ours): how many records at most are remembered that some of their destinations have and
    /// others not yet, so that those shipped again go only where they are missing. Default 100000; 0 turns it off.
    pub remember_partial_success: usize,
}

/// `service.protocol`: what senders speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Incoming {
    /// `TCP`: XDR.
    #[default]
    Tcp,
    /// `HTTP_1_1`.
    Http1,
    /// `HTTP_2`, and HTTP/1.1 from those that have no other.
    Http2,
}

/// `service.manage`: the management endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manage {
    /// `port`.
    pub ports: Vec<u16>,
    /// `address`. Default `0.0.0.0`, as the vendor's.
    pub addresses: Vec<String>,
    /// `tls`: the TLS listener; off when absent.
    pub tls: Option<ServerTls>,
}

/// `service.tls` and `service.manage.tls`: a TLS listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// `port`.
    pub ports: Vec<u16>,
    /// `address`. Default: that of the section around it.
    pub addresses: Vec<String>,
    /// `certificate-file` and `key-file` (ours), or `key-store`: the connector's certificate and its key.
    pub identity: KeySource,
    /// `allowed-peer-names` and `mutual-auth` (ours): certificates asked of clients; none when absent.
    pub clients: Option<ClientCertificates>,
    /// `protocols`; all when empty.
    pub protocols: Vec<Version>,
    /// `ciphers` that exist, the preferred ones first; all when empty.
    pub ciphers: Vec<String>,
}

/// What is asked of the certificates of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// `ca-file` (ours) or `trust-store`: who must have signed them.
    pub authorities: TrustSource,
    /// `allowed-peer-names`: one of these they must carry; any when empty.
    pub allowed_names: Vec<String>,
}

/// One entry of `destinations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// What delivers, by `type`; plain HTTP when there is none.
    pub target: TargetConfig,
    /// `workers` (ours): most requests in flight; the target's own limit applies too.
    pub workers: Option<NonZeroUsize>,
    /// `max-attempts` (ours): attempts inside the connector before XDR is told to ship again. Default 5.
    pub max_attempts: u32,
    /// `max-request-queued-per-endpoint`: records waiting for this destination, per endpoint. Default 32768.
    pub max_queued: usize,
    /// `dead-letter` (ours): what becomes of records that no retry can help; held when absent.
    pub dead_letter: Option<DeadLetter>,
}

/// `dead-letter` of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetter {
    /// `drop`: given up.
    Drop,
    /// Sent to the destination of this name.
    To(String),
}

/// The sections that may stand at several levels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sections {
    /// `format`.
    pub format: Option<Format>,
    /// `routing`.
    pub routing: Option<Routing>,
    /// `batching`.
    pub batching: Option<Batching>,
    /// `bin-transforms`.
    pub bin_transforms: Option<BinTransforms>,
    /// `filter` (ours).
    pub filter: Option<Filter>,
    /// `record-ordering`. Not for sets.
    pub record_ordering: Option<RecordOrdering>,
}

/// One entry of `namespaces`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Sections for this namespace.
    pub sections: Sections,
    /// Overrides by set.
    pub sets: BTreeMap<String, Sections>,
}

/// One entry of `port-based-config`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortConfig {
    /// Sections for this port.
    pub sections: Sections,
    /// Overrides by namespace within this port.
    pub namespaces: BTreeMap<String, Namespace>,
}

/// `batching`: several records in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batching {
    /// `enabled`: false turns batching off where an outer level has it. Default true.
    pub enabled: bool,
    /// `body` (ours): how records are put together. Default: by format.
    pub body: Option<BatchBody>,
    /// `max-records`: most records in a request.
    pub max_records: NonZeroUsize,
    /// `max-bytes`: most bytes in a body, before compression.
    pub max_bytes: NonZeroUsize,
    /// `batch-interval`, milliseconds: the longest that a record waits for others.
    pub interval: Duration,
}

/// `body` of `batching`: how encoded records are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchBody {
    /// `json-array`: an array, also around a single record.
    JsonArray,
    /// `ndjson`: every record on a line of its own.
    Ndjson,
    /// `concatenated`: one after the other, nothing in between.
    Concatenated,
}

/// `record-ordering`: no version of a record after a newer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordOrdering {
    /// `enable`. Default true where the section stands.
    pub enabled: bool,
    /// `lut-cache-ttl-seconds`: how long a last-update time is remembered. Default 30.
    pub lut_cache_ttl: Duration,
    /// `lut-cache-max-records` (ours): how many are remembered at most.
    pub lut_cache_max_records: NonZeroUsize,
}

/// `bin-transforms`: which bins are sent, and under which names. Exclude wins over include; both go by the
/// original names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BinTransforms {
    /// `include`; `None` is `type: all`.
    pub include: Option<BTreeSet<String>>,
    /// `exclude`; `None` is `type: all`. Default: empty.
    pub exclude: Exclude,
    /// `map`: exact renames. A bin named here is not touched by `transforms`.
    pub map: BTreeMap<String, String>,
    /// `transforms`: applied to the remaining names, in order.
    pub transforms: Vec<NameTransform>,
}

/// `exclude` of `bin-transforms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exclude {
    /// `type: all`: no bin is sent.
    All,
    /// `type: specified`; empty for `type: none`.
    These(BTreeSet<String>),
}

impl Default for Exclude {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

/// One step that changes a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameTransform {
    /// `lowercase`.
    Lowercase,
    /// `uppercase`.
    Uppercase,
    /// `trim`: white space at both ends goes.
    Trim,
    /// `regex`: every match is replaced.
    Regex {
        /// `pattern`, checked when the file is loaded.
        pattern: String,
        /// `replacement`, in which `$1` is the first group.
        replacement: String,
    },
}

/// `routing`: where a notification goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routing {
    /// `static` and `static-multi-destination`: to all of these.
    To(Vec<String>),
    /// `skip`: nowhere; acknowledged at once.
    Skip,
    /// `namespace`, `set` and `bin` (ours): by what the record holds.
    By(RoutingTable),
    /// `expression` (ours): by the first rule that is true.
    Rules(RoutingRules),
}

/// `routing` by expressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingRules {
    /// `rules`, the first that is true counts.
    pub rules: Vec<RoutingRule>,
    /// `default`: for records of which none is true. Empty skips.
    pub default: Vec<String>,
}

/// One of `rules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingRule {
    /// `when`: an expression, checked when the file is loaded.
    pub when: String,
    /// `destinations`; an empty list skips.
    pub destinations: Vec<String>,
}

/// `filter`: which records are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// An expression, checked when the file is loaded: those of which it is true.
    pub expression: String,
}

/// `routing` by the namespace, the set or the value of a bin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingTable {
    /// What is looked up.
    pub key: RoutingKey,
    /// `transforms`: applied to the value before it is looked up.
    pub transforms: Vec<NameTransform>,
    /// `destinations`: value to destinations; an empty list skips.
    pub destinations: BTreeMap<String, Vec<String>>,
    /// `default`: for every other value, for records without one, and for deletes where a bin decides. Empty skips.
    pub default: Vec<String>,
}

/// What a [`RoutingTable`] looks up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutingKey {
    /// `mode: namespace`.
    Namespace,
    /// `mode: set`.
    Set,
    /// `mode: bin`: the value of this bin. Text as it is, integers and booleans as text.
    Bin(String),
}

/// `logging`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// `levels`: logger to level. Known loggers are the vendor's and our module names.
    pub levels: BTreeMap<String, String>,
    /// `ticker-interval`: seconds between statistics lines; 0 turns them off. Default 10.
    pub ticker_interval: Duration,
    /// `format`: JSON lines instead of text.
    pub json: bool,
    /// `file`: log file, rotated daily.
    pub file: Option<PathBuf>,
    /// `enable-console-logging`: log to standard error too. Always so without a `file`.
    pub console: bool,
    /// `max-history`: rotated files kept. Default 30.
    pub max_history: usize,
}

#[cfg(test)]
mod tests;
