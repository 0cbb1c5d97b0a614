//! The records of one invocation, and running a handler over them. The invariants: records of one key run one after the
//! other; when one fails, later ones of its key fail with it; whatever a handler does, there is an answer for every record.

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use crate::{Digest, Failure, Malformed, Notification, Report};

/// The records of one invocation.
#[derive(Clone, Default, PartialEq)]
pub struct Batch {
    entries: Vec<Entry>,
    malformed: Vec<(usize, Malformed)>,
}

/// One record of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it stands in the request, from 0: what an answer calls it.
    pub position: usize,
    /// What it tells.
    pub notification: Notification,
}

/// How much runs at once, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Handlers that run at once. 16 unless it is set.
    pub at_once: usize,
    /// When Lambda ends the invocation: `context.deadline()`.
    pub deadline: Option<SystemTime>,
    /// How long before that the answer leaves. Half a second unless it is set, or half of what is left.
    pub spare: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { at_once: 16, deadline: None, spare: Duration::from_millis(500) }
    }
}

impl Batch {
    pub(crate) fn new(records: impl IntoIterator<Item = Result<Notification, Malformed>>) -> Self {
        let mut batch = Self::default();
        for (position, record) in records.into_iter().enumerate() {
            match record {
                Ok(notification) => batch.entries.push(Entry { position, notification }),
                Err(malformed) => batch.malformed.push((position, malformed)),
            }
        }
        batch
    }

    /// The records that could be read, in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Positions of the records that could not be read, and why. Reports count them as failed.
    pub fn malformed(&self) -> &[(usize, Malformed)] {
        &self.malformed
    }

    /// A report in which nothing has failed but what could not be read.
    pub fn report(&self) -> Report {
        let mut report = Report::default();
        for (position, malformed) in &self.malformed {
            // Where no record at all can be read, it is the reader that is wrong: that can be cured.
            let failure = if self.entries.is_empty() { Failure::retry } else { Failure::never };
            report.fail(*position, failure(malformed.to_string()));
        }
        report
    }

    /// Runs `handler` for each record: records of different keys at once, those of one key one after the other, and none
    /// after one of its key has failed. A handler that panics has failed with its record. What is not done near the
    /// deadline is dropped, and has failed.
    pub async fn each<H>(&self, limits: &Limits, handler: H) -> Report
    where
        H: AsyncFn(&Notification) -> Result<(), Failure>,
    {
        let outcomes = Outcomes::default();
        let (handler, told) = (&handler, &outcomes);
        let chains = self.chains().into_iter().map(|chain| async move {
            for entry in chain {
                let call = AssertUnwindSafe(async { handler(&entry.notification).await }).catch_unwind();
                let outcome = call.await.unwrap_or_else(|_| Err(Failure::panicked()));
                let failed = outcome.is_err();
                told.tell(entry.position, outcome);
                if failed {
                    break;
                }
            }
        });
        within(limits, stream::iter(chains).buffer_unordered(limits.at_once.max(1)).for_each(async |()| {}))
            .await;
        self.settle(outcomes)
    }

    /// Runs `handler` for groups of records, which are given by their indices in [`entries`](Self::entries): for
    /// destinations that take several at once. Groups that hold versions of one record run one after the other, in the
    /// order given, all others at once. The handler returns the positions that failed, or why all did.
    pub async fn groups<H>(&self, limits: &Limits, groups: Vec<Vec<usize>>, handler: H) -> Report
    where
        H: AsyncFn(&[&Entry]) -> Result<Vec<(usize, Failure)>, Failure>,
    {
        let outcomes = Outcomes::default();
        let (handler, told) = (&handler, &outcomes);
        let run = async {
            for wave in self.waves(groups) {
                let calls =
                    wave.into_iter().map(|group| async move { self.group(&group, told, handler).await });
                stream::iter(calls).buffer_unordered(limits.at_once.max(1)).for_each(async |()| {}).await;
            }
        };
        within(limits, run).await;
        self.settle(outcomes)
    }

    async fn group<H>(&self, group: &[usize], outcomes: &Outcomes, handler: &H)
    where
        H: AsyncFn(&[&Entry]) -> Result<Vec<(usize, Failure)>, Failure>,
    {
        let entries: Vec<&Entry> = group.iter().filter_map(|index| self.entries.get(*index)).collect();
        let failed = outcomes.failed();
        let waits = |entry: &Entry| {
            self.entries.iter().any(|other| {
                other.position < entry.position
                    && other.identity() == entry.identity()
                    && failed.contains(&other.position)
            })
        };
        let entries: Vec<&Entry> = if failed.is_empty() {
            entries
        } else {
            entries.into_iter().filter(|entry| !waits(entry)).collect()
        };
        if entries.is_empty() {
            return;
        }
        let call = AssertUnwindSafe(async { handler(&entries).await }).catch_unwind();
        let failures = match call.await.unwrap_or_else(|_| Err(Failure::panicked())) {
            Ok(failures) => failures,
            Err(failure) => entries.iter().map(|entry| (entry.position, failure.clone())).collect(),
        };
        for entry in &entries {
            let failure = failures.iter().find(|(position, _)| *position == entry.position);
            outcomes.tell(entry.position, failure.map_or(Ok(()), |(_, failure)| Err(failure.clone())));
        }
    }

