//! What is known of each record: its version shipped last, who has that, and whether anything else is on its way.
//!
//! Every shipment of another version than the one before begins an epoch. While a shipment of an earlier epoch is open,
//! something else may still reach a destination, so nobody is passed over; and where one ends, what the destination got
//! last is unsure. Pure.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use foldhash::fast::RandomState;

use crate::notification::RecordId;

/// Destinations at positions from this on cannot be told apart.
pub(super) const DESTINATIONS_MAX: usize = u128::BITS as usize;

/// A set of destinations, by position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(u128);

impl Set {
    /// These destinations, those that cannot be told apart left out.
    pub(super) fn of(destinations: &[usize]) -> Self {
        Self(destinations.iter().fold(0, |set, destination| set | bit(*destination)))
    }

    pub(super) fn contains(self, destination: usize) -> bool {
        self.0 & bit(destination) != 0
    }
}

fn bit(destination: usize) -> u128 {
    if destination < DESTINATIONS_MAX { 1 << destination } else { 0 }
}

/// Records with an open shipment, and those that were partly delivered and wait to be shipped again.
#[derive(Debug)]
pub(super) struct Table {
    idle_max: usize,
    records: HashMap<RecordId, State, RandomState>,
    /// Records without an open shipment, those that wait for the longest time first.
    idle: BTreeMap<u64, RecordId>,
    /// Last number given to an epoch or an idle record.
    last: u64,
}

#[derive(Debug)]
struct State {
    epoch: u64,
    /// Number of the configuration whose positions `wanted` and `has` are.
    of: u64,
    /// What the epoch ships; `None` when that is not remembered.
    version: Option<u64>,
    wanted: Set,
    has: Set,
    /// XDR did not hear how the last of its shipments ended.
    unheard: bool,
    /// Shipments of this epoch, and of earlier ones, that are open.
    open: usize,
    foreign: usize,
    /// Key among the idle.
    idle: Option<u64>,
}

impl State {
    fn new(epoch: u64, version: Option<u64>, wanted: Set, of: u64) -> Self {
        let has = Set::default();
        Self { epoch, of, version, wanted, has, unheard: false, open: 1, foreign: 0, idle: None }
    }

    fn is_worth_remembering(&self) -> bool {
        self.version.is_some() && self.has != Set::default() && (self.has != self.wanted || self.unheard)
    }
}

impl Table {
    pub(super) fn new(idle_max: usize) -> Self {
        Self { idle_max, records: HashMap::default(), idle: BTreeMap::new(), last: 0 }
    }

    /// Opens a shipment; gives its epoch and who has the version already.
    pub(super) fn ship(
        &mut self,
        record: RecordId,
        version: Option<u64>,
        wanted: Set,
        of: u64,
    ) -> (u64, Set) {
        self.last += 1;
        let epoch = self.last;
        let state = match self.records.entry(record) {
            Entry::Vacant(free) => free.insert(State::new(epoch, version, wanted, of)),
            Entry::Occupied(known) => {
                let state = known.into_mut();
                if let Some(at) = state.idle.take() {
                    self.idle.remove(&at);
                }
                if version.is_some() && state.version == version && state.of == of {
                    state.open += 1;
                    state.unheard = false;
                } else {
                    let foreign = state.foreign + state.open;
                    *state = State { foreign, ..State::new(epoch, version, wanted, of) };
                }
                state
            }
        };
        let sure = state.foreign == 0;
        (state.epoch, if sure { state.has } else { Set::default() })
    }

    /// A shipment of `epoch`, under the configuration of number `of`, is done with at `destination`.
    pub(super) fn ended(
        &mut self,
        record: &RecordId,
        (epoch, of): (u64, u64),
        destination: usize,
        delivered: bool,
    ) {
        let Some(state) = self.records.get_mut(record) else { return };
        if state.of != of {
            // Which of these it is cannot be told.
            state.has = Set::default();
            return;
        }
        if state.epoch != epoch {
            // It may have got that version after the one it is known to have.
            state.has.0 &= !bit(destination);
        } else if delivered {
            state.has.0 |= bit(destination);
        }
    }

    /// A shipment of `epoch` ended too late for XDR to hear of it.
    pub(super) fn unheard(&mut self, record: &RecordId, epoch: u64) {
        if let Some(state) = self.records.get_mut(record).filter(|state| state.epoch == epoch) {
            state.unheard = true;
        }
    }

    /// Closes a shipment; tells how many records had to make room.
    pub(super) fn closed(&mut self, record: &RecordId, epoch: u64) -> u64 {
        let Some(state) = self.records.get_mut(record) else { return 0 };
        let shipments = if state.epoch == epoch { &mut state.open } else { &mut state.foreign };
        *shipments = shipments.saturating_sub(1);
        if state.open + state.foreign > 0 {
            return 0;
        }
        if !state.is_worth_remembering() {
            self.records.remove(record);
            return 0;
        }
        self.last += 1;
        state.idle = Some(self.last);
        self.idle.insert(self.last, *record);
        let mut forgotten = 0;
        while self.idle.len() > self.idle_max
            && let Some((_, oldest)) = self.idle.pop_first()
        {
            self.records.remove(&oldest);
            forgotten += 1;
        }
        forgotten
    }

    /// Records that wait to be shipped again.
    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }
}
