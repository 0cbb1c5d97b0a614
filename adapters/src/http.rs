//! POST over HTTP/1.1 or HTTP/2.

use std::{
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use ::http::Uri;
use futures_util::future::BoxFuture;
use rustls::ClientConfig;
use tokio::{sync::Notify, task::AbortHandle};

use crate::{
    BuildError, Cause, EndpointStats, Outcome, Payload, Report, Target,
    client::{Answer, Call, Client, Endpoint, Failure, Limits, Template},
    endpoints::Health,
    gzip::Gzip,
    headers,
    health::Probe,
    retry_after,
    status::StatusTable,
    tls::{self, RELOAD_INTERVAL, Reloading},
    url,
};

pub use self::config::{Compression, Config, HeaderValue, HealthCheck, Protocol, Tls};

mod config;

/// A plain HTTP destination.
pub struct Http {
    client: Client,
    statuses: StatusTable,
    /// Bodies larger than this are compressed.
    gzip: Option<(usize, Gzip)>,
    concurrency: NonZeroUsize,
    /// One per endpoint, or none at all.
    probes: Vec<Probe>,
    tls: Option<Arc<Reloading<ClientConfig>>>,
    /// How often its files are looked at.
    reload: Duration,
    background: OnceLock<Background>,
}

impl Http {
    /// Checks the settings and reads what they name.
    pub fn new(name: &str, config: Config) -> Result<Self, BuildError> {
        Self::reloading(name, config, RELOAD_INTERVAL)
    }

    /// The same, with the time between looks at the files of certificates.
    pub fn reloading(name: &str, config: Config, reload: Duration) -> Result<Self, BuildError> {
        let urls = url::check_all(&config.urls)?;
        let statuses = StatusTable::new(
            config.http_success_status_codes.clone(),
            config.http_permanent_status_codes.clone(),
        )?;
        let headers = headers::read(&config.headers)?;
        let tls = tls_for(name, &config, &urls)?;
        let call_timeout = millis("call-timeout", config.call_timeout)?;
        let connect_timeout = millis("connect-timeout", config.connect_timeout)?;
        let limits = Limits {
            connections_max: config.max_connections_per_endpoint.get(),
            streams_max: config.http2_max_concurrent_streams.get(),
            ttl: ttl(config.connection_ttl)?,
        };
        let check = &config.health_check;
        let freed = Arc::new(Notify::new());
        let (mut endpoints, mut probes) = (Vec::new(), Vec::new());
        for url in &urls {
            let peer = url::peer(url, tls.as_ref(), connect_timeout)?;
            let template = Template::new(url, &headers)?;
            let health = Health::new(check.healthy_threshold, check.unhealthy_threshold);
            let endpoint = Endpoint::new(name, peer, template, config.protocol, limits, health, &freed);
            endpoints.push(Arc::new(endpoint));
            probes.extend(Probe::new(check, url, config.protocol, tls.as_ref(), &headers)?);
        }
        let http = Self {
            client: Client::new(endpoints, freed, call_timeout),
            statuses,
            gzip: (config.compression == Compression::Gzip)
                .then(|| (config.compression_threshold, Gzip::default())),
            concurrency: concurrency(&config),
            probes,
            tls,
            reload,
            background: OnceLock::new(),
        };
        if tokio::runtime::Handle::try_current().is_ok() {
            http.start();
        }
        Ok(http)
    }

    /// Starts what runs beside deliveries: probes, the closing of idle connections, looking at certificate files.
    fn start(&self) {
        self.background.get_or_init(|| {
            let endpoints = self.client.endpoints();
            let mut tasks = vec![tokio::spawn(Client::sweep(endpoints.to_vec())).abort_handle()];
            for (probe, endpoint) in self.probes.iter().zip(endpoints) {
                let probing = probe.clone().run(Arc::clone(endpoint));
                tasks.push(tokio::spawn(probing).abort_handle());
            }
            if let Some(tls) = &self.tls {
                tasks.push(tokio::spawn(Arc::clone(tls).watch(self.reload)).abort_handle());
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

    fn report(&self, answer: Answer<'_>, records: usize) -> Report {
        let code = answer.status.as_u16();
        let outcome = match self.statuses.outcome(code) {
            Outcome::Delivered if answer.whole => {
                answer.queued.succeeded();
                return Report::delivered(Some(code));
            }
            // An answer that broke off confirms nothing: the part missing may have told of a failure.
            Outcome::Delivered | Outcome::Rejected(_) if !answer.whole => {
                Outcome::Retryable(Cause::Unreachable)
            }
            other => other,
        };
        // Only the status: an answer's text may well repeat what was sent.
        let broken = if answer.whole { "" } else { ", and the connection broke inside the answer" };
        let s = if records == 1 { "" } else { "s" };
        let status = answer.status;
        answer.endpoint.complain(&format_args!("status {status} for {records} record{s}{broken}"));
        let retry_after = retry_after::parse(&answer.headers, SystemTime::now());
        Report { retry_after, status: Some(code), ..Report::all(outcome) }
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
                Ok(answer) => self.report(answer, payload.count.get()),
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

/// `None` when nothing needs it. Files that are named are read even then: a mistake should show at once.
fn tls_for(
    name: &str,
    config: &Config,
    urls: &[Uri],
) -> Result<Option<Arc<Reloading<ClientConfig>>>, BuildError> {
    let settings = config.tls.clone().unwrap_or_default();
    if !urls.iter().any(url::is_https) && !settings.names_files() {
        return Ok(None);
    }
    let alpn: &[&[u8]] = match config.protocol {
        Protocol::Http1 => &[b"http/1.1"],
        Protocol::Http2 => &[b"h2", b"http/1.1"],
    };
    tls::client(name, &settings, alpn).map(Some)
}

fn concurrency(config: &Config) -> NonZeroUsize {
    let streams = match config.protocol {
        Protocol::Http1 => NonZeroUsize::MIN,
        Protocol::Http2 => config.http2_max_concurrent_streams,
    };
    NonZeroUsize::new(config.urls.len())
        .unwrap_or(NonZeroUsize::MIN)
        .saturating_mul(config.max_connections_per_endpoint)
        .saturating_mul(streams)
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
