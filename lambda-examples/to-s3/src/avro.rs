//! Avro files of one schema for all sets: the metadata, and the bins as a map. Lists, maps and GeoJSON are JSON text in it,
//! since most readers of Avro know no types that contain themselves. Pure.

use std::collections::HashMap;

use apache_avro::{Codec, DeflateSettings, Schema, Writer, types::Value as Avro};
use notification::{Expiry, Notification, Operation, Value};

/// The file that holds `records`.
pub(crate) fn file(records: &[&Notification]) -> Result<Vec<u8>, apache_avro::Error> {
    let schema = Schema::parse_str(SCHEMA)?;
    let codec = Codec::Deflate(DeflateSettings::default());
    let mut writer = Writer::with_codec(&schema, Vec::new(), codec)?;
    for record in records {
        writer.append_value(avro(record))?;
    }
    writer.into_inner()
}

fn avro(record: &Notification) -> Avro {
    let key = &record.key;
    let is_delete = record.operation != Operation::Write;
    let durable = is_delete.then_some(record.operation == Operation::DurableDelete);
    let expiry = record.expiry.map(|expiry| match expiry {
        Expiry::Never => 0,
        Expiry::At(seconds) => seconds,
    });
    let time = |time: u64| Avro::Long(time.try_into().unwrap_or(i64::MAX));
    let fields = [
        ("namespace", Avro::String(key.namespace.clone())),
        ("set", optional(key.set.clone().map(Avro::String))),
        ("userKey", key.user_key.as_ref().map_or_else(|| optional(None), branch)),
        ("digest", Avro::Bytes(key.digest.0.to_vec())),
        ("msg", Avro::String(if is_delete { "delete" } else { "write" }.to_owned())),
        ("gen", optional(record.generation.map(|generation| Avro::Long(generation.into())))),
        ("lut", optional(record.lut_unix_ms.map(time))),
        ("exp", optional(expiry.map(time))),
        ("durable", optional(durable.map(Avro::Boolean))),
    ];
    let metadata = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let bins: HashMap<_, _> = record.bins.iter().map(|bin| (bin.name.clone(), branch(&bin.value))).collect();
    Avro::Record(vec![("metadata".to_owned(), Avro::Record(metadata)), ("bins".to_owned(), Avro::Map(bins))])
}

/// A union of null and one other type.
fn optional(value: Option<Avro>) -> Avro {
    match value {
        None => Avro::Union(0, Box::new(Avro::Null)),
        Some(value) => Avro::Union(1, Box::new(value)),
    }
}

/// The union of all types that a bin may have.
fn branch(value: &Value) -> Avro {
    let (branch, value) = match value {
        Value::Null => (0, Avro::Null),
        Value::Bool(value) => (1, Avro::Boolean(*value)),
        Value::Int(value) => (2, Avro::Long(*value)),
        Value::Float(value) => (3, Avro::Double(*value)),
        Value::Text(text) | Value::GeoJson(text) => (4, Avro::String(text.clone())),
        Value::Bytes(bytes) | Value::Hll(bytes) => (5, Avro::Bytes(bytes.clone())),
        // Writing to memory.
        Value::List(_) | Value::Map(_) => (4, Avro::String(serde_json::to_string(value).unwrap_or_default())),
    };
    Avro::Union(branch, Box::new(value))
}

const SCHEMA: &str = include_str!("schema.avsc");
