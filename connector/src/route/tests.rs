use std::collections::BTreeMap;

use super::*;
use crate::{
    config::{AvroEncoding, Destination, RoutingKey, RoutingTable},
    notification::{Bin, Digest, ExistsAction, Expiry, GenerationPolicy, Operation, Value},
};

fn config(names: &[&str]) -> Config {
    let mut config = Config::default();
    for name in names {
        let json = serde_json::json!({"urls": ["http://127.0.0.1:1/"]});
        let target = adapters::TargetConfig::Http(serde_json::from_value(json).expect("sound"));
        let destination =
            Destination { target, workers: None, max_attempts: 1, max_queued: 1, dead_letter: None };
        config.destinations.insert((*name).to_owned(), destination);
    }
    config
}

fn avro(name: &str, encoding: AvroEncoding) -> Format {
    let schema = format!(r#"{{"type": "map", "values": ["null", "long", "string"], "doc": "{name}"}}"#);
    Format::Avro { schema, stringify_map_keys: true, encoding }
}

#[test]
fn formats_that_send_every_record_alone_share_a_policy() {
    let with = |encoding, batching: Option<Batching>| {
        let mut config = config(&["a"]);
        let root = Sections { routing: Some(Routing::To(vec!["a".to_owned()])), ..Sections::default() };
        config.root = Sections { format: Some(avro("root", encoding)), batching, ..root };
        let sets = &mut config.namespaces.entry("test".to_owned()).or_default().sets;
        for n in 0..50 {
            let format = Some(avro(&n.to_string(), encoding));
            sets.insert(n.to_string(), Sections { format, ..Sections::default() });
        }
        Router::new(&config, Instant::now()).expect("routes").batch_policies().len()
    };
    let one = std::num::NonZeroUsize::MIN;
    let batching = Batching {
        enabled: true,
        body: None,
        max_records: one,
        max_bytes: one,
        interval: std::time::Duration::ZERO,
    };
    assert_eq!(with(AvroEncoding::Raw, None), 1);
    assert_eq!(with(AvroEncoding::Raw, Some(Batching { enabled: false, ..batching.clone() })), 1);
    assert_eq!(with(AvroEncoding::Ocf, None), 51, "each file has its schema");
    assert_eq!(with(AvroEncoding::Raw, Some(batching)), 51, "no two formats in a request");
}

#[test]
fn routes_by_value() {
    let names = ["default", "first", "second"];
    let table = |key: RoutingKey| {
        let to = |value: &str, name: &str| (value.to_owned(), vec![name.to_owned()]);
        RoutingTable {
            key,
            transforms: vec![crate::config::NameTransform::Lowercase],
            destinations: BTreeMap::from([
                to("shop", "first"),
                to("42", "first"),
                to("true", "second"),
                to("orders", "second"),
                ("nowhere".to_owned(), Vec::new()),
            ]),
            default: vec!["default".to_owned()],
        }
    };
    let found = |key, set, bins: &[(&'static str, Value<'static>)]| {
        let mut config = config(&names);
        let rules = JsonRules::default();
        let routing = Some(Routing::By(table(key)));
        config.root = Sections { format: Some(Format::Json(rules)), routing, ..Sections::default() };
        let router = Router::new(&config, Instant::now()).expect("routes");
        let notification = ChangeNotification {
            operation: Operation::Write,
            namespace: b"SHOP",
            set,
            digest: Digest([0; 20]),
            user_key: None,
            generation: None,
            lut_unix_ms: None,
            expiry: Expiry::Unknown,
            exists_action: ExistsAction::Replace,
            generation_policy: GenerationPolicy::None,
            xdr: true,
            bins: bins.iter().map(|(name, value)| Bin { name: name.as_bytes(), value: *value }).collect(),
        };
        let routes = router.for_port(1);
        let Route::To(delivery) = routes.route(notification.namespace, notification.set) else {
            panic!("a route")
        };
        delivery.decide(&notification).destinations.iter().map(|n| names[*n]).collect::<Vec<_>>()
    };
    let bin = || RoutingKey::Bin("kind".to_owned());
    assert_eq!(found(RoutingKey::Namespace, None, &[]), ["first"]);
    assert_eq!(found(RoutingKey::Set, Some(b"Orders"), &[]), ["second"]);
    for set in [None, Some(&b""[..]), Some(b"other"), Some(b"\xff")] {
        assert_eq!(found(RoutingKey::Set, set, &[]), ["default"], "{set:?}");
    }
    for (value, expected) in [
        (Value::String(b"ORDERS"), vec!["second"]),
        (Value::String(b"nowhere"), vec![]),
        (Value::Integer(42), vec!["first"]),
        (Value::Boolean(true), vec!["second"]),
        (Value::Boolean(false), vec!["default"]),
        (Value::Double(42.0), vec!["default"]),
        (Value::Null, vec!["default"]),
        (Value::String(b"\xff"), vec!["default"]),
        (Value::Blob(4, b"orders"), vec!["default"]),
    ] {
        assert_eq!(
            found(bin(), None, &[("other", Value::Integer(7)), ("kind", value)]),
            expected,
            "{value:?}"
        );
    }
    assert_eq!(found(bin(), Some(b"orders"), &[]), ["default"], "a delete has no bins");
}

#[test]
fn sets_that_are_settled_alike_share_a_route_and_others_do_not() {
    let mut config = config(&["a", "b"]);
    let to =
        |name: &str| Sections { routing: Some(Routing::To(vec![name.to_owned()])), ..Sections::default() };
    config.root = to("a");
    let sets = &mut config.namespaces.entry("test".to_owned()).or_default().sets;
    sets.insert("plain".to_owned(), Sections::default());
    sets.insert("second".to_owned(), to("b"));
    sets.insert("third".to_owned(), to("b"));
    sets.insert("none".to_owned(), Sections { routing: Some(Routing::Skip), ..Sections::default() });
    let routes = Router::new(&config, Instant::now()).expect("routes").for_port(0);
    let of = |set: &[u8]| match routes.route(b"test", Some(set)) {
        Route::To(delivery) => Some(Arc::clone(delivery)),
        Route::Skip => None,
    };
    let [plain, other, second, third] = [b"plain".as_slice(), b"other", b"second", b"third"].map(of);
    assert!(plain.as_ref().zip(other.as_ref()).is_some_and(|(plain, other)| Arc::ptr_eq(plain, other)));
    assert!(second.as_ref().zip(third.as_ref()).is_some_and(|(second, third)| Arc::ptr_eq(second, third)));
    assert_ne!(plain.expect("a route").number, second.expect("a route").number);
    assert!(of(b"none").is_none());
}
