//! Which records go into one object, and where that is: by namespace, set, and the hour of their last update. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use notification::{Entry, Notification};

/// Indices of the records by partition, for [`Batch::groups`](notification::Batch::groups).
pub fn partitions(entries: &[Entry]) -> Vec<Vec<usize>> {
    let mut partitions: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        partitions.entry(folder(&entry.notification)).or_default().push(index);
    }
    partitions.into_values().collect()
}

/// The folder of a record's partition, in the way of Hive, which Athena, Glue and Spark know. Ends with a slash.
pub(crate) fn folder(notification: &Notification) -> String {
    let key = &notification.key;
    let time = notification.lut_unix_ms.and_then(|lut| {
        // YYYY-MM-DDTHH:MM:SS.SSSZ
        Some(Timestamp::from_millisecond(lut.try_into().ok()?).ok()?.to_string())
    });
    let part = |range| time.as_ref().and_then(|time| time.get(range)).unwrap_or(MISSING);
    let (date, hour) = (part(0..10), part(11..13));
    let set = key.set.as_deref().map_or_else(|| MISSING.to_owned(), escaped);
    format!("namespace={}/set={set}/date={date}/hour={hour}/", escaped(&key.namespace))
}

/// What is none of the characters that are safe in names of objects is written `%XX`.
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => escaped.push(byte.into()),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// Readers take it for null.
const MISSING: &str = "__HIVE_DEFAULT_PARTITION__";

#[cfg(test)]
mod tests {
    use notification::{Digest, Key, Operation};

    use super::*;

    fn notification(set: Option<&str>, lut_unix_ms: Option<u64>) -> Notification {
        let set = set.map(str::to_owned);
        let key = Key { namespace: "shop".to_owned(), set, digest: Digest([0; 20]), user_key: None };
        let (generation, expiry, bins) = (None, None, Vec::new());
        Notification { operation: Operation::Write, key, generation, lut_unix_ms, expiry, bins }
    }

    #[test]
    fn folders() {
        for (set, lut, expected) in [
            (Some("orders"), Some(1_767_225_599_999), "namespace=shop/set=orders/date=2025-12-31/hour=23/"),
            (Some("orders"), Some(1_767_225_600_000), "namespace=shop/set=orders/date=2026-01-01/hour=00/"),
            (Some("a/b=c é"), Some(0), "namespace=shop/set=a%2Fb%3Dc%20%C3%A9/date=1970-01-01/hour=00/"),
            (
                None,
                None,
                "namespace=shop/set=__HIVE_DEFAULT_PARTITION__/date=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__/",
            ),
        ] {
            assert_eq!(folder(&notification(set, lut)), expected);
        }
        // Beyond every calendar.
        assert!(folder(&notification(None, Some(u64::MAX))).ends_with("hour=__HIVE_DEFAULT_PARTITION__/"));
        assert!(folder(&notification(None, Some(1 << 62))).ends_with("hour=__HIVE_DEFAULT_PARTITION__/"));
    }
}
