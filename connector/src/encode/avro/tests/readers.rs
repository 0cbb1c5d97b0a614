//! Container files, single-object messages and every recorded frame, read back by `apache-avro`.

use apache_avro::{
    Codec, GenericSingleObjectReader, Reader, Writer, headers::HeaderBuilder as _,
    headers::RabinFingerprintHeader,
};

use super::*;
use crate::{
    config::Format,
    encode::Encoder,
    wire::{frame, message},
};

fn orders(encoding: AvroEncoding) -> Avro {
    Avro::new(&fixture("orders.avsc"), true, encoding).expect("a schema")
}

fn order(id: i64) -> Vec<(&'static str, Tree)> {
    vec![
        ("customer", Tree::text("Zo\u{eb}")),
        ("order_id", Tree::Integer(id)),
        ("status", Tree::text("paid")),
        ("express", Tree::Boolean(true)),
        ("total", Tree::Double(99.5)),
        ("labels", Tree::map([("gift", Tree::Integer(1)), ("note", Tree::Null)])),
        ("items", Tree::List(vec![Tree::map([("sku", Tree::text("A-1")), ("count", Tree::Integer(2))])])),
        ("receipt", Tree::Blob(4, vec![1, 2, 3])),
    ]
}

fn file(container: &Container, pieces: &[Vec<u8>]) -> Vec<u8> {
    let bytes = pieces.iter().map(Vec::len).sum();
    let mut file = Vec::new();
    container.begin(pieces.len(), bytes, &mut file);
    pieces.iter().for_each(|piece| file.extend_from_slice(piece));
    container.end(&mut file);
    assert_eq!(file.len(), container.file_bytes(pieces.len(), bytes), "the size was promised");
    file
}

#[test]
fn container_files_hold_all_their_records() {
    let avro = orders(AvroEncoding::Ocf);
    let container = avro.container().expect("a container");
    for count in [1, 2, 100] {
        let pieces: Vec<_> = (0..count).map(|id| write_bins(&avro, &order(id)).expect("fits")).collect();
        let file = file(container, &pieces);
        let reader = Reader::new(file.as_slice()).expect("a file");
        let ids: Vec<_> =
            reader.map(|value| fields(value.expect("a record")).remove("order_id").expect("there")).collect();
        assert_eq!(ids, (0..count).map(AvroValue::Long).collect::<Vec<_>>());
    }
    assert!(orders(AvroEncoding::Raw).container().is_none());
    assert!(orders(AvroEncoding::SingleObject).container().is_none());
}

/// The schema has the form that `apache-avro` gives it; otherwise only its text would differ.
#[test]
fn container_files_are_those_of_apache_avro() {
    let schema = r#"{"type":"map","values":"long"}"#;
    let avro = Avro::new(schema, true, AvroEncoding::Ocf).expect("a schema");
    let piece = write_bins(&avro, &[("b", Tree::Integer(1))]).expect("fits");
    let ours = file(avro.container().expect("a container"), &[piece]);

    let parsed = parsed(schema);
    let marker = ours[ours.len() - 16..].try_into().expect("16 bytes");
    let mut writer = Writer::builder()
        .schema(&parsed)
        .writer(Vec::new())
        .codec(Codec::Null)
        .marker(marker)
        .build()
        .expect("a writer");
    writer.append_value(AvroValue::Map([("b".to_owned(), AvroValue::Long(1))].into())).expect("fits");
    let theirs = writer.into_inner().expect("flushed");
    assert_eq!(ours, theirs);
}

#[test]
fn the_encoder_writes_pieces_and_makes_bodies_of_them() {
    for encoding in [AvroEncoding::Raw, AvroEncoding::SingleObject, AvroEncoding::Ocf] {
        let format = |schema| Format::Avro { schema, stringify_map_keys: true, encoding };
        let encoder = Encoder::new(format(fixture("orders.avsc"))).expect("a schema");
        let notification = write_notification(Vec::new());
        let mut piece = Vec::new();
        encoder.encode(&notification, &mut piece).expect("fits");
        let avro = orders(encoding);
        assert_eq!(piece, write(&avro, &notification).expect("fits"));
        // A single record in a container file is a whole file too.
        let expected =
            avro.container().map_or_else(|| piece.clone(), |container| file(container, &[piece.clone()]));
        let body = encoder.batch_policy(None).expect("a policy").body;
        assert_eq!(body.join([bytes::Bytes::from(piece)].iter()), expected);
        assert!(Encoder::new(format("{}".to_owned())).is_err());
    }
}

