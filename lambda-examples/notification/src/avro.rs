//! Records in `avro`: the datum alone, single objects, and object container files. Pure.

use apache_avro::Schema;

use crate::{Bin, Malformed, Notification, Value, json::Metadata};

mod container;
mod datum;

pub(crate) use container::is_container;

/// A schema that bodies are read with.
#[derive(Clone, Debug)]
pub(crate) struct AvroSchema(Schema);

impl AvroSchema {
    /// Reads the JSON text of a schema.
    pub(crate) fn parse(json: &str) -> Result<Self, Malformed> {
        match Schema::parse_str(json) {
            Ok(schema) => Ok(Self(schema)),
            Err(_) => Err(Malformed::new("Avro schema", "one that is valid, as JSON")),
        }
    }

    /// The records of a body that is no file. Each may have the marker and fingerprint of a single object before it.
    pub(crate) fn records(&self, mut bytes: &[u8]) -> Result<Vec<Notification>, Malformed> {
        let reader = datum::Reader::new(&self.0, bytes.len())?;
        let mut records = Vec::new();
        while !bytes.is_empty() {
            if let Some(after) = bytes.strip_prefix(SINGLE_OBJECT) {
                let fingerprint = after.split_at_checked(FINGERPRINT_BYTES);
                (_, bytes) =
                    fingerprint.ok_or_else(|| Malformed::new("Avro", "a fingerprint behind C3 01"))?;
            }
            let before = bytes.len();
            records.push(record(reader.read(&mut bytes)?)?);
            if bytes.len() == before {
                return Err(Malformed::new(
                    "Avro schema",
                    "one with metadata: records without are of no length",
                ));
            }
        }
        Ok(records)
    }
}

/// The records of an object container file, by the schema in it.
pub(crate) fn container(bytes: &[u8], bytes_max: usize) -> Result<Vec<Notification>, Malformed> {
    container::read(bytes, bytes_max)
}

/// The metadata is the one member that is a record with `msg` and `digest`; the other members are bins.
fn record(datum: Value) -> Result<Notification, Malformed> {
    let Value::Map(members) = datum else {
        return Err(Malformed::new("Avro schema", "a record or a map"));
    };
    let is_metadata =
        |(_, value): &(Value, Value)| value.get("msg").is_some() && value.get("digest").is_some();
    // A map has it under this name; a record under any.
    let named =
        members.iter().position(|member| member.0.as_str() == Some("metadata") && is_metadata(member));
    let position = named
        .or_else(|| members.iter().position(is_metadata))
        .ok_or_else(|| Malformed::new("Avro schema", "a metadata record with at least msg and digest"))?;
    let mut metadata = Metadata::default();
    let mut bins = Vec::with_capacity(members.len() - 1);
    for (index, (name, value)) in members.into_iter().enumerate() {
        match (name, value) {
            (_, Value::Map(parts)) if index == position => {
                for (name, part) in parts {
                    metadata.set(name.as_str().unwrap_or_default(), part)?;
                }
            }
            (Value::Text(name), value) => bins.push(Bin { name, value }),
            _ => {}
        }
    }
    metadata.with(bins)
}

const SINGLE_OBJECT: &[u8] = &[0xc3, 0x01];
const FINGERPRINT_BYTES: usize = 8;
