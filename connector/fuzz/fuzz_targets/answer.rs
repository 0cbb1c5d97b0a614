//! What a destination answers: the first byte says as what it is read, the second how many records it is about.
#![no_main]

use adapters::fuzzing::{batch_item_failures, bulk_items, function_answer, refusal, wait};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [kind, records, body @ ..] = input else { return };
    let records = usize::from(*records).max(1);
    match kind % 8 {
        0 => batch_item_failures(body, false, records),
        1 => batch_item_failures(body, true, records),
        2 => bulk_items(body, false, records),
        3 => bulk_items(body, true, records),
        4 | 5 => function_answer(body, records),
        6 => {
            let (kind, body) = body.split_at(records.min(body.len()));
            refusal(kind, body);
        }
        _ => wait(body),
    }
});