#[test]
fn single_object_messages() {
    let schema = fixture("all-types.avsc");
    let avro = Avro::new(&schema, true, AvroEncoding::SingleObject).expect("a schema");
    let written = write_bins(&avro, &[("b", Tree::text("x"))]).expect("fits");
    let reader = GenericSingleObjectReader::builder().schema(parsed(&schema)).build().expect("a schema");
    let fields = fields(reader.read_value(&mut written.as_slice()).expect("a message"));
    assert_eq!(fields["b"], AvroValue::String("x".to_owned()));
    assert_eq!(written[..10], RabinFingerprintHeader::from_schema(&parsed(&schema)).build_header());
    assert_eq!(written[10..], write_bins(&raw(&schema), &[("b", Tree::text("x"))]).expect("fits"));
}

#[test]
fn an_order_is_what_it_was() {
    let (avro, schema) = (orders(AvroEncoding::Raw), parsed(&fixture("orders.avsc")));
    let fields = fields(read(&schema, &write_bins(&avro, &order(41)).expect("fits")));
    assert_eq!(fields["customer"], AvroValue::String("Zo\u{eb}".to_owned()));
    assert_eq!(fields["status"], AvroValue::Enum(2, "paid".to_owned()));
    assert_eq!(fields["express"], AvroValue::Boolean(true));
    assert_eq!(fields["total"], AvroValue::Double(99.5));
    assert_eq!(fields["receipt"], AvroValue::Bytes(vec![1, 2, 3]));
    let AvroValue::Array(items) = &fields["items"] else { panic!("an array") };
    let item = super::fields(items[0].clone());
    assert_eq!((&item["count"], &item["note"]), (&AvroValue::Int(2), &AvroValue::Null));
    let delete = ChangeNotification { operation: Operation::Delete, ..write_notification(Vec::new()) };
    let deleted = super::fields(read(&schema, &write(&avro, &delete).expect("fits")));
    assert_eq!(deleted["status"], AvroValue::Enum(0, "unknown".to_owned()));
    assert_eq!(super::fields(deleted["metadata"].clone())["msg"], AvroValue::Enum(1, "delete".to_owned()));
}

/// All records that were captured or assembled elsewhere, but those that have keys nothing can write.
#[test]
fn every_recorded_record_fits_the_schema_of_all_types() {
    let schema_text = fixture("all-types.avsc");
    let (avro, schema) = (raw(&schema_text), parsed(&schema_text));
    let mut written = 0;
    for folder in ["wire", "format/records"] {
        for entry in std::fs::read_dir(fixtures(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if !name.ends_with(".hex")
                || !["xdr-", "client-", "own-"].iter().any(|kind| name.starts_with(kind))
            {
                continue;
            }
            let hex: String = std::fs::read_to_string(&path).expect("text").split_whitespace().collect();
            let bytes: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
                .collect();
            let Ok(Some(frame)) = frame::next(&bytes, 1 << 24) else { panic!("{name}: no frame") };
            // Compressed frames hold what others hold too.
            let Ok(decoded) = message::decode(frame.body(), 1_700_000_000_000) else { continue };
            match write(&avro, &decoded.notification) {
                Ok(datum) => {
                    let fields = fields(read(&schema, &datum));
                    assert_eq!(fields.len(), decoded.notification.bins.len() + 1, "{name}");
                    written += 1;
                }
                Err(error) => {
                    let json = format!("{}/json/{}", fixtures("format"), name.replace(".hex", ".error"));
                    assert!(std::path::Path::new(&json).exists(), "{name} can be JSON, but: {error}");
                }
            }
        }
    }
    assert!(written >= 40, "only {written} records are left");
}
