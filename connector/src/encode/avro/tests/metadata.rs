//! Where the metadata goes, and what happens to records without a bin.

use super::*;

/// The vendor's sample, as far as it is known.
const VENDOR: &str = r#"{"type":"record","name":"com.aerospike.metadata","fields":[
    {"name":"namespace","type":"string"},
    {"name":"set","type":["string","null"]},
    {"name":"userKey","type":["null","long","double","bytes","string"]},
    {"name":"digest","type":"bytes"},
    {"name":"msg","type":"string"},
    {"name":"durable","type":["boolean","null"]},
    {"name":"gen","type":["int","null"]},
    {"name":"exp","type":["int","null"]},
    {"name":"lut","type":["long","null"]}]}"#;

fn record_with(metadata: &str, more: &str) -> String {
    record_schema(&format!(r#"{{"name":"metadata","type":{metadata}}}{more}"#))
}

fn map_with(metadata: &str) -> String {
    format!(r#"{{"type":"map","values":["null","long",{{"type":"map","values":"long"}},{metadata}]}}"#)
}

fn delete_notification(operation: Operation) -> ChangeNotification<'static> {
    ChangeNotification { operation, expiry: Expiry::Unknown, ..write_notification(Vec::new()) }
}

fn metadata_of(schema: &str, notification: &ChangeNotification<'_>) -> HashMap<String, AvroValue> {
    let datum = write(&raw(schema), notification).expect("fits");
    let mut fields = fields(read(&parsed(schema), &datum));
    super::fields(fields.remove("metadata").expect("metadata"))
}

#[test]
fn every_member_in_record_and_map_schemas() {
    let nullable = format!(r#"["null",{VENDOR}]"#);
    for schema in [record_with(VENDOR, ""), record_with(&nullable, ""), map_with(VENDOR)] {
        let written = metadata_of(&schema, &write_notification(Vec::new()));
        let expected = [
            ("namespace", AvroValue::String("shop".to_owned())),
            ("set", AvroValue::String("orders".to_owned())),
            ("userKey", AvroValue::Long(7)),
            ("digest", AvroValue::Bytes(vec![0xd1; 20])),
            ("msg", AvroValue::String("write".to_owned())),
            ("durable", AvroValue::Null),
            ("gen", AvroValue::Int(3)),
            ("exp", AvroValue::Int(0)),
            ("lut", AvroValue::Long(1_698_586_936_461)),
        ];
        assert_eq!(written, expected.map(|(name, value)| (name.to_owned(), value)).into());

        for (operation, durable) in [(Operation::Delete, false), (Operation::DurableDelete, true)] {
            let deleted = metadata_of(&schema, &delete_notification(operation));
            assert_eq!(deleted["msg"], AvroValue::String("delete".to_owned()));
            assert_eq!(deleted["durable"], AvroValue::Boolean(durable));
            assert_eq!((&deleted["exp"], &deleted["gen"]), (&AvroValue::Null, &AvroValue::Int(3)));
        }
    }
}

#[test]
fn members_that_the_notification_does_not_have() {
    let bare = ChangeNotification {
        set: None,
        user_key: None,
        generation: None,
        lut_unix_ms: None,
        expiry: Expiry::Unknown,
        ..write_notification(Vec::new())
    };
    let written = metadata_of(&record_with(VENDOR, ""), &bare);
    for member in ["set", "userKey", "gen", "lut", "exp", "durable"] {
        assert_eq!(written[member], AvroValue::Null, "{member}");
    }

    let record =
        |type_: &str| format!(r#"{{"type":"record","name":"m","fields":[{{"name":"set","type":{type_}}}]}}"#);
    let schema = record_with(&record(r#""string","default":"none""#), "");
    assert_eq!(metadata_of(&schema, &bare)["set"], AvroValue::String("none".to_owned()));

    let error = write(&raw(&record_with(&record(r#""string""#), "")), &bare).expect_err("no set").to_string();
    assert_eq!(
        error,
        "field \"metadata.set\": the notification does not have it, and the field has neither a default nor null"
    );
}

#[test]
fn a_member_that_does_not_fit_is_named() {
    let schema = record_with(
        r#"{"type":"record","name":"m","fields":[{"name":"userKey","type":["null","string"]}]}"#,
        "",
    );
    let error = write(&raw(&schema), &write_notification(Vec::new())).expect_err("a long key").to_string();
    assert_eq!(error, "field \"metadata.userKey\": an integer, expected null or string");
}

#[test]
fn other_fields_of_the_metadata_record_are_left_out() {
    let schema = record_with(
        r#"{"type":"record","name":"m","fields":[{"name":"msg","type":"string"},
            {"name":"region","type":"string","default":"eu"},{"name":"zone","type":["long","null"]}]}"#,
        "",
    );
    let written = metadata_of(&schema, &write_notification(Vec::new()));
    assert_eq!(written["region"], AvroValue::String("eu".to_owned()));
    assert_eq!(written["zone"], AvroValue::Null);
}

#[test]
fn the_metadata_record_of_a_map_is_for_nothing_else() {
    // Every field of the record can be missing, so an empty map would fit it too.
    let metadata = r#"{"type":"record","name":"m","fields":[{"name":"set","type":["null","string"]}]}"#;
    let schema = format!(r#"{{"type":"map","values":[{metadata},{{"type":"map","values":"long"}}]}}"#);
    let datum = write_bins(&raw(&schema), &[("b", Tree::Map(vec![]))]).expect("fits");
    let fields = fields(read(&parsed(&schema), &datum));
    assert_eq!(fields["b"], AvroValue::Map(HashMap::new()));
    assert!(matches!(fields["metadata"], AvroValue::Record(_)));
}

#[test]
fn no_metadata_where_the_schema_has_no_place_for_it() {
    let datum =
        write_bins(&raw(r#"{"type":"map","values":"long"}"#), &[("b", Tree::Integer(1))]).expect("fits");
    assert_eq!(datum, b"\x02\x02b\x02\0");
    let datum = write_bins(&raw(&one_field(r#""long""#)), &[("b", Tree::Integer(1))]).expect("fits");
    assert_eq!(datum, b"\x02");
}

#[test]
fn a_bin_is_never_dropped_in_silence() {
    for schema in [record_with(VENDOR, ""), map_with(VENDOR)] {
        let error =
            write_bins(&raw(&schema), &[("metadata", Tree::Integer(1))]).expect_err("taken").to_string();
        assert_eq!(error, "bin \"metadata\": the schema keeps this name for the metadata");
    }
    let error =
        write_bins(&raw(&one_field(r#""long""#)), &[("other", Tree::Integer(1))]).expect_err("unknown");
    assert_eq!(error.to_string(), "bin \"other\": the schema has no field of this name");
    // Without metadata the name is free.
    assert!(write_bins(&raw(r#"{"type":"map","values":"long"}"#), &[("metadata", Tree::Integer(1))]).is_ok());
}

#[test]
fn missing_and_deleted_bins() {
    let schema = record_schema(
        r#"{"name":"default","type":"long","default":5},{"name":"null","type":["long","null"]},
           {"name":"both","type":["long","null"],"default":6},{"name":"needed","type":"long"}"#,
    );
    let (avro, parsed) = (raw(&schema), parsed(&schema));
    let deleted = ["default", "null", "both"].map(|name| (name, Tree::Null));
    for (bins, both) in [(&deleted[..], AvroValue::Null), (&[], AvroValue::Long(6))] {
        let bins = [bins, &[("needed", Tree::Integer(1))]].concat();
        let fields = fields(read(&parsed, &write_bins(&avro, &bins).expect("fits")));
        assert_eq!(fields["default"], AvroValue::Long(5));
        assert_eq!(fields["null"], AvroValue::Null);
        assert_eq!(fields["both"], both);
    }
    for bins in [&[][..], &[("needed", Tree::Null)]] {
        let error = write_bins(&avro, bins).expect_err("needed").to_string();
        assert_eq!(
            error,
            "field \"needed\": there is no such bin, and the field has neither a default nor null"
        );
    }
    let error = write(&avro, &delete_notification(Operation::Delete)).expect_err("needed").to_string();
    assert_eq!(error, "field \"needed\": a delete has no bins, and the field has neither a default nor null");

    // A map schema leaves a deleted bin out, or says null.
    let bins = [("a", Tree::Null), ("b", Tree::Integer(1))];
    for (values, expected) in
        [(r#""long""#, &b"\x02\x02b\x02\0"[..]), (r#"["null","long"]"#, b"\x04\x02a\0\x02b\x02\x02\0")]
    {
        let avro = raw(&format!(r#"{{"type":"map","values":{values}}}"#));
        assert_eq!(write_bins(&avro, &bins).expect("fits"), expected);
    }
}
