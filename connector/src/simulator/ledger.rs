//! The ledger: what was acknowledged must have been delivered.
//!
//! The source writes down what it shipped and what was acknowledged, the receiver what it confirmed; the
//! [`Account`] compares them. Twelve bytes a record, no locks: both sides write at full speed.
//!
//! A record is known by its number and its version. XDR ships the current version only, so an acknowledged
//! version counts as delivered when it or a newer one was confirmed.

use std::{
    fmt,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
};

/// Stands for "the last version there will be": what a delete delivers when its format carries no version.
/// The workload deletes a record only once, as its last change.
pub const LAST: u32 = u32::MAX;

/// Shipped, acknowledged and delivered versions of every record. Versions start at 1; 0 is none.
#[derive(Debug)]
pub struct Ledger {
    records: Vec<Record>,
    shipped: AtomicU64,
    acked: AtomicU64,
    delivered: AtomicU64,
    duplicates: AtomicU64,
    reordered: AtomicU64,
    early: AtomicU64,
    foreign: AtomicU64,
}

/// The newest version of one record at each stage.
#[derive(Debug, Default)]
struct Record {
    shipped: AtomicU32,
    acked: AtomicU32,
    delivered: AtomicU32,
}

impl Ledger {
    /// A ledger for records numbered from 0 to `records`, exclusive.
    pub fn new(records: usize) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            records: std::iter::repeat_with(Record::default).take(records).collect(),
            shipped: zero(),
            acked: zero(),
            delivered: zero(),
            duplicates: zero(),
            reordered: zero(),
            early: zero(),
            foreign: zero(),
        }
    }

    /// The source put this version on the wire.
    pub fn shipped(&self, id: u64, version: u32) {
        if let Some(record) = self.record(id)
            && record.shipped.fetch_max(version, SeqCst) < version
        {
            self.shipped.fetch_add(1, SeqCst);
        }
    }

    /// The connector acknowledged this version as delivered.
    pub fn acked(&self, id: u64, version: u32) {
        let Some(record) = self.record(id) else { return };
        if record.acked.fetch_max(version, SeqCst) < version {
            self.acked.fetch_add(1, SeqCst);
        }
        if record.delivered.load(SeqCst) < version {
            self.early.fetch_add(1, SeqCst);
        }
    }

    /// The receiver has this version in hand and has not answered. An older version that arrives after a
    /// newer one was confirmed is an order violation, whether it is confirmed or not.
    pub fn arrived(&self, id: u64, version: u32) {
        if let Some(record) = self.record(id)
            && record.delivered.load(SeqCst) > version
        {
            self.reordered.fetch_add(1, SeqCst);
        }
    }

    /// The receiver is about to confirm this version.
    pub fn delivered(&self, id: u64, version: u32) {
        let Some(record) = self.record(id) else { return };
        if record.delivered.fetch_max(version, SeqCst) < version {
            self.delivered.fetch_add(1, SeqCst);
        } else {
            self.duplicates.fetch_add(1, SeqCst);
        }
    }

    /// How things stand. Final once the source has finished and the receiver is idle.
    pub fn account(&self) -> Account {
        let lost = self.records.iter().filter(|record| {
            let acked = record.acked.load(SeqCst);
            record.delivered.load(SeqCst) < acked
        });
        Account {
            shipped: self.shipped.load(SeqCst),
            acked: self.acked.load(SeqCst),
            delivered: self.delivered.load(SeqCst),
            duplicates: self.duplicates.load(SeqCst),
            lost: lost.count() as u64,
            reordered: self.reordered.load(SeqCst),
            early: self.early.load(SeqCst),
            foreign: self.foreign.load(SeqCst),
        }
    }

    /// The counters of [`Ledger::account`] that cost nothing to read: shipped, acked, delivered.
    pub fn progress(&self) -> (u64, u64, u64) {
        (self.shipped.load(SeqCst), self.acked.load(SeqCst), self.delivered.load(SeqCst))
    }

    fn record(&self, id: u64) -> Option<&Record> {
        let record = usize::try_from(id).ok().and_then(|id| self.records.get(id));
        if record.is_none() {
            self.foreign.fetch_add(1, SeqCst);
        }
        record
    }
}

