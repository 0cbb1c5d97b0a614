//! The door of the fuzz targets to the bodies of incoming requests.

use super::body;
use crate::wire::{
    frame::{self, HEADER_BYTES},
    message,
};

const FRAME_BYTES_MAX: usize = 1 << 20;

/// A body as it came, and what it holds if it is gzip.
///
/// # Panics
/// When a frame, or what is inflated, is larger than it may be.
pub fn body(bytes: &[u8]) {
    as_frame(bytes);
    if body::gzip_bytes(bytes).is_ok_and(|found| found <= FRAME_BYTES_MAX + HEADER_BYTES)
        && let Ok(inflated) = body::gunzip(bytes)
    {
        assert!(inflated.len() <= FRAME_BYTES_MAX + HEADER_BYTES);
        as_frame(&inflated);
    }
}

fn as_frame(bytes: &[u8]) {
    let mut scratch = Vec::new();
    if let Ok(frame) = body::frame(bytes, FRAME_BYTES_MAX, &mut scratch) {
        assert!(frame.bytes.len() <= bytes.len() + HEADER_BYTES, "made up");
        let _ = frame::inflated_bytes(frame);
        let _ = message::decode(frame.body(), 1_700_000_000_000);
    }
}
