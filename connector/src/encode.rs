//! How a notification becomes bytes: the built-in formats behind one type.
//!
//! A format writes straight from the wire bytes of the frame; there is no value tree in between.

use crate::{config::Format, notification::ChangeNotification};

mod flat_json;
mod json;
mod json_value;

/// Writes notifications in one configured format.
#[derive(Clone, Debug)]
pub struct Encoder {
    format: Format,
}

/// Why a notification cannot be written in the configured format. The record cannot be delivered before the
/// configuration or the record changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bin {bin:?}: {problem}")]
pub struct EncodeError {
    /// Name of the bin.
    pub bin: String,
    /// What does not fit.
    pub problem: &'static str,
}

impl Encoder {
    /// An encoder for `format`.
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// Media type of what [`Encoder::encode`] writes.
    pub fn content_type(&self) -> &'static str {
        match self.format {
            Format::Json { .. } | Format::FlatJson { .. } => "application/json",
        }
    }

    /// Appends `notification` to `out`. On an error what was appended is meaningless.
    pub fn encode(
        &self,
        notification: &ChangeNotification<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match &self.format {
            Format::Json { stringify_map_keys } => json::write(notification, *stringify_map_keys, out),
            Format::FlatJson { metadata_key, stringify_map_keys } => {
                flat_json::write(notification, metadata_key, *stringify_map_keys, out)
            }
        }
    }

    /// Whether a bin is hidden behind the metadata, because it has the name of the metadata's member.
    pub fn hides_a_bin(&self, notification: &ChangeNotification<'_>) -> bool {
        let Format::FlatJson { metadata_key, .. } = &self.format else { return false };
        notification.bins.iter().any(|bin| bin.name == metadata_key.as_bytes())
    }
}
