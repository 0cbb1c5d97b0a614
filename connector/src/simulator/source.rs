//! The simulated cluster's side: which record is at which version, what waits to be shipped, and where to.
//!
//! As in XDR, what is queued is the *record*, not its version: the version is read when the record is put on
//! the wire, first time or again, so versions overtaken before that are never shipped. A record is queued at
//! most once; it is *open* while queued, in flight or waiting for its retry, and the run is over when every
//! change was made and nothing is open.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    Settings,
    connect::Dial,
    ledger::Ledger,
    ledger_file::{Entry, LedgerFile},
    totals::Totals,
    workload::Generator,
};

/// State shared by everything that plays the source.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) settings: Settings,
    pub(super) dial: Dial,
    pub(super) generator: Generator,
    pub(super) ledger: Arc<Ledger>,
    pub(super) ledger_file: Option<LedgerFile>,
    pub(super) totals: Totals,
    pub(super) started: Instant,
    /// Per record: its version, and whether it is queued.
    current: Vec<AtomicU32>,
    /// One for each node, connection of that node, and instance.
    lanes: Vec<Lane>,
    /// Per instance: whether connections to it can be made.
    alive: Vec<AtomicBool>,
    open: AtomicU64,
    all_changes_made: AtomicBool,
    finished: watch::Sender<bool>,
}

/// A record to be shipped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queued {
    pub(super) id: u32,
    pub(super) digest: [u8; 20],
}

/// What waits for one connection.
#[derive(Debug, Default)]
pub(super) struct Lane {
    queue: Mutex<VecDeque<Queued>>,
    /// Something was queued.
    pub(super) ready: Notify,
    /// Something was taken.
    room: Notify,
}

impl Source {
    pub(super) fn new(settings: Settings, dial: Dial, ledger_file: Option<LedgerFile>) -> Self {
        let generator = Generator::new(settings.workload.clone());
        let records = generator.records() as usize;
        let lanes = settings.instances.len() * settings.nodes * settings.connections_per_node;
        Self {
            ledger: Arc::new(Ledger::new(records)),
            ledger_file,
            totals: Totals::default(),
            started: Instant::now(),
            current: std::iter::repeat_with(AtomicU32::default).take(records).collect(),
            lanes: std::iter::repeat_with(Lane::default).take(lanes).collect(),
            alive: settings.instances.iter().map(|_| AtomicBool::new(true)).collect(),
            open: AtomicU64::new(0),
            all_changes_made: AtomicBool::new(false),
            finished: watch::Sender::new(false),
            generator,
            dial,
            settings,
        }
    }

    pub(super) fn lane(&self, lane: usize) -> &Lane {
        &self.lanes[lane]
    }

    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// The instance that lane number `lane` ships to.
    pub(super) fn instance_of(&self, lane: usize) -> usize {
        lane % self.settings.instances.len()
    }

    /// Becomes true when there is nothing left to do, or no more time to do it.
    pub(super) fn finished(&self) -> watch::Receiver<bool> {
        self.finished.subscribe()
    }

    /// Ends the run, whatever is still open.
    pub(super) fn stop(&self) {
        self.finished.send_replace(true);
    }

    /// Records that are queued, in flight or waiting for a retry, plus changes never made.
    pub(super) fn unfinished(&self) -> u64 {
        let unmade = if self.all_changes_made.load(SeqCst) {
            0
        } else {
            u64::from(self.generator.changes()).saturating_sub(self.totals.changes.load(SeqCst))
        };
        self.open.load(SeqCst) + unmade
    }

    /// Microseconds since the run began.
    pub(super) fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// Makes every change of the workload, at the set rate or as fast as the lanes take them.
    pub(super) async fn make_changes(&self) {
        let rate = self.settings.rate;
        let started = Instant::now();
        let mut finished = self.finished();
        let mut staged: Vec<Vec<Queued>> = vec![Vec::new(); self.lanes.len()];
        let changes = self.generator.changes();
        let mut made = 0;
        while made < changes && !*finished.borrow() {
            let due = if rate == 0 {
                changes
            } else {
                (started.elapsed().as_secs_f64() * rate as f64 + 1.0).min(changes.into()) as u32
            };
            let until = due.min(made + CHANGES_AT_ONCE);
            for change in made..until {
                let id = self.generator.record_of(change);
                if self.change(id) {
                    let digest = self.generator.digest(id);
                    staged[self.route(&digest)].push(Queued { id, digest });
                }
            }
            self.totals.changes.fetch_add((until - made).into(), SeqCst);
            made = until;
            self.queue_staged(&mut staged);
            if rate == 0 {
                tokio::select! {
                    () = self.room() => {}
                    _ = finished.wait_for(|finished| *finished) => {}
                }
            } else if made == due {
                tokio::time::sleep(PACE).await;
            }
            tokio::task::yield_now().await;
        }
        self.all_changes_made.store(true, SeqCst);
        self.check_finished();
    }

    fn queue_staged(&self, staged: &mut [Vec<Queued>]) {
        for (lane, batch) in self.lanes.iter().zip(staged) {
            if !batch.is_empty() {
                lane.queue().extend(batch.drain(..));
                lane.ready.notify_one();
            }
        }
    }

