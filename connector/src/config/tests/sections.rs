//! The sections that may stand at several levels.

use super::*;

fn root(sections: &str) -> Sections {
    let text =
        format!("destinations: {{a: {{urls: ['http://h/']}}, b: {{urls: ['http://h/']}}}}\n{sections}");
    parse(&text, Path::new("")).unwrap().config.root
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn every_section_arrives_at_its_level() {
    let config = parse(EVERY_KEY, Path::new("/etc/esp")).unwrap().config;
    let to_all = Some(Routing::To(list(&["all"])));
    let root = &config.root;
    assert_eq!(root.routing, to_all);
    assert_eq!(
        root.format,
        Some(Format::Json(JsonRules { stringify_map_keys: false, nan_policy: NanPolicy::Null }))
    );
    let batching = Batching {
        enabled: true,
        body: Some(BatchBody::Ndjson),
        max_records: NonZeroUsize::new(100).unwrap(),
        max_bytes: NonZeroUsize::new(65_536).unwrap(),
        interval: Duration::from_millis(250),
    };
    assert_eq!(root.batching, Some(batching));
    let ordering = RecordOrdering {
        enabled: false,
        lut_cache_ttl: Duration::from_secs(60),
        lut_cache_max_records: NonZeroUsize::new(1000).unwrap(),
    };
    assert_eq!(root.record_ordering, Some(ordering));
    let bins = BinTransforms {
        include: Some(set(&["qty", "sku", "ts"])),
        exclude: Exclude::These(set(&["qty"])),
        map: [("ts".to_owned(), "event_time".to_owned())].into(),
        transforms: vec![
            NameTransform::Trim,
            NameTransform::Uppercase,
            NameTransform::Lowercase,
            NameTransform::Regex { pattern: "([a-z])_".to_owned(), replacement: "$1-".to_owned() },
        ],
    };
    assert_eq!(root.bin_transforms, Some(bins));

    let shop = &config.namespaces["shop"];
    let flat = Format::FlatJson {
        metadata_key: "meta".to_owned(),
        durable: DurableMember::WhenTrue,
        rules: JsonRules { stringify_map_keys: false, nan_policy: NanPolicy::Error },
    };
    assert_eq!(shop.sections.format, Some(flat));
    assert_eq!(shop.sections.bin_transforms.as_ref().unwrap().exclude, Exclude::All);
    assert!(shop.sections.record_ordering.as_ref().unwrap().enabled);
    assert_eq!(shop.sets["carts"].routing, Some(Routing::Skip));
    assert_eq!(shop.sets["carts"].bin_transforms.as_ref().unwrap().include, Some(set(&[])));
    let returns = &shop.sets["returns"];
    assert!(!returns.batching.as_ref().unwrap().enabled);
    let by_region = RoutingTable {
        key: RoutingKey::Bin("region".to_owned()),
        transforms: vec![NameTransform::Trim],
        destinations: [("eu".to_owned(), list(&["all"])), ("us".to_owned(), list(&[]))].into(),
        default: list(&["all"]),
    };
    assert_eq!(returns.routing, Some(Routing::By(by_region)));
    let audit = &config.namespaces["audit"].sections;
    let Some(Format::Avro { schema, stringify_map_keys: false, encoding: AvroEncoding::Ocf }) = &audit.format
    else {
        panic!("{:?}", audit.format)
    };
    assert!(schema.starts_with(r#"{"type": "map""#), "{schema}");
    assert!(matches!(&audit.routing, Some(Routing::By(RoutingTable { key: RoutingKey::Set, .. }))));

    let port = &config.ports[&9901];
    assert_eq!(port.sections.routing, to_all);
    assert_eq!(port.sections.format, Some(Format::MessagePack));
    assert_eq!(port.sections.batching.as_ref().unwrap().max_records.get(), 1);
    assert_eq!(port.sections.bin_transforms.as_ref().unwrap().map["a"], "b");
    assert!(port.sections.record_ordering.as_ref().unwrap().enabled);
    assert_eq!(port.namespaces["shop"].sections.routing, Some(Routing::Skip));
}

#[test]
fn an_empty_section_has_the_documented_defaults() {
    let root = root("batching: {}\nbin-transforms: {}\nrecord-ordering: {}\nformat: json");
    let batching = Batching {
        enabled: true,
        body: None,
        max_records: NonZeroUsize::new(2_147_483_647).unwrap(),
        max_bytes: NonZeroUsize::new(1_000_000).unwrap(),
        interval: Duration::from_secs(8),
    };
    assert_eq!(root.batching, Some(batching));
    assert_eq!(root.bin_transforms, Some(BinTransforms::default()));
    let ordering = RecordOrdering {
        enabled: true,
        lut_cache_ttl: Duration::from_secs(30),
        lut_cache_max_records: NonZeroUsize::new(1_000_000).unwrap(),
    };
    assert_eq!(root.record_ordering, Some(ordering));
    assert_eq!(root.format, Some(Format::Json(JsonRules::default())));
}

#[test]
fn a_section_without_content_is_as_if_it_were_not_there() {
    let root = root("batching:\nbin-transforms: ~\nrecord-ordering: null\nformat:\nrouting:");
    assert_eq!(format!("{root:?}"), format!("{:?}", Sections::default()));
}

#[test]
fn null_is_a_nan_policy_and_nothing_is_none() {
    for (text, policy) in [
        ("null", NanPolicy::Null),
        ("\"null\"", NanPolicy::Null),
        ("NULL", NanPolicy::Null),
        ("", NanPolicy::String),
        ("~", NanPolicy::String),
    ] {
        let found = root(&format!("format: {{mode: json, nan-policy: {text}}}")).format;
        let rules = JsonRules { nan_policy: policy, ..JsonRules::default() };
        assert_eq!(found, Some(Format::Json(rules)), "{text:?}");
    }
}

#[test]
fn a_schema_may_be_text_a_file_or_yaml() {
    let folder = tempfile::tempdir().unwrap();
    let schema = r#"{"type":"record","name":"r","fields":[{"name":"a","type":["null","long"],"default":null},{"name":"b","type":"double","default":1.5}]}"#;
    fs::write(folder.path().join("r.avsc"), schema).unwrap();
    let yaml = "{type: record, name: r, fields: [{name: a, type: [null, long], default: null}, {name: b, type: double, default: 1.5}]}";
    for how in [format!("schema: '{schema}'"), "schema-file: r.avsc".to_owned(), format!("schema: {yaml}")] {
        let text = format!("format: {{mode: avro, {how}}}");
        let Some(Format::Avro { schema: found, .. }) =
            parse(&text, folder.path()).unwrap().config.root.format
        else {
            panic!("{how}")
        };
        let parsed: serde_json::Value = serde_json::from_str(&found).unwrap();
        assert_eq!(parsed, serde_json::from_str::<serde_json::Value>(schema).unwrap(), "{how}");
    }
}

#[test]
fn a_schema_file_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("big.avsc"), vec![b' '; (1 << 20) + 1]).unwrap();
    let problems =
        parse("format: {mode: avro, schema-file: big.avsc}", folder.path()).unwrap_err().to_string();
    assert!(
        problems.contains("format.schema-file: ") && problems.contains("big.avsc: larger than"),
        "{problems}"
    );
}

#[test]
fn one_name_and_a_list_of_one_are_the_same() {
    for (one, many) in [
        ("destinations: {x: a}, default: b", "destinations: {x: [a]}, default: [b]"),
        ("destinations: {1: a, true: b}, default: []", "destinations: {'1': a, 'true': b}, default: []"),
    ] {
        let routing = |table: &str| root(&format!("format: json\nrouting: {{mode: set, {table}}}")).routing;
        assert_eq!(routing(one), routing(many));
    }
}

#[test]
fn routes_by_value_count_as_use_of_a_destination() {
    let text = "destinations: {a: {urls: ['http://h/']}, b: {urls: ['http://h/']}, c: {urls: ['http://h/']}}
format: json
routing: {mode: bin, bin: x, destinations: {1: a}, default: b}";
    let warnings = parse(text, Path::new("")).unwrap().warnings;
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["line 1: destinations.c: no route names it"]);
}

