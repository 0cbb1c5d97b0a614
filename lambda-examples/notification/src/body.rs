//! Bodies: what they are packed in, and which format they are in. Pure.

use std::borrow::Cow;

use crate::{Decoder, Unreadable};

/// The formats, as far as a body tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `json` or `flat-json`; one, an array, or one behind the other.
    Json,
    MessagePack,
    Avro,
}

/// Unpacks a body that is compressed.
pub(crate) fn unpacked<'b>(
    body: Cow<'b, [u8]>,
    content_encoding: Option<&str>,
    decoder: &Decoder,
) -> Result<Cow<'b, [u8]>, Unreadable> {
    let encoding = content_encoding.unwrap_or("identity").trim().to_ascii_lowercase();
    match encoding.as_str() {
        // Some fronts lose the header. No other body begins like this but bare Avro, where chance may have it so.
        "identity" if content_encoding.is_none() && body.starts_with(GZIP) && decoder.schema_is_missing() => {
            gunzip(&body, decoder)
        }
        "identity" | "" => Ok(body),
        "gzip" | "x-gzip" => gunzip(&body, decoder),
        _ => Err(Unreadable::new("Content-Encoding", "gzip, or none")),
    }
}

#[cfg(feature = "gzip")]
fn gunzip(body: &[u8], decoder: &Decoder) -> Result<Cow<'static, [u8]>, Unreadable> {
    let unpacked = read_at_most(flate2::read::MultiGzDecoder::new(body), decoder.body_bytes_max);
    unpacked.map(Cow::Owned).map_err(|error| match error {
        TooMuch::Broken => Unreadable::new("body", "gzip, as its Content-Encoding says"),
        TooMuch::Beyond => {
            Unreadable::new("body", format!("at most {} bytes after decompression", decoder.body_bytes_max))
        }
    })
}

#[cfg(not(feature = "gzip"))]
fn gunzip(_: &[u8], _: &Decoder) -> Result<Cow<'static, [u8]>, Unreadable> {
    Err(Unreadable::new("body", "no compression: this program was built without the feature `gzip`"))
}

/// Why something was not unpacked.
#[cfg(feature = "gzip")]
pub(crate) enum TooMuch {
    Broken,
    Beyond,
}

/// Reads to the end, which is not beyond `bytes_max`.
#[cfg(feature = "gzip")]
pub(crate) fn read_at_most(reader: impl std::io::Read, bytes_max: usize) -> Result<Vec<u8>, TooMuch> {
    use std::io::Read as _;
    let mut unpacked = Vec::new();
    let most = (bytes_max as u64).saturating_add(1);
    reader.take(most).read_to_end(&mut unpacked).map_err(|_| TooMuch::Broken)?;
    if unpacked.len() > bytes_max { Err(TooMuch::Beyond) } else { Ok(unpacked) }
}

/// The format by the media type, and where that says nothing by the first bytes.
pub(crate) fn format(content_type: Option<&str>, body: &[u8]) -> Result<Format, Unreadable> {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let subtype = essence.split_once('/').map_or("", |(_, subtype)| subtype);
    let first = body.trim_ascii_start().first();
    match subtype.strip_prefix("x-").unwrap_or(subtype) {
        "msgpack" | "vnd.msgpack" => Ok(Format::MessagePack),
        "avro" | "avro-binary" => Ok(Format::Avro),
        "json" | "ndjson" | "jsonlines" => Ok(Format::Json),
        other if other.ends_with("+json") => Ok(Format::Json),
        _ if body.starts_with(b"Obj\x01") || body.starts_with(&[0xc3, 0x01]) => Ok(Format::Avro),
        // An array of three, and version 1.
        _ if body.starts_with(&[0x93, 0x01]) => Ok(Format::MessagePack),
        _ if matches!(first, Some(b'{' | b'[')) => Ok(Format::Json),
        _ => Err(Unreadable::new(
            "body",
            "JSON, newline-delimited JSON, MessagePack or Avro, and a Content-Type that says which",
        )),
    }
}

const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_decides_and_else_the_first_bytes() {
        for (content_type, body, expected) in [
            (Some("application/json; charset=utf-8"), &b"x"[..], Some(Format::Json)),
            (Some("application/x-ndjson"), b"", Some(Format::Json)),
            (Some("application/cloudevents+json"), b"", Some(Format::Json)),
            (Some("Application/X-MsgPack"), b"{", Some(Format::MessagePack)),
            (Some("application/msgpack"), b"", Some(Format::MessagePack)),
            (Some("application/avro"), b"{", Some(Format::Avro)),
            (Some("text/plain"), b" \n[", Some(Format::Json)),
            (None, b"{", Some(Format::Json)),
            (None, b"Obj\x01", Some(Format::Avro)),
            (None, b"\xc3\x01", Some(Format::Avro)),
            (Some("application/octet-stream"), b"\x93\x01\x01", Some(Format::MessagePack)),
            (None, b"sku=A-9", None),
            (None, b"", None),
        ] {
            assert_eq!(format(content_type, body).ok(), expected, "{content_type:?} {body:?}");
        }
    }
}
