//! Gzip for request bodies.
//!
//! A compressor holds some 300 KB of tables; they are kept and reset, since building them anew costs more
//! than compressing a typical record.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

/// Compressors that wait for work; never more than have been at work at once.
#[derive(Default)]
pub(crate) struct Gzip {
    spare: Mutex<Vec<Compress>>,
}

impl Gzip {
    /// `body` as one gzip member.
    pub(crate) fn compress(&self, body: &[u8]) -> Bytes {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut compressor = spare.unwrap_or_else(|| Compress::new_gzip(Compression::fast(), WINDOW_BITS));
        let compressed = run(&mut compressor, body);
        compressor.reset();
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(compressor);
        compressed
    }
}

impl std::fmt::Debug for Gzip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gzip")
    }
}

fn run(compressor: &mut Compress, body: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(body.len() / 2 + 64);
    loop {
        let rest = body.get(compressor.total_in() as usize..).unwrap_or_default();
        // The only error is a stream already finished, and every stream starts reset.
        if let Ok(Status::StreamEnd) | Err(_) = compressor.compress_vec(rest, &mut out, FlushCompress::Finish)
        {
            return out.into();
        }
        out.reserve(body.len() / 2 + 64);
    }
}

const WINDOW_BITS: u8 = 15;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn inflate(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn a_reused_compressor_starts_afresh() {
        let gzip = Gzip::default();
        // The second body repeats the first: tables left over would show as a broken stream.
        for body in [&b"abcabcabc"[..], b"abcabcabc", b"", &[7; 100_000]] {
            assert_eq!(inflate(&gzip.compress(body)), body);
        }
        assert_eq!(gzip.spare.lock().unwrap().len(), 1);
    }

    #[test]
    fn what_does_not_shrink_still_fits() {
        let mut state = 1u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(200_000)
        .collect();
        assert_eq!(inflate(&Gzip::default().compress(&noise)), noise);
    }
}
