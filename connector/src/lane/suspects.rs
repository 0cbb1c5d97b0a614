//! Records that may be why requests fail: who failed how often, and who goes alone from now on.
//!
//! One record can make a consumer fail for ever, and everything that is sent with it. Requests that failed several times
//! are halved until it is alone; what is known of a record outlives its job, because XDR ships it again. A record that
//! fails is only given up for poison where others pass: **an outage poisons nothing**. Pure: the clock is an argument.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use crate::notification::RecordId;

/// Failures after which a record is suspected.
const SUSPECTED: u32 = 3;

/// Most records that are remembered; more at once are an outage.
const REMEMBERED_MAX: usize = 10_000;

/// What did not fail for so long is forgotten.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// Poison fails for at least so long: a lock or a full table of the consumer may well pass.
const POISON_FOR: Duration = Duration::from_secs(5);

/// The destination is known to work only so long after it took something.
const WORKS_FOR: Duration = Duration::from_secs(10);

/// Fewer failures alone than this prove nothing where they may be a gateway's: with one request in two failing anyway, so
/// many in a row are once in a thousand million.
const GATEWAY_ALONE_MIN: u32 = 30;

/// So many records refused or failed alone, with nothing delivered in between, are not about records: a wrong address, or a
/// consumer that takes nothing any more.
const REFUSED_IN_A_ROW_MAX: u32 = 100;

/// More records than this that fail alone, with nothing delivered in between, are an outage.
const ISOLATED_AT_ONCE_MAX: u32 = 8;

/// What is known of the records of one lane that failed.
#[derive(Debug)]
pub(super) struct Suspects {
    records: HashMap<RecordId, Suspicion, RandomState>,
    isolated: usize,
    /// When the destination took something last, and how often it did.
    passed: Option<Instant>,
    passes: u64,
    /// Of whom requests failed since, beside known suspects.
    failed_since: Failed,
    /// Records found to fail alone since.
    isolated_since: u32,
    swept: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failed {
    Nobody,
    Only(RecordId),
    Several,
}

#[derive(Debug)]
struct Suspicion {
    /// Requests with it that failed as a whole.
    failures: u32,
    /// Times that it failed and nothing else did, and how often the destination had taken something at the last of them.
    alone: u32,
    alone_at_pass: u64,
    /// It goes alone.
    isolated: bool,
    /// It was found to be poison: that it fails says nothing of the destination any more.
    convicted: bool,
    since: Instant,
    last: Instant,
}

/// How a record stands that failed and nothing else did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alone {
    /// It may well have been chance.
    Seldom,
    /// Another try soon is futile.
    Often,
    /// No try will help.
    Poison,
}