    /// Records by key, in their order.
    fn chains(&self) -> Vec<Vec<&Entry>> {
        let mut chains: Vec<Vec<&Entry>> = Vec::new();
        let mut of_key = HashMap::new();
        for entry in &self.entries {
            let chain = *of_key.entry(entry.identity()).or_insert(chains.len());
            if chain == chains.len() {
                chains.push(Vec::new());
            }
            chains[chain].push(entry);
        }
        chains
    }

    /// Groups that may run at once; each wave after the one before.
    fn waves(&self, groups: Vec<Vec<usize>>) -> Vec<Vec<Vec<usize>>> {
        let mut waves: Vec<Vec<Vec<usize>>> = Vec::new();
        let mut free_from: HashMap<(&str, Digest), usize> = HashMap::new();
        for group in groups {
            let keys: Vec<_> =
                group.iter().filter_map(|index| self.entries.get(*index)).map(Entry::identity).collect();
            let wave = keys.iter().filter_map(|key| free_from.get(key)).max().copied().unwrap_or(0);
            free_from.extend(keys.into_iter().map(|key| (key, wave + 1)));
            if waves.len() == wave {
                waves.push(Vec::new());
            }
            waves[wave].push(group);
        }
        waves
    }

    /// What became of every record.
    fn settle(&self, outcomes: Outcomes) -> Report {
        let mut outcomes = outcomes.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut report = self.report();
        let mut failed: HashMap<(&str, Digest), ()> = HashMap::new();
        for entry in &self.entries {
            let waits = failed.contains_key(&entry.identity());
            let failure = match outcomes.remove(&entry.position) {
                Some(Err(failure)) => failure,
                _ if waits => Failure::retry("an earlier version of this record has failed"),
                Some(Ok(())) => continue,
                None => Failure::retry("not done in time"),
            };
            failed.insert(entry.identity(), ());
            report.fail(entry.position, failure);
        }
        report
    }
}

impl Entry {
    /// What stands for the record, whatever its version.
    fn identity(&self) -> (&str, Digest) {
        (&self.notification.key.namespace, self.notification.key.digest)
    }
}

/// Indices in groups of at most `most`, for [`Batch::groups`]; none holds two versions of one record, so that the older one
/// is done before the newer one begins.
pub fn chunks(entries: &[Entry], most: usize) -> Vec<Vec<usize>> {
    let mut chunks: Vec<Vec<usize>> = Vec::new();
    let mut within = HashSet::new();
    for (index, entry) in entries.iter().enumerate() {
        let is_new = within.insert(entry.identity());
        match chunks.last_mut().filter(|chunk| is_new && chunk.len() < most) {
            Some(chunk) => chunk.push(index),
            None => {
                within = HashSet::from([entry.identity()]);
                chunks.push(vec![index]);
            }
        }
    }
    chunks
}

/// What is known so far. Outlives the handlers, which may be dropped at any time.
#[derive(Default)]
struct Outcomes(Mutex<HashMap<usize, Result<(), Failure>>>);

impl Outcomes {
    fn tell(&self, position: usize, outcome: Result<(), Failure>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(position, outcome);
    }

    fn failed(&self) -> Vec<usize> {
        let outcomes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.iter().filter(|(_, outcome)| outcome.is_err()).map(|(position, _)| *position).collect()
    }
}

/// Runs `work` until it is done, or until the deadline is near.
async fn within(limits: &Limits, work: impl Future<Output = ()>) {
    // A deadline that is past when the invocation arrives is no deadline: local stand-ins for Lambda have such.
    let left = limits.deadline.and_then(|deadline| deadline.duration_since(SystemTime::now()).ok());
    match left.filter(|left| !left.is_zero()) {
        None => work.await,
        Some(left) => {
            let until = Instant::now() + left.saturating_sub(limits.spare).max(left / 2);
            // What was not told by then has failed.
            let _ = timeout_at(until, work).await;
        }
    }
}

#[cfg(test)]
#[path = "batch/tests.rs"]
mod tests;
