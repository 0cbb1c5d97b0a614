//! The `message-pack` format: the record as nested arrays, every bin with its particle type.
//!
//! ```text
//! message = [1, type, payload]            type: 1 write, 2 delete
//! write   = [key, gen|nil, exp|nil, lut|nil, bins]
//! delete  = [key, flags]                  flags: 0x01 durable
//! key     = [namespace, set|nil, digest, user key|nil]
//! bins    = [[name, type, flags, value], ...]
//! ```
//!
//! Whatever the record holds can be written. Every value takes its shortest form, except doubles, which keep their
//! 64 bits.

use std::{convert::Infallible, mem};

use rmp::encode::{self, ByteBuf, ValueWriteError};

use super::{EncodeError, text::utf8};
use crate::notification::{Bin, ChangeNotification, Expiry, Operation, Value};

/// Version of the layout.
const VERSION: u64 = 1;
const WRITE: u64 = 1;
const DELETE: u64 = 2;

const GEOJSON: u8 = 23;

/// Writing to memory does not fail; the type says so.
type Written = Result<(), ValueWriteError<Infallible>>;

/// Appends the notification.
pub(super) fn write(notification: &ChangeNotification<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut buffer = ByteBuf::from_vec(mem::take(out));
    let written = write_message(notification, &mut buffer);
    *out = buffer.into_vec();
    written.map_err(|error| match error {
        ValueWriteError::InvalidMarkerWrite(never) | ValueWriteError::InvalidDataWrite(never) => {
            match never {}
        }
    })
}

fn write_message(notification: &ChangeNotification<'_>, out: &mut ByteBuf) -> Written {
    write_array(3, out)?;
    write_unsigned(VERSION, out)?;
    match notification.operation {
        Operation::Write => {
            write_unsigned(WRITE, out)?;
            write_array(5, out)?;
            write_key(notification, out)?;
            write_unsigned_or_nil(notification.generation.map(u64::from), out)?;
            write_unsigned_or_nil(expiry(notification.expiry), out)?;
            write_unsigned_or_nil(notification.lut_unix_ms, out)?;
            write_array(notification.bins.len(), out)?;
            notification.bins.iter().try_for_each(|bin| write_bin(bin, out))
        }
        Operation::Delete | Operation::DurableDelete => {
            write_unsigned(DELETE, out)?;
            write_array(2, out)?;
            write_key(notification, out)?;
            write_unsigned(u64::from(notification.operation == Operation::DurableDelete), out)
        }
    }
}

fn write_key(notification: &ChangeNotification<'_>, out: &mut ByteBuf) -> Written {
    write_array(4, out)?;
    write_text(notification.namespace, out)?;
    match notification.set {
        Some(set) => write_text(set, out)?,
        None => write_nil(out)?,
    }
    encode::write_bin(out, &notification.digest.0)?;
    write_whole(notification.user_key.unwrap_or(Value::Null), out)
}

/// 0 stands for a record that never expires.
fn expiry(expiry: Expiry) -> Option<u64> {
    match expiry {
        Expiry::Unknown => None,
        Expiry::Never => Some(0),
        Expiry::At(seconds) => Some(seconds),
    }
}

fn write_bin(bin: &Bin<'_>, out: &mut ByteBuf) -> Written {
    write_array(4, out)?;
    write_text(bin.name, out)?;
    let (type_, flags) = type_and_flags(bin.value);
    write_unsigned(type_.into(), out)?;
    write_unsigned(flags.into(), out)?;
    write_whole(bin.value, out)
}

/// The particle type of a bin, and how a list or map is ordered. A bin that was deleted has type 0 and the value nil:
/// our choice, the vendor's is not published.
fn type_and_flags(value: Value<'_>) -> (u8, u8) {
    match value {
        Value::Null => (0, 0),
        Value::Integer(_) => (1, 0),
        Value::Double(_) => (2, 0),
        Value::String(_) => (3, 0),
        Value::Boolean(_) => (17, 0),
        Value::Blob(type_, _) => (type_, 0),
        Value::GeoJson(_) => (GEOJSON, 0),
        Value::List(list) => (20, u8::from(list.ordered())),
        // Unordered, by key, or by key and value; what else the server notes is its own.
        Value::Map(map) => (19, if map.ordered() { map.flags() & 3 } else { 0 }),
    }
}

