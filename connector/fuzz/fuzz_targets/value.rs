//! One particle: the first byte is its type. What was checked once must read to its end without a stop.
#![no_main]

use esp_connector::{
    notification::Value,
    wire::value::{DEPTH_MAX, particle},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&type_, bytes)) = input.split_first() else { return };
    if let Ok(value) = particle(type_, bytes) {
        assert!(visit(value, 0) <= bytes.len() + 1);
    }
});

/// Counts the values in `value`.
fn visit(value: Value<'_>, depth: usize) -> usize {
    assert!(depth <= DEPTH_MAX);
    match value {
        Value::List(list) => {
            assert_eq!(list.iter().count(), list.len());
            1 + list.iter().map(|item| visit(item, depth + 1)).sum::<usize>()
        }
        Value::Map(map) => {
            assert_eq!(map.iter().count(), map.len());
            1 + map.iter().map(|(key, val)| visit(key, depth + 1) + visit(val, depth + 1)).sum::<usize>()
        }
        _ => 1,
    }
}
