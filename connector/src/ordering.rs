//! Last-update times of the records seen lately: whether a version is older than one that was already taken.
//!
//! Bounded in memory and in time: a record that was not heard of for the time to live, or that had to make room,
//! is forgotten, and then any version of it is taken. Nothing is kept over a restart. The clock is an argument.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use crate::notification::RecordId;

/// The newest last-update time of each record.
///
/// Two generations: what is heard of again moves to the younger one, and when that is full or a time to live old,
/// the elder is dropped whole. No record costs a timer or a place in a list.
#[derive(Debug)]
pub struct LutCache {
    ttl: Duration,
    /// Records in one generation of a shard.
    generation_max: usize,
    /// By the first byte of the digest, so that growing one of the tables holds up few.
    shards: Vec<Mutex<Generations>>,
    /// Records forgotten before their time, to make room.
    forgotten: AtomicU64,
}

type Generation = HashMap<RecordId, Seen, RandomState>;

#[derive(Debug)]
struct Generations {
    younger: Generation,
    elder: Generation,
    /// When the younger one began.
    since: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    lut_unix_ms: u64,
    at: Instant,
}

impl LutCache {
    /// Remembers at most `records_max` records, each for `ttl` after its last update was seen.
    pub fn new(ttl: Duration, records_max: usize, now: Instant) -> Self {
        let shard =
            || Generations { younger: Generation::default(), elder: Generation::default(), since: now };
        Self {
            ttl,
            generation_max: filling(records_max / SHARDS / 2),
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
            forgotten: AtomicU64::new(0),
        }
    }

    /// Takes note of a version. False when a newer one was seen before: this one is stale.
    pub fn observe(&self, record: &RecordId, lut_unix_ms: u64, now: Instant) -> bool {
        let mut generations = self.shard(record);
        if generations.newest(record, self.ttl, now).is_some_and(|newest| lut_unix_ms < newest) {
            return false;
        }
        let expired = now.saturating_duration_since(generations.since) >= self.ttl;
        let full =
            generations.younger.len() >= self.generation_max && !generations.younger.contains_key(record);
        if expired || full {
            let dropped = generations.begin(now);
            if !expired {
                self.forgotten.fetch_add(dropped as u64, Ordering::Relaxed);
            }
        }
        if generations.younger.insert(*record, Seen { lut_unix_ms, at: now }).is_none() {
            generations.elder.remove(record);
        }
        true
    }

    /// Whether a newer version than this was seen.
    pub fn is_stale(&self, record: &RecordId, lut_unix_ms: u64, now: Instant) -> bool {
        self.shard(record).newest(record, self.ttl, now).is_some_and(|newest| lut_unix_ms < newest)
    }

    /// Records remembered now.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether no record is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Records forgotten before their time, to make room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    fn shard(&self, record: &RecordId) -> MutexGuard<'_, Generations> {
        lock(&self.shards[usize::from(record.digest().0[0]) % SHARDS])
    }
}

const SHARDS: usize = 16;

/// The most records up to `records_max` that fill a hash table, which grows by doubling when seven in eight of its
/// places are taken: one more would cost as much again.
fn filling(records_max: usize) -> usize {
    match records_max {
        0 => 1,
        1..=7 => records_max,
        _ => (1 << (records_max / 7 * 8).ilog2()) / 8 * 7,
    }
}

fn lock(shard: &Mutex<Generations>) -> MutexGuard<'_, Generations> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Generations {
    fn newest(&self, record: &RecordId, ttl: Duration, now: Instant) -> Option<u64> {
        let seen = self.younger.get(record).or_else(|| self.elder.get(record))?;
        (now.saturating_duration_since(seen.at) < ttl).then_some(seen.lut_unix_ms)
    }

    /// Begins a new generation; tells how many records were dropped with the eldest.
    fn begin(&mut self, now: Instant) -> usize {
        let dropped = self.elder.len();
        self.elder = std::mem::take(&mut self.younger);
        self.since = now;
        dropped
    }

    fn len(&self) -> usize {
        self.younger.len() + self.elder.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Digest;

    fn record(n: u16) -> RecordId {
        let mut digest = [0; 20];
        digest[..2].copy_from_slice(&n.to_le_bytes());
        RecordId::new(b"test", Digest(digest))
    }

    #[test]
    fn generations_fill_their_tables() {
        for (records_max, expected) in
            [(0, 1), (3, 3), (7, 7), (8, 7), (14, 14), (27, 14), (28, 28), (31_250, 28_672)]
        {
            assert_eq!(filling(records_max), expected, "{records_max}");
            let mut table = Generation::default();
            table.reserve(expected);
            assert!(expected < 7 || table.capacity() == expected, "{} for {expected}", table.capacity());
        }
    }

    #[test]
    fn older_versions_are_stale_and_equal_ones_are_not() {
        let now = Instant::now();
        let cache = LutCache::new(Duration::from_secs(30), 100, now);
        assert!(cache.observe(&record(1), 50, now));
        assert!(cache.observe(&record(1), 50, now));
        assert!(!cache.observe(&record(1), 49, now));
        assert!(cache.observe(&record(1), 51, now));
        assert!(cache.is_stale(&record(1), 50, now) && !cache.is_stale(&record(1), 51, now));
        assert!(cache.observe(&record(2), 1, now), "another record");
        let elsewhere = RecordId::new(b"other", Digest([0; 20]));
        assert!(cache.observe(&elsewhere, 1, now), "the same key in another namespace");
    }

    #[test]
    fn a_record_is_forgotten_after_its_time_since_its_last_update() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let cache = LutCache::new(Duration::from_secs(30), 100, start);
        cache.observe(&record(1), 50, at(0));
        cache.observe(&record(1), 60, at(20));
        assert!(cache.is_stale(&record(1), 55, at(49)), "remembered since 20");
        assert!(!cache.is_stale(&record(1), 55, at(50)));
        assert!(cache.observe(&record(1), 55, at(51)));
        let same_shard = record(1 + SHARDS as u16);
        cache.observe(&same_shard, 1, at(200));
        cache.observe(&same_shard, 2, at(240));
        assert_eq!(cache.len(), 1, "the first record was dropped with its generation");
    }

    #[test]
    fn memory_is_bounded_and_what_had_to_go_is_counted() {
        let now = Instant::now();
        let cache = LutCache::new(Duration::from_secs(30), 1024, now);
        for n in 0..10_000 {
            cache.observe(&record(n), 1, now);
            assert!(cache.len() <= 1024);
        }
        assert!(!cache.observe(&record(9_999), 0, now), "the newest are remembered");
        assert!(cache.observe(&record(0), 0, now), "the oldest are not");
        assert_eq!(cache.forgotten() as usize + cache.len(), 10_001);
    }

    #[test]
    fn a_record_that_is_heard_of_stays_however_many_others_come() {
        let now = Instant::now();
        let cache = LutCache::new(Duration::from_secs(30), 320, now);
        for n in 1..5_000 {
            cache.observe(&record(0), n.into(), now);
            cache.observe(&record(n), 1, now);
        }
        assert!(cache.is_stale(&record(0), 4_998, now));
    }
}
