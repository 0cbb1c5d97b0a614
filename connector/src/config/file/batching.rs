//! `batching` as it stands in the file.

use std::num::{NonZeroU64, NonZeroUsize};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::yes;

/// Several records in one request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Batching {
    /// False turns batching off where an outer level has it.
    #[serde(default = "yes")]
    pub(crate) enabled: bool,
    /// How records are put together.
    #[schemars(extend("x-ours" = true, "x-default" = "`json-array` for the JSON formats, else `concatenated`"))]
    pub(crate) body: Option<BatchBody>,
    /// Most records in a request.
    #[serde(default = "max_records")]
    pub(crate) max_records: NonZeroUsize,
    /// Most bytes in a request body, before compression. A hard limit, unlike the vendor's, which has no limit by
    /// default; only a single record that is larger is sent, alone.
    #[serde(default = "max_bytes")]
    pub(crate) max_bytes: NonZeroUsize,
    /// Milliseconds: the most a record waits for others while the destination is busy with earlier requests; when it
    /// is idle a request goes at once. Never longer than half of the time the record has, 4000.
    #[serde(default = "batch_interval")]
    pub(crate) batch_interval: NonZeroU64,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            enabled: yes(),
            body: None,
            max_records: max_records(),
            max_bytes: max_bytes(),
            batch_interval: batch_interval(),
        }
    }
}

/// How records are put together.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BatchBody {
    /// A JSON array, also around a single record.
    JsonArray,
    /// Every record on a line of its own.
    Ndjson,
    /// One after the other, nothing in between.
    Concatenated,
}

fn max_records() -> NonZeroUsize {
    const { NonZeroUsize::new(i32::MAX as usize).expect("not zero") }
}

fn max_bytes() -> NonZeroUsize {
    const { NonZeroUsize::new(1_000_000).expect("not zero") }
}

fn batch_interval() -> NonZeroU64 {
    const { NonZeroU64::new(8000).expect("not zero") }
}
