//! Health checks: probes that take endpoints out of the balancing set and put them back.
//!
//! Probes are no deliveries: they have their own client (reqwest), so that they see an endpoint the way a new
//! caller does and never take a connection from the delivery path.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use ::http::{HeaderMap, Method, Uri};
use reqwest::redirect;
use rustls::ClientConfig;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    BuildError,
    client::Endpoint,
    headers::StaticHeaders,
    http::{HealthCheck, Protocol},
    tls::{self, Reloading},
    url::is_https,
};

/// How one endpoint is probed.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    client: reqwest::Client,
    settings: ClientSettings,
    method: Method,
    url: String,
    success: Vec<u16>,
    interval: Duration,
}

impl Probe {
    /// Checks the settings; `None` when probes are off.
    pub(crate) fn new(
        check: &HealthCheck,
        url: &Uri,
        protocol: Protocol,
        tls: Option<&Arc<Reloading<ClientConfig>>>,
        statics: &StaticHeaders,
    ) -> Result<Option<Self>, BuildError> {
        if !check.enabled {
            return Ok(None);
        }
        for (key, zero) in [
            ("interval-seconds", check.interval_seconds == 0),
            ("healthy-threshold", check.healthy_threshold == 0),
            ("unhealthy-threshold", check.unhealthy_threshold == 0),
            ("call-timeout", check.call_timeout == 0),
        ] {
            if zero {
                return Err(problem(key, "0 makes no sense; expected 1 or more"));
            }
        }
        let method = Method::from_bytes(check.method.as_bytes())
            .map_err(|_| problem("method", "not an HTTP method; expected one like GET or HEAD"))?;
        if check.path.as_ref().is_some_and(|path| !path.starts_with('/') || path.parse::<Uri>().is_err()) {
            return Err(problem("path", "not the path of a URL; expected one like /health"));
        }
        let settings = ClientSettings {
            timeout: Duration::from_millis(check.call_timeout),
            headers: statics.iter().cloned().collect::<HeaderMap>(),
            protocol,
            https: is_https(url),
            tls: tls.map(|tls| (Arc::clone(tls), tls.current())),
        };
        let client = settings.client().map_err(|error| problem("enabled", &chain(&error)))?;
        Ok(Some(Self {
            client,
            settings,
            method,
            url: target(url, check.path.as_deref()),
            success: check.success_status_codes.clone(),
            interval: Duration::from_secs(check.interval_seconds),
        }))
    }

    /// Probes `endpoint` until dropped.
    pub(crate) async fn run(mut self, endpoint: Arc<Endpoint>) {
        // Many connectors, or endpoints, that start together must not probe together.
        sleep(self.interval.mul_f64(fraction())).await;
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            endpoint.checked(self.once().await.map(drop).map_err(|silence| silence.words));
        }
    }

    /// One probe: the answer in words, or why it is no sign of life.
    pub(crate) async fn once(&mut self) -> Result<String, Silence> {
        if self.settings.changed() {
            self.client = self.settings.client().map_err(Silence::new)?;
        }
        let request = self.client.request(self.method.clone(), &self.url);
        let answer = request.send().await.map_err(Silence::new)?;
        let status = answer.status();
        let words = format!("{status} over {:?}", answer.version());
        if is_alive(status.as_u16(), &self.success) {
            Ok(words)
        } else {
            let words = format!("status {}", status.as_u16());
            Err(Silence { missing: "address", words })
        }
    }
}

/// Why a probe found no sign of life.
pub(crate) struct Silence {
    /// Where to look: one of the words of [`crate::ProbeFailure::missing`].
    pub(crate) missing: &'static str,
    pub(crate) words: String,
}

impl Silence {
    fn new(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if let Some(words) = tls::explain(&error) {
            return Self { missing: "tls", words };
        }
        let words = chain(&error);
        let missing = if words.contains("dns error") { "address" } else { "connection" };
        Self { missing, words }
    }
}

/// What the client of the probes is made from.
#[derive(Clone, Debug)]
struct ClientSettings {
    timeout: Duration,
    headers: HeaderMap,
    protocol: Protocol,
    https: bool,
    /// And those of TLS that were last used.
    tls: Option<(Arc<Reloading<ClientConfig>>, Arc<ClientConfig>)>,
}

