//! One datum, by its schema. Pure. What it makes stays in proportion to the bytes that it reads: a schema whose values take
//! no bytes, or one that contains itself, cannot fill memory or the stack.

use std::cell::Cell;

use apache_avro::schema::{InnerDecimalSchema, NamesRef, ResolvedSchema, Schema, UuidSchema};

use crate::{Malformed, Value};

/// Reads the data of one schema.
pub(super) struct Reader<'s> {
    schema: &'s Schema,
    names: NamesRef<'s>,
    /// Values that may still be made.
    values_left: Cell<usize>,
}

impl<'s> Reader<'s> {
    /// A reader of a body of `bytes` bytes.
    pub(super) fn new(schema: &'s Schema, bytes: usize) -> Result<Self, Malformed> {
        let resolved = ResolvedSchema::try_from(schema)
            .map_err(|_| Malformed::new("Avro schema", "one that defines every name it uses"))?;
        let values_left = Cell::new(bytes.saturating_mul(VALUES_PER_BYTE).saturating_add(VALUES_SPARE));
        Ok(Self { schema, names: resolved.get_names().clone(), values_left })
    }

    /// Reads one datum from the front of `bytes`.
    pub(super) fn read(&self, bytes: &mut &[u8]) -> Result<Value, Malformed> {
        self.value(self.schema, bytes, DEPTH_MAX)
    }

    fn value(&self, schema: &Schema, bytes: &mut &[u8], depth: usize) -> Result<Value, Malformed> {
        let depth = depth.checked_sub(1).ok_or_else(|| malformed("less nesting"))?;
        let left =
            self.values_left.get().checked_sub(1).ok_or_else(|| malformed("fewer values in so few bytes"))?;
        self.values_left.set(left);
        Ok(match schema {
            Schema::Null => Value::Null,
            Schema::Boolean => match take(bytes, 1)? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return Err(malformed("0 or 1 for a boolean")),
            },
            Schema::Int
            | Schema::Long
            | Schema::Date
            | Schema::TimeMillis
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Value::Int(long(bytes)?),
            Schema::Float => Value::Float(f32::from_le_bytes(fixed(bytes)?).into()),
            Schema::Double => Value::Float(f64::from_le_bytes(fixed(bytes)?)),
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => {
                Value::Bytes(counted(bytes)?.to_vec())
            }
            Schema::String | Schema::Uuid(UuidSchema::String) => Value::Text(text(bytes)?),
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => Value::Bytes(counted(bytes)?.to_vec()),
                InnerDecimalSchema::Fixed(fixed) => Value::Bytes(take(bytes, fixed.size)?.to_vec()),
            },
            Schema::Fixed(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) | Schema::Duration(fixed) => {
                Value::Bytes(take(bytes, fixed.size)?.to_vec())
            }
            Schema::Enum(symbols) => {
                let symbol = usize::try_from(long(bytes)?).ok().and_then(|index| symbols.symbols.get(index));
                Value::Text(symbol.ok_or_else(|| malformed("a symbol of the enum"))?.clone())
            }
            Schema::Union(union) => {
                let branch = usize::try_from(long(bytes)?).ok().and_then(|index| union.variants().get(index));
                self.value(branch.ok_or_else(|| malformed("a branch of the union"))?, bytes, depth)?
            }
            Schema::Record(record) => {
                let mut members = Vec::with_capacity(record.fields.len().min(1024));
                for field in &record.fields {
                    members.push((Value::Text(field.name.clone()), self.value(&field.schema, bytes, depth)?));
                }
                Value::Map(members)
            }
            Schema::Array(array) => {
                let mut items = Vec::new();
                blocks(bytes, |bytes| {
                    items.push(self.value(&array.items, bytes, depth)?);
                    Ok(())
                })?;
                Value::List(items)
            }
            Schema::Map(map) => {
                let mut entries = Vec::new();
                blocks(bytes, |bytes| {
                    let key = Value::Text(text(bytes)?);
                    entries.push((key, self.value(&map.types, bytes, depth)?));
                    Ok(())
                })?;
                Value::Map(entries)
            }
            Schema::Ref { name } => {
                let schema =
                    self.names.get(name).ok_or_else(|| malformed("a name that the schema defines"))?;
                self.value(schema, bytes, depth)?
            }
        })
    }
}

/// Reads the blocks of an array or a map.
fn blocks(
    bytes: &mut &[u8],
    mut item: impl FnMut(&mut &[u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    loop {
        let count = long(bytes)?;
        if count == 0 {
            return Ok(());
        }
        // With the size of the block behind it, for those who skip.
        if count < 0 {
            long(bytes)?;
        }
        for _ in 0..count.unsigned_abs() {
            item(bytes)?;
        }
    }
}

/// A zigzag number of at most ten bytes.
pub(super) fn long(bytes: &mut &[u8]) -> Result<i64, Malformed> {
    let mut zigzag = 0u64;
    for shift in (0..64).step_by(7) {
        let [byte] = fixed(bytes)?;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            break;
        }
        zigzag |= part << shift;
        if byte & 0x80 == 0 {
            return Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
        }
    }
    Err(malformed("a number of 64 bits"))
}

/// Bytes behind their count.
pub(super) fn counted<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let count = usize::try_from(long(bytes)?).map_err(|_| malformed("a length that is not negative"))?;
    take(bytes, count)
}

pub(super) fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or_else(|| malformed("more bytes than are left"))?;
    *bytes = rest;
    Ok(taken)
}

fn fixed<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (taken, rest) = bytes.split_first_chunk().ok_or_else(|| malformed("more bytes than are left"))?;
    *bytes = rest;
    Ok(*taken)
}

fn text(bytes: &mut &[u8]) -> Result<String, Malformed> {
    Ok(String::from_utf8_lossy(counted(bytes)?).into_owned())
}

pub(super) fn malformed(expected: &'static str) -> Malformed {
    Malformed::new("Avro", expected)
}

/// A record of many fields that are null takes a byte for each.
const VALUES_PER_BYTE: usize = 4;
const VALUES_SPARE: usize = 4096;
/// Schemas of the connector's depth of values, and what is around them.
const DEPTH_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(schema: &str, bytes: &[u8]) -> Result<Value, Malformed> {
        let schema = Schema::parse_str(schema).unwrap();
        let mut rest = bytes;
        Reader::new(&schema, bytes.len())?.read(&mut rest)
    }

    #[test]
    fn numbers_are_those_of_the_specification() {
        for (number, bytes) in [
            (0, &[0x00][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            assert_eq!(read(r#""long""#, bytes), Ok(Value::Int(number)));
            assert!(read(r#""long""#, &bytes[..bytes.len() - 1]).is_err());
        }
        assert!(read(r#""long""#, &[0xff; 11]).is_err());
    }

    #[test]
    fn what_takes_no_bytes_does_not_fill_memory() {
        // A thousand million nulls.
        let error =
            read(r#"{"type":"array","items":"null"}"#, &[0x80, 0xa8, 0xd6, 0xb9, 0x07, 0x00]).unwrap_err();
        assert_eq!(error.to_string(), "Avro: expected fewer values in so few bytes");
    }

    #[test]
    fn what_contains_itself_does_not_fill_the_stack() {
        let itself = r#"{"type":"record","name":"A","fields":[{"name":"a","type":"A"}]}"#;
        assert_eq!(read(itself, &[]).unwrap_err().to_string(), "Avro: expected less nesting");
    }
}
