//! The memory of partial success: which destinations have the version of a record that XDR ships again.
//!
//! A record that goes to several destinations is acknowledged only when all have it. While one of them fails, XDR ships
//! the record again, and it goes only to those that still need it. A destination is passed over only while what it got
//! last of the record is surely this very version; whatever is unsure, forgotten or unknown costs duplicates, never a
//! change. Nothing is kept over a restart.

use std::{
    hash::{BuildHasher, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use foldhash::quality::RandomState;

use self::table::{DESTINATIONS_MAX, Set, Table};
use crate::{notification::RecordId, wire::message::layout};

mod table;

/// Tables, by the first byte of the digest, so that connections seldom wait for each other.
const SHARDS: usize = 16;

/// Below this bound one table is enough.
const SHARDED_FROM: usize = 1024;

/// What is known of versions that some of their destinations have.
#[derive(Debug)]
pub struct Delivered {
    shards: Vec<Mutex<Table>>,
    hashing: RandomState,
    forgotten: AtomicU64,
}

/// Where a record is about to go: positions of destinations, and the number of the configuration that they are positions in.
#[derive(Clone, Copy, Debug)]
pub struct Destinations<'a> {
    /// In the router of that configuration.
    pub positions: &'a [usize],
    /// The same position may be another destination in another one.
    pub of: u64,
}

/// Which version of a record a message holds, and how it is to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u64);

impl Delivered {
    /// Remembers at most `records_max` records that only wait for XDR to ship them again.
    pub fn new(records_max: usize) -> Self {
        let shards = if records_max < SHARDED_FROM { 1 } else { SHARDS };
        Self {
            shards: (0..shards).map(|_| Mutex::new(Table::new(records_max / shards))).collect(),
            hashing: RandomState::default(),
            forgotten: AtomicU64::new(0),
        }
    }

    /// The version that `body`, the body of a message, holds for route number `route`.
    ///
    /// Two messages hold the same version when they are equal but for their times to live, which shrink from shipment to
    /// shipment. Ask only for messages with a last-update time: without one, equal messages may be different versions.
    pub fn version(&self, body: &[u8], route: usize) -> Version {
        let mut hasher = self.hashing.build_hasher();
        hasher.write(body.get(..layout::TTLS.start).unwrap_or(body));
        hasher.write(body.get(layout::TTLS.end..).unwrap_or_default());
        hasher.write_usize(route);
        Version(hasher.finish())
    }

    /// Takes note of a record that is about to go to `destinations`. Without a `version` it goes to all of them, and only
    /// makes what is known of other versions worthless.
    pub fn ship(
        self: &Arc<Self>,
        record: RecordId,
        version: Option<Version>,
        destinations: Destinations<'_>,
    ) -> Arc<Shipment> {
        let Destinations { positions: destinations, of } = destinations;
        // There is no partial success with one destination.
        let countable = destinations.len() > 1 && destinations.iter().all(|d| *d < DESTINATIONS_MAX);
        let version = version.filter(|_| countable).map(|version| version.0);
        let (epoch, has) = self.shard(&record).ship(record, version, Set::of(destinations), of);
        Arc::new(Shipment { memory: Arc::clone(self), record, epoch, of, has })
    }

    /// Records remembered because some of their destinations have them and others do not.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).idle()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Records forgotten to make room: they go to all of their destinations again.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    fn shard(&self, record: &RecordId) -> MutexGuard<'_, Table> {
        lock(&self.shards[usize::from(record.digest().0[0]) % self.shards.len()])
    }
}

fn lock(shard: &Mutex<Table>) -> MutexGuard<'_, Table> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One record on its way to its destinations.
#[derive(Debug)]
pub struct Shipment {
    memory: Arc<Delivered>,
    record: RecordId,
    epoch: u64,
    of: u64,
    has: Set,
}

impl Shipment {
    /// Whether a destination has this version already.
    pub fn is_at(&self, destination: usize) -> bool {
        self.has.contains(destination)
    }
}

impl Drop for Shipment {
    fn drop(&mut self) {
        let forgotten = self.memory.shard(&self.record).closed(&self.record, self.epoch);
        self.memory.forgotten.fetch_add(forgotten, Ordering::Relaxed);
    }
}

/// The part of a [`Shipment`] that concerns one destination.
#[derive(Debug)]
pub struct Share {
    shipment: Arc<Shipment>,
    destination: usize,
}

impl Share {
    /// The part of the destination at this position in the router.
    pub fn new(shipment: &Arc<Shipment>, destination: usize) -> Self {
        Self { shipment: Arc::clone(shipment), destination }
    }

    /// Nothing more happens to the record at this destination, which has it when `delivered`.
    pub(crate) fn ended(&self, delivered: bool) {
        let Shipment { memory, record, epoch, of, .. } = &*self.shipment;
        memory.shard(record).ended(record, (*epoch, *of), self.destination, delivered);
    }

    /// XDR did not hear of its end, and ships the record again whatever it was.
    pub(crate) fn unheard(self) {
        let Shipment { memory, record, epoch, .. } = &*self.shipment;
        memory.shard(record).unheard(record, *epoch);
    }
}

#[cfg(test)]
mod tests;
