//! Which value goes to which type, and what is said when it does not.

use super::*;

/// The value that stands for `tree` in `schema`, as somebody who uses `apache-avro` would build it.
fn equivalent(schema: &Schema, tree: &Tree) -> AvroValue {
    match (schema, tree) {
        (_, Tree::Null) => AvroValue::Null,
        (_, Tree::Boolean(boolean)) => AvroValue::Boolean(*boolean),
        (Schema::Int, Tree::Integer(integer)) => match i32::try_from(*integer) {
            Ok(int) => AvroValue::Int(int),
            Err(_) => AvroValue::Long(*integer),
        },
        (Schema::Date, Tree::Integer(integer)) => AvroValue::Date(*integer as i32),
        (Schema::TimestampMillis, Tree::Integer(integer)) => AvroValue::TimestampMillis(*integer),
        (Schema::LocalTimestampNanos, Tree::Integer(integer)) => AvroValue::LocalTimestampNanos(*integer),
        (Schema::Double, Tree::Integer(integer)) if significant_bits(*integer) <= 53 => {
            AvroValue::Double(*integer as f64)
        }
        (Schema::Float, Tree::Integer(integer)) if significant_bits(*integer) <= 24 => {
            AvroValue::Float(*integer as f32)
        }
        (_, Tree::Integer(integer)) => AvroValue::Long(*integer),
        (Schema::Float, Tree::Double(double)) => AvroValue::Float(*double as f32),
        (_, Tree::Double(double)) => AvroValue::Double(*double),
        (_, Tree::Text(text) | Tree::GeoJson(text)) => AvroValue::String(text.clone()),
        (Schema::Fixed(_) | Schema::Uuid(_) | Schema::Duration(_), Tree::Blob(_, bytes)) => {
            AvroValue::Fixed(bytes.len(), bytes.clone())
        }
        (Schema::Decimal(_), Tree::Blob(_, bytes)) => {
            AvroValue::Decimal(apache_avro::Decimal::from(bytes.as_slice()))
        }
        (_, Tree::Blob(_, bytes)) => AvroValue::Bytes(bytes.clone()),
        (_, Tree::List(items)) => {
            AvroValue::Array(items.iter().map(|item| equivalent(&Schema::Long, item)).collect())
        }
        (_, Tree::Map(entries)) => AvroValue::Map(
            entries
                .iter()
                .map(|(key, value)| match key {
                    Tree::Text(key) => (key.clone(), equivalent(&Schema::Long, value)),
                    other => panic!("{other:?}"),
                })
                .collect(),
        ),
    }
}

/// What a floating-point number has to hold to be the integer exactly.
fn significant_bits(integer: i64) -> u32 {
    let magnitude = integer.unsigned_abs();
    if magnitude == 0 { 0 } else { 64 - magnitude.leading_zeros() - magnitude.trailing_zeros() }
}