/// A bin's value or a user key, whose type stands elsewhere: GeoJSON is text and all blobs are bytes.
fn write_whole(value: Value<'_>, out: &mut ByteBuf) -> Written {
    match value {
        Value::GeoJson(text) => write_text(text, out),
        Value::Blob(_, bytes) => encode::write_bin(out, bytes),
        other => write_element(other, out),
    }
}

/// A value inside a list or map, where GeoJSON and the blobs of a language carry their particle type as the type of
/// an ext. MessagePack keeps ext types above 127 for itself: a blob of such a type, which no server has, is bytes.
fn write_element(value: Value<'_>, out: &mut ByteBuf) -> Written {
    match value {
        Value::Null => write_nil(out),
        Value::Integer(integer) => encode::write_sint(out, integer).map(drop),
        Value::Double(double) => encode::write_f64(out, double),
        Value::Boolean(boolean) => {
            encode::write_bool(out, boolean).map_err(ValueWriteError::InvalidMarkerWrite)
        }
        Value::String(text) => write_text(text, out),
        Value::Blob(4, bytes) => encode::write_bin(out, bytes),
        Value::Blob(type_, bytes) => match i8::try_from(type_) {
            Ok(type_) => write_ext(type_, bytes, out),
            Err(_) => encode::write_bin(out, bytes),
        },
        Value::GeoJson(text) => write_ext(GEOJSON as i8, &utf8(text), out),
        Value::List(list) => {
            write_array(list.len(), out)?;
            list.iter().try_for_each(|element| write_element(element, out))
        }
        Value::Map(map) => {
            encode::write_map_len(out, map.len() as u32)?;
            map.iter().try_for_each(|(key, value)| {
                write_element(key, out)?;
                write_element(value, out)
            })
        }
    }
}

fn write_ext(type_: i8, bytes: &[u8], out: &mut ByteBuf) -> Written {
    encode::write_ext_meta(out, bytes.len() as u32, type_)?;
    out.as_mut_vec().extend_from_slice(bytes);
    Ok(())
}

/// What is not UTF-8 becomes U+FFFD, as in JSON: many readers refuse a whole message for one bad byte in a string.
fn write_text(text: &[u8], out: &mut ByteBuf) -> Written {
    let text = utf8(text);
    encode::write_str_len(out, text.len() as u32)?;
    out.as_mut_vec().extend_from_slice(&text);
    Ok(())
}

/// Lengths fit: a record is never larger than a frame.
fn write_array(len: usize, out: &mut ByteBuf) -> Written {
    encode::write_array_len(out, len as u32).map(drop)
}

fn write_unsigned(number: u64, out: &mut ByteBuf) -> Written {
    encode::write_uint(out, number).map(drop)
}

fn write_unsigned_or_nil(number: Option<u64>, out: &mut ByteBuf) -> Written {
    match number {
        Some(number) => write_unsigned(number, out),
        None => write_nil(out),
    }
}

fn write_nil(out: &mut ByteBuf) -> Written {
    encode::write_nil(out).map_err(ValueWriteError::InvalidMarkerWrite)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::{Digest, ExistsAction, GenerationPolicy};

    fn delete() -> ChangeNotification<'static> {
        ChangeNotification {
            operation: Operation::DurableDelete,
            namespace: b"shop",
            set: None,
            digest: Digest([7; 20]),
            user_key: None,
            generation: None,
            lut_unix_ms: None,
            expiry: Expiry::Unknown,
            exists_action: ExistsAction::Update,
            generation_policy: GenerationPolicy::None,
            xdr: true,
            bins: Vec::new(),
        }
    }

    #[test]
    fn the_documented_delete_is_appended() {
        let mut out = b"before".to_vec();
        write(&delete(), &mut out).expect("fits");
        let head = *b"before\x93\x01\x02\x92\x94\xa4shop\xc0\xc4\x14";
        assert_eq!(out, [&head[..], &[7; 20], &[0xc0, 0x01]].concat());
    }

    #[test]
    fn lengths_beyond_16_bits() {
        let long = vec![b'x'; 1 << 16];
        for (value, head) in [
            (Value::String(&long), [0xdb, 0, 1, 0, 0].as_slice()),
            (Value::Blob(4, &long), &[0xc6, 0, 1, 0, 0]),
            (Value::Blob(9, &long), &[0xc9, 0, 1, 0, 0, 9]),
        ] {
            let mut out = ByteBuf::new();
            write_element(value, &mut out).expect("writing to memory");
            assert_eq!(out.as_slice(), [head, &long].concat(), "{value:?}");
        }
    }
}
