//! The plan against `apache-avro`: what is written, what is refused, what can be read back.

use std::collections::HashMap;

use apache_avro::{
    Schema, reader::datum::GenericDatumReader, types::Value as AvroValue, writer::datum::GenericDatumWriter,
};

use super::*;
use crate::{
    notification::{Bin, Digest, ExistsAction, Expiry, GenerationPolicy, Operation, Value},
    wire::value::particle,
};

mod mapping;
mod metadata;
mod property;
mod readers;
mod schemas;

/// A value that owns its parts, to be packed as a server packs it.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Null,
    Integer(i64),
    Double(f64),
    Boolean(bool),
    Text(String),
    GeoJson(String),
    Blob(u8, Vec<u8>),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
}

impl Tree {
    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn map<const N: usize>(entries: [(&str, Self); N]) -> Self {
        Self::Map(entries.map(|(key, value)| (Self::text(key), value)).into())
    }

    /// Particle type and bytes of a bin.
    fn particle(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Null => (0, Vec::new()),
            Self::Integer(integer) => (1, integer.to_be_bytes().to_vec()),
            Self::Double(double) => (2, double.to_be_bytes().to_vec()),
            Self::Boolean(boolean) => (17, vec![(*boolean).into()]),
            Self::Text(text) => (3, text.as_bytes().to_vec()),
            Self::GeoJson(text) => (23, [&[0, 0, 0], text.as_bytes()].concat()),
            Self::Blob(type_, bytes) => (*type_, bytes.clone()),
            Self::List(_) => (20, self.packed()),
            Self::Map(_) => (19, self.packed()),
        }
    }

    fn packed(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.pack(&mut out);
        out
    }

    fn pack(&self, out: &mut Vec<u8>) {
        let raw = |type_: u8, bytes: &[u8], out: &mut Vec<u8>| {
            out.push(0xdb);
            out.extend_from_slice(&(bytes.len() as u32 + 1).to_be_bytes());
            out.push(type_);
            out.extend_from_slice(bytes);
        };
        match self {
            Self::Null => out.push(0xc0),
            Self::Integer(integer) => {
                out.push(0xd3);
                out.extend_from_slice(&integer.to_be_bytes());
            }
            Self::Double(double) => {
                out.push(0xcb);
                out.extend_from_slice(&double.to_be_bytes());
            }
            Self::Boolean(boolean) => out.push(0xc2 + u8::from(*boolean)),
            Self::Text(text) => raw(3, text.as_bytes(), out),
            Self::GeoJson(text) => raw(23, text.as_bytes(), out),
            Self::Blob(type_, bytes) => raw(*type_, bytes, out),
            Self::List(items) => {
                out.push(0xdd);
                out.extend_from_slice(&(items.len() as u32).to_be_bytes());
                items.iter().for_each(|item| item.pack(out));
            }
            Self::Map(entries) => {
                out.push(0xdf);
                out.extend_from_slice(&(entries.len() as u32).to_be_bytes());
                for (key, value) in entries {
                    key.pack(out);
                    value.pack(out);
                }
            }
        }
    }
}

/// A write of key 7 in set `orders`, generation 3, that never expires.
fn write_notification<'a>(bins: Vec<Bin<'a>>) -> ChangeNotification<'a> {
    ChangeNotification {
        operation: Operation::Write,
        namespace: b"shop",
        set: Some(b"orders"),
        digest: Digest([0xd1; 20]),
        user_key: Some(Value::Integer(7)),
        generation: Some(3),
        lut_unix_ms: Some(1_698_586_936_461),
        expiry: Expiry::Never,
        exists_action: ExistsAction::Replace,
        generation_policy: GenerationPolicy::None,
        xdr: true,
        bins,
    }
}

/// Writes `bins` as a server would ship them.
fn write_bins(avro: &Avro, bins: &[(&str, Tree)]) -> Result<Vec<u8>, EncodeError> {
    let particles: Vec<_> = bins.iter().map(|(_, tree)| tree.particle()).collect();
    let bins = bins.iter().zip(&particles).map(|((name, _), (type_, bytes))| Bin {
        name: name.as_bytes(),
        value: particle(*type_, bytes).expect("well packed"),
    });
    write(avro, &write_notification(bins.collect()))
}

fn write(avro: &Avro, notification: &ChangeNotification<'_>) -> Result<Vec<u8>, EncodeError> {
    let mut out = b"before".to_vec();
    avro.write(notification, &mut out)?;
    assert!(out.starts_with(b"before"), "appends");
    Ok(out.split_off(6))
}

fn raw(schema: &str) -> Avro {
    Avro::new(schema, true, AvroEncoding::Raw).unwrap_or_else(|error| panic!("{error}: {schema}"))
}

/// The message about a schema that is refused.
fn refusal(schema: &str) -> String {
    match Avro::new(schema, true, AvroEncoding::Raw) {
        Ok(_) => panic!("accepted: {schema}"),
        Err(error) => error.problem,
    }
}

/// A record schema with `fields`, which are JSON objects.
fn record_schema(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"com.example.R","fields":[{fields}]}}"#)
}

/// A record schema with one field, `b`.
fn one_field(type_: &str) -> String {
    record_schema(&format!(r#"{{"name":"b","type":{type_}}}"#))
}

fn parsed(schema: &str) -> Schema {
    Schema::parse_str(schema).expect("a schema")
}

/// What `apache-avro` writes, having validated the value.
fn apache(schema: &Schema, value: &AvroValue) -> Result<Vec<u8>, apache_avro::Error> {
    let mut out = Vec::new();
    GenericDatumWriter::builder(schema).build()?.write_value_ref(&mut out, value)?;
    Ok(out)
}

/// Reads exactly one datum.
fn read(schema: &Schema, mut datum: &[u8]) -> AvroValue {
    let reader = GenericDatumReader::builder(schema).build().expect("a schema");
    let value = reader.read_value(&mut datum).expect("a datum");
    assert!(datum.is_empty(), "{} bytes are left", datum.len());
    value
}

fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{}/{name}", fixtures("format/avro"))).expect("a fixture")
}

fn fixtures(folder: &str) -> String {
    format!("{}/../tests/fixtures/{folder}", env!("CARGO_MANIFEST_DIR"))
}

/// The fields of a record, by name, without the unions around them.
fn fields(value: AvroValue) -> HashMap<String, AvroValue> {
    let named: Box<dyn Iterator<Item = (String, AvroValue)>> = match value {
        AvroValue::Record(fields) => Box::new(fields.into_iter()),
        AvroValue::Map(entries) => Box::new(entries.into_iter()),
        AvroValue::Union(_, value) => return fields(*value),
        other => panic!("{other:?}"),
    };
    named.map(|(name, value)| (name, bare(value))).collect()
}

fn bare(value: AvroValue) -> AvroValue {
    match value {
        AvroValue::Union(_, value) => *value,
        value => value,
    }
}
