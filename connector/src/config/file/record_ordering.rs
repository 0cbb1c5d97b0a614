//! `record-ordering` as it stands in the file.

use std::num::{NonZeroU32, NonZeroUsize};

use schemars::JsonSchema;
use serde::Deserialize;

use super::yes;

/// No version of a record after a newer one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct RecordOrdering {
    /// False turns ordering off where an outer level has it.
    #[serde(default = "yes")]
    pub(crate) enable: bool,
    /// Seconds that the last-update time of a record is remembered after its last change. Longer than the longest
    /// delay between the dispatch by XDR and the arrival here.
    #[serde(default = "lut_cache_ttl_seconds")]
    pub(crate) lut_cache_ttl_seconds: NonZeroU32,
    /// Most records whose last-update time is remembered for each destination, about 100 bytes of memory each; beyond them the oldest are
    /// forgotten early.
    #[serde(default = "lut_cache_max_records")]
    #[schemars(range(min = 1, max = 1_000_000_000), extend("x-ours" = true))]
    pub(crate) lut_cache_max_records: NonZeroUsize,
}

fn lut_cache_ttl_seconds() -> NonZeroU32 {
    const { NonZeroU32::new(30).expect("not zero") }
}

fn lut_cache_max_records() -> NonZeroUsize {
    const { NonZeroUsize::new(1_000_000).expect("not zero") }
}
