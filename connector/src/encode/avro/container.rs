//! The object container file: a header with the schema, and one block of pieces without compression.

use bytes::Bytes;
use ripemd::{Digest as _, Ripemd160};

use super::primitive::{len_bytes, write_bytes, write_len};

/// Puts pieces into an object container file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    /// Magic, metadata and sync marker.
    head: Bytes,
    sync: [u8; SYNC_BYTES],
}

const SYNC_BYTES: usize = 16;

impl Container {
    /// Files that carry `schema` as it was given.
    ///
    /// The sync marker separates blocks within one file, so it can be made from the schema: no chance is
    /// needed, and equal records make equal files. No codec in the header means no compression.
    pub(super) fn new(schema: &str) -> Self {
        let mut sync = [0; SYNC_BYTES];
        sync.copy_from_slice(&Ripemd160::digest(schema)[..SYNC_BYTES]);

        let mut head = b"Obj\x01".to_vec();
        write_len(1, &mut head);
        write_bytes(b"avro.schema", &mut head);
        write_bytes(schema.as_bytes(), &mut head);
        head.push(0);
        head.extend_from_slice(&sync);
        Self { head: head.into(), sync }
    }

    /// Exact size of the file that holds `count` pieces of together `bytes` bytes.
    pub(crate) fn file_bytes(&self, count: usize, bytes: usize) -> usize {
        self.head.len() + len_bytes(count) + len_bytes(bytes) + bytes + SYNC_BYTES
    }

    /// Appends everything that stands before `count` pieces of together `bytes` bytes.
    pub(crate) fn begin(&self, count: usize, bytes: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        write_len(count, out);
        write_len(bytes, out);
    }

    /// Appends everything that stands after the pieces.
    pub(crate) fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.sync);
    }
}
