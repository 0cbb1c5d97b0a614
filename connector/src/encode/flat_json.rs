//! The `flat-json` format: bins as plain members behind one member that holds the metadata.

use super::{
    EncodeError,
    json::{bin_error, write_expiry, write_user_key},
    json_value::{write_base64, write_number_or_null, write_text, write_value},
};
use crate::config::{DurableMember, JsonRules};
use crate::notification::{ChangeNotification, Operation};

/// Appends the notification. A bin named like the metadata's member is left out: two members of one name would be
/// read differently by different parsers.
pub(super) fn write(
    notification: &ChangeNotification<'_>,
    metadata_key: &str,
    durable: DurableMember,
    rules: JsonRules,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    out.push(b'{');
    write_text(metadata_key.as_bytes(), out);
    out.push(b':');
    write_metadata(notification, durable, rules, out)?;
    for bin in &notification.bins {
        if bin.name == metadata_key.as_bytes() {
            continue;
        }
        out.push(b',');
        write_text(bin.name, out);
        out.push(b':');
        write_value(bin.value, rules, out).map_err(|problem| bin_error(bin, problem))?;
    }
    out.push(b'}');
    Ok(())
}

/// Members in the order seen from the vendor's connectors. Set and user key are left out when there are none; a
/// generation or last-update time that was not shipped is null.
fn write_metadata(
    notification: &ChangeNotification<'_>,
    durable: DurableMember,
    rules: JsonRules,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    out.extend_from_slice(b"{\"namespace\":");
    write_text(notification.namespace, out);
    if let Some(set) = notification.set {
        out.extend_from_slice(b",\"set\":");
        write_text(set, out);
    }
    if let Some(key) = notification.user_key {
        out.extend_from_slice(b",\"userKey\":");
        write_user_key(key, rules, out)?;
    }
    out.extend_from_slice(b",\"digest\":");
    write_base64(&notification.digest.0, out);
    let write = notification.operation == Operation::Write;
    out.extend_from_slice(if write { b",\"msg\":\"write\"" } else { b",\"msg\":\"delete\"" });
    out.extend_from_slice(b",\"gen\":");
    write_number_or_null(notification.generation.map(u64::from), out);
    out.extend_from_slice(b",\"lut\":");
    write_number_or_null(notification.lut_unix_ms, out);
    match notification.operation {
        Operation::Write => {
            out.extend_from_slice(b",\"exp\":");
            write_expiry(notification.expiry, out);
        }
        Operation::Delete if durable == DurableMember::WhenTrue => {}
        Operation::Delete => out.extend_from_slice(b",\"durable\":false"),
        Operation::DurableDelete => out.extend_from_slice(b",\"durable\":true"),
    }
    out.push(b'}');
    Ok(())
}
