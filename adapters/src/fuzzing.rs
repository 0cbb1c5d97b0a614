//! Doors for the fuzz targets in `connector/fuzz`, to decoders that are nobody else's business. Compiled by cargo-fuzz only.
//!
//! Each checks what the rest relies on, beside that nothing stops the process.

use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, HeaderValue, header::RETRY_AFTER};

use crate::{
    Outcomes, Report, bulk,
    partial::{self, Answered},
    retry_after,
    status::StatusTable,
};
pub use crate::{
    aws_http::fuzzing::refusal, aws_lambda::fuzzing::function_answer, tls::store_fuzzing::store,
};

/// A success that may name the records that failed, of `records` that were sent.
pub fn batch_item_failures(body: &[u8], cut: bool, records: usize) {
    let answered = partial::parse(body, cut, records);
    if let Answered::Except(failures) = &answered {
        assert!(!cut && !failures.is_empty() && failures.len() <= records + 16, "more is kept than was sent");
    }
    check(&answered.into_report(Some(200)));
}

/// An answer to `_bulk`: what is confirmed was told of one by one.
pub fn bulk_items(body: &[u8], cut: bool, records: usize) {
    let answered = bulk::parse(body, cut, records, &StatusTable::default());
    match &answered {
        // Without as many items as records nothing is confirmed.
        Answered::AllDone => assert!(!cut && count(body, b"status") >= records, "confirmed without a word"),
        Answered::Except(failures) => assert!(!failures.is_empty() && failures.len() <= records),
        Answered::Alike(..) | Answered::Nonsense(_) => {}
    }
    check(&answered.into_report(Some(200)));
}

/// The header `Retry-After`.
pub fn wait(value: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
    for now in [SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)] {
        if let Some(wait) = retry_after::parse(&headers, now) {
            assert!(wait <= Duration::from_secs(300), "{wait:?}");
        }
    }
}

/// What every report keeps.
pub(crate) fn check(report: &Report) {
    if let Outcomes::Except(items) = &report.outcomes {
        for item in items {
            assert!(!item.identifier.is_empty() && item.identifier.len() <= 1024);
            assert!(item.reason.as_ref().is_none_or(|reason| reason.len() <= crate::REASON_BYTES_MAX));
        }
    }
    assert!(report.retry_after.is_none_or(|wait| wait <= Duration::from_secs(300)));
}

fn count(body: &[u8], word: &[u8]) -> usize {
    // A name of a member may be written with escapes, which count as well.
    body.windows(word.len()).filter(|window| *window == word).count()
        + body.windows(2).filter(|two| *two == b"\\u").count()
}
