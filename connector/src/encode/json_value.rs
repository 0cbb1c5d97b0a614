//! Values in JSON, as both JSON formats write them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::de::IgnoredAny;

use super::text::{EACH, HIGH, find, utf8};
use crate::{
    config::{JsonRules, NanPolicy},
    notification::Value,
};

/// Why a value cannot be written.
pub(super) type Problem = &'static str;

/// Appends a value without any type information.
pub(super) fn write_value(value: Value<'_>, rules: JsonRules, out: &mut Vec<u8>) -> Result<(), Problem> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Integer(integer) => write_integer(integer, out),
        Value::Double(double) => write_double(double, rules.nan_policy, out)?,
        Value::Boolean(boolean) => out.extend_from_slice(if boolean { b"true" } else { b"false" }),
        Value::String(text) => write_text(text, out),
        Value::Blob(_, bytes) => write_base64(bytes, out),
        Value::GeoJson(text) => write_geojson(text, out),
        Value::List(list) => {
            out.push(b'[');
            for (index, element) in list.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(element, rules, out)?;
            }
            out.push(b']');
        }
        Value::Map(map) => {
            out.push(b'{');
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_map_key(key, rules, out)?;
                out.push(b':');
                write_value(value, rules, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// JSON objects have string keys: numbers become strings when that is wanted, nothing else does. A key that is not
/// finite is its name also where such values become null: null is no key, and two of them would be one.
fn write_map_key(key: Value<'_>, rules: JsonRules, out: &mut Vec<u8>) -> Result<(), Problem> {
    match key {
        Value::String(text) => write_text(text, out),
        Value::Integer(integer) if rules.stringify_map_keys => {
            out.push(b'"');
            write_integer(integer, out);
            out.push(b'"');
        }
        Value::Double(double) if rules.stringify_map_keys && double.is_finite() => {
            out.push(b'"');
            write_finite(double, out);
            out.push(b'"');
        }
        Value::Double(_) if rules.stringify_map_keys && rules.nan_policy == NanPolicy::Error => {
            return Err("a map key is not finite and nan-policy is error");
        }
        Value::Double(double) if rules.stringify_map_keys => write_name_of_no_number(double, out),
        Value::Integer(_) | Value::Double(_) => {
            return Err("a map key is a number and stringify-map-keys is false");
        }
        _ => return Err("a map key is neither a string nor a number"),
    }
    Ok(())
}

pub(super) fn write_integer(integer: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
}

/// JSON has no infinities and no NaN.
fn write_double(double: f64, policy: NanPolicy, out: &mut Vec<u8>) -> Result<(), Problem> {
    match policy {
        _ if double.is_finite() => write_finite(double, out),
        NanPolicy::String => write_name_of_no_number(double, out),
        NanPolicy::Null => out.extend_from_slice(b"null"),
        NanPolicy::Error => return Err("a number is not finite and nan-policy is error"),
    }
    Ok(())
}

fn write_finite(double: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(ryu::Buffer::new().format_finite(double).as_bytes());
}

/// As Java writes them.
fn write_name_of_no_number(double: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(if double.is_nan() {
        b"\"NaN\""
    } else if double > 0.0 {
        b"\"Infinity\""
    } else {
        b"\"-Infinity\""
    });
}

/// A JSON string, byte for byte what serde_json writes.
pub(super) fn write_text(text: &[u8], out: &mut Vec<u8>) {
    if let Some(quoted) = short(text) {
        let end = out.len() + text.len() + 2;
        out.extend_from_slice(&quoted);
        return out.truncate(end);
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    let (plain, rest) = text.split_at(find(text, escapes_and_not_ascii).unwrap_or(text.len()));
    out.extend_from_slice(plain);
    if !rest.is_empty() {
        write_odd_text(rest, out);
    }
    out.push(b'"');
}

/// Text of 4 to 16 bytes that stand for themselves, in quotes and with more quotes after it. Most names are such text, and a
/// copy of fixed size is the cheapest.
#[inline]
fn short(text: &[u8]) -> Option<[u8; 18]> {
    let mut quoted = [b'"'; 18];
    let end = text.len() + 1;
    // Two pieces, which share some bytes unless the text is as long as both.
    let odd = match text.len() {
        4..=7 => {
            let (first, last) = (*text.first_chunk::<4>()?, *text.last_chunk::<4>()?);
            quoted[1..5].copy_from_slice(&first);
            quoted[end - 4..end].copy_from_slice(&last);
            let [first, last] = [first, last].map(|piece| u64::from(u32::from_le_bytes(piece)));
            escapes_and_not_ascii(first | last << 32)
        }
        8..=16 => {
            let (first, last) = (*text.first_chunk::<8>()?, *text.last_chunk::<8>()?);
            quoted[1..9].copy_from_slice(&first);
            quoted[end - 8..end].copy_from_slice(&last);
            let [first, last] = [first, last].map(u64::from_le_bytes);
            escapes_and_not_ascii(first) | escapes_and_not_ascii(last)
        }
        _ => return None,
    };
    (odd == 0).then_some(quoted)
}

/// Text that has to be escaped, or may not be UTF-8.
fn write_odd_text(text: &[u8], out: &mut Vec<u8>) {
    let text = utf8(text);
    let mut rest = &*text;
    while let Some(at) = find(rest, escapes) {
        let (as_it_is, from) = rest.split_at(at);
        out.extend_from_slice(as_it_is);
        write_escape(from[0], out);
        rest = &from[1..];
    }
    out.extend_from_slice(rest);
}

/// Finds bytes that do not stand for themselves in JSON.
fn escapes(word: u64) -> u64 {
    escapes_and_more(word) & !word & HIGH
}

/// Finds those as well as bytes that are not ASCII.
fn escapes_and_not_ascii(word: u64) -> u64 {
    (escapes_and_more(word) | word) & HIGH
}

/// Sets the high bit of every byte that is below a blank, a quote or a backslash, if its own is not set. Of bytes after the first
/// of them, and of those with a high bit, it says nothing.
fn escapes_and_more(word: u64) -> u64 {
    let below = |word: u64, bound: u8| word.wrapping_sub(EACH * u64::from(bound));
    let equal = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    below(word, b' ') | equal(b'"') | equal(b'\\')
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            out.extend_from_slice(b"\\u00");
            return out.extend([byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]));
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

pub(super) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    let encoded_bytes = bytes.len().div_ceil(3) * 4;
    out.resize(start + encoded_bytes, 0);
    match STANDARD.encode_slice(bytes, &mut out[start..]) {
        Ok(written) => out.truncate(start + written),
        Err(_) => unreachable!("the slice has the exact size"),
    }
    out.push(b'"');
}

/// GeoJSON as the JSON it is, on one line; text that is not JSON as a string, so that the document stays whole.
fn write_geojson(text: &[u8], out: &mut Vec<u8>) {
    // The parser would pass over bytes that are not UTF-8.
    let text = utf8(text);
    if serde_json::from_slice::<IgnoredAny>(&text).is_err() {
        return write_text(&text, out);
    }
    // In valid JSON a line break is white space between tokens and can go.
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        out.extend_from_slice(line);
    }
}

/// `null` or the number.
pub(super) fn write_number_or_null(number: Option<u64>, out: &mut Vec<u8>) {
    match number {
        Some(number) => write_integer(number, out),
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(value: Value<'_>) -> String {
        let mut out = Vec::new();
        write_value(value, JsonRules::default(), &mut out).expect("fits");
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn scalars() {
        let cases = [
            (Value::Null, "null"),
            (Value::Integer(i64::MIN), "-9223372036854775808"),
            (Value::Double(12.5), "12.5"),
            (Value::Double(100.0), "100.0"),
            (Value::Double(f64::NAN), "\"NaN\""),
            (Value::Double(f64::INFINITY), "\"Infinity\""),
            (Value::Double(f64::NEG_INFINITY), "\"-Infinity\""),
            (Value::Boolean(true), "true"),
            (Value::String("h\u{e9}\"\\\n\u{1}".as_bytes()), "\"h\u{e9}\\\"\\\\\\n\\u0001\""),
            (Value::String(b"a\xffb"), "\"a\u{fffd}b\""),
            (Value::Blob(4, b""), "\"\""),
            (Value::Blob(4, &[0, 1, 2, 255]), "\"AAEC/w==\""),
            (Value::GeoJson(b"{\"type\":\n \"Point\"}"), "{\"type\": \"Point\"}"),
            (Value::GeoJson(b"{broken"), "\"{broken\""),
            (Value::GeoJson(b"{\"a\":\"\xff\"}"), "{\"a\":\"\u{fffd}\"}"),
            (Value::GeoJson(b"{\xff}"), "\"{\u{fffd}}\""),
        ];
        for (value, expected) in cases {
            assert_eq!(json(value), expected, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn text_is_what_serde_json_writes(text in any::<String>(), bytes in any::<Vec<u8>>(), ascii in "[ -~\t]*", low in "[\\x00-\\x30\\x5b-\\x5d\\x7e-\\x82]*") {
            for text in [text.as_bytes(), &bytes, ascii.as_bytes(), low.as_bytes()] {
                let mut out = Vec::new();
                write_text(text, &mut out);
                let expected = serde_json::to_string(&String::from_utf8_lossy(text)).expect("a string");
                prop_assert_eq!(String::from_utf8(out), Ok(expected));
            }
        }
    }
}
