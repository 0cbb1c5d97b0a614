//! The destinations that take the dead letters of others.
//!
//! Two destinations may take each other's, so a place is known before its lane is.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock, Weak},
};

use super::DeadLetters;
use crate::{
    config::{Config, DeadLetter},
    lane::Lane,
    metrics::LetterStats,
};

/// A destination that takes dead letters.
#[derive(Clone)]
pub struct Place {
    lane: Late,
    /// Position of the batch policy of dead letters.
    pub(super) policy: usize,
    /// Of those that one destination sends here.
    pub(super) stats: Arc<LetterStats>,
}

impl Place {
    /// The numbers of those that one destination sends here.
    pub fn stats(&self) -> &Arc<LetterStats> {
        &self.stats
    }

    /// The lane, from when it is there until the connector stops.
    pub(super) fn lane(&self) -> Option<Arc<Lane>> {
        self.lane.get()?.upgrade()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({:?})", self.lane().as_ref().map(|lane| lane.name()))
    }
}

/// All of them, by name.
#[derive(Debug)]
pub struct Places(BTreeMap<String, (Late, usize)>);

/// A lane that may not be there yet, or not any more.
type Late = Arc<OnceLock<Weak<Lane>>>;

impl Places {
    /// Those that the configuration names, where dead letters go by the batch policy at `policy`.
    pub fn new(config: &Config, policy: Option<usize>) -> Self {
        let named = config.destinations.values().filter_map(|destination| match &destination.dead_letter {
            Some(DeadLetter::To(name)) => Some(name.clone()),
            Some(DeadLetter::Drop) | None => None,
        });
        let place = |name| Some((name, (Arc::default(), policy?)));
        Self(named.filter_map(place).collect())
    }

    /// What becomes of the dead letters of a destination with this setting.
    pub fn dead_letters(&self, setting: Option<&DeadLetter>) -> DeadLetters {
        match setting {
            None => DeadLetters::Hold,
            Some(DeadLetter::Drop) => DeadLetters::Drop,
            Some(DeadLetter::To(name)) => match self.0.get(name) {
                Some((lane, policy)) => {
                    DeadLetters::To(Place { lane: Arc::clone(lane), policy: *policy, stats: Arc::default() })
                }
                // A place that is not there cannot be named: the router looked at that.
                None => DeadLetters::Hold,
            },
        }
    }

    /// Gives a place its lane, if the lane's destination is one.
    pub fn open(&self, lane: &Arc<Lane>) {
        if let Some((late, _)) = self.0.get(lane.name()) {
            let _ = late.set(Arc::downgrade(lane));
        }
    }
}