/// The result of a run. Everything but `lost` counts versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Account {
    /// Versions put on the wire, each once however often it was sent.
    pub shipped: u64,
    /// Versions acknowledged as delivered, each once.
    pub acked: u64,
    /// Versions confirmed by the receiver, each once.
    pub delivered: u64,
    /// Confirmed deliveries that brought nothing new. At-least-once allows them.
    pub duplicates: u64,
    /// Records whose newest acknowledged version never arrived, nor a newer one. Must be 0.
    pub lost: u64,
    /// Arrivals of an older version after a newer one had been confirmed.
    pub reordered: u64,
    /// Acknowledgements that came before the receiver's confirmation. Known only when source and receiver
    /// run in one process.
    pub early: u64,
    /// Records that are not this run's.
    pub foreign: u64,
}

impl Account {
    /// Whether nothing was lost and, if it matters, no older version came after a newer one.
    pub fn is_good(&self, ordered: bool) -> bool {
        self.lost == 0 && (!ordered || self.reordered == 0)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shipped, acked, delivered, duplicates, lost, reordered, early, foreign } = self;
        write!(
            f,
            "shipped {shipped}, acked {acked}, delivered {delivered}, duplicates {duplicates}, lost {lost}"
        )?;
        for (count, what) in
            [(reordered, "reordered"), (early, "acknowledged before delivery"), (foreign, "of another run")]
        {
            if *count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_run_balances() {
        let ledger = Ledger::new(3);
        for id in 0..3 {
            ledger.shipped(id, 1);
            ledger.arrived(id, 1);
            ledger.delivered(id, 1);
            ledger.acked(id, 1);
        }
        assert_eq!(ledger.account(), Account { shipped: 3, acked: 3, delivered: 3, ..Account::default() });
    }

    #[test]
    fn an_acknowledged_record_that_never_arrived_is_lost() {
        let ledger = Ledger::new(2);
        ledger.shipped(0, 1);
        ledger.acked(0, 1);
        ledger.shipped(1, 1);
        let account = ledger.account();
        assert_eq!((account.lost, account.early), (1, 1), "shipped but not acknowledged is not lost");
    }

    #[test]
    fn an_old_version_does_not_stand_for_a_newer_one() {
        let ledger = Ledger::new(1);
        ledger.delivered(0, 1);
        ledger.acked(0, 2);
        assert_eq!(ledger.account().lost, 1);
        ledger.delivered(0, 3);
        assert_eq!(ledger.account().lost, 0, "a newer version makes up for it");
    }

    #[test]
    fn an_ack_before_the_confirmation_is_seen_even_if_delivery_follows() {
        let ledger = Ledger::new(1);
        ledger.acked(0, 1);
        ledger.delivered(0, 1);
        let account = ledger.account();
        assert_eq!((account.lost, account.early), (0, 1));
    }

    #[test]
    fn repeats_and_order_violations_are_told_apart() {
        let ledger = Ledger::new(1);
        for version in [1, 1, 3, 2] {
            ledger.arrived(0, version);
            ledger.delivered(0, version);
        }
        let account = ledger.account();
        assert_eq!((account.delivered, account.duplicates, account.reordered), (2, 2, 1));
        assert!(account.is_good(false) && !account.is_good(true));
    }

    #[test]
    fn an_older_version_in_hand_before_the_newer_was_confirmed_is_no_violation() {
        let ledger = Ledger::new(1);
        ledger.arrived(0, 1);
        ledger.arrived(0, 2);
        ledger.delivered(0, 2);
        ledger.delivered(0, 1);
        assert_eq!(ledger.account().reordered, 0);
    }

    #[test]
    fn a_delete_without_a_version_stands_for_all() {
        let ledger = Ledger::new(1);
        ledger.delivered(0, LAST);
        ledger.acked(0, 17);
        assert_eq!(ledger.account().lost, 0);
    }

    #[test]
    fn records_of_another_run_are_counted_apart() {
        let ledger = Ledger::new(1);
        ledger.delivered(7, 1);
        let account = ledger.account();
        assert_eq!((account.delivered, account.foreign), (0, 1));
    }
}