    /// Waits until every lane has room: a database cannot be made to wait, a measurement of it can.
    async fn room(&self) {
        for lane in &self.lanes {
            while lane.queue().len() > LANE_LIMIT {
                lane.room.notified().await;
            }
        }
    }

    /// Makes one change. False when the record is queued already: then this version replaces that one.
    fn change(&self, id: u32) -> bool {
        let before = self.current[id as usize].fetch_add(1, SeqCst);
        if before & QUEUED != 0 {
            self.totals.superseded.fetch_add(1, SeqCst);
            return false;
        }
        self.open.fetch_add(1, SeqCst);
        if self.current[id as usize].fetch_or(QUEUED, SeqCst) & QUEUED == 0 {
            return true;
        }
        // A failed version of it was queued again in between.
        self.close(1);
        false
    }

    /// Takes a queued record's current version, to be put on the wire now.
    pub(super) fn take(&self, id: u32) -> u32 {
        self.current[id as usize].fetch_and(!QUEUED, SeqCst) & !QUEUED
    }

    /// Marks a record in flight as queued again. False when a newer version of it is queued already; then
    /// this shipment is done with.
    pub(super) fn take_back(&self, id: u32) -> bool {
        let fresh = self.current[id as usize].fetch_or(QUEUED, SeqCst) & QUEUED == 0;
        if !fresh {
            self.totals.superseded.fetch_add(1, SeqCst);
            self.close(1);
        }
        fresh
    }

    /// `count` records are no longer open.
    pub(super) fn close(&self, count: u64) {
        if count > 0 && self.open.fetch_sub(count, SeqCst) == count {
            self.check_finished();
        }
    }

    fn check_finished(&self) {
        if self.all_changes_made.load(SeqCst) && self.open.load(SeqCst) == 0 {
            self.stop();
        }
    }

    /// Takes up to `count` records queued for `lane`.
    pub(super) fn dequeue(&self, lane: usize, count: usize, into: &mut VecDeque<Queued>) {
        let mut queue = self.lanes[lane].queue();
        let count = count.min(queue.len());
        into.extend(queue.drain(..count));
        let room = queue.len() <= LANE_LIMIT;
        drop(queue);
        if room && count > 0 {
            self.lanes[lane].room.notify_one();
        }
    }

    /// Queues records ahead of all others: they were shipped before them.
    pub(super) fn queue_first(&self, lane: usize, records: impl DoubleEndedIterator<Item = Queued>) {
        let mut queue = self.lanes[lane].queue();
        for record in records.rev() {
            queue.push_front(record);
        }
        drop(queue);
        self.lanes[lane].ready.notify_one();
    }

    /// Notes whether `instance` can be reached.
    pub(super) fn set_alive(&self, instance: usize, alive: bool) {
        self.alive[instance].store(alive, SeqCst);
    }

    /// Spreads what is queued for `lane` over the other instances, if any can be reached.
    pub(super) fn hand_over(&self, lane: usize) {
        if !self.alive.iter().any(|alive| alive.load(SeqCst)) {
            return;
        }
        let records = std::mem::take(&mut *self.lanes[lane].queue());
        self.lanes[lane].room.notify_one();
        for record in records {
            let other = self.route(&record.digest);
            self.lanes[other].queue().push_back(record);
            self.lanes[other].ready.notify_one();
        }
    }

    /// The lane of a record: node by partition, connection and instance by digest. It stays the same while
    /// the list of reachable instances does; when one goes, only its records move.
    fn route(&self, digest: &[u8; 20]) -> usize {
        let Settings { nodes, connections_per_node, instances, .. } = &self.settings;
        let partition = usize::from(u16::from_le_bytes([digest[0], digest[1]]) & 0x0fff);
        let node = partition % nodes;
        let connection = partition / nodes % connections_per_node;
        let [.., a, b, c, d, e, f, g, h] = *digest;
        let spread = u64::from_be_bytes([a, b, c, d, e, f, g, h]) as usize;
        let preferred = spread % instances.len();
        let instance = if self.alive[preferred].load(SeqCst) {
            preferred
        } else {
            let alive = |instance: &usize| self.alive[*instance].load(SeqCst);
            let count = (0..instances.len()).filter(alive).count();
            // Nothing reachable: it stays where it belongs.
            let chosen =
                spread.checked_rem(count).and_then(|nth| (0..instances.len()).filter(alive).nth(nth));
            chosen.unwrap_or(preferred)
        };
        (node * connections_per_node + connection) * instances.len() + instance
    }

    /// Writes ledger entries through to the file, if there is one, and empties `entries`.
    pub(super) fn write_down(&self, entries: &mut Vec<Entry>) -> io::Result<()> {
        let written = match &self.ledger_file {
            Some(file) if !entries.is_empty() => file.write(entries),
            _ => Ok(()),
        };
        entries.clear();
        written
    }
}

impl Lane {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Queued>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Top bit of a record's state: it is queued. The rest is its version.
const QUEUED: u32 = 1 << 31;
/// Records a lane holds before changes at full speed wait for it.
const LANE_LIMIT: usize = 2048;
const CHANGES_AT_ONCE: u32 = 512;
/// How often changes are made at a set rate.
const PACE: Duration = Duration::from_millis(2);
