//! The numbers of the dead letters that one destination sends.

use std::sync::atomic::AtomicU64;

use super::ByCause;

/// What became of the records that a destination does not take and that no retry can help, where there is a place for
/// them. A record is counted each time that XDR ships it, which it does again and again until it is confirmed.
#[derive(Debug, Default)]
pub struct LetterStats {
    /// Handed to the dead-letter destination, by cause.
    pub sent: ByCause,
    /// Confirmed by the dead-letter destination, which acknowledges them.
    pub confirmed: AtomicU64,
}
