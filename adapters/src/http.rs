//! POST over HTTP/1.1 or HTTP/2.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use ::http::Uri;
use futures_util::future::BoxFuture;
use rustls::ClientConfig;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::{sync::Notify, task::AbortHandle};

use crate::{
    BuildError, Cause, EndpointStats, Outcome, Outcomes, Payload, Report, Target,
    client::{Answer, Call, Client, Endpoint, Failure, Limits, Template},
    endpoints::Health,
    gzip::Gzip,
    headers,
    health::Probe,
    retry_after,
    status::StatusTable,
    tls, url,
};

/// Settings of a plain HTTP destination, named as the vendor names them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
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
    /// Statuses that make a refusal final: the record is given up for good. Empty by default: nothing is lost.
    #[serde(default)]
    pub http_permanent_status_codes: Vec<u16>,
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
#[derive(Clone, Deserialize, JsonSchema)]
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

/// TLS towards a destination, PEM files.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
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
}

/// Probes of each endpoint.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
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

/// A plain HTTP destination.
pub struct Http {
    client: Client,
    statuses: StatusTable,
    /// Bodies larger than this are compressed.
    gzip: Option<(usize, Gzip)>,
    concurrency: NonZeroUsize,
    probe: Option<Probe>,
    urls: Vec<String>,
    background: OnceLock<Background>,
}

impl Http {
    /// Checks the settings and reads what they name.
    pub fn new(name: &str, config: Config) -> Result<Self, BuildError> {
        let urls = config.urls.iter().enumerate().map(|(index, url)| url::check(index, url));
        let urls = urls.collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() {
            return Err(problem("urls", "empty; expected at least one URL"));
        }
        let call_timeout = millis("call-timeout", config.call_timeout)?;
        let connect_timeout = millis("connect-timeout", config.connect_timeout)?;
        let limits = Limits {
            connections_max: config.max_connections_per_endpoint.get(),
            streams_max: config.http2_max_concurrent_streams.get(),
            ttl: ttl(config.connection_ttl)?,
        };
        let statuses =
            StatusTable::new(config.http_success_status_codes, config.http_permanent_status_codes)?;
        let headers = headers::read(&config.headers)?;
        let plain = !urls.iter().any(url::is_https);
        // Files that are named are read even when no URL needs them: a mistake should show at once.
        let tls = if plain && config.tls.is_none() {
            None
        } else {
            let tls = tls::client_config(&config.tls.unwrap_or_default())?;
            Some(Arc::new(with_alpn(tls, config.protocol)))
        };
        let probe = Probe::new(&config.health_check, config.protocol, plain, tls.as_deref(), &headers)?;
        let freed = Arc::new(Notify::new());
        let endpoint = |url: &Uri| {
            let health =
                Health::new(config.health_check.healthy_threshold, config.health_check.unhealthy_threshold);
            let peer = url::peer(url, tls.as_ref(), connect_timeout)?;
            let template = Template::new(url, &headers)?;
            Ok(Arc::new(Endpoint::new(name, peer, template, config.protocol, limits, health, &freed)))
        };
        let endpoints = urls.iter().map(endpoint).collect::<Result<Vec<_>, BuildError>>()?;
        let streams = match config.protocol {
            Protocol::Http1 => NonZeroUsize::MIN,
            Protocol::Http2 => config.http2_max_concurrent_streams,
        };
        let http = Self {
            concurrency: NonZeroUsize::new(endpoints.len())
                .unwrap_or(NonZeroUsize::MIN)
                .saturating_mul(config.max_connections_per_endpoint)
                .saturating_mul(streams),
            client: Client::new(endpoints, Arc::clone(&freed), call_timeout),
            statuses,
            gzip: (config.compression == Compression::Gzip)
                .then(|| (config.compression_threshold, Gzip::default())),
            probe,
            urls: config.urls,
            background: OnceLock::new(),
        };
        if tokio::runtime::Handle::try_current().is_ok() {
            http.start();
        }
        Ok(http)
    }

    /// Starts what runs beside deliveries: probes, and the closing of idle connections.
    fn start(&self) {
        self.background.get_or_init(|| {
            let endpoints = self.client.endpoints();
            let mut tasks = vec![tokio::spawn(Client::sweep(endpoints.to_vec())).abort_handle()];
            for (url, endpoint) in self.urls.iter().zip(endpoints) {
                if let Some(probe) = self.probe.clone() {
                    let probing = probe.run(url.clone(), Arc::clone(endpoint));
                    tasks.push(tokio::spawn(probing).abort_handle());
                }
            }
            Background(tasks)
        });
    }

    fn call(&self, payload: &Payload) -> Call {
        let (body, gzip) = match &self.gzip {
            Some((threshold, gzip)) if payload.body.len() > *threshold => {
                (gzip.compress(&payload.body), true)
            }
            _ => (payload.body.clone(), false),
        };
        Call { body, gzip, content_type: ::http::HeaderValue::from_static(payload.content_type) }
    }

    fn report(&self, answer: Answer<'_>) -> Report {
        let code = answer.status.as_u16();
        let outcome = match self.statuses.outcome(code) {
            Outcome::Delivered if answer.whole => {
                answer.queued.succeeded();
                return Report::all(Outcome::Delivered);
            }
            // An answer that broke off confirms nothing: the part missing may have told of a failure.
            Outcome::Delivered | Outcome::Rejected(_) if !answer.whole => {
                Outcome::Retryable(Cause::Unreachable)
            }
            other => other,
        };
        let retry_after = retry_after::parse(&answer.headers, SystemTime::now());
        Report { outcomes: Outcomes::All(outcome), retry_after }
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Target for Http {
    fn deliver<'a>(&'a self, payload: &'a Payload) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            self.start();
            match self.client.call(&self.call(payload)).await {
                Ok(answer) => self.report(answer),
                Err(failure) => Report::all(Outcome::Retryable(match failure {
                    Failure::Unreachable => Cause::Unreachable,
                    Failure::Timeout => Cause::Timeout,
                    Failure::Malformed => Cause::Malformed,
                })),
            }
        })
    }

    fn concurrency(&self) -> NonZeroUsize {
        self.concurrency
    }

    fn endpoints(&self) -> Vec<EndpointStats> {
        self.client.endpoints().iter().map(|endpoint| endpoint.stats()).collect()
    }
}

/// Tasks that end with the target.
struct Background(Vec<AbortHandle>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

fn with_alpn(mut tls: ClientConfig, protocol: Protocol) -> ClientConfig {
    tls.alpn_protocols = match protocol {
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    tls
}

fn millis(key: &str, value: u64) -> Result<Duration, BuildError> {
    match value {
        0 => Err(problem(key, "0 leaves no time at all; expected milliseconds, 1 or more")),
        // Later arithmetic with instants must not overflow; a day is for ever here.
        value => Ok(Duration::from_millis(value).min(Duration::from_secs(24 * 60 * 60))),
    }
}

fn ttl(value: i64) -> Result<Option<Duration>, BuildError> {
    match u64::try_from(value) {
        Ok(0) => Err(problem("connection-ttl", "0 is no age; expected milliseconds, or -1 for no limit")),
        Ok(value) => Ok(Some(Duration::from_millis(value))),
        Err(_) if value == -1 => Ok(None),
        Err(_) => Err(problem("connection-ttl", "negative; expected milliseconds, or -1 for no limit")),
    }
}

fn problem(key: &str, problem: &str) -> BuildError {
    BuildError { key: key.to_owned(), problem: problem.to_owned() }
}
