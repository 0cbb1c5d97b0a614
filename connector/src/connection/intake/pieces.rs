//! Where records are written, and kept until they are sent: many small ones share memory.
//!
//! Invariant: what one record keeps in memory beyond its own bytes is below [`SHARED_BYTES`], however long it waits.

use bytes::{Bytes, BytesMut};

/// Memory that records share. A record that waits keeps it all, so it holds a few, not hundreds.
const SHARED_BYTES: usize = 4096;

/// Larger records have memory of their own.
const SMALL_BYTES: usize = SHARED_BYTES / 4;

/// Room for a record that is being written which a connection keeps.
const KEEP_BYTES: usize = 16 * 1024;

/// The memory of one connection.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// For the record that is being written: how large it gets is not known before.
    scratch: Vec<u8>,
    shared: BytesMut,
}

impl Pieces {
    /// An empty buffer to write a record into; to be given back with [`Pieces::give_back`].
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }

    /// The buffer is not needed any more.
    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEEP_BYTES {
            buffer.clear();
            self.scratch = buffer;
        }
    }

    /// A copy to keep.
    pub(super) fn keep(&mut self, piece: &[u8]) -> Bytes {
        if piece.len() > SMALL_BYTES {
            return Bytes::copy_from_slice(piece);
        }
        if piece.len() > self.shared.capacity() {
            self.shared = BytesMut::with_capacity(SHARED_BYTES);
        }
        self.shared.extend_from_slice(piece);
        self.shared.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_records_share_memory_and_large_ones_do_not() {
        let mut pieces = Pieces::default();
        let small: Vec<_> = (0..SHARED_BYTES / 512).map(|n| pieces.keep(&[n as u8; 512])).collect();
        let addresses: Vec<_> = small.iter().map(|piece| piece.as_ptr() as usize).collect();
        assert!(addresses.windows(2).all(|two| two[1] == two[0] + 512), "side by side: {addresses:?}");
        let next = pieces.keep(&[9; 512]);
        assert!(!addresses.contains(&(next.as_ptr() as usize - 512)), "that memory is full");
        let large = pieces.keep(&[7; SMALL_BYTES + 1]);
        assert_eq!(
            (large.len(), pieces.keep(&[8]).as_ptr() as usize),
            (SMALL_BYTES + 1, next.as_ptr() as usize + 512)
        );
        assert!(small.iter().enumerate().all(|(n, piece)| piece.iter().all(|byte| usize::from(*byte) == n)));
    }

    #[test]
    fn the_buffer_comes_back_empty_and_an_unusual_one_not_at_all() {
        let mut pieces = Pieces::default();
        let mut buffer = pieces.buffer();
        buffer.extend_from_slice(&[1; 600]);
        pieces.give_back(buffer);
        let buffer = pieces.buffer();
        assert!(buffer.is_empty() && buffer.capacity() >= 600);
        pieces.give_back(Vec::with_capacity(KEEP_BYTES + 1));
        assert_eq!(pieces.buffer().capacity(), 0);
    }
}
