//! Records in `message-pack`, one after the other. Pure. Memory stays in proportion to the body: a length is believed only
//! as far as the body goes, and nesting has an end.

use rmp::{Marker, decode};

use crate::{Bin, Malformed, Notification, Value, json::Metadata};

/// Reads one record from the front of `bytes`.
pub(crate) fn record(bytes: &mut &[u8]) -> Result<Notification, Malformed> {
    array(bytes, "record", 3, "[1, type, payload]")?;
    if integer(bytes, "version")? != 1 {
        return Err(Malformed::new("version", "1, the only one known"));
    }
    let mut metadata = Metadata::default();
    let kind = integer(bytes, "type")?;
    let durable = match kind {
        1 => {
            array(bytes, "write", 5, "[key, gen, exp, lut, bins]")?;
            key(bytes, &mut metadata)?;
            for name in ["gen", "exp", "lut"] {
                metadata.set(name, value(bytes, name, DEPTH_MAX)?)?;
            }
            None
        }
        2 => {
            array(bytes, "delete", 2, "[key, flags]")?;
            key(bytes, &mut metadata)?;
            Some(integer(bytes, "flags")? & 1 == 1)
        }
        _ => return Err(Malformed::new("type", "1 (write) or 2 (delete)")),
    };
    metadata.set("msg", Value::Text(if durable.is_some() { "delete" } else { "write" }.to_owned()))?;
    let Some(durable) = durable else {
        let count = decode::read_array_len(bytes).map_err(|_| Malformed::new("bins", "an array"))?;
        let mut bins = Vec::new();
        for _ in 0..count {
            bins.push(bin(bytes)?);
        }
        return metadata.with(bins);
    };
    metadata.set("durable", Value::Bool(durable))?;
    metadata.with(Vec::new())
}

fn key(bytes: &mut &[u8], metadata: &mut Metadata) -> Result<(), Malformed> {
    array(bytes, "key", 4, "[namespace, set, digest, userKey]")?;
    for name in ["namespace", "set", "digest", "userKey"] {
        metadata.set(name, value(bytes, name, DEPTH_MAX)?)?;
    }
    Ok(())
}

fn bin(bytes: &mut &[u8]) -> Result<Bin, Malformed> {
    array(bytes, "bin", 4, "[name, type, flags, value]")?;
    let Value::Text(name) = value(bytes, "bin", DEPTH_MAX)? else {
        return Err(Malformed::new("bin", "a name that is text"));
    };
    let kind = integer(bytes, "particle type")?;
    integer(bytes, "flags")?;
    let value = value(bytes, "bin", DEPTH_MAX)?;
    // Only the value of a bin has its type beside it.
    let value = match (kind, value) {
        (GEOJSON, Value::Text(text)) => Value::GeoJson(text),
        (HLL, Value::Bytes(bytes)) => Value::Hll(bytes),
        (_, value) => value,
    };
    Ok(Bin { name, value })
}

fn array(bytes: &mut &[u8], place: &str, len: u32, expected: &'static str) -> Result<(), Malformed> {
    match decode::read_array_len(bytes) {
        Ok(found) if found == len => Ok(()),
        _ => Err(Malformed::new(place, expected)),
    }
}

fn integer(bytes: &mut &[u8], place: &str) -> Result<i64, Malformed> {
    decode::read_int(bytes).map_err(|_| Malformed::new(place, "an integer"))
}

