//! Writes XDR messages as a source server does, straight into the send buffer.
//!
//! Written from the protocol reference alone and shared with nothing in `wire`: the encoder here and the
//! decoder there must never vouch for each other. Golden bytes from elsewhere check both.

use std::io::Write as _;

use flate2::{Compression, write::ZlibEncoder};
use ripemd::{Digest as _, Ripemd160};

use super::particle::Particle;

/// What a message says about its record, bins aside.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// What happened.
    pub change: Change,
    /// 1 to 31 bytes.
    pub namespace: &'a [u8],
    /// `None` leaves the field out.
    pub set: Option<&'a [u8]>,
    /// See [`digest`].
    pub digest: [u8; 20],
    /// Present when the server stores it.
    pub user_key: Option<UserKey<'a>>,
    /// Modification count; 0 means not shipped.
    pub generation: u32,
    /// As on the wire: 0 is the namespace's default, `u32::MAX` is never.
    pub ttl_seconds: u32,
    /// Last-update time; servers before 5.4 ship none.
    pub lut_unix_ms: Option<u64>,
}

/// What happened to the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A write that merges into the record.
    Update,
    /// A write that carries all bins.
    Replace,
    /// A delete, an expiry or an eviction.
    Delete,
    /// A delete that leaves a tombstone.
    DurableDelete,
}

/// The key the client used.
#[derive(Clone, Copy, Debug)]
pub enum UserKey<'a> {
    /// 64 bits, signed.
    Integer(i64),
    /// UTF-8.
    String(&'a [u8]),
    /// Raw bytes.
    Blob(&'a [u8]),
}

/// The identity a server gives a record: RIPEMD-160 of set, key type and key value. No namespace.
pub fn digest(set: Option<&[u8]>, key: UserKey<'_>) -> [u8; 20] {
    let mut hash = Ripemd160::new();
    hash.update(set.unwrap_or_default());
    match key {
        UserKey::Integer(value) => {
            hash.update([1]);
            hash.update(value.to_be_bytes());
        }
        UserKey::String(value) => {
            hash.update([3]);
            hash.update(value);
        }
        UserKey::Blob(value) => {
            hash.update([4]);
            hash.update(value);
        }
    }
    hash.finalize().into()
}

/// One message being written at the end of a buffer.
///
/// Bins go in one by one; [`Message::finish`] fills in what is only known then. A message that is dropped
/// unfinished leaves a torn frame behind.
#[derive(Debug)]
#[must_use]
pub struct Message<'b> {
    out: &'b mut Vec<u8>,
    start: usize,
    ops: u16,
}

