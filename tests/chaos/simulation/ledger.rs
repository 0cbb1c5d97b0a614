//! What was written, shipped, delivered and acknowledged, and whether that fits together. Checked with every entry.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{events::Events, network::Network};

/// A version of a record: its number, and that of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub key: usize,
    pub number: u64,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.key, self.number)
    }
}

/// What the configuration promises.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    /// Destinations that each record goes to.
    pub destinations: usize,
    /// No version after a newer one, and older ones may be left out.
    pub ordering: bool,
    /// A record that destination 0 takes in no version: its dead letters count, and it may be held.
    pub poison: Option<usize>,
    /// Streams of one connection are given up alone, which nobody sees from outside before this time.
    pub http2_patience: Option<Duration>,
}

/// Clones are the same.
#[derive(Clone)]
pub struct Ledger {
    book: Arc<Mutex<Book>>,
    events: Events,
    network: Network,
    promises: Arc<Promises>,
    /// Told when something was acknowledged or written.
    pub changed: Arc<Notify>,
}

struct Book {
    records: Vec<Record>,
    /// By destination and record, the versions that are there.
    delivered: Vec<Vec<BTreeSet<u64>>>,
    /// Requests that are being handled, by destination and record.
    open: BTreeMap<(usize, usize), Open>,
    /// The connection and the place on it of the first and the last time that a version was shipped.
    shipped: BTreeMap<(usize, u64), (Place, Place)>,
    /// When a version was shipped first: a request may be of that time, however often it has been shipped since.
    shipped_at: BTreeMap<(usize, u64), Instant>,
    next_place: u64,
    /// By destination and record, the newest version that a request came for.
    newest_begun: Vec<Vec<u64>>,
    acks: u64,
    refusals: u64,
    duplicates: u64,
    longest_unanswered: Duration,
}

type Place = (u64, u64);

