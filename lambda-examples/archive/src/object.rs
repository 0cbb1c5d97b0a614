//! What an object holds, and its name. Pure.

use std::io::Write as _;

use aws_lc_rs::digest;
use flate2::{Compression, write::GzEncoder};
use notification::{Failure, Notification};

use crate::partition;

/// The media type of compressed lines. A file that is compressed, and no encoding of one that is not: clients must not unpack it
/// on the way.
pub const GZIP: &str = "application/gzip";

/// A line of `flat-json` for each record.
pub fn lines(records: &[&Notification]) -> Result<Vec<u8>, Failure> {
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, &record.flat_json("_meta"))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// Compresses lines; the same ones always alike.
pub fn gzip(lines: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(lines)?;
    Ok(gzip.finish()?)
}

/// Folder and name of an object that holds `lines`, the first of which is about `first`; without an extension.
pub fn path(first: &Notification, lines: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, lines);
    let name: String = hash.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}{name}", partition::folder(first))
}

#[cfg(test)]
mod tests {
    use notification::{Decoder, Invocation};

    use super::*;

    #[test]
    fn an_object_is_named_after_what_is_in_it() {
        let event = include_bytes!("../../gcp/to-gcs/event.json");
        let request = Invocation::from_http([("content-type", "application/json")], event.to_vec());
        let batch = Decoder::new().decode(request).unwrap();
        let records: Vec<_> = batch.entries().iter().map(|entry| &entry.notification).collect();
        let all = lines(&records).unwrap();
        assert_eq!(
            path(records[0], &all),
            "namespace=shop/set=orders/date=2026-01-01/hour=00/7b7ca962c8dbab9c1431146f4206b10d"
        );
        assert_ne!(path(records[0], &all), path(records[0], &lines(&records[..1]).unwrap()));
        assert_eq!(gzip(&all).unwrap(), gzip(&all).unwrap());
    }
}
