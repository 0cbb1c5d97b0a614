//! Object container files: a header with the schema, then blocks of data. Pure.

use super::{
    AvroSchema,
    datum::{Reader, counted, long, malformed, take},
    record,
};
use crate::{Malformed, Notification};

/// Whether it begins as a file does.
pub(crate) fn is_container(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The records in a file, whose blocks together unpack to at most `bytes_max` bytes.
pub(super) fn read(bytes: &[u8], bytes_max: usize) -> Result<Vec<Notification>, Malformed> {
    let mut bytes = bytes.strip_prefix(MAGIC).ok_or_else(|| malformed("a file that begins with Obj"))?;
    let (schema, codec) = header(&mut bytes)?;
    let sync = take(&mut bytes, SYNC_BYTES)?;
    let schema = AvroSchema::parse(std::str::from_utf8(schema).map_err(|_| malformed("a schema in UTF-8"))?)?;
    let mut records = Vec::new();
    let mut bytes_left = bytes_max;
    while !bytes.is_empty() {
        let count = long(&mut bytes)?;
        let block = codec.unpacked(counted(&mut bytes)?, bytes_left)?;
        if take(&mut bytes, SYNC_BYTES)? != sync {
            return Err(malformed("the sync marker behind each block"));
        }
        bytes_left -= block.len().min(bytes_left);
        let reader = Reader::new(&schema.0, block.len())?;
        let mut rest = &block[..];
        for _ in 0..count {
            records.push(record(reader.read(&mut rest)?)?);
        }
        if !rest.is_empty() {
            return Err(malformed("as many records in a block as it says"));
        }
    }
    Ok(records)
}

/// How the blocks of a file are packed.
enum Codec {
    Null,
    #[cfg(feature = "gzip")]
    Deflate,
}

impl Codec {
    fn named(name: &[u8]) -> Result<Self, Malformed> {
        match name {
            b"null" => Ok(Self::Null),
            #[cfg(feature = "gzip")]
            b"deflate" => Ok(Self::Deflate),
            _ => Err(malformed("the codec null or deflate")),
        }
    }

    fn unpacked<'b>(
        &self,
        block: &'b [u8],
        bytes_max: usize,
    ) -> Result<std::borrow::Cow<'b, [u8]>, Malformed> {
        match self {
            Self::Null if block.len() <= bytes_max => Ok(block.into()),
            #[cfg(feature = "gzip")]
            Self::Deflate => {
                let reader = flate2::read::DeflateDecoder::new(block);
                let unpacked = crate::body::read_at_most(reader, bytes_max);
                unpacked
                    .map(Into::into)
                    .map_err(|_| malformed("blocks that unpack, and not to more than the limit"))
            }
            Self::Null => Err(malformed("no more bytes than the limit")),
        }
    }
}

/// Schema and codec.
fn header<'b>(bytes: &mut &'b [u8]) -> Result<(&'b [u8], Codec), Malformed> {
    let (mut schema, mut codec) = (None, Codec::Null);
    loop {
        let count = long(bytes)?;
        if count == 0 {
            break;
        }
        if count < 0 {
            long(bytes)?;
        }
        for _ in 0..count.unsigned_abs() {
            match (counted(bytes)?, counted(bytes)?) {
                (b"avro.schema", value) => schema = Some(value),
                (b"avro.codec", value) => codec = Codec::named(value)?,
                _ => {}
            }
        }
    }
    Ok((schema.ok_or_else(|| malformed("a schema in the file"))?, codec))
}

const MAGIC: &[u8] = b"Obj\x01";
const SYNC_BYTES: usize = 16;