#[derive(Clone, Debug, Default)]
struct Record {
    newest: u64,
    acknowledged: u64,
    in_flight: BTreeMap<u64, usize>,
    not_before: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Open {
    connection: u64,
    begun: Instant,
    version: u64,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub versions: u64,
    pub acks: u64,
    pub refusals: u64,
    pub duplicates: u64,
    pub longest_unanswered: Duration,
}

impl Ledger {
    pub fn new(records: usize, promises: Promises, events: Events, network: Network) -> Self {
        // And one for dead letters of the first.
        let destinations = promises.destinations + 1;
        let book = Book {
            records: vec![Record::default(); records],
            delivered: vec![vec![BTreeSet::new(); records]; destinations],
            open: BTreeMap::new(),
            shipped: BTreeMap::new(),
            shipped_at: BTreeMap::new(),
            next_place: 0,
            newest_begun: vec![vec![0; records]; destinations],
            acks: 0,
            refusals: 0,
            duplicates: 0,
            longest_unanswered: Duration::ZERO,
        };
        Self {
            book: Arc::new(Mutex::new(book)),
            events,
            network,
            promises: Arc::new(promises),
            changed: Arc::new(Notify::new()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An application writes a record.
    pub fn write(&self, key: usize) {
        self.lock().records[key].newest += 1;
        self.changed.notify_waiters();
    }

    /// The next of the records `keys` that has to be shipped; the ones refused lately come later. With `overlapping` also
    /// one of which an older version is unanswered.
    pub fn next(&self, keys: &[usize], overlapping: bool) -> Option<Version> {
        let book = self.lock();
        let now = Instant::now();
        keys.iter().find_map(|&key| {
            let record = &book.records[key];
            let waits = record.not_before.is_some_and(|at| at > now);
            let flies = if overlapping {
                record.in_flight.contains_key(&record.newest)
            } else {
                !record.in_flight.is_empty()
            };
            let due = record.newest > record.acknowledged && !waits && !flies;
            due.then_some(Version { key, number: record.newest })
        })
    }

    /// A source ships a version on one of its connections.
    pub fn ship(&self, version: Version, connection: u64) {
        let mut book = self.lock();
        book.next_place += 1;
        let place = (connection, book.next_place);
        let shipped = book.shipped.entry((version.key, version.number)).or_insert((place, place));
        shipped.1 = place;
        book.shipped_at.entry((version.key, version.number)).or_insert_with(Instant::now);
        *book.records[version.key].in_flight.entry(version.number).or_default() += 1;
        self.events.note(&format_args!("source {connection} ships {version}"));
    }

    /// A connection of a source has ended: what was unanswered on it will be shipped again.
    pub fn lost(&self, version: Version) {
        self.lock().records[version.key].landed(version.number);
        self.changed.notify_waiters();
    }

    /// A version was answered `after` it had been sent.
    pub fn answered(&self, version: Version, connection: u64, success: bool, after: Duration) {
        let mut book = self.lock();
        book.longest_unanswered = book.longest_unanswered.max(after);
        self.events.note(&format_args!(
            "source {connection} is answered {version}: {} after {} ms",
            if success { "ok" } else { "again" },
            after.as_millis()
        ));
        let record = &mut book.records[version.key];
        record.landed(version.number);
        if success {
            record.acknowledged = record.acknowledged.max(version.number);
            book.acks += 1;
            self.check_delivered(&book, version);
        } else {
            record.not_before = Some(Instant::now() + RETRY_PAUSE);
            book.refusals += 1;
        }
        drop(book);
        self.changed.notify_waiters();
    }

    fn check_delivered(&self, book: &Book, version: Version) {
        let letters = &book.delivered[self.letters()][version.key];
        for (destination, delivered) in book.delivered[..self.promises.destinations].iter().enumerate() {
            let there = &delivered[version.key];
            let fits = if self.promises.ordering {
                // Passed over for a newer one, which is not answered yet or there.
                let newer = (version.key, version.number + 1)..=(version.key, u64::MAX);
                there.range(version.number..).next().is_some() || book.shipped.range(newer).next().is_some()
            } else {
                there.contains(&version.number)
            };
            if !(fits || destination == 0 && letters.contains(&version.number)) {
                self.events.violated(&format_args!(
                    "{version} was acknowledged and is not at destination {destination}"
                ));
            }
        }
    }

    /// A request with `version` has come to a destination on a connection.
    pub fn begin(&self, destination: usize, version: Version, connection: u64) {
        let mut book = self.lock();
        self.events.note(&format_args!("destination {destination} gets {version} on {connection}"));
        let now = Instant::now();
        let held = |connection: u64, begun: Instant| {
            let given_up = self.promises.http2_patience.is_some_and(|patience| begun + patience <= now);
            self.network.is_held_by_opener(connection) && !given_up
        };
        // What was given up may come late.
        let shipped = book.shipped_at.get(&(version.key, version.number)).copied().unwrap_or(now);
        let is_late = !held(connection, shipped);
        let entry = (destination, version.key);
        if !is_late
            && let Some(open) = book.open.get(&entry)
            && held(open.connection, open.begun)
        {
            self.events.violated(&format_args!(
                "{version} is sent to destination {destination} while {}.{} is under way on connection {}",
                version.key, open.version, open.connection
            ));
        }
        // Nobody waits for the end of one that comes late, and so none waits behind it.
        if !is_late {
            book.open.insert(entry, Open { connection, begun: now, version: version.number });
        }
        let newest = book.newest_begun[destination][version.key];
        if version.number < newest && !is_late && destination != self.letters() {
            let places = |number| book.shipped.get(&(version.key, number)).copied();
            let reversed = places(version.number).zip(places(newest)).is_some_and(|(older, newer)| {
                let connections = [older.0.0, older.1.0, newer.0.0, newer.1.0];
                connections.iter().all(|it| *it == connections[0]) && older.1.1 < newer.0.1
            });
            if reversed || self.promises.ordering {
                self.events.violated(&format_args!(
                    "{version} is sent to destination {destination} after {}.{newest}, which came after it",
                    version.key
                ));
            }
        }
        book.newest_begun[destination][version.key] = newest.max(version.number);
    }

    /// The destination has `version`, and is about to say so.
    pub fn deliver(&self, destination: usize, version: Version) {
        let mut book = self.lock();
        if version.number > book.records[version.key].newest {
            self.events.violated(&format_args!("{version} was never written"));
        }
        if !book.delivered[destination][version.key].insert(version.number) {
            book.duplicates += 1;
        }
    }

    /// A request is over, however it ended.
    pub fn end(&self, destination: usize, version: Version, connection: u64) {
        let mut book = self.lock();
        let entry = (destination, version.key);
        if book.open.get(&entry).is_some_and(|open| open.connection == connection) {
            book.open.remove(&entry);
        }
    }

    /// A connector that has ended takes with it what it knew of the order.
    pub fn forget_order(&self) {
        let mut book = self.lock();
        book.newest_begun.iter_mut().for_each(|records| records.fill(0));
    }

    /// Whether the newest version of every record was acknowledged.
    pub fn is_done(&self) -> bool {
        let book = self.lock();
        let done = |(key, record): (usize, &Record)| {
            record.acknowledged == record.newest || self.promises.poison == Some(key)
        };
        book.records.iter().enumerate().all(done)
    }

    /// The versions that are not acknowledged.
    pub fn missing(&self) -> Vec<String> {
        let book = self.lock();
        let records = book.records.iter().enumerate();
        let missing = records.filter(|(_, record)| record.acknowledged < record.newest);
        missing
            .map(|(key, record)| format!("{key}.{} (acknowledged .{})", record.newest, record.acknowledged))
            .collect()
    }

    /// The number of the destination that gets dead letters.
    pub fn letters(&self) -> usize {
        self.promises.destinations
    }

    /// Whether a destination refuses whatever is of this record.
    pub fn is_poison(&self, destination: usize, version: Version) -> bool {
        destination == 0 && self.promises.poison == Some(version.key)
    }

    pub fn totals(&self) -> Totals {
        let book = self.lock();
        Totals {
            versions: book.records.iter().map(|record| record.newest).sum(),
            acks: book.acks,
            refusals: book.refusals,
            duplicates: book.duplicates,
            longest_unanswered: book.longest_unanswered,
        }
    }
}

impl Record {
    fn landed(&mut self, number: u64) {
        if let Some(count) = self.in_flight.get_mut(&number) {
            *count -= 1;
            if *count == 0 {
                self.in_flight.remove(&number);
            }
        }
    }
}

/// A refused record is shipped again after this time.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
