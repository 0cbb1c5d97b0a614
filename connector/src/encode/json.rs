//! The `json` format: every bin with its type.

use super::{
    EncodeError,
    json_value::{Problem, write_base64, write_number_or_null, write_text, write_value},
};
use crate::config::JsonRules;
use crate::notification::{Bin, ChangeNotification, Expiry, Operation, Value};

/// Appends the notification: `msg`, `key`, then what its kind has, in the vendor's order.
pub(super) fn write(
    notification: &ChangeNotification<'_>,
    rules: JsonRules,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    match notification.operation {
        Operation::Write => {
            out.extend_from_slice(b"{\"msg\":\"write\",\"key\":");
            write_key(notification, rules, out)?;
            out.extend_from_slice(b",\"gen\":");
            write_number_or_null(notification.generation.map(u64::from), out);
            out.extend_from_slice(b",\"exp\":");
            write_expiry(notification.expiry, out);
            out.extend_from_slice(b",\"lut\":");
            write_number_or_null(notification.lut_unix_ms, out);
            out.extend_from_slice(b",\"bins\":[");
            for (index, bin) in notification.bins.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_bin(bin, rules, out).map_err(|problem| bin_error(bin, problem))?;
            }
            out.extend_from_slice(b"]}");
        }
        Operation::Delete | Operation::DurableDelete => {
            out.extend_from_slice(b"{\"msg\":\"delete\",\"key\":");
            write_key(notification, rules, out)?;
            out.extend_from_slice(b",\"durable\":");
            let durable = notification.operation == Operation::DurableDelete;
            out.extend_from_slice(if durable { b"true}" } else { b"false}" });
        }
    }
    Ok(())
}

/// 0 stands for a record that never expires.
pub(super) fn write_expiry(expiry: Expiry, out: &mut Vec<u8>) {
    let seconds = match expiry {
        Expiry::Unknown => None,
        Expiry::Never => Some(0),
        Expiry::At(seconds) => Some(seconds),
    };
    write_number_or_null(seconds, out);
}

/// Integers, doubles and text as they are, bytes in Base64.
pub(super) fn write_user_key(key: Value<'_>, rules: JsonRules, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    write_value(key, rules, out)
        .map_err(|problem| EncodeError { place: "the user key".to_owned(), problem: problem.into() })
}

pub(super) fn bin_error(bin: &Bin<'_>, problem: Problem) -> EncodeError {
    EncodeError { place: format!("bin {:?}", String::from_utf8_lossy(bin.name)), problem: problem.into() }
}

/// `[namespace, set, digest, user key]`.
fn write_key(
    notification: &ChangeNotification<'_>,
    rules: JsonRules,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    out.push(b'[');
    write_text(notification.namespace, out);
    out.push(b',');
    match notification.set {
        Some(set) => write_text(set, out),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b',');
    write_base64(&notification.digest.0, out);
    out.push(b',');
    write_user_key(notification.user_key.unwrap_or(Value::Null), rules, out)?;
    out.push(b']');
    Ok(())
}

fn write_bin(bin: &Bin<'_>, rules: JsonRules, out: &mut Vec<u8>) -> Result<(), Problem> {
    out.extend_from_slice(b"{\"name\":");
    write_text(bin.name, out);
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(type_token(bin.value).as_bytes());
    out.extend_from_slice(b"\",\"value\":");
    write_value(bin.value, rules, out)?;
    match bin.value {
        Value::List(list) => {
            out.extend_from_slice(if list.ordered() { b",\"ordered\":true" } else { b",\"ordered\":false" });
        }
        Value::Map(map) => match map.flags() & 3 {
            1 => out.extend_from_slice(b",\"order\":\"key\""),
            3 => out.extend_from_slice(b",\"order\":\"key-value\""),
            _ => {}
        },
        _ => {}
    }
    out.push(b'}');
    Ok(())
}

/// Names of the types. `bool`, `hll` and `null` are our choice: the vendor's are not published.
fn type_token(value: Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Integer(_) => "int",
        Value::Double(_) => "float",
        Value::String(_) => "str",
        Value::Boolean(_) => "bool",
        Value::Blob(18, _) => "hll",
        Value::Blob(..) => "blob",
        Value::GeoJson(_) => "geojson",
        Value::List(_) => "list",
        Value::Map(_) => "map",
    }
}
