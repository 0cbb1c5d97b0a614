//! Envoy from PyPI as a front with TLS and HTTP/2 that makes trouble: it stands for load balancers and gateways.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Process, chains::Chains, get};

/// What the front does to connections and requests.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// A connection ends with GOAWAY after so many requests.
    pub requests_per_connection: Option<u32>,
    /// A connection ends with GOAWAY after so many milliseconds.
    pub connection_milliseconds: Option<u32>,
    /// Streams at once on a connection.
    pub streams: Option<u32>,
    /// Requests a second; the rest is answered 429 with `Retry-After: 1`.
    pub requests_per_second: Option<u32>,
    /// Percentage of the requests that are answered 503 and go nowhere.
    pub aborted_percent: u32,
    /// Percentage of the requests that take 200 ms longer.
    pub delayed_percent: u32,
}

/// A running front; ends when dropped.
#[derive(Debug)]
pub struct Envoy {
    _process: Process,
    address: SocketAddr,
    admin: SocketAddr,
    _folder: TempDir,
}

impl Envoy {
    /// Starts it from the environment of `python`, in front of `upstream`, with the certificate `front` of `chains`,
    /// which has to be for `localhost`.
    pub async fn start(python: &Path, upstream: SocketAddr, chains: &Chains, trouble: &Trouble) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (config, admin) = (folder.path().join("front.json"), folder.path().join("admin"));
        fs::write(&config, configuration(upstream, chains, trouble).to_string()).unwrap();
        let mut command = Command::new(python.with_file_name("envoy"));
        command.arg("-c").arg(config).arg("--admin-address-path").arg(&admin);
        command.args(["--concurrency", "1", "-l", "warn", "--disable-hot-restart"]);
        let mut process = Process::start(&mut command);
        let admin = process.until(async || fs::read_to_string(&admin).ok()?.parse::<SocketAddr>().ok()).await;
        let admin = admin.unwrap_or_else(|printed| panic!("Envoy does not start:\n{printed}"));
        let listening = process.until(async || {
            let (_, listeners) = get(admin, "/listeners?format=json").await.ok()?;
            let listeners: Value = serde_json::from_slice(&listeners).ok()?;
            let port = &listeners["listener_statuses"][0]["local_address"]["socket_address"]["port_value"];
            let ready = get(admin, "/ready").await.ok()?.0 == 200;
            port.as_u64().filter(|_| ready)
        });
        let port = listening.await.unwrap_or_else(|printed| panic!("Envoy does not listen:\n{printed}"));
        let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
        Self { _process: process, address, admin, _folder: folder }
    }

    /// `https://localhost:PORT` and `path`.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// The counter of this name, as the admin port shows it.
    pub async fn counter(&self, name: &str) -> u64 {
        let (_, stats) =
            get(self.admin, &format!("/stats?filter=^{}$", name.replace('.', "[.]"))).await.unwrap();
        let stats = String::from_utf8(stats.to_vec()).unwrap();
        let value = stats.trim().rsplit(": ").next().and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("{name} is not in {stats:?}"))
    }
}

fn configuration(upstream: SocketAddr, chains: &Chains, trouble: &Trouble) -> Value {
    let loopback = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let file = |name: &str| json!({"filename": chains.path(name)});
    json!({
        "admin": {"address": loopback(0)},
        "static_resources": {
            "listeners": [{
                "address": loopback(0),
                "filter_chains": [{
                    "transport_socket": {"name": "tls", "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                        "common_tls_context": {
                            "alpn_protocols": ["h2", "http/1.1"],
                            "tls_certificates": [{
                                "certificate_chain": file("front.pem"), "private_key": file("front.key"),
                            }],
                        },
                    }},
                    "filters": [{"name": "http", "typed_config": connection_manager(trouble)}],
                }],
            }],
            "clusters": [{
                "name": "upstream",
                "connect_timeout": "3s",
                "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [
                    {"endpoint": {"address": loopback(upstream.port())}},
                ]}]},
            }],
        },
    })
}

fn connection_manager(trouble: &Trouble) -> Value {
    let mut common = json!({});
    if let Some(requests) = trouble.requests_per_connection {
        common["max_requests_per_connection"] = json!(requests);
    }
    if let Some(milliseconds) = trouble.connection_milliseconds {
        common["max_connection_duration"] = json!(format!("{:.3}s", f64::from(milliseconds) / 1000.0));
    }
    let mut http2 = json!({});
    if let Some(streams) = trouble.streams {
        http2["max_concurrent_streams"] = json!(streams);
    }
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "codec_type": "AUTO",
        "common_http_protocol_options": common,
        "http2_protocol_options": http2,
        // What a GOAWAY leaves time for.
        "drain_timeout": "0.2s",
        "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "15s"}}],
        }]},
        "http_filters": filters(trouble),
    })
}

fn filters(trouble: &Trouble) -> Value {
    let percentage = |of_hundred: u32| json!({"numerator": of_hundred, "denominator": "HUNDRED"});
    let always = json!({"default_value": percentage(100)});
    let mut filters = Vec::new();
    if let Some(requests) = trouble.requests_per_second {
        filters.push(json!({"name": "limit", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "limit",
            "token_bucket": {"max_tokens": requests, "tokens_per_fill": requests, "fill_interval": "1s"},
            "filter_enabled": always,
            "filter_enforced": always,
            "response_headers_to_add": [{"header": {"key": "retry-after", "value": "1"}}],
        }}));
    }
    if trouble.aborted_percent + trouble.delayed_percent > 0 {
        let mut fault = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
        });
        if trouble.aborted_percent > 0 {
            fault["abort"] = json!({"http_status": 503, "percentage": percentage(trouble.aborted_percent)});
        }
        if trouble.delayed_percent > 0 {
            fault["delay"] =
                json!({"fixed_delay": "0.2s", "percentage": percentage(trouble.delayed_percent)});
        }
        filters.push(json!({"name": "fault", "typed_config": fault}));
    }
    filters.push(json!({"name": "router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
    }}));
    Value::Array(filters)
}
