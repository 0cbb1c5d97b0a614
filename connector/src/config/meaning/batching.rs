//! The meaning of `batching` and `record-ordering`.

use std::time::Duration;

use super::{Meaning, given};
use crate::config::{BatchBody, Batching, RecordOrdering, file, problem::join, tree::Node};

/// A record is answered 8 s after it came, whatever happens. It may wait for others during half of that at most.
const LONGEST_WAIT_MS: u64 = 4000;

impl Meaning<'_> {
    pub(super) fn batching(&mut self, file: file::Batching, node: Option<&Node>, path: &str) -> Batching {
        let interval_ms = file.batch_interval.get();
        if file.enabled && given(node, "batch-interval") && interval_ms > LONGEST_WAIT_MS {
            let message = format!(
                "{interval_ms} ms is more than a record can wait: at most half of the time it has, {LONGEST_WAIT_MS} ms"
            );
            self.warn(&join(path, "batch-interval"), message);
        }
        file.into()
    }
}

impl From<file::Batching> for Batching {
    fn from(file: file::Batching) -> Self {
        Self {
            enabled: file.enabled,
            body: file.body.map(BatchBody::from),
            max_records: file.max_records,
            max_bytes: file.max_bytes,
            interval: Duration::from_millis(file.batch_interval.get()),
        }
    }
}

impl Default for Batching {
    fn default() -> Self {
        file::Batching::default().into()
    }
}

impl From<file::BatchBody> for BatchBody {
    fn from(file: file::BatchBody) -> Self {
        match file {
            file::BatchBody::JsonArray => Self::JsonArray,
            file::BatchBody::Ndjson => Self::Ndjson,
            file::BatchBody::Concatenated => Self::Concatenated,
        }
    }
}

impl From<file::RecordOrdering> for RecordOrdering {
    fn from(file: file::RecordOrdering) -> Self {
        Self {
            enabled: file.enable,
            lut_cache_ttl: Duration::from_secs(file.lut_cache_ttl_seconds.get().into()),
            lut_cache_max_records: file.lut_cache_max_records,
        }
    }
}
