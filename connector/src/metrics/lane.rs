//! The numbers of one lane.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use adapters::{Cause, Class};

use super::{ByCause, LetterStats, histogram::Histogram};

/// What one lane holds and has done. The lane writes, the management endpoint and the ticker read.
#[derive(Debug, Default)]
pub struct LaneStats {
    /// Records waiting to be sent, now.
    pub queued: AtomicU64,
    /// Requests sent and not yet answered, now.
    pub in_flight: AtomicU64,
    /// Records waiting for another attempt, or behind one that does, now.
    pub parked: AtomicU64,
    /// Most records the lane may hold.
    pub capacity: AtomicU64,
    /// Most requests at once, now.
    pub concurrency: AtomicU64,
    /// 0 while requests go, 1 while none does, 2 while one asks whether they may.
    pub breaker: AtomicU64,
    /// How long the destination still wants to be left alone, milliseconds, as last looked.
    pub pause_ms: AtomicU64,
    /// Why it needs an operator.
    pub holding: Holding,
    /// Requests sent, retries included.
    pub requests: AtomicU64,
    /// Bytes of their bodies.
    pub request_bytes: AtomicU64,
    /// Records in them.
    pub(crate) request_records: Histogram,
    /// Requests by the kind of their end.
    pub classes: ByClass,
    /// Answers by status.
    pub statuses: ByStatus,
    /// Records the destination confirmed.
    pub records_delivered: AtomicU64,
    /// Records sent again after a failed attempt.
    pub retries: AtomicU64,
    /// Requests that were sent again in parts.
    pub splits: AtomicU64,
    /// Records not sent because a newer version was.
    pub superseded: AtomicU64,
    /// Records refused because the lane was full.
    pub refused_full: AtomicU64,
    /// Records refused because the destination took nothing at that time.
    pub refused_closed: AtomicU64,
    /// Failed attempts of records, by cause.
    pub failures: ByCause,
    /// Records that no retry can help.
    pub letters: Arc<LetterStats>,
    /// Records shipped again that were not sent, because this destination had that very version.
    pub already_delivered: AtomicU64,
}

impl LaneStats {
    /// A request of so many records and bytes goes.
    pub(crate) fn sending(&self, records: usize, bytes: usize) {
        self.in_flight.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        self.request_bytes.fetch_add(bytes as u64, Relaxed);
        self.request_records.record(records as u64);
    }

    /// A request ended.
    pub(crate) fn ended(&self, status: Option<u16>) {
        self.in_flight.fetch_sub(1, Relaxed);
        if let Some(status) = status {
            self.statuses.add(status);
        }
    }
}

/// Counters by [`Class`].
#[derive(Debug, Default)]
pub struct ByClass([AtomicU64; Class::ALL.len()]);

impl ByClass {
    /// Counts one request.
    pub fn add(&self, class: Class) {
        self.0[class_index(class)].fetch_add(1, Relaxed);
    }

    /// The word for each class, those that never occurred included, and its count.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Class::ALL.iter().zip(&self.0).map(|(class, count)| (class.as_str(), count.load(Relaxed)))
    }
}

/// In the order of [`Class::ALL`].
fn class_index(class: Class) -> usize {
    match class {
        Class::Done => 0,
        Class::Partial => 1,
        Class::Transient => 2,
        Class::Throttled => 3,
        Class::Credentials => 4,
        Class::Hold => 5,
        Class::Record => 6,
    }
}

/// Counters by status. A peer cannot make more of them than there are statuses: others are counted under 0.
#[derive(Debug, Default)]
pub struct ByStatus(OnceLock<Box<[AtomicU64; STATUSES]>>);

const FIRST: u16 = 100;
const STATUSES: usize = 501;

impl ByStatus {
    /// Counts one answer.
    pub fn add(&self, status: u16) {
        let counts = self.0.get_or_init(|| Box::new([const { AtomicU64::new(0) }; STATUSES]));
        let index = status.checked_sub(FIRST).map(usize::from).filter(|index| *index < STATUSES - 1);
        counts[index.unwrap_or(STATUSES - 1)].fetch_add(1, Relaxed);
    }

    /// Each status that occurred, and its count.
    pub fn read(&self) -> Vec<(u16, u64)> {
        let counts = self.0.get().into_iter().flat_map(|counts| counts.iter());
        counts
            .map(|count| count.load(Relaxed))
            .zip((FIRST..FIRST + STATUSES as u16 - 1).chain([0]))
            .filter(|(count, _)| *count > 0)
            .map(|(count, status)| (status, count))
            .collect()
    }
}

/// What keeps a destination from taking anything until an operator acts, in one number that can be read at any time.
#[derive(Debug, Default)]
pub struct Holding(AtomicU64);

impl Holding {
    /// Takes note of it, or of its end.
    pub fn set(&self, what: Option<(Class, Cause)>) {
        let number = what.map_or(0, |(class, cause)| {
            let status = if let Cause::Status(status) = cause { u64::from(status) } else { 0 };
            1 << 32 | (class_index(class) as u64) << 16 | status
        });
        self.0.store(number, Relaxed);
    }

    /// The class, and the status where there was one; `None` while nothing keeps it.
    pub fn get(&self) -> Option<(Class, Option<u16>)> {
        let number = self.0.load(Relaxed);
        let class = Class::ALL.get((number >> 16 & 0xff) as usize).filter(|_| number > 0)?;
        Some((*class, Some(number as u16).filter(|status| *status > 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_read_back_under_its_own_word() {
        let classes = ByClass::default();
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class_index(class), index);
            (0..=index).for_each(|_| classes.add(class));
        }
        let read: Vec<_> = classes.read().collect();
        let expected: Vec<_> =
            Class::ALL.iter().zip(1..).map(|(class, count)| (class.as_str(), count)).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn statuses_are_counted_apart_and_nonsense_together() {
        let statuses = ByStatus::default();
        assert_eq!(statuses.read(), []);
        for status in [100, 200, 200, 599, 0, 99, 600, u16::MAX] {
            statuses.add(status);
        }
        assert_eq!(statuses.read(), [(100, 1), (200, 2), (599, 1), (0, 4)]);
    }

    #[test]
    fn what_holds_is_read_as_it_was_written() {
        let holding = Holding::default();
        assert_eq!(holding.get(), None);
        for (class, cause, status) in [
            (Class::Hold, Cause::Status(403), Some(403)),
            (Class::Credentials, Cause::Unauthorized, None),
            (Class::Done, Cause::Timeout, None),
        ] {
            holding.set(Some((class, cause)));
            assert_eq!(holding.get(), Some((class, status)));
        }
        holding.set(None);
        assert_eq!(holding.get(), None);
    }
}