impl Suspects {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            records: HashMap::default(),
            isolated: 0,
            passed: None,
            passes: 0,
            failed_since: Failed::Nobody,
            isolated_since: 0,
            swept: now,
        }
    }

    /// Whether nothing is held against anybody: the usual case, in which nobody needs to ask.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether a record goes alone.
    pub(super) fn is_isolated(&self, record: &RecordId) -> bool {
        self.isolated > 0 && self.records.get(record).is_some_and(|suspicion| suspicion.isolated)
    }

    /// Whether a record is suspected.
    pub(super) fn is_suspected(&self, record: &RecordId) -> bool {
        self.records
            .get(record)
            .is_some_and(|suspicion| suspicion.isolated || suspicion.failures >= SUSPECTED)
    }

    /// Whether it says nothing of the destination when a record fails: it goes alone, and no other one failed since the
    /// destination took something.
    pub(super) fn is_excused(&self, record: &RecordId) -> bool {
        let others = match self.failed_since {
            Failed::Nobody => self.passed.is_some(),
            Failed::Only(only) => self.passed.is_some() && only == *record,
            Failed::Several => false,
        };
        let only_it = others && self.isolated_since <= ISOLATED_AT_ONCE_MAX;
        self.records.get(record).is_some_and(|suspicion| suspicion.convicted || suspicion.isolated && only_it)
    }

    /// Whether the destination refuses whatever comes, one record like the other.
    pub(super) fn are_all_refused(&self) -> bool {
        self.isolated_since >= REFUSED_IN_A_ROW_MAX
    }

    /// Whether the destination is known to work, whatever records that go alone make of it. An outage may have begun with
    /// the first failure of a record, so that counts whosever it was.
    fn works(&self, now: Instant) -> bool {
        self.failed_since == Failed::Nobody
            && self.isolated_since <= ISOLATED_AT_ONCE_MAX
            && self.passed.is_some_and(|passed| now.saturating_duration_since(passed) <= WORKS_FOR)
    }

    /// A request delivered something.
    pub(super) fn passed(&mut self, now: Instant) {
        self.passed = Some(now);
        self.passes += 1;
        self.failed_since = Failed::Nobody;
        self.isolated_since = 0;
    }

    /// A request without any suspect failed as a whole; `alone` is its record, if it held one.
    pub(super) fn failed(&mut self, alone: Option<&RecordId>) {
        self.failed_since = match (self.failed_since, alone) {
            (Failed::Nobody, Some(alone)) => Failed::Only(*alone),
            (Failed::Only(only), Some(alone)) if only == *alone => Failed::Only(only),
            _ => Failed::Several,
        };
    }

    /// A record was delivered.
    pub(super) fn clear(&mut self, record: &RecordId) {
        if let Some(suspicion) = self.records.remove(record) {
            self.isolated -= usize::from(suspicion.isolated);
        }
    }

    /// What was held against a record is settled: whatever comes of it next is another version. It still goes alone.
    pub(super) fn settled(&mut self, record: &RecordId, now: Instant) {
        if let Some(suspicion) = self.records.get_mut(record) {
            (suspicion.alone, suspicion.convicted, suspicion.since) = (0, false, now);
        }
    }

    /// A request with this record failed as a whole, and may have failed because of it. Whether it is suspected now.
    pub(super) fn blame(&mut self, record: &RecordId, now: Instant) -> bool {
        self.entry(record, now).is_some_and(|suspicion| {
            suspicion.failures = suspicion.failures.saturating_add(1);
            suspicion.isolated || suspicion.failures >= SUSPECTED
        })
    }

    /// From now on a record goes alone.
    pub(super) fn isolate(&mut self, record: &RecordId, now: Instant) {
        let newly = self.entry(record, now).is_some_and(|suspicion| {
            suspicion.failures = suspicion.failures.max(SUSPECTED);
            !std::mem::replace(&mut suspicion.isolated, true)
        });
        self.isolated += usize::from(newly);
        self.isolated_since += u32::from(newly);
    }

    /// A record failed and nothing else did. It is poison once it did so `enough` times, for long, while the
    /// destination worked; then it stays so until it is delivered.
    ///
    /// Where the failure may be that of whoever stands before the consumer (`by_gateway`), as throttling shows behind a
    /// load balancer, failures that follow each other count once: something has to pass between two that count, and half
    /// of the time failing must not be enough to explain them.
    pub(super) fn failed_alone(
        &mut self,
        record: &RecordId,
        enough: u32,
        by_gateway: bool,
        now: Instant,
    ) -> Alone {
        let (works, passes) = (self.works(now), self.passes);
        let Some(suspicion) = self.entry(record, now) else { return Alone::Seldom };
        let counts = works && !(by_gateway && suspicion.alone > 0 && suspicion.alone_at_pass == passes);
        if counts {
            suspicion.alone = suspicion.alone.saturating_add(1);
            suspicion.alone_at_pass = passes;
        }
        let enough = if by_gateway { enough.max(GATEWAY_ALONE_MIN) } else { enough };
        let long = now.saturating_duration_since(suspicion.since) >= POISON_FOR;
        suspicion.convicted |= works && long && suspicion.alone >= enough;
        match suspicion.alone {
            _ if suspicion.convicted => Alone::Poison,
            alone if alone >= enough / 2 => Alone::Often,
            _ => Alone::Seldom,
        }
    }

    fn entry(&mut self, record: &RecordId, now: Instant) -> Option<&mut Suspicion> {
        if self.records.len() >= REMEMBERED_MAX && !self.records.contains_key(record) {
            return None;
        }
        let new = Suspicion {
            failures: 0,
            alone: 0,
            alone_at_pass: 0,
            isolated: false,
            convicted: false,
            since: now,
            last: now,
        };
        let suspicion = self.records.entry(*record).or_insert(new);
        suspicion.last = now;
        Some(suspicion)
    }

    /// Forgets what is long ago.
    pub(super) fn sweep(&mut self, now: Instant) {
        if self.records.is_empty() || now.saturating_duration_since(self.swept) < REMEMBERED_FOR / 4 {
            return;
        }
        self.swept = now;
        let isolated = &mut self.isolated;
        self.records.retain(|_, suspicion| {
            let keep = now.saturating_duration_since(suspicion.last) < REMEMBERED_FOR;
            *isolated -= usize::from(!keep && suspicion.isolated);
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Digest;

    const SECOND: Duration = Duration::from_secs(1);

    fn record(n: u32) -> RecordId {
        let mut digest = [0; 20];
        digest[..4].copy_from_slice(&n.to_be_bytes());
        RecordId::new(b"test", Digest(digest))
    }

    /// How often a record has to fail alone, once in `every`, until it is poison; `None` when it never is.
    fn poison_after(
        suspects: &mut Suspects,
        start: Instant,
        every: Duration,
        mut between: impl FnMut(&mut Suspects, Instant),
    ) -> Option<u32> {
        let bad = record(1);
        (1..=100).find(|n| {
            let now = start + every * *n;
            let alone = suspects.failed_alone(&bad, 7, false, now);
            between(suspects, now);
            alone == Alone::Poison
        })
    }

    #[test]
    fn three_failures_make_a_suspect_and_a_success_clears_it() {
        let now = Instant::now();
        let mut suspects = Suspects::new(now);
        let bad = record(1);
        assert_eq!([0; 3].map(|_| suspects.blame(&bad, now)), [false, false, true]);
        assert!(suspects.is_suspected(&bad) && !suspects.is_isolated(&bad));
        suspects.isolate(&bad, now);
        assert!(suspects.is_isolated(&bad));
        suspects.clear(&bad);
        assert!(suspects.is_empty() && !suspects.is_isolated(&bad) && suspects.isolated == 0);
    }

    #[test]
    fn poison_fails_often_and_long_while_others_pass() {
        let start = Instant::now();
        let pass = |suspects: &mut Suspects, now| suspects.passed(now);
        let mut suspects = Suspects::new(start);
        suspects.passed(start);
        assert_eq!(poison_after(&mut suspects, start, SECOND, pass), Some(7), "often enough");
        let mut suspects = Suspects::new(start);
        suspects.passed(start);
        assert_eq!(poison_after(&mut suspects, start, SECOND / 10, pass), Some(51), "long enough");
        // Shipped again, as the last record of all: what passed lately is enough.
        let mut suspects = Suspects::new(start);
        suspects.passed(start);
        assert_eq!(poison_after(&mut suspects, start, SECOND, |_, _| ()), Some(7));
    }

    #[test]
    fn what_a_gateway_may_have_said_counts_once_between_two_successes_and_proves_little() {
        let start = Instant::now();
        let bad = record(1);
        let mut suspects = Suspects::new(start);
        suspects.passed(start);
        let again =
            |suspects: &mut Suspects, n: u32| suspects.failed_alone(&bad, 7, true, start + n * SECOND);
        assert!(
            (1..=9).all(|n| again(&mut suspects, n) == Alone::Seldom),
            "a storm, with nothing in between"
        );
        let found = (10..=100).find(|n| {
            suspects.passed(start + *n * SECOND);
            (0..5).any(|_| again(&mut suspects, *n) == Alone::Poison)
        });
        assert_eq!(found, Some(38), "the thirtieth time");
    }

    #[test]
    fn poison_stays_poison_and_says_nothing_of_the_destination() {
        let start = Instant::now();
        let (bad, mut suspects) = (record(1), Suspects::new(start));
        suspects.isolate(&bad, start);
        suspects.passed(start);
        assert!(suspects.is_excused(&bad));
        assert_eq!(suspects.failed_alone(&bad, 7, false, start), Alone::Seldom);
        let seen: Vec<_> =
            (1..=6).map(|n| suspects.failed_alone(&bad, 7, false, start + n * SECOND)).collect();
        assert_eq!(seen[..5], [Alone::Seldom, Alone::Often, Alone::Often, Alone::Often, Alone::Often]);
        assert_eq!(seen[5], Alone::Poison);
        suspects.failed(None);
        assert!(suspects.is_excused(&bad));
        assert_eq!(suspects.failed_alone(&bad, 7, false, start + 11 * SECOND), Alone::Poison);
        suspects.clear(&bad);
        assert!(!suspects.is_excused(&bad));
    }

    #[test]
    fn a_record_is_excused_that_nothing_else_failed_with() {
        let start = Instant::now();
        let (bad, other) = (record(1), record(2));
        let mut suspects = Suspects::new(start);
        suspects.isolate(&bad, start);
        assert!(!suspects.is_excused(&bad), "nothing passed ever");
        suspects.passed(start);
        suspects.failed(Some(&bad));
        suspects.failed(Some(&bad));
        assert!(suspects.is_excused(&bad) && !suspects.is_excused(&other));
        assert_eq!(
            suspects.failed_alone(&bad, 0, false, start + 6 * SECOND),
            Alone::Often,
            "it may be an outage"
        );
        suspects.failed(Some(&other));
        assert!(!suspects.is_excused(&bad), "others fail too");
        suspects.passed(start);
        assert!(suspects.is_excused(&bad));
        suspects.failed(None);
        assert!(!suspects.is_excused(&bad));
    }

    #[test]
    fn an_outage_poisons_nothing() {
        let start = Instant::now();
        let nothing_passed_ever = poison_after(&mut Suspects::new(start), start, SECOND, |_, _| ());
        assert_eq!(nothing_passed_ever, None);

        let mut suspects = Suspects::new(start);
        suspects.passed(start);
        let others_fail = |suspects: &mut Suspects, _| suspects.failed(None);
        assert_eq!(poison_after(&mut suspects, start, SECOND, others_fail), None);

        let mut suspects = Suspects::new(start);
        suspects.passed(start);
        assert_eq!(
            poison_after(&mut suspects, start, 4 * SECOND, |_, _| ()),
            None,
            "long since anything passed"
        );

        let mut suspects = Suspects::new(start);
        suspects.passed(start);
        (10..20).for_each(|n| suspects.isolate(&record(n), start));
        assert_eq!(poison_after(&mut suspects, start, SECOND, |_, _| ()), None, "so many at once");
    }

    #[test]
    fn memory_is_bounded_and_fades() {
        let start = Instant::now();
        let mut suspects = Suspects::new(start);
        for n in 0..REMEMBERED_MAX as u32 + 10 {
            suspects.isolate(&record(n), start);
        }
        assert_eq!((suspects.records.len(), suspects.isolated), (REMEMBERED_MAX, REMEMBERED_MAX));
        assert!(!suspects.blame(&record(u32::MAX), start), "nothing is held against it");
        let later = start + REMEMBERED_FOR / 2;
        suspects.blame(&record(0), later);
        suspects.sweep(start + REMEMBERED_FOR);
        assert_eq!((suspects.records.len(), suspects.isolated), (1, 1));
        suspects.sweep(later + 2 * REMEMBERED_FOR);
        assert!(suspects.is_empty() && suspects.isolated == 0);
    }
}
