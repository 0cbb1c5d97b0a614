//! What a configuration becomes, and that nothing in a file makes loading panic or tell a secret.

use std::time::Instant;

use adapters::http::{Compression, HeaderValue, Protocol};
use proptest::prelude::*;

use super::*;
use crate::{
    notification::{ChangeNotification, Digest, ExistsAction, Expiry, GenerationPolicy, Operation},
    route::{Route, Router},
};

mod destinations;
mod sections;
mod vendor;

const EVERY_KEY: &str = include_str!("../../../tests/fixtures/config/good/every-key.yml");
const MINIMAL: &str = include_str!("../../../tests/fixtures/config/good/minimal.yml");

fn http(config: &Config, name: &str) -> adapters::http::Config {
    match config.destinations[name].target.clone() {
        TargetConfig::Http(http) => http,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_key_arrives_where_it_belongs() {
    let config = parse(EVERY_KEY, Path::new("/etc/esp")).unwrap().config;
    let service = &config.service;
    assert_eq!(service.ports, [8901, 8902, 9901]);
    assert_eq!(service.addresses, ["127.0.0.1", "::1"]);
    assert_eq!(service.worker_threads.map(NonZeroUsize::get), Some(3));
    assert_eq!(service.max_concurrent_records.get(), 1000);
    assert_eq!(service.max_concurrent_bytes.get(), 8 << 20);
    assert_eq!(service.max_frame_bytes, 4 << 20);
    assert_eq!(service.cluster_name.as_deref(), Some("blue"));
    assert!(!service.ack_buffering);
    assert_eq!(service.receive_buffer_bytes, Some(131_072));
    assert_eq!(service.shutdown_grace, Duration::from_millis(2500));
    assert!(!service.accept_client_writes);
    assert_eq!(service.remember_partial_success, 1000);
    let manage = service.manage.as_ref().unwrap();
    assert_eq!(
        (manage.ports.as_slice(), manage.addresses.as_slice()),
        (&[8903][..], &["127.0.0.1".to_owned()][..])
    );

    let destination = &config.destinations["all"];
    assert_eq!(destination.workers.map(NonZeroUsize::get), Some(7));
    assert_eq!((destination.max_attempts, destination.max_queued), (2, 10));
    assert_eq!(destination.dead_letter, Some(DeadLetter::To("letters".to_owned())));
    let http = http(&config, "all");
    assert_eq!(http.urls, ["https://a.example/x", "https://b.example/x"]);
    assert_eq!((http.protocol, http.compression), (Protocol::Http1, Compression::Gzip));
    assert_eq!((http.compression_threshold, http.connection_ttl), (512, 60_000));
    assert_eq!((http.call_timeout, http.connect_timeout), (2000, 200));
    assert_eq!(http.max_connections_per_endpoint.get(), 4);
    assert_eq!(http.http2_max_concurrent_streams.get(), 50);
    assert_eq!(http.http_success_status_codes, [200, 409]);
    assert_eq!(http.http_permanent_status_codes, [400]);
    assert_eq!((http.retry_on.as_slice(), http.reject_on.as_slice()), (&[404][..], &[410][..]));
    assert!(http.partial_response);
    assert_eq!(http.max_request_bytes.map(NonZeroUsize::get), Some(100_000));
    assert!(matches!(&http.headers["X-Number"], HeaderValue::Plain(text) if text == "7"));
    assert!(matches!(&http.headers["Authorization"], HeaderValue::Env { env } if env == "ESP_TEST_TOKEN"));
    assert!(matches!(&http.headers["X-Long"], HeaderValue::Value { value } if value == "here too"));
    assert!(
        matches!(&http.headers["X-Key"], HeaderValue::File { file } if file == Path::new("/etc/esp/secrets/key"))
    );
    let tls = http.tls.unwrap();
    assert_eq!(tls.ca_file.as_deref(), Some(Path::new("/etc/esp/tls/ca.pem")));
    assert_eq!(tls.certificate_file.as_deref(), Some(Path::new("/etc/tls/client.pem")));
    assert_eq!(tls.key_file.as_deref(), Some(Path::new("/etc/esp/tls/client.key")));
    let health = http.health_check;
    assert_eq!((health.enabled, health.interval_seconds, health.call_timeout), (false, 1, 100));
    assert_eq!((health.method.as_str(), health.path.as_deref()), ("HEAD", Some("/alive")));
    assert_eq!(health.success_status_codes, [204]);

    let logging = &config.logging;
    assert_eq!((logging.ticker_interval, logging.json), (Duration::ZERO, true));
    assert_eq!(logging.levels["esp_connector::lane"], "trace");
    assert_eq!(logging.file.as_deref(), Some(Path::new("/etc/esp/logs/connector.log")));
    assert_eq!((logging.console, logging.max_history), (true, 7));
    assert!(config.jvm_compat);
}

#[test]
fn what_is_absent_has_the_documented_default() {
    let config = parse(MINIMAL, Path::new("")).unwrap().config;
    for service in [config.service.clone(), Service::default()] {
        assert_eq!(service.ports, [8080]);
        assert_eq!(service.addresses, ["0.0.0.0"]);
        assert_eq!(service.max_concurrent_records.get(), 32_768);
        assert_eq!(service.max_concurrent_bytes.get(), 64 << 20);
        assert_eq!(service.max_frame_bytes, 16 << 20);
        assert_eq!(service.shutdown_grace, Duration::from_secs(10));
        assert_eq!(service.remember_partial_success, 100_000);
        assert!(service.ack_buffering && service.accept_client_writes && service.manage.is_none());
    }
    let root = &config.root;
    assert!(root.batching.is_none() && root.bin_transforms.is_none() && root.record_ordering.is_none());
    let destination = &config.destinations["receiver"];
    assert_eq!((destination.workers, destination.max_attempts, destination.max_queued), (None, 5, 32_768));
    assert_eq!(destination.dead_letter, None);
    let http = http(&config, "receiver");
    assert_eq!((http.call_timeout, http.connect_timeout, http.connection_ttl), (1000, 300, -1));
    // The schema is told these two by hand: the reference must not drift from the adapter.
    assert_eq!((http.protocol, http.compression), (Protocol::Http2, Compression::None));
    for logging in [config.logging, Logging::default()] {
        assert_eq!((logging.ticker_interval, logging.max_history), (Duration::from_secs(10), 30));
        assert!(logging.console && logging.file.is_none() && !logging.json);
    }
    assert!(!config.jvm_compat);
}

#[test]
fn names_of_values_go_in_any_case_and_levels_become_small() {
    let text = "logging: {levels: {root: DEBUG, server: Warn}, format: JSON}\nservice: {protocol: tcp}";
    let logging = parse(text, Path::new("")).unwrap().config.logging;
    assert_eq!((logging.levels["root"].as_str(), logging.levels["server"].as_str()), ("debug", "warn"));
    assert!(logging.json);
}

#[test]
fn one_port_and_a_list_of_ports_are_the_same() {
    for (text, ports) in
        [("1", vec![1]), ("[1]", vec![1]), ("[1, 2]", vec![1, 2]), ("0", vec![0]), ("\"3\"", vec![3])]
    {
        let config = parse(&format!("service: {{port: {text}}}"), Path::new("")).unwrap().config;
        assert_eq!(config.service.ports, ports, "{text}");
    }
}

#[test]
fn management_may_share_a_port_on_another_address() {
    let text = |manage: &str| {
        format!("service: {{port: 8901, address: 10.0.0.1, manage: {{port: 8901, address: {manage}}}}}")
    };
    assert!(parse(&text("127.0.0.1"), Path::new("")).is_ok());
    for clash in ["10.0.0.1", "0.0.0.0", "\"::\"", "[127.0.0.1, 10.0.0.1]"] {
        let problems = parse(&text(clash), Path::new("")).unwrap_err().to_string();
        assert!(problems.contains("service.manage.port: port 8901 is also a port for XDR"), "{problems}");
    }
}

/// Of no namespace: nothing here routes by what a record holds.
const NOTIFICATION: ChangeNotification<'static> = ChangeNotification {
    operation: Operation::Delete,
    namespace: b"",
    set: None,
    digest: Digest([0; 20]),
    user_key: None,
    generation: None,
    lut_unix_ms: None,
    expiry: Expiry::Unknown,
    exists_action: ExistsAction::Update,
    generation_policy: GenerationPolicy::None,
    xdr: true,
    bins: Vec::new(),
};

#[test]
fn the_router_agrees_with_the_table_of_check() {
    for text in [EVERY_KEY, include_str!("../../../tests/fixtures/config/good/vendor-namespaces.yml")] {
        let config = parse(text, Path::new("")).unwrap().config;
        let router = Router::new(&config, Instant::now()).unwrap();
        // By what a record holds nothing can be decided from its scope alone.
        let by_value = |scope: &Scope<'_>| matches!(config.effective(*scope).routing, Some(Routing::By(_)));
        for scope in config.scopes().filter(|scope| !by_value(scope)) {
            let name = |name: Option<&str>| name.unwrap_or("not mentioned").as_bytes().to_vec();
            let routes = router.for_port(scope.port.unwrap_or(1));
            let found = match routes.route(&name(scope.namespace), Some(&name(scope.set))) {
                Route::Skip => Routing::Skip,
                Route::To(delivery) => {
                    let positions = delivery.decide(&NOTIFICATION).destinations;
                    Routing::To(positions.iter().map(|n| router.destinations()[*n].clone()).collect())
                }
            };
            assert_eq!(config.effective(scope).routing, Some(&found), "{scope:?}");
        }
    }
}

#[test]
fn header_values_show_nowhere() {
    let secret = "hunter2";
    for header in [
        "Bearer hunter2",
        "{value: hunter2}",
        "{valu: hunter2}",
        "[hunter2]",
        "{value: [hunter2]}",
        "{value: hunter2, file: hunter2x}",
        "{env: {a: hunter2}}",
    ] {
        let text = format!(
            "{}\nnamespaces: []",
            MINIMAL.replace("  receiver:", &format!("  receiver:\n    headers: {{A: {header}}}"))
        );
        let problems = parse(&text, Path::new("")).unwrap_err();
        assert!(!format!("{problems} {problems:?}").contains(secret), "{problems}");
        if let Ok(loaded) = parse(text.trim_end_matches("namespaces: []"), Path::new("")) {
            assert!(!format!("{loaded:?}").contains(secret), "{header}");
        }
    }
}

#[test]
fn types_accept_what_the_shape_accepts() {
    // A schema that promises more than serde takes would show as this message.
    for text in [EVERY_KEY, MINIMAL] {
        for line in 0..text.lines().count() {
            let without: Vec<&str> =
                text.lines().enumerate().filter(|(n, _)| *n != line).map(|(_, l)| l).collect();
            if let Err(problems) = parse(&without.join("\n"), Path::new("")) {
                assert!(
                    !problems.to_string().contains("not accepted here"),
                    "without line {line}: {problems}"
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        let _ = parse(&text, Path::new("")).map_err(|problems| problems.to_string());
    }

    #[test]
    fn yaml_like_text_never_panics(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "service", "destinations", "routing", "format", "namespaces", "sets", "mode", "urls", "port",
                ": ", ":\n  ", "\n", "\n  ", "\n    ", "- ", "[", "]", "{", "}", ", ", "\"", "'", "&a ", "*a", "|",
                ">", "#", "json", "static", "8901", "-1", "~", "!!str ", "? ", "---\n", "\t", "<<: ", "é", "\u{0}",
            ]),
            0..60,
        ),
    ) {
        let _ = parse(&parts.concat(), Path::new("")).map_err(|problems| problems.to_string());
    }

    #[test]
    fn a_damaged_file_never_panics(at in 0..EVERY_KEY.len(), length in 0..40usize, put in "\\PC{0,8}") {
        let mut text: Vec<char> = EVERY_KEY.chars().collect();
        let end = (at + length).min(text.len());
        text.splice(at..end, put.chars());
        let _ = parse(&text.into_iter().collect::<String>(), Path::new("")).map_err(|problems| problems.to_string());
    }
}
