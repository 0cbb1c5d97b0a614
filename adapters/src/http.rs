//! Requests over HTTP/1.1 or HTTP/2: POST, unless the payload says otherwise.

use std::{
    borrow::Cow,
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    time::Duration,
};

use ::http::Uri;
use futures_util::future::BoxFuture;
use rustls::ClientConfig;
use tokio::{sync::Notify, task::AbortHandle, time::Instant};

use crate::{
    Access, BuildError, Cause, Class, EndpointStats, Payload, ProbeFailure, Report, RequestParts, Target,
    authorize::Authorize,
    client::{Answer, Call, Client, Endpoint, FailureKind, Keep, Limits, Template},
    endpoints::Health,
    gzip::Gzip,
    headers,
    health::Probe,
    retry_after,
    status::{Lists, StatusTable},
    tls::{self, RELOAD_INTERVAL, Reloading},
    url, world,
};

pub use self::config::{Answers, Compression, Config, HeaderValue, HealthCheck, Protocol, Tls};
pub(crate) use self::traits::{Traits, is_text};
use self::{answers::Items, probe::Probing, traits::BodyLimit};

mod answers;
mod authorized;
mod config;
mod probe;
mod traits;

/// An HTTP destination.
pub struct Http {
    client: Client,
    /// Proves who sends; `None` for plain HTTP.
    authorize: Option<Arc<dyn Authorize>>,
    statuses: StatusTable,
    /// Reads what a success says of single records, where it does.
    items: Option<Items>,
    body_limit: BodyLimit,
    /// Bodies larger than this are compressed.
    gzip: Option<(usize, Gzip)>,
    concurrency: NonZeroUsize,
    concurrency_start: NonZeroUsize,
    /// One per endpoint, or none at all.
    probes: Vec<Probe>,
    probing: Probing,
    tls: Option<Arc<Reloading<ClientConfig>>>,
    /// How often its files are looked at.
    reload: Duration,
    background: OnceLock<Background>,
}

impl Http {
    /// Plain HTTP. Checks the settings and reads what they name.
    pub fn new(name: &str, config: Config) -> Result<Self, BuildError> {
        Self::reloading(name, config, RELOAD_INTERVAL)
    }

    /// The same, with the time between looks at the files of certificates.
    pub fn reloading(name: &str, config: Config, reload: Duration) -> Result<Self, BuildError> {
        Self::with(name, config, reload, None, Traits::PLAIN)
    }

