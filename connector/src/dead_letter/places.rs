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
};

/// A destination that takes dead letters.
#[derive(Clone)]
pub struct Place {
    lane: Arc<OnceLock<Weak<Lane>>>,
    /// Position of the batch policy of dead letters.
    pub(super) policy: usize,
}

impl Place {
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
pub struct Places(BTreeMap<String, Place>);

impl Places {
    /// Those that the configuration names, where dead letters go by the batch policy at `policy`.
    pub fn new(config: &Config, policy: Option<usize>) -> Self {
        let named = config.destinations.values().filter_map(|destination| match &destination.dead_letter {
            Some(DeadLetter::To(name)) => Some(name.clone()),
            Some(DeadLetter::Drop) | None => None,
        });
        let place = |name| Some((name, Place { lane: Arc::default(), policy: policy? }));
        Self(named.filter_map(place).collect())
    }

    /// What becomes of the dead letters of a destination with this setting.
    pub fn dead_letters(&self, setting: Option<&DeadLetter>) -> DeadLetters {
        match setting {
            None => DeadLetters::held(),
            Some(DeadLetter::Drop) => DeadLetters::dropped(),
            // A place that is not there cannot be named: the router looked at that.
            Some(DeadLetter::To(name)) => {
                self.0.get(name).cloned().map_or_else(DeadLetters::held, DeadLetters::sent_to)
            }
        }
    }

    /// Gives a place its lane, if the lane's destination is one.
    pub fn open(&self, lane: &Arc<Lane>) {
        if let Some(place) = self.0.get(lane.name()) {
            let _ = place.lane.set(Arc::downgrade(lane));
        }
    }
}
