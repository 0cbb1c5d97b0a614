//! Schemas that cannot be used, defaults, and fingerprints.

use apache_avro::headers::{HeaderBuilder as _, RabinFingerprintHeader};
use proptest::prelude::*;

use super::*;

#[test]
fn a_mistake_in_a_schema_is_explained() {
    let metadata = |type_: &str| record_schema(&format!(r#"{{"name":"metadata","type":{type_}}}"#));
    let member = |field: &str| metadata(&format!(r#"{{"type":"record","name":"m","fields":[{field}]}}"#));
    let default = |type_: &str, default: &str| {
        record_schema(&format!(r#"{{"name":"b","type":{type_},"default":{default}}}"#))
    };
    let cases = [
        ("{".to_owned(), "EOF while parsing"),
        ("7".to_owned(), "JSON"),
        (r#""strin""#.to_owned(), "strin"),
        (one_field(r#""Unknown""#), "Unknown"),
        (r#""long""#.to_owned(), "it is long, expected a record or a map"),
        (r#"["null",{"type":"map","values":"long"}]"#.to_owned(), "it is null or map, expected a record or a map"),
        (one_field(r#"["long","long"]"#), "duplicate"),
        (one_field("[]"), "a union needs at least one branch"),
        (one_field(r#"{"type":"fixed","name":"D","size":12,"logicalType":"duration"}"#), "duration is not supported"),
        (one_field(r#"{"type":"bytes","logicalType":"big-decimal"}"#), "big-decimal is not supported"),
        (default(r#""long""#, r#""x""#), "b"),
        (default(r#""bytes""#, r#""\u0100""#), "default of field \"b\" of record com.example.R: bytes are written as"),
        (default(r#"{"type":"fixed","name":"F","size":2}"#, r#""abc""#), "expected 2 bytes, found 3"),
        (metadata(r#""string""#), "field \"metadata\" is string, expected a record of metadata"),
        (metadata(r#"["null","long"]"#), "field \"metadata\" is null or long, expected a record of metadata"),
        (member(r#"{"name":"msg","type":"string"},{"name":"x","type":"long"}"#), "expected a record of metadata"),
        (member(r#"{"name":"digest","type":"string"}"#), "field \"metadata.digest\" is string, expected bytes, or fixed of 20"),
        (member(r#"{"name":"digest","type":{"type":"fixed","name":"d","size":16}}"#), "fixed com.example.d of 16 bytes, expected"),
        (member(r#"{"name":"lut","type":["null","int"]}"#), "field \"metadata.lut\" is null or int, expected a long"),
        (member(r#"{"name":"userKey","type":"boolean"}"#), "field \"metadata.userKey\" is boolean, expected a union of long"),
        (member(r#"{"name":"durable","type":"long"}"#), "field \"metadata.durable\" is long, expected a boolean"),
        (
            r#"{"type":"map","values":["long",{"type":"record","name":"m","fields":[{"name":"gen","type":"string"}]}]}"#
                .to_owned(),
            "field \"metadata.gen\" is string, expected an int",
        ),
    ];
    for (schema, expected) in cases {
        let problem = refusal(&schema);
        assert!(problem.starts_with("the Avro schema cannot be used: "), "{problem}");
        assert!(problem.to_lowercase().contains(&expected.to_lowercase()), "{problem:?} lacks {expected:?}");
    }
}

/// A default that contains itself has no end.
#[test]
fn endless_defaults_are_refused() {
    refusal(&record_schema(
        r#"{"name":"b","type":{"type":"record","name":"N","fields":[{"name":"n","type":"N","default":{}}]},"default":{}}"#,
    ));
}

#[test]
fn defaults_are_as_apache_avro_resolves_them() {
    let defaults = [
        (r#""null""#, "null"),
        (r#""boolean""#, "true"),
        (r#""int""#, "-3"),
        (r#""long""#, "4294967296"),
        (r#""float""#, "1.5"),
        (r#""double""#, "3"),
        (r#""string""#, r#""h\u00e9""#),
        (r#""bytes""#, r#""abc""#),
        (r#"{"type":"fixed","name":"F","size":2}"#, r#""ab""#),
        (r#"{"type":"enum","name":"E","symbols":["a","b"]}"#, r#""b""#),
        (r#"{"type":"array","items":["null","long"]}"#, "[1,null]"),
        (r#"{"type":"array","items":"long"}"#, "[]"),
        (r#"{"type":"map","values":"string"}"#, r#"{"k":"v"}"#),
        (r#"{"type":"map","values":"string"}"#, "{}"),
        (r#"["null","long"]"#, "null"),
        (r#"["long","null"]"#, "8"),
        (
            r#"{"type":"record","name":"P","fields":[{"name":"x","type":"long"},{"name":"y","type":"int","default":2}]}"#,
            r#"{"x":1}"#,
        ),
        (r#"{"type":"long","logicalType":"timestamp-millis"}"#, "0"),
    ];
    for (type_, default) in defaults {
        let schema = record_schema(&format!(r#"{{"name":"b","type":{type_},"default":{default}}}"#));
        let theirs = AvroValue::Record(Vec::new()).resolve(&parsed(&schema)).expect("resolves");
        let theirs = apache(&parsed(&schema), &theirs).expect("fits");
        assert_eq!(write_bins(&raw(&schema), &[]).expect("fits"), theirs, "{type_} {default}");
    }
}

/// Here `apache-avro` 0.22 differs from the specification, so the bytes are written out.
#[test]
fn defaults_are_as_the_specification_says() {
    let cases: [(&str, &str, &[u8]); 4] = [
        (r#""bytes""#, r#""\u00ff\u0000""#, &[4, 0xff, 0]),
        (r#"{"type":"fixed","name":"F","size":2}"#, r#""\u00ff\u0080""#, &[0xff, 0x80]),
        (r#"["null","long"]"#, "5", &[2, 10]),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#,
            r#""\u0000\u00fa""#,
            &[4, 0, 0xfa],
        ),
    ];
    for (type_, default, expected) in cases {
        let schema = record_schema(&format!(r#"{{"name":"b","type":{type_},"default":{default}}}"#));
        assert_eq!(write_bins(&raw(&schema), &[]).expect("fits"), expected, "{type_} {default}");
    }
}

#[test]
fn named_types_are_found_across_namespaces() {
    let schema = r#"{"type":"record","name":"Outer","namespace":"a.b","fields":[
        {"name":"f","type":{"type":"fixed","name":"F","size":1}},
        {"name":"g","type":{"type":"record","name":"c.G","fields":[
            {"name":"e","type":{"type":"enum","name":"E","symbols":["x"]}},
            {"name":"f","type":"a.b.F"},
            {"name":"again","type":["null","G"],"default":null}]}},
        {"name":"e","type":"c.E"}]}"#;
    let one = || Tree::Blob(4, vec![9]);
    let inner = Tree::map([("e", Tree::text("x")), ("f", one())]);
    let outer = Tree::map([("e", Tree::text("x")), ("f", one()), ("again", inner)]);
    let datum =
        write_bins(&raw(schema), &[("e", Tree::text("x")), ("g", outer), ("f", one())]).expect("fits");
    assert_eq!(datum, [9, 0, 9, 2, 0, 9, 0, 0]);
    read(&parsed(schema), &datum);
}

#[test]
fn fingerprints_are_those_of_apache_avro_where_no_logical_type_is() {
    for schema in
        [fixture("all-types.avsc"), one_field(r#"["null",{"type":"fixed","name":"F","size":3,"doc":"x"}]"#)]
    {
        let schema = parsed(&schema);
        let theirs = RabinFingerprintHeader::from_schema(&schema).build_header();
        assert_eq!(fingerprint::single_object_prefix(&schema).as_slice(), theirs);
    }
    // The specification's own example of a fingerprint: "int".
    let int = 0x7275_d51a_3f39_5c8f_u64.to_le_bytes();
    assert_eq!(fingerprint::single_object_prefix(&Schema::Int)[2..], int);
}

/// What PyPI `fastavro` 1.13 computes for a schema in which everything has to be stripped.
#[test]
fn fingerprint_of_a_schema_with_logical_types() {
    let schema = r#"{"type":"record","name":"a.b.C","fields":[
        {"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"u","type":{"type":"string","logicalType":"uuid"}},
        {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"f","type":["null",{"type":"fixed","name":"F","size":3,"doc":"x"}],"default":null},
        {"name":"g","type":"F"},
        {"name":"m","type":{"type":"map","values":{"type":"array","items":{"type":"enum","name":"E","symbols":["A","B"]}}}}]}"#;
    let prefix = fingerprint::single_object_prefix(&parsed(schema));
    assert_eq!(prefix, [0xc3, 0x01, 0xf6, 0x41, 0xd7, 0xe3, 0x7a, 0x51, 0xd8, 0x08]);
}

/// Attributes that mean nothing where they stand, on which the canonical form of `apache-avro` 0.22 panics.
#[test]
fn strange_attributes_do_no_harm() {
    for attribute in [r#""size":"x""#, r#""items":3"#, r#""symbols":{}"#] {
        let schema = format!(r#"{{"type":"record","name":"R","fields":[],{attribute}}}"#);
        assert!(Avro::new(&schema, true, AvroEncoding::SingleObject).is_ok(), "{schema}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_spoilt_schema_never_panics(
        spoils in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4),
    ) {
        // Words of a schema take the place of each other, so that most of it stays JSON.
        let text = fixture("orders.avsc");
        let mut words: Vec<_> = text.split_inclusive([' ', ',', '[', ']', '{', '}']).collect();
        for (to, from) in spoils {
            let from = words[from.index(words.len())];
            let to = to.index(words.len());
            words[to] = from;
        }
        if let Ok(avro) = Avro::new(&words.concat(), true, AvroEncoding::SingleObject) {
            let _ = write_bins(&avro, &[("customer", Tree::text("x")), ("total", Tree::Double(1.0))]);
        }
    }
}
