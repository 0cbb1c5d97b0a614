//! The numbers of one destination's dead letters.

use std::sync::atomic::AtomicU64;

use super::ByCause;

/// What became of the records that a destination does not take and that no retry can help.
///
/// A record is counted each time that XDR ships it, which it does again and again while it is held.
#[derive(Debug, Default)]
pub struct LetterStats {
    /// Handed to the dead-letter destination, by cause.
    pub sent: ByCause,
    /// Confirmed by the dead-letter destination, which acknowledges them.
    pub confirmed: AtomicU64,
    /// Refused for now, because there is no dead-letter destination or it cannot be used, by cause.
    pub held: ByCause,
    /// Given up because the operator wanted so, by cause.
    pub dropped: ByCause,
}
