//! The destinations that take the dead letters of others.
//!
//! Two destinations may take each other's, so a place is known before its lane is; and it keeps its name while one lane takes
//! the place of another.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::DeadLetters;
use crate::{
    config::{Config, DeadLetter},
    lane::Lane,
};

/// A destination that takes dead letters.
#[derive(Clone)]
pub struct Place(Arc<Mutex<Option<Open>>>);

/// Where they go at present.
struct Open {
    lane: Weak<Lane>,
    /// Position of the batch policy of dead letters in that lane.
    policy: usize,
}

impl Place {
    /// The lane, while there is one, and the batch policy of dead letters there.
    pub(super) fn lane(&self) -> Option<(Arc<Lane>, usize)> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().and_then(|open| Some((open.lane.upgrade()?, open.policy)))
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({:?})", self.lane().as_ref().map(|(lane, _)| lane.name()))
    }
}

/// All of them, by name.
#[derive(Debug, Default)]
pub struct Places {
    places: BTreeMap<String, Place>,
    policy: Option<usize>,
}

impl Places {
    /// Those that the configuration names, where dead letters go by the batch policy at `policy`.
    pub fn new(config: &Config, policy: Option<usize>) -> Self {
        Self::default().followed_by(config, policy)
    }

    /// Those of another configuration. Places that both name stay the same.
    pub fn followed_by(&self, config: &Config, policy: Option<usize>) -> Self {
        let place = |name: &String| {
            let known = self.places.get(name).cloned();
            (name.clone(), known.unwrap_or_else(|| Place(Arc::default())))
        };
        let named = config.destinations.values().filter_map(|destination| match &destination.dead_letter {
            Some(DeadLetter::To(name)) => Some(name),
            Some(DeadLetter::Drop) | None => None,
        });
        Self { places: named.map(place).collect(), policy }
    }

    /// What becomes of the dead letters of a destination with this setting.
    pub fn dead_letters(&self, setting: Option<&DeadLetter>) -> DeadLetters {
        match setting {
            None => DeadLetters::held(),
            Some(DeadLetter::Drop) => DeadLetters::dropped(),
            // A place that is not there cannot be named: the router looked at that.
            Some(DeadLetter::To(name)) => {
                self.places.get(name).cloned().map_or_else(DeadLetters::held, DeadLetters::sent_to)
            }
        }
    }

    /// Gives a place its lane, if the lane's destination is one.
    pub fn open(&self, lane: &Arc<Lane>) {
        if let (Some(place), Some(policy)) = (self.places.get(lane.name()), self.policy) {
            let mut open = place.0.lock().unwrap_or_else(PoisonError::into_inner);
            *open = Some(Open { lane: Arc::downgrade(lane), policy });
        }
    }
}
