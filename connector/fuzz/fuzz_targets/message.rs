//! The body of a message: whatever decodes must keep what the rest of the connector relies on.
#![no_main]

use std::collections::HashSet;

use esp_connector::{
    notification::{Operation, Value},
    wire::message,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let decoded = match message::decode(body, 1_700_000_000_000) {
        Ok(decoded) => decoded,
        Err(error) => {
            assert!(matches!(error.result_code() as u8, 4 | 16 | 20), "{error}");
            return;
        }
    };
    let notification = &decoded.notification;
    assert!((1..=31).contains(&notification.namespace.len()));
    assert!(notification.set.is_none_or(|set| (1..=63).contains(&set.len())));
    assert!(notification.operation == Operation::Write || notification.bins.is_empty());
    let mut names = HashSet::new();
    for bin in &notification.bins {
        assert!((1..=15).contains(&bin.name.len()));
        assert!(names.insert(bin.name), "a name twice");
        if let Value::List(list) = bin.value {
            assert_eq!(list.iter().count(), list.len());
        }
    }
    assert_eq!(decoded.anomalies.is_empty(), decoded.anomalies.iter().next().is_none());
});
