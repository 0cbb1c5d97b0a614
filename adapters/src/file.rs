//! Lines in files of a folder, synced to disk before they are confirmed.

use std::{num::NonZeroU64, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of a destination that is a folder.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Folder of the files, made when missing; relative to the configuration file.
    pub path: PathBuf,
    /// Bytes after which a new file is begun.
    #[serde(default = "max_file_bytes")]
    pub max_file_bytes: NonZeroU64,
    /// Seconds after which a new file is begun.
    #[serde(default = "max_file_seconds")]
    pub max_file_seconds: NonZeroU64,
    /// Most files kept, the oldest removed first; all when absent.
    #[serde(default)]
    pub max_files: Option<NonZeroU64>,
}

fn max_file_bytes() -> NonZeroU64 {
    const { NonZeroU64::new(128 * 1024 * 1024).expect("not zero") }
}

fn max_file_seconds() -> NonZeroU64 {
    const { NonZeroU64::new(3600).expect("not zero") }
}