/// Reads any value, `depth` levels of lists and maps at most.
fn value(bytes: &mut &[u8], place: &str, depth: usize) -> Result<Value, Malformed> {
    let malformed = |expected: &'static str| Malformed::new(place, expected);
    let mut ahead = *bytes;
    let marker = decode::read_marker(&mut ahead).map_err(|_| malformed("a value, and the body ends"))?;
    Ok(match marker {
        Marker::Null => {
            *bytes = ahead;
            Value::Null
        }
        Marker::True | Marker::False => {
            *bytes = ahead;
            Value::Bool(marker == Marker::True)
        }
        Marker::F64 => Value::Float(decode::read_f64(bytes).map_err(|_| malformed("a number of 64 bits"))?),
        Marker::F32 => {
            Value::Float(decode::read_f32(bytes).map_err(|_| malformed("a number of 32 bits"))?.into())
        }
        Marker::FixPos(_)
        | Marker::FixNeg(_)
        | Marker::U8
        | Marker::U16
        | Marker::U32
        | Marker::U64
        | Marker::I8
        | Marker::I16
        | Marker::I32
        | Marker::I64 => {
            Value::Int(decode::read_int(bytes).map_err(|_| malformed("a signed integer of 64 bits"))?)
        }
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
            let len = decode::read_str_len(bytes).map_err(|_| malformed("text"))?;
            Value::Text(text(take(bytes, len, place)?))
        }
        Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
            let len = decode::read_bin_len(bytes).map_err(|_| malformed("bytes"))?;
            Value::Bytes(take(bytes, len, place)?.to_vec())
        }
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
            let depth =
                depth.checked_sub(1).ok_or_else(|| malformed("at most 128 levels of lists and maps"))?;
            let len = decode::read_array_len(bytes).map_err(|_| malformed("an array"))?;
            let mut items = Vec::new();
            for _ in 0..len {
                items.push(value(bytes, place, depth)?);
            }
            Value::List(items)
        }
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => {
            let depth =
                depth.checked_sub(1).ok_or_else(|| malformed("at most 128 levels of lists and maps"))?;
            let len = decode::read_map_len(bytes).map_err(|_| malformed("a map"))?;
            let mut entries = Vec::new();
            for _ in 0..len {
                let key = value(bytes, place, depth)?;
                entries.push((key, value(bytes, place, depth)?));
            }
            Value::Map(entries)
        }
        Marker::FixExt1
        | Marker::FixExt2
        | Marker::FixExt4
        | Marker::FixExt8
        | Marker::FixExt16
        | Marker::Ext8
        | Marker::Ext16
        | Marker::Ext32 => {
            let ext = decode::read_ext_meta(bytes).map_err(|_| malformed("an ext"))?;
            let content = take(bytes, ext.size, place)?;
            match i64::from(ext.typeid) {
                GEOJSON => Value::GeoJson(text(content)),
                HLL => Value::Hll(content.to_vec()),
                _ => Value::Bytes(content.to_vec()),
            }
        }
        Marker::Reserved => return Err(malformed("a value of MessagePack")),
    })
}

fn take<'a>(bytes: &mut &'a [u8], len: u32, place: &str) -> Result<&'a [u8], Malformed> {
    let Some((taken, rest)) = bytes.split_at_checked(len as usize) else {
        return Err(Malformed::new(place, "as many bytes as its length says, and the body ends"));
    };
    *bytes = rest;
    Ok(taken)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Particle types.
const HLL: i64 = 18;
const GEOJSON: i64 = 23;
/// As deep as Aerospike's own values go.
const DEPTH_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;

    fn delete(rest: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93\x01\x02\x92\x94\xa4shop\xc0\xc4\x14".to_vec();
        bytes.extend([7; 20]);
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn the_documented_delete() {
        let bytes = delete(&[0xc0, 0x01, 0x93]);
        let mut rest = &bytes[..];
        let read = record(&mut rest).unwrap();
        assert_eq!((read.operation, read.key.digest.0), (Operation::DurableDelete, [7; 20]));
        assert_eq!(rest, [0x93]);
    }

    #[test]
    fn every_cut_is_noticed_and_lengths_are_not_believed() {
        let bytes = delete(&[0xc0, 0x01]);
        for end in 0..bytes.len() {
            assert!(record(&mut &bytes[..end]).is_err(), "{end}");
        }
        for length in [
            &[0xdd, 0xff, 0xff, 0xff, 0xff][..],
            &[0xdf, 0xff, 0xff, 0xff, 0xff],
            &[0xc6, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(value(&mut &length[..], "bin", DEPTH_MAX).is_err());
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth: usize| [&vec![0x91; depth][..], &[0xc0]].concat();
        assert!(value(&mut &nested(DEPTH_MAX)[..], "bin", DEPTH_MAX).is_ok());
        let error = value(&mut &nested(1_000_000)[..], "bin", DEPTH_MAX).unwrap_err();
        assert_eq!(error.to_string(), "bin: expected at most 128 levels of lists and maps");
    }
}
