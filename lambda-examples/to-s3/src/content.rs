//! What an object holds. Pure.

use notification::{Failure, Notification};

use crate::avro;

/// The format of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line of `flat-json` for each record, compressed with gzip.
    Ndjson,
    /// An Avro object container file, compressed with deflate.
    Avro,
}

impl Format {
    /// By the name that `FORMAT` has.
    pub fn named(name: &str) -> Result<Self, String> {
        match name {
            "ndjson" => Ok(Self::Ndjson),
            "avro" => Ok(Self::Avro),
            _ => Err(format!("FORMAT: expected ndjson or avro, got {name:?}")),
        }
    }

    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Ndjson => ".ndjson.gz",
            Self::Avro => ".avro",
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => archive::GZIP,
            Self::Avro => "application/avro",
        }
    }

    pub(crate) fn content(self, records: &[&Notification], lines: &[u8]) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Ndjson => archive::gzip(lines),
            Self::Avro => Ok(avro::file(records)?),
        }
    }
}
