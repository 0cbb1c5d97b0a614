//! Refused TLS connections, by reason.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::tls::Refusal;

/// Kinds of refusal.
pub const REFUSALS: usize = Refusal::ALL.len();

/// One counter for each kind of refusal.
#[derive(Debug, Default)]
pub struct ByRefusal([AtomicU64; REFUSALS]);

impl ByRefusal {
    /// One more.
    pub fn add(&self, refusal: Refusal) {
        self.0[refusal as usize].fetch_add(1, Relaxed);
    }

    /// Each kind with its count, those that never occurred too.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::ALL.into_iter().zip(&self.0).map(|(kind, count)| (kind.as_str(), count.load(Relaxed)))
    }
}
