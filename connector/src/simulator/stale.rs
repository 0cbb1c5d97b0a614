//! Older versions that come again after a newer one.
//!
//! A source does that when a shipment it had given up was only slow, or when two of its nodes held the record. Such a
//! version need not be delivered: the newer one counts. After it, it must not be, where order was asked for.

use std::collections::VecDeque;

use super::{random::share, source::Queued, workload::Workload};

/// What one connection will ship again.
#[derive(Debug)]
pub(super) struct Stale {
    share: f64,
    seed: u64,
    /// Messages shipped on this connection, these repetitions aside.
    shipped: u64,
    /// To be shipped right behind its successor, which is then not even answered.
    next: Option<(Queued, u32)>,
    /// To be shipped [`LATER`] messages after its successor, which by then is usually delivered.
    later: VecDeque<(u64, Queued, u32)>,
}

impl Stale {
    pub(super) fn new(workload: &Workload) -> Self {
        Self {
            share: workload.stale_share,
            seed: workload.seed,
            shipped: 0,
            next: None,
            later: VecDeque::new(),
        }
    }

    /// This version was shipped: the one before it may come again.
    pub(super) fn after(&mut self, record: Queued, version: u32) {
        self.shipped += 1;
        if self.share == 0.0 || version < 2 {
            return;
        }
        let drawn = share(self.seed, STALE, u64::from(record.id) << 32 | u64::from(version));
        if drawn < self.share / 2.0 {
            self.next = Some((record, version - 1));
        } else if drawn < self.share {
            self.later.push_back((self.shipped + LATER, record, version - 1));
        }
    }

    /// An older version whose turn it is.
    pub(super) fn due(&mut self) -> Option<(Queued, u32)> {
        if let Some(next) = self.next.take() {
            return Some(next);
        }
        let (_, record, version) = self.later.pop_front_if(|(due, ..)| *due <= self.shipped)?;
        Some((record, version))
    }
}

const LATER: u64 = 300;
const STALE: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_come_at_once_and_half_later() {
        let workload = Workload { stale_share: 0.5, ..Workload::default() };
        let mut stale = Stale::new(&workload);
        let (mut at_once, mut later) = (0, 0);
        for id in 0..2000 {
            let record = Queued { id, digest: [0; 20] };
            stale.after(record, 1);
            assert_eq!(stale.due().map(|(_, version)| version).filter(|version| *version == 0), None);
            stale.after(record, 3);
            while let Some((old, version)) = stale.due() {
                assert_eq!(version, 2, "the version before");
                if old.id == id { at_once += 1 } else { later += 1 }
            }
        }
        assert!((430..570).contains(&at_once) && (350..570).contains(&later), "{at_once} and {later}");
    }

    #[test]
    fn without_a_share_nothing_comes_again() {
        let mut stale = Stale::new(&Workload::default());
        for version in 1..1000 {
            stale.after(Queued { id: 1, digest: [0; 20] }, version);
            assert!(stale.due().is_none());
        }
    }
}
