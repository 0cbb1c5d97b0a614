//! Counters by a name that is fixed in the code, found without a lock.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// A small table that only grows: the first use of a name takes a slot.
#[derive(Debug, Default)]
pub(super) struct Anomalies {
    slots: [Slot; SLOTS],
    other: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    kind: OnceLock<&'static str>,
    count: AtomicU64,
}

impl Anomalies {
    /// Counts one; with all slots taken, an unknown kind is counted as `other`.
    pub(super) fn add(&self, kind: &'static str) {
        let slot = self.slots.iter().find(|slot| *slot.kind.get_or_init(|| kind) == kind);
        slot.map_or(&self.other, |slot| &slot.count).fetch_add(1, Relaxed);
    }

    /// Each kind that occurred, and how often.
    pub(super) fn read(&self) -> Vec<(&'static str, u64)> {
        let named = self.slots.iter().filter_map(|slot| Some((*slot.kind.get()?, slot.count.load(Relaxed))));
        let other = Some(("other", self.other.load(Relaxed))).filter(|(_, count)| *count > 0);
        named.chain(other).collect()
    }
}

const SLOTS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_kind_and_overflows_into_other() {
        let anomalies = Anomalies::default();
        anomalies.add("late-answer");
        anomalies.add("wrong-outcome-count");
        anomalies.add("late-answer");
        assert_eq!(anomalies.read(), [("late-answer", 2), ("wrong-outcome-count", 1)]);

        for i in 0..40 {
            anomalies.add(Box::leak(format!("kind-{i}").into_boxed_str()));
        }
        let read = anomalies.read();
        assert_eq!(read.len(), SLOTS + 1);
        assert_eq!(read[SLOTS], ("other", 10));
        assert_eq!(read.iter().map(|(_, count)| count).sum::<u64>(), 43);
    }
}