impl<'b> Message<'b> {
    /// Writes header and fields.
    pub fn begin(out: &'b mut Vec<u8>, head: &Head<'_>) -> Self {
        let start = out.len();
        let (info2, info3) = match head.change {
            Change::Update => (INFO2_WRITE, 0),
            Change::Replace => (INFO2_WRITE, INFO3_REPLACE),
            Change::Delete => (INFO2_WRITE | INFO2_DELETE, 0),
            Change::DurableDelete => (INFO2_WRITE | INFO2_DELETE | INFO2_DURABLE, 0),
        };
        let fields = 2
            + u16::from(head.set.is_some())
            + u16::from(head.user_key.is_some())
            + u16::from(head.lut_unix_ms.is_some());
        out.extend_from_slice(&[PROTO_VERSION, TYPE_MESSAGE, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&[MESSAGE_HEADER_BYTES, INFO1_XDR, info2, info3, 0, 0]);
        out.extend_from_slice(&head.generation.to_be_bytes());
        out.extend_from_slice(&head.ttl_seconds.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&fields.to_be_bytes());
        out.extend_from_slice(&[0; 2]);

        field(out, FIELD_NAMESPACE, &[head.namespace]);
        if let Some(set) = head.set {
            field(out, FIELD_SET, &[set]);
        }
        field(out, FIELD_DIGEST, &[&head.digest]);
        match head.user_key {
            Some(UserKey::Integer(value)) => field(out, FIELD_KEY, &[&[1], &value.to_be_bytes()]),
            Some(UserKey::String(value)) => field(out, FIELD_KEY, &[&[3], value]),
            Some(UserKey::Blob(value)) => field(out, FIELD_KEY, &[&[4], value]),
            None => {}
        }
        if let Some(lut_unix_ms) = head.lut_unix_ms {
            field(out, FIELD_LUT, &[&lut_unix_ms.saturating_sub(CL_EPOCH_UNIX_MS).to_be_bytes()]);
        }
        Self { out, start, ops: 0 }
    }

    /// Adds a bin. Names longer than 15 bytes do not exist in Aerospike and are cut.
    pub fn bin(&mut self, name: &[u8], value: &Particle<'_>) {
        let name = &name[..name.len().min(BIN_NAME_BYTES_MAX)];
        let start = self.out.len();
        self.out.extend_from_slice(&[0, 0, 0, 0, OP_WRITE, value.particle_type(), 0, name.len() as u8]);
        self.out.extend_from_slice(name);
        value.write(self.out);
        let op_bytes = (self.out.len() - start - 4) as u32;
        self.out[start..start + 4].copy_from_slice(&op_bytes.to_be_bytes());
        self.ops += 1;
    }

    /// Fills in op count and size.
    pub fn finish(mut self) {
        self.seal();
    }

    /// Like [`Message::finish`], then wraps the message in a compressed frame if it is large enough and
    /// shrinks, as XDR does with `enable-compression`. Says whether it did.
    pub fn finish_compressed(mut self) -> bool {
        self.seal();
        let Self { out, start, .. } = self;
        let plain_bytes = out.len() - start;
        if plain_bytes < COMPRESSION_THRESHOLD_BYTES {
            return false;
        }
        let mut wrapped = vec![PROTO_VERSION, TYPE_COMPRESSED, 0, 0, 0, 0, 0, 0];
        wrapped.extend_from_slice(&(plain_bytes as u64).to_be_bytes());
        let mut zlib = ZlibEncoder::new(wrapped, Compression::fast());
        let compressed = zlib.write_all(&out[start..]).and_then(|()| zlib.finish());
        let Ok(mut wrapped) = compressed else { return false };
        if wrapped.len() >= plain_bytes {
            return false;
        }
        let size = size_field(wrapped.len() - PROTO_BYTES);
        wrapped[2..8].copy_from_slice(&size);
        out.truncate(start);
        out.extend_from_slice(&wrapped);
        true
    }

    fn seal(&mut self) {
        let body_bytes = self.out.len() - self.start - PROTO_BYTES;
        self.out[self.start + 28..self.start + 30].copy_from_slice(&self.ops.to_be_bytes());
        self.out[self.start + 2..self.start + 8].copy_from_slice(&size_field(body_bytes));
    }
}

fn field(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let data_bytes: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&(data_bytes as u32 + 1).to_be_bytes());
    out.push(kind);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// The six size bytes of a frame header.
fn size_field(body_bytes: usize) -> [u8; 6] {
    let [_, _, size @ ..] = (body_bytes as u64).to_be_bytes();
    size
}

const PROTO_VERSION: u8 = 2;
const PROTO_BYTES: usize = 8;
const TYPE_MESSAGE: u8 = 3;
const TYPE_COMPRESSED: u8 = 4;
const MESSAGE_HEADER_BYTES: u8 = 22;
const INFO1_XDR: u8 = 0x10;
const INFO2_WRITE: u8 = 0x01;
const INFO2_DELETE: u8 = 0x02;
const INFO2_DURABLE: u8 = 0x10;
const INFO3_REPLACE: u8 = 0x10;
const FIELD_NAMESPACE: u8 = 0;
const FIELD_SET: u8 = 1;
const FIELD_KEY: u8 = 2;
const FIELD_DIGEST: u8 = 4;
const FIELD_LUT: u8 = 14;
const OP_WRITE: u8 = 2;
const BIN_NAME_BYTES_MAX: usize = 15;
/// XDR's smallest (and default) threshold.
const COMPRESSION_THRESHOLD_BYTES: usize = 128;
/// 2010-01-01T00:00:00Z.
const CL_EPOCH_UNIX_MS: u64 = 1_262_304_000_000;

#[cfg(test)]
mod tests;
