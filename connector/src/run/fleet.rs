//! The destinations at run time, each with its lane, and what becomes of them when the configuration changes.
//!
//! A destination that nothing changed for keeps its lane, warm as it is. Another one gets a new lane, which begins when the
//! old one has nothing left; where its own settings are the same, with the same target and its connections.

use std::{
    collections::{BTreeMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use adapters::{SharedTarget, TargetConfig};
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};

use super::settings::lane_limits;
use crate::{
    admin::{Counted, DestinationView},
    config::{self, Config, Destination},
    dead_letter::Places,
    lane::{self, After, Lane, Life},
    reload::changes::Destinations,
    route::{Batched, Router},
};

/// The lanes of one configuration, and those of earlier ones that have something left.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    ships: Vec<Ship>,
    ending: Vec<Ship>,
    places: Places,
    /// What comes before the next lane of a name.
    tails: BTreeMap<String, After>,
    lives: JoinSet<Arc<Lane>>,
}

/// A destination and its lane.
#[derive(Debug)]
struct Ship {
    settings: Destination,
    /// Of the files that its settings name and that are read only once.
    secrets: u64,
    /// What the batch policies of its lane stand for.
    batching: Arc<[Batched]>,
    lane: Arc<Lane>,
    counted: Arc<Counted>,
}

/// What one configuration is made of, ready to run.
pub(super) struct Built {
    pub(super) config: Config,
    pub(super) router: Router,
    pub(super) targets: BTreeMap<String, SharedTarget>,
    /// By destination; see [`secrets`].
    pub(super) secrets: BTreeMap<String, u64>,
}

/// A number for each destination that changes with the content of the files that it reads only once.
pub(super) fn secrets(config: &Config) -> BTreeMap<String, u64> {
    let of = |destination: &Destination| {
        let mut hasher = DefaultHasher::new();
        for file in config::header_files(&destination.target) {
            std::fs::read(file).ok().hash(&mut hasher);
        }
        hasher.finish()
    };
    config.destinations.iter().map(|(name, destination)| (name.clone(), of(destination))).collect()
}

impl Fleet {
    /// Goes on with the destinations of `built`. From here on nobody can hand a record to a lane that is none of theirs.
    pub(super) fn follow(&mut self, built: &mut Built) -> Destinations {
        let Built { config, router, targets, secrets } = built;
        let now = Instant::now().into_std();
        let places = self.places.followed_by(config, router.letter_policy());
        let mut before: BTreeMap<String, Ship> =
            self.ships.drain(..).map(|ship| (ship.lane.name().to_owned(), ship)).collect();
        let (mut changes, mut lives) = (Destinations::default(), VecDeque::new());
        for (position, (name, settings)) in config.destinations.iter().enumerate() {
            let secrets = secrets.get(name).copied().unwrap_or_default();
            let old = before.remove(name);
            let same = |old: &&Ship| old.settings.target == settings.target && old.secrets == secrets;
            let warm = old.as_ref().filter(same).map(|old| Arc::clone(old.lane.target()));
            let is_warm = warm.is_some();
            let Some(target) = warm.or_else(|| targets.remove(name)) else { continue };
            let limits = lane::Limits {
                batch_max: router.batch_max(position),
                ..lane_limits(settings, target.concurrency(), &config.service)
            };
            match old {
                Some(old)
                    if is_warm
                        && old.settings == *settings
                        && *old.lane.limits() == limits
                        && router.batches_within(position, &old.batching) =>
                {
                    changes.kept.push(name.clone());
                    places.open(&old.lane);
                    self.ships.push(old);
                    continue;
                }
                Some(_) => changes.changed.push(name.clone()),
                None => changes.added.push(name.clone()),
            }
            let tail = self.tails.remove(name);
            let letters = places.dead_letters(settings.dead_letter.as_ref());
            let policies = Arc::clone(router.batch_policies());
            // That of a destination that was removed a moment ago goes on as well.
            let predecessor = old.as_ref().map(|old| Arc::clone(&old.lane));
            let lane = match predecessor.or_else(|| tail.as_ref().and_then(After::lane)) {
                None => Lane::new(name.clone(), target, limits, policies, letters, now),
                Some(predecessor) => {
                    let stats = Arc::clone(predecessor.stats());
                    let letters = letters.counting_on(Arc::clone(&stats.letters));
                    Lane::counting_on(stats, name.clone(), target, limits, policies, letters, now)
                }
            };
            places.open(&lane);
            let counted = old.as_ref().map(|old| Arc::clone(&old.counted)).unwrap_or_default();
            let alone = matches!(settings.target, TargetConfig::File(_)) && !is_warm;
            let (life, next) = Life::of(&lane);
            self.tails.insert(name.clone(), next);
            lives.push_back((life, tail, alone));
            let batching = Arc::clone(router.batching());
            self.ships.push(Ship { settings: settings.clone(), secrets, batching, lane, counted });
            if let Some(old) = old {
                old.lane.retire(true);
                self.ending.push(old);
            }
        }
        for (name, old) in before {
            changes.removed.push(name);
            old.lane.retire(false);
            self.ending.push(old);
        }
        self.places = places;
        for (life, tail, alone) in lives {
            self.lives.spawn(life.run(tail, alone));
        }
        changes
    }

    /// The lanes, in the router's order.
    pub(super) fn lanes(&self) -> Arc<[Arc<Lane>]> {
        self.ships.iter().map(|ship| Arc::clone(&ship.lane)).collect()
    }

    /// Waits until a lane is over; an error when a part of one panicked.
    pub(super) async fn ended(&mut self) -> Result<Arc<Lane>, JoinError> {
        match self.lives.join_next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// Forgets a lane that is over. What its target counted is gone on with.
    pub(super) fn forget(&mut self, over: &Arc<Lane>) {
        let Some(position) = self.ending.iter().position(|ship| Arc::ptr_eq(&ship.lane, over)) else {
            return;
        };
        let gone = self.ending.remove(position);
        let heir =
            self.ending.iter_mut().chain(&mut self.ships).filter(|ship| ship.lane.name() == over.name());
        for heir in heir {
            if !Arc::ptr_eq(heir.lane.target(), gone.lane.target()) {
                heir.counted = Arc::new(heir.counted.and(gone.lane.target()));
            }
        }
        if !self.ending.iter().chain(&self.ships).any(|ship| ship.lane.name() == over.name()) {
            self.tails.remove(over.name());
        }
    }

    /// What is shown of all, those that have something left included: those of one name next to each other, the newest first.
    pub(super) fn views(&self) -> Vec<DestinationView> {
        let mut ships: Vec<&Ship> = self.ships.iter().chain(self.ending.iter().rev()).collect();
        ships.sort_by_key(|ship| ship.lane.name());
        let view = |ship: &Ship| DestinationView {
            name: ship.lane.name().to_owned(),
            target: Arc::clone(ship.lane.target()),
            lane: Arc::clone(ship.lane.stats()),
            before: Arc::clone(&ship.counted),
        };
        ships.into_iter().map(view).collect()
    }

    /// Comes back as soon as nobody is at work on any lane's state, which is never for long.
    pub(super) fn close(&self) {
        self.ships.iter().chain(&self.ending).for_each(|ship| ship.lane.close());
    }

    /// Ends what is left of all lanes.
    pub(super) async fn shutdown(&mut self) {
        self.lives.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