#[test]
fn a_table_that_sends_nothing_anywhere_is_told() {
    let text = "routing: {mode: set, destinations: {x: []}, default: []}";
    let warnings = parse(text, Path::new("")).unwrap().warnings;
    assert!(warnings[0].message.starts_with("NO RECORD GOES ANYWHERE"), "{warnings:?}");
}

#[test]
fn each_section_goes_by_its_own_innermost_level() {
    let text = "destinations: {a: {urls: ['http://h/']}}
format: json
routing: {mode: static, destination: a}
batching: {max-records: 1}
bin-transforms: {map: {root: x}}
record-ordering: {lut-cache-ttl-seconds: 1}
port-based-config: {9901: {record-ordering: {lut-cache-ttl-seconds: 2}, batching: {max-records: 2}}}
namespaces: {n: {batching: {max-records: 3}, sets: {s: {format: msgpack, bin-transforms: {map: {set: x}}}}}}";
    let config = parse(text, Path::new("")).unwrap().config;
    let at = |port, namespace, set| {
        let found = config.effective(Scope { port, namespace, set });
        let bins = found.bin_transforms.unwrap().map.keys().next().unwrap().clone();
        let ttl = found.record_ordering.unwrap().lut_cache_ttl.as_secs();
        (found.format == Some(&Format::MessagePack), found.batching.unwrap().max_records.get(), bins, ttl)
    };
    let expected = |packed, records, bins: &str, ttl| (packed, records, bins.to_owned(), ttl);
    assert_eq!(at(None, None, None), expected(false, 1, "root", 1));
    assert_eq!(at(None, Some("n"), None), expected(false, 3, "root", 1));
    assert_eq!(at(None, Some("n"), Some("s")), expected(true, 3, "set", 1));
    assert_eq!(at(Some(9901), None, None), expected(false, 2, "root", 2));
    assert_eq!(at(Some(9901), Some("n"), Some("s")), expected(true, 3, "set", 2));
}

#[test]
fn tens_of_thousands_of_sets_fit() {
    let sets: String = (0..12_000).map(|n| format!("    set-{n}: {{routing: {{mode: skip}}}}\n")).collect();
    let text =
        format!("destinations: {{a: {{urls: ['http://h/']}}}}\nnamespaces:\n  shop:\n   sets:\n{sets}");
    let config = parse(&text, Path::new("")).unwrap().config;
    assert_eq!(config.namespaces["shop"].sets.len(), 12_000);
}