impl ClientSettings {
    /// Whether the settings of TLS were read again since this was last asked.
    fn changed(&mut self) -> bool {
        let Some((reloading, used)) = &mut self.tls else { return false };
        let current = reloading.current();
        let changed = !Arc::ptr_eq(used, &current);
        *used = current;
        changed
    }

    fn client(&self) -> reqwest::Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .timeout(self.timeout)
            .redirect(redirect::Policy::none())
            // Deliveries use no proxy, so a probe through one would tell nothing.
            .no_proxy()
            .user_agent(concat!("esp-connector/", env!("CARGO_PKG_VERSION")))
            .default_headers(self.headers.clone());
        builder = match (self.protocol, self.https) {
            (Protocol::Http1, _) => builder.http1_only(),
            (Protocol::Http2, false) => builder.http2_prior_knowledge(),
            (Protocol::Http2, true) => builder,
        };
        if let Some((_, tls)) = &self.tls {
            builder = builder.tls_backend_preconfigured(ClientConfig::clone(tls));
        }
        builder.build()
    }
}

/// The URL to probe: that of deliveries, or its scheme and host with another path.
fn target(url: &Uri, path: Option<&str>) -> String {
    match (path, url.scheme_str(), url.authority()) {
        (Some(path), Some(scheme), Some(authority)) => format!("{scheme}://{authority}{path}"),
        _ => url.to_string(),
    }
}

/// An endpoint that only takes POST answers a GET with 404 or 405, and lives.
fn is_alive(status: u16, success: &[u16]) -> bool {
    if success.is_empty() { status < 500 } else { success.contains(&status) }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// 0 to 1, different at each call: the standard library seeds its hash maps at random.
fn fraction() -> f64 {
    (RandomState::new().hash_one(0u8) >> 11) as f64 / (1u64 << 53) as f64
}

fn problem(key: &str, problem: &str) -> BuildError {
    BuildError { key: format!("health-check.{key}"), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(settings: HealthCheck) -> Result<Option<Probe>, BuildError> {
        let url = Uri::from_static("http://a/");
        Probe::new(&settings, &url, Protocol::Http1, None, &StaticHeaders::new())
    }

    #[test]
    fn any_answer_below_500_is_a_sign_of_life() {
        for status in [200, 204, 301, 401, 404, 405, 429] {
            assert!(is_alive(status, &[]), "{status}");
        }
        assert!(!is_alive(500, &[]) && !is_alive(503, &[]));
        assert!(is_alive(503, &[503]) && !is_alive(200, &[503]));
    }

    #[test]
    fn the_path_replaces_path_and_query() {
        let at = |url: &str, path| target(&url.parse().unwrap(), path);
        assert_eq!(at("http://a:1/b/c?d", Some("/up?deep")), "http://a:1/up?deep");
        assert_eq!(at("https://a?x=/", Some("/up?deep")), "https://a/up?deep");
        assert_eq!(at("http://a:1/b/c?d", None), "http://a:1/b/c?d");
    }

    #[test]
    fn settings_that_make_no_sense_are_named() {
        let key = |settings| probe(settings).unwrap_err().key;
        let default = HealthCheck::default;
        assert_eq!(key(HealthCheck { interval_seconds: 0, ..default() }), "health-check.interval-seconds");
        assert_eq!(key(HealthCheck { method: "GE T".to_owned(), ..default() }), "health-check.method");
        assert_eq!(key(HealthCheck { path: Some("up".to_owned()), ..default() }), "health-check.path");
        let off = HealthCheck { enabled: false, interval_seconds: 0, ..default() };
        assert!(probe(off).unwrap().is_none());
    }

    #[test]
    fn jitter_spreads() {
        let fractions: Vec<_> = std::iter::repeat_with(fraction).take(100).collect();
        assert!(fractions.iter().all(|fraction| (0.0..1.0).contains(fraction)));
        assert!(
            fractions.iter().any(|fraction| *fraction < 0.5)
                && fractions.iter().any(|fraction| *fraction > 0.5)
        );
    }
}
