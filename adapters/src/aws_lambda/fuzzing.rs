//! The door of the fuzz targets to what functions answer.

use std::time::{Duration, SystemTime};

use super::{Config, answer, fault, judge::Judge};
use crate::fuzzing::check;

/// A function's own answer, and the same bytes as its failure.
///
/// # Panics
/// When what it is taken for breaks what the rest relies on.
pub fn function_answer(payload: &[u8], records: usize) {
    let config: Config = serde_json::from_str(r#"{"function-name": "orders"}"#).expect("a configuration");
    let judge = Judge::new(&config).expect("statuses");
    for now in [SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)] {
        let verdict = answer::read(&judge, payload, records, now);
        check(&verdict.report);
        assert!(verdict.words.is_none_or(|words| words.len() < 500), "words for the log without a bound");
    }
    let words = fault::words("Unhandled", payload);
    assert!(words.len() < 2_000 && !words.contains('\n'), "words for the log without a bound");
}
