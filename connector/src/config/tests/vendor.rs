//! Files of the vendor's connector: each loads, and means what it means there.
//!
//! What is refused is listed with the reason, word for word: when it works one day, this has to be told.

use adapters::tls::{KeySource, Store, StoreType, TrustSource};

use super::*;
use crate::{
    notification::{Bin, Value},
    transform::{Names, Transform},
};

/// A file of `tests/fixtures/vendor`, with what an example leaves out behind it.
fn loaded(file: &str, more: &str) -> Loaded {
    parse(&(read(file) + more), Path::new("/etc/esp")).unwrap_or_else(|problems| panic!("{file}: {problems}"))
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/vendor").join(file))
        .unwrap()
}

fn store(file: &str, store_type: Option<StoreType>) -> Store {
    let file: PathBuf = Path::new("/etc/esp").join(file);
    Store {
        store_password_file: file.with_file_name("storepass"),
        store_file: file,
        key_password_file: None,
        store_type,
    }
}

#[test]
fn service_with_stores() {
    let service = loaded("service.yml", "routing: {mode: skip}\n").config.service;
    assert_eq!((service.ports, service.cluster_name.as_deref()), (vec![8901], Some("esp-blue")));
    assert_eq!(service.max_concurrent_records.get(), 32_768);
    assert_eq!(service.manage.unwrap().ports, [8902]);
    let tls = service.tls.unwrap();
    assert_eq!((tls.ports, tls.protocols), (vec![8943], vec![Version::Tls13]));
    assert_eq!(tls.identity, KeySource::Store(store("tls/server.p12", Some(StoreType::Pkcs12))));
    let clients = tls.clients.unwrap();
    assert_eq!(clients.authorities, TrustSource::Store(store("tls/ca.p12", Some(StoreType::Pkcs12))));
    assert_eq!(clients.allowed_names, ["db-nodes.example.net"]);
}

#[test]
fn a_destination_with_everything() {
    let more = "format: json\nrouting: {mode: static, destination: orders-api}\n";
    let http = http(&loaded("destinations.yml", more).config, "orders-api");
    assert_eq!(http.urls.len(), 2);
    assert_eq!((http.protocol, http.compression), (Protocol::Http1, Compression::Gzip));
    assert_eq!((http.call_timeout, http.connect_timeout, http.connection_ttl), (4000, 500, 300_000));
    assert_eq!((http.max_connections_per_endpoint.get(), http.compression_threshold), (32, 2048));
    assert_eq!(http.http_success_status_codes, [200, 201, 202, 409]);
    assert_eq!((http.health_check.interval_seconds, http.health_check.healthy_threshold), (10, 2));
    let tls = http.tls.unwrap();
    assert_eq!((tls.trust_store, tls.key_store), (Some(store("tls/ca.p12", Some(StoreType::Pkcs12))), None));
}

#[test]
fn bins_kept_dropped_and_renamed() {
    let bins = loaded("bin-transforms.yml", "").config.root.bin_transforms.unwrap();
    let transform = Transform::new(&bins).unwrap();
    let mut room = Names::default();
    let mut bins: Vec<_> = ["sku", "qty", "price", "ts", "note"]
        .map(|name| Bin { name: name.as_bytes(), value: Value::Null })
        .into_iter()
        .collect();
    transform.apply(&mut bins, &mut room);
    let names: Vec<_> = bins.iter().map(|bin| bin.name.escape_ascii().to_string()).collect();
    assert_eq!(names, ["SKU", "QTY", "event_time"]);
}

#[test]
fn batches_here_and_none_there() {
    let config = loaded("batching.yml", "").config;
    let of = |namespace| {
        let scope = Scope { port: None, namespace: Some(namespace), set: None };
        let batching = config.effective(scope).batching.unwrap();
        (
            batching.enabled,
            batching.max_records.get(),
            batching.max_bytes.get(),
            batching.interval.as_millis(),
        )
    };
    assert_eq!(of("shop"), (true, 100, 262_144, 250));
    assert!(!of("audit").0);
}

#[test]
fn sections_by_namespace_and_set() {
    let more = "destinations: {archive: {urls: ['http://a/']}, orders-api: {urls: ['http://b/']}}\n";
    let config = loaded("namespaces.yml", more).config;
    let of = |namespace, set| {
        let effective = config.effective(Scope { port: None, namespace: Some(namespace), set });
        let flat = matches!(effective.format, Some(Format::FlatJson { metadata_key, .. }) if metadata_key == "_meta");
        (effective.destinations().into_iter().collect::<Vec<_>>(), flat)
    };
    assert_eq!(of("shop", Some("orders")), (vec!["archive", "orders-api"], true));
    assert_eq!(of("shop", Some("carts")), (vec![], false));
    assert_eq!(of("shop", None), (vec!["archive", "orders-api"], false));
    assert_eq!(of("other", None), (vec!["archive"], false));
}

#[test]
fn sections_by_port() {
    let more = "destinations: {fast: {urls: ['http://a/']}, slow: {urls: ['http://b/']}}\nformat: json\n";
    let config = loaded("ports.yml", more).config;
    assert_eq!(config.service.ports, [8901, 9901]);
    for (port, name) in [(8901, "fast"), (9901, "slow")] {
        let effective = config.effective(Scope { port: Some(port), namespace: Some("shop"), set: None });
        assert_eq!(effective.routing, Some(&Routing::To(vec![name.to_owned()])));
    }
}

#[test]
fn the_chart_but_for_its_format() {
    let http = http(&loaded("chart-clear-text.yml", "format: json\n").config, "east");
    assert!(http.tls.is_none());
    assert_eq!((http.protocol, http.http2_max_concurrent_streams.get()), (Protocol::Http2, 100));
    assert_eq!((http.call_timeout, http.connect_timeout, http.connection_ttl), (5100, 5000, 300_000));
    assert_eq!((http.max_connections_per_endpoint.get(), http.health_check.call_timeout), (20, 5100));

    let tls = super::http(&loaded("chart-tls.yml", "format: json\n").config, "east").tls.unwrap();
    let named = |file: &str| Store {
        store_password_file: "/etc/esp/secrets/certificates/password".into(),
        ..store(&format!("secrets/certificates/{file}"), None)
    };
    assert_eq!((tls.trust_store, tls.key_store), (Some(named("trust.jks")), Some(named("key.jks"))));
}

#[test]
fn the_chart_as_it_is() {
    for file in ["chart-clear-text.yml", "chart-tls.yml"] {
        let loaded = parse(&read(file), Path::new("")).unwrap();
        let effective = loaded.config.effective(Scope { port: None, namespace: Some("test"), set: None });
        assert_eq!(effective.format, None, "what counts is the vendor's default, `xdr`");
        assert!(loaded.warnings.iter().any(|warning| warning.to_string().contains("xdr")), "{file}");
    }
}

#[test]
fn what_is_refused_and_why() {
    let said = parse(&read("chart-plug-in.yml"), Path::new("")).unwrap_err().to_string();
    for reason in
        ["line 8: ", "namespaces.test.custom-transformer: Java classes cannot run in this connector;"]
    {
        assert!(said.contains(reason), "{reason:?} is not in {said}");
    }
    assert_eq!(said.lines().count(), 1, "{said}");
}
