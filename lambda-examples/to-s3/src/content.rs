//! What an object holds. Pure.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
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

    /// A file that is compressed, and no encoding of one that is not: clients must not unpack it on the way.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/gzip",
            Self::Avro => "application/avro",
        }
    }

    pub(crate) fn content(self, records: &[&Notification], lines: &[u8]) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Ndjson => {
                let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
                gzip.write_all(lines)?;
                Ok(gzip.finish()?)
            }
            Self::Avro => Ok(avro::file(records)?),
        }
    }
}

/// A line of `flat-json` for each record.
pub(crate) fn lines(records: &[&Notification]) -> Result<Vec<u8>, Failure> {
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, &record.flat_json("_meta"))?;
        lines.push(b'\n');
    }
    Ok(lines)
}