/// Every scalar type, an array and a map of longs, against values of every kind and at the borders.
#[test]
fn every_type_takes_what_apache_avro_takes() {
    let types = [
        r#""null""#,
        r#""boolean""#,
        r#""int""#,
        r#""long""#,
        r#""float""#,
        r#""double""#,
        r#""bytes""#,
        r#""string""#,
        r#"{"type":"fixed","name":"F","size":3}"#,
        r#"{"type":"enum","name":"E","symbols":["new","text"]}"#,
        r#"{"type":"array","items":"long"}"#,
        r#"{"type":"map","values":"long"}"#,
        r#"{"type":"int","logicalType":"date"}"#,
        r#"{"type":"long","logicalType":"timestamp-millis"}"#,
        r#"{"type":"long","logicalType":"local-timestamp-nanos"}"#,
        r#"{"type":"string","logicalType":"uuid"}"#,
        r#"{"type":"fixed","name":"F","size":16,"logicalType":"uuid"}"#,
        r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#,
        r#"{"type":"fixed","name":"F","size":3,"logicalType":"decimal","precision":4,"scale":2}"#,
    ];
    let trees = [
        Tree::Null,
        Tree::Boolean(true),
        Tree::Integer(0),
        Tree::Integer(-77),
        Tree::Integer(i32::MAX.into()),
        Tree::Integer(i64::from(i32::MAX) + 1),
        Tree::Integer(i64::MIN),
        Tree::Integer(i64::MAX),
        Tree::Integer((1 << 53) + 1),
        Tree::Integer((1 << 24) + 1),
        Tree::Double(1.5),
        Tree::Double(0.1),
        Tree::Double(f64::NAN),
        Tree::Double(f64::NEG_INFINITY),
        Tree::Double(1e300),
        Tree::text(""),
        Tree::text("text"),
        Tree::text("550e8400-e29b-41d4-a716-446655440000"),
        Tree::text("this text is long enough for a UUID."),
        Tree::GeoJson("{\"type\":\"Point\"}".to_owned()),
        Tree::Blob(4, vec![]),
        Tree::Blob(4, vec![1, 2, 3]),
        Tree::Blob(18, vec![0xff; 16]),
        Tree::List(vec![]),
        Tree::List(vec![Tree::Integer(1), Tree::Integer(-2)]),
        Tree::Map(vec![]),
        Tree::map([("k", Tree::Integer(5))]),
    ];
    let mut written = 0;
    for type_ in types {
        let text = format!(r#"{{"type":"map","values":{type_}}}"#);
        let (avro, schema) = (raw(&text), parsed(type_));
        for tree in &trees {
            let theirs = apache(&schema, &equivalent(&schema, tree));
            match write_bins(&avro, &[("b", tree.clone())]) {
                Ok(ours) if tree == &Tree::Null && ours == [0] => {
                    assert!(theirs.is_err(), "{type_} takes null, which must not be left out");
                }
                Ok(ours) => {
                    // One entry: a count, the key, the value, the end.
                    let value = ours.strip_prefix(b"\x02\x02b").and_then(|rest| rest.strip_suffix(b"\0"));
                    let theirs = theirs.unwrap_or_else(|error| panic!("{type_} {tree:?}: {error}"));
                    assert_eq!(value, Some(theirs.as_slice()), "{type_} {tree:?}");
                    written += 1;
                }
                Err(error) => {
                    assert_eq!(error.place, "bin \"b\"");
                    assert!(theirs.is_err() || is_stricter(&schema, tree), "{type_} {tree:?}: {error}");
                }
            }
        }
    }
    assert_eq!(written, 72, "the table changed, or what is refused");
}

/// Where the plan refuses what `apache-avro` would write.
fn is_stricter(schema: &Schema, tree: &Tree) -> bool {
    match (schema, tree) {
        // Rounded to infinity, which is another value altogether.
        (Schema::Float, Tree::Double(double)) => double.is_finite(),
        // Any 32 characters pass the writer, and then the reader fails on them.
        (Schema::Uuid(_), Tree::Text(text)) => text.starts_with("this text"),
        // The cast in `equivalent` cut them.
        (Schema::Date, Tree::Integer(integer)) => i32::try_from(*integer).is_err(),
        // No bytes are no number. And `apache-avro` makes a number fit its `fixed`, which we do not.
        (Schema::Decimal(_), Tree::Blob(_, bytes)) => bytes.len() != 3,
        _ => false,
    }
}

#[test]
fn a_union_takes_the_branch_that_is_documented() {
    let uuid = "550e8400-e29b-41d4-a716-446655440000";
    let numbers = r#"["float","double","int","long"]"#;
    let texts =
        r#"["null",{"type":"enum","name":"E","symbols":["a"]},{"type":"string","logicalType":"uuid"}]"#;
    let bytes = r#"[{"type":"fixed","name":"F","size":2},"bytes"]"#;
    let records = r#"[{"type":"record","name":"P","fields":[{"name":"x","type":"long"}]},
        {"type":"record","name":"Q","fields":[{"name":"x","type":"long"},{"name":"y","type":"long","default":1}]},
        {"type":"map","values":"long"}]"#;
    let cases = [
        (numbers, Tree::Integer(5), Some(3)),
        (numbers, Tree::Double(0.1), Some(1)),
        (r#"["double","int"]"#, Tree::Integer(5), Some(1)),
        (r#"["double","int"]"#, Tree::Integer(1 << 40), Some(0)),
        (r#"["float","double"]"#, Tree::Integer(5), Some(1)),
        (r#"["null","float"]"#, Tree::Integer((1 << 24) + 1), None),
        (r#"["null","long"]"#, Tree::Double(1.0), None),
        (texts, Tree::text("a"), Some(1)),
        (texts, Tree::text(uuid), Some(2)),
        (texts, Tree::text("b"), None),
        (texts, Tree::GeoJson("a".to_owned()), None),
        (r#"["string",{"type":"enum","name":"E","symbols":["a"]}]"#, Tree::text("a"), Some(0)),
        (bytes, Tree::Blob(4, vec![1, 2]), Some(0)),
        (bytes, Tree::Blob(7, vec![1]), Some(1)),
        (records, Tree::map([("x", Tree::Integer(1))]), Some(0)),
        (records, Tree::map([("x", Tree::Integer(1)), ("y", Tree::Integer(1))]), Some(1)),
        (records, Tree::map([("z", Tree::Integer(1))]), Some(2)),
        (records, Tree::Map(vec![]), Some(2)),
        (records, Tree::Map(vec![(Tree::Integer(1), Tree::Integer(2))]), Some(2)),
        (r#"["null","string"]"#, Tree::Null, Some(0)),
        (r#"["string","null"]"#, Tree::Null, Some(1)),
        (r#"["string"]"#, Tree::Boolean(true), None),
    ];
    for (union, tree, branch) in cases {
        let written = write_bins(&raw(&one_field(union)), &[("b", tree.clone())]);
        match (branch, written) {
            (Some(branch), Ok(datum)) => {
                assert_eq!(datum[0], branch * 2, "{union} {tree:?}");
                read(&parsed(&one_field(union)), &datum);
            }
            (None, Err(_)) => {}
            (branch, written) => panic!("{union} {tree:?}: {written:?}, expected branch {branch:?}"),
        }
    }
}

#[test]
fn a_misfit_is_named_down_to_its_place_and_never_shown() {
    let secret = Tree::text("s3cret");
    let nested = r#"{"type":"array","items":{"type":"map","values":{"type":"record","name":"P","fields":
        [{"name":"x","type":["null","long"]},{"name":"y","type":"long"}]}}}"#;
    let point = |x: Tree| Tree::map([("x", x), ("y", Tree::Integer(1))]);
    let list = |inner: Tree| Tree::List(vec![Tree::Map(vec![]), Tree::map([("s3cret", inner)])]);
    let deep =
        (0..20).fold(r#""long""#.to_owned(), |items, _| format!(r#"{{"type":"array","items":{items}}}"#));
    let cases = [
        (r#""long""#, secret.clone(), "bin \"b\": a string, expected long"),
        (r#"["null","long"]"#, secret.clone(), "bin \"b\": a string, expected null or long"),
        (r#""int""#, Tree::Integer(1 << 40), "bin \"b\": an integer outside the range of int"),
        (r#""double""#, Tree::Integer(i64::MAX), "bin \"b\": an integer that double cannot hold exactly"),
        (r#""float""#, Tree::Double(1e300), "bin \"b\": a double outside the range of float"),
        (
            r#"{"type":"string","logicalType":"uuid"}"#,
            secret.clone(),
            "bin \"b\": a string that is not a UUID with hyphens",
        ),
        (
            r#"{"type":"enum","name":"E","symbols":["a"]}"#,
            secret.clone(),
            "bin \"b\": a string that is not among the symbols of enum com.example.E",
        ),
        (
            r#"{"type":"fixed","name":"F","size":3}"#,
            Tree::Blob(4, vec![1; 4]),
            "bin \"b\": a blob of 4 bytes, expected fixed com.example.F of 3 bytes",
        ),
        (
            nested,
            list(point(secret.clone())),
            "bin \"b\", element 1, entry 0, field \"x\": a string, expected null or long",
        ),
        (
            nested,
            list(Tree::Map(vec![])),
            "bin \"b\", element 1, entry 0, field \"y\": \
             the map has no such key, and the field has neither a default nor null",
        ),
        (
            nested,
            list(Tree::map([("s3cret", Tree::Null)])),
            "bin \"b\", element 1, entry 0, entry 0: \
             the key of this entry is not a field of record com.example.P",
        ),
        (
            r#"{"type":"map","values":"long"}"#,
            Tree::Map(vec![(secret.clone(), Tree::Integer(1)), (Tree::Boolean(true), Tree::Integer(1))]),
            "bin \"b\", entry 1: a map key is neither a string nor a number",
        ),
        (
            &deep,
            (0..20).fold(secret.clone(), |items, _| Tree::List(vec![items])),
            "bin \"b\", element 0, element 0, element 0, element 0, element 0, element 0, element 0, element 0, deeper: \
             a string, expected long",
        ),
    ];
    for (type_, tree, expected) in cases {
        let error = write_bins(&raw(&one_field(type_)), &[("b", tree)]).expect_err(expected).to_string();
        assert_eq!(error, expected);
        assert!(!error.contains("s3cret"));
    }
}

#[test]
fn numbers_are_keys_only_when_wanted() {
    let schema = one_field(r#"{"type":"map","values":"long"}"#);
    let keys = [
        (Tree::Integer(-7), "-7"),
        (Tree::Double(12.5), "12.5"),
        (Tree::Double(1e300), "1e300"),
        (Tree::Double(f64::NAN), "NaN"),
        (Tree::Double(f64::INFINITY), "Infinity"),
        (Tree::Double(f64::NEG_INFINITY), "-Infinity"),
    ];
    for (key, text) in keys {
        let bins = [("b", Tree::Map(vec![(key, Tree::Integer(1))]))];
        let datum = write_bins(&raw(&schema), &bins).expect("fits");
        let AvroValue::Map(map) = fields(read(&parsed(&schema), &datum)).remove("b").expect("there") else {
            panic!("a map")
        };
        assert_eq!(map.into_keys().collect::<Vec<_>>(), [text]);

        let strict = Avro::new(&schema, false, AvroEncoding::Raw).expect("a schema");
        let error = write_bins(&strict, &bins).expect_err("a number").to_string();
        assert_eq!(error, "bin \"b\", entry 0: a map key is a number and stringify-map-keys is false");
    }
}

#[test]
fn what_is_not_utf_8_is_replaced_as_in_json() {
    let avro = raw(r#"{"type":"map","values":"string"}"#);
    let datum =
        write(&avro, &write_notification(vec![Bin { name: b"n\xff", value: Value::String(b"a\xffb") }]))
            .expect("fits");
    assert_eq!(datum, "\u{2}\u{8}n\u{fffd}\u{a}a\u{fffd}b\0".as_bytes());
}

#[test]
fn values_nested_as_deeply_as_the_wire_allows() {
    // The schema contains itself, so only the values bound the depth.
    let schema = one_field(
        r#"{"type":"record","name":"N","fields":[{"name":"n","type":["null","N"],"default":null}]}"#,
    );
    let tree = (1..128).fold(Tree::Map(vec![]), |inner, _| Tree::map([("n", inner)]));
    let datum = write_bins(&raw(&schema), &[("b", tree)]).expect("fits");
    assert_eq!(datum, [vec![2; 127], vec![0]].concat());
}
