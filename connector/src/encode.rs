//! How a notification becomes bytes: the built-in formats behind one type.
//!
//! A format writes straight from the wire bytes of the frame; there is no value tree in between.

use std::borrow::Cow;

use crate::{
    batch::BatchPolicy,
    config::{Batching, Format},
    notification::ChangeNotification,
};

mod body;
mod flat_json;
mod json;
mod json_value;
mod message_pack;
mod text;

pub use body::Body;

/// Writes notifications in one configured format.
#[derive(Clone, Debug)]
pub struct Encoder {
    format: Format,
}

/// A format that cannot be used as configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct FormatError {
    /// What is wrong and what was expected.
    pub problem: String,
}

/// Why a notification cannot be written in the configured format. The record cannot be delivered before the
/// configuration or the record changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct EncodeError {
    /// What does not fit: a bin, or a field of the format. Never a value.
    pub place: String,
    /// Why it does not fit.
    pub problem: Cow<'static, str>,
}

impl Encoder {
    /// An encoder for `format`.
    pub fn new(format: Format) -> Result<Self, FormatError> {
        Ok(Self { format })
    }

    /// How what this encoder writes is put into requests: one record each unless `batching` says otherwise.
    pub fn batch_policy(&self, batching: Option<&Batching>) -> Result<BatchPolicy, FormatError> {
        let Some(batching) = batching.filter(|batching| batching.enabled) else {
            return Ok(BatchPolicy::single(Body::single(self.content_type())));
        };
        Ok(BatchPolicy {
            body: Body::batched(&self.format, batching, self.content_type())?,
            records_max: batching.max_records.get(),
            bytes_max: batching.max_bytes.get(),
            interval: batching.interval,
        })
    }

    /// Media type of what [`Encoder::encode`] writes.
    fn content_type(&self) -> &'static str {
        match self.format {
            Format::Json { .. } | Format::FlatJson { .. } => "application/json",
            Format::MessagePack => "application/x-msgpack",
            Format::Avro { .. } => "application/avro",
        }
    }

    /// Appends `notification` to `out`. On an error what was appended is meaningless.
    pub fn encode(
        &self,
        notification: &ChangeNotification<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match &self.format {
            Format::Json(rules) => json::write(notification, *rules, out),
            Format::FlatJson { metadata_key, rules, durable } => {
                flat_json::write(notification, metadata_key, *durable, *rules, out)
            }
            Format::MessagePack => message_pack::write(notification, out),
            Format::Avro { .. } => {
                Err(EncodeError { place: "format".to_owned(), problem: "not built in yet".into() })
            }
        }
    }

    /// Whether a bin is hidden behind the metadata, because it has the name of the metadata's member.
    pub fn hides_a_bin(&self, notification: &ChangeNotification<'_>) -> bool {
        let Format::FlatJson { metadata_key, .. } = &self.format else { return false };
        notification.bins.iter().any(|bin| bin.name == metadata_key.as_bytes())
    }
}