    fn with(
        name: &str,
        config: Config,
        reload: Duration,
        authorize: Option<Arc<dyn Authorize>>,
        traits: Traits,
    ) -> Result<Self, BuildError> {
        let urls = url::check_all(&config.urls)?;
        let statuses = StatusTable::new(Lists {
            success: &config.http_success_status_codes,
            permanent: &config.http_permanent_status_codes,
            retry_on: &config.retry_on,
            reject_on: &config.reject_on,
        })?;
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
        let concurrency = concurrency(&config);
        let http = Self {
            client: Client::new(endpoints, freed, call_timeout),
            authorize,
            items: config.answers().map(|answers| Items::new(answers, &statuses)),
            statuses,
            body_limit: BodyLimit::new(&config, &traits),
            gzip: (config.compression == Compression::Gzip)
                .then(|| (config.compression_threshold, Gzip::default())),
            concurrency,
            concurrency_start: traits.concurrency_start.map_or(concurrency, |start| start.min(concurrency)),
            probes,
            probing: Probing { check: check.clone(), urls, protocol: config.protocol, headers },
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

    fn call<'a>(&'a self, payload: &'a Payload) -> Call<'a> {
        let (body, gzip) = match &self.gzip {
            Some((threshold, gzip)) if payload.body.len() > *threshold => {
                (gzip.compress(&payload.body), true)
            }
            _ => (payload.body.clone(), false),
        };
        Call {
            body,
            gzip,
            content_type: media_type(payload),
            parts: payload.request.as_deref(),
            authorize: self.authorize.as_deref(),
            probe: false,
            keep: match (&self.items, &self.authorize) {
                (Some(items), _) => Keep::All(items.answer_bytes_max(payload.count.get())),
                (None, Some(_)) => Keep::Refusals,
                (None, None) => Keep::Nothing,
            },
        }
    }

    fn report(&self, answer: Answer<'_>, payload: &Payload) -> Report {
        let code = answer.status.as_u16();
        let (records, success) = (payload.count.get(), success_status_codes(payload.request.as_deref()));
        if self.statuses.confirms(code, success) && answer.whole {
            let Some(items) = &self.items else {
                answer.queued.succeeded();
                return Report::delivered(Some(code));
            };
            return items.report(answer, records);
        }
        let retry_after = retry_after::parse(&answer.headers, world::now());
        let mut report = self.statuses.report_on(code, retry_after, success);
        // An answer that broke off confirms nothing: the part missing may have told of a failure.
        if !answer.whole && matches!(report.class, Class::Done | Class::Record) {
            let unreachable = Report::failed(Class::Transient, Cause::Unreachable);
            report = Report { status: report.status, retry_after, ..unreachable };
        }
        let verdict = self.verdict(&answer, success);
        // Whatever the operator's lists say of the status: this one is surely not about the records.
        if verdict.as_ref().is_some_and(|verdict| verdict.credentials) {
            let credentials = Report::failed(Class::Credentials, Cause::Unauthorized);
            report = Report { status: report.status, retry_after, ..credentials };
        }
        // Only the status, and what is surely the gateway's own: an answer's text may well repeat what was sent.
        let words = verdict.map(|verdict| format!(": {}", verdict.words)).unwrap_or_default();
        let broken = if answer.whole { "" } else { ", and the connection broke inside the answer" };
        let s = if records == 1 { "" } else { "s" };
        let status = answer.status;
        answer
            .endpoint
            .complain(Some(status), &format_args!("status {status} for {records} record{s}{broken}{words}"));
        report
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
            let call = self.call(payload);
            let result = match &self.authorize {
                None => {
                    let now = Instant::now();
                    self.client.call(&call, now, self.client.deadline(now)).await
                }
                Some(authorize) => self.authorized_call(authorize.as_ref(), &call).await,
            };
            match result {
                Ok(answer) => self.report(answer, payload),
                Err(failure) => match failure.kind {
                    FailureKind::Unreachable => Report::failed(Class::Transient, Cause::Unreachable),
                    FailureKind::Timeout => Report::failed(Class::Transient, Cause::Timeout),
                    FailureKind::Malformed => Report::failed(Class::Transient, Cause::Malformed),
                    FailureKind::Unproven => Report::failed(Class::Credentials, Cause::Unauthorized),
                },
            }
        })
    }

    fn concurrency(&self) -> NonZeroUsize {
        self.concurrency
    }

    fn concurrency_start(&self) -> NonZeroUsize {
        self.concurrency_start
    }

    fn body_bytes_max(&self, content_type: &str) -> usize {
        self.body_limit.of(content_type)
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, ProbeFailure>> {
        Box::pin(self.look())
    }

    fn access(&self) -> Option<Access> {
        self.authorize.as_ref().map(|authorize| authorize.access())
    }

    fn endpoints(&self) -> Vec<EndpointStats> {
        self.client.endpoints().iter().map(|endpoint| endpoint.stats()).collect()
    }
}

/// An HTTP destination of which more is known than of plain HTTP.
pub(crate) fn of_kind(name: &str, config: Config, traits: Traits) -> Result<Http, BuildError> {
    Http::with(name, config, RELOAD_INTERVAL, None, traits)
}

/// An HTTP destination whose requests prove who sends them. Nothing is proven before the first request.
pub(crate) fn authorized(
    name: &str,
    config: Config,
    authorize: Arc<dyn Authorize>,
    traits: Traits,
) -> Result<Http, BuildError> {
    Http::with(name, config, RELOAD_INTERVAL, Some(authorize), traits)
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

fn media_type(payload: &Payload) -> ::http::HeaderValue {
    match &payload.content_type {
        Cow::Borrowed(text) => ::http::HeaderValue::from_static(text),
        // One that is configured was checked when it was read.
        Cow::Owned(text) => ::http::HeaderValue::from_str(text)
            .unwrap_or(const { ::http::HeaderValue::from_static("application/octet-stream") }),
    }
}

/// The statuses that confirm a request, where it has its own.
fn success_status_codes(parts: Option<&RequestParts>) -> &[u16] {
    parts.map_or(&[], |parts| &parts.success_status_codes)
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

pub(crate) fn millis(key: &str, value: u64) -> Result<Duration, BuildError> {
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
