//! Where records go that no retry can help: refused as they are, impossible to write, too large.
//!
//! The default never loses one: it is refused for now, again and again, until somebody acts. With a dead-letter
//! destination the record goes there, and its confirmation there acknowledges it; as long as it is not confirmed, it is
//! refused for now as well. Nothing here waits, and a dead letter that its destination refuses becomes no other one.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use adapters::{Cause, Outcome, world};
use futures_util::FutureExt as _;
use tracing::{error, warn};

use self::entry::Letter;
pub use self::entry::Original;
pub(crate) use self::entry::rfc3339;
pub use self::places::{Place, Places};
use crate::{encode::EncodeError, lane::Job, logging::SharedLimited, metrics::LetterStats};

mod entry;
mod places;

/// At most one line about held records, and one about dead letters, of a destination in this time: XDR ships what is
/// held again for ever.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// What becomes of a destination's dead letters.
#[derive(Debug)]
pub struct DeadLetters {
    fate: Fate,
    stats: Arc<LetterStats>,
    held_log: SharedLimited,
    sent_log: SharedLimited,
}

#[derive(Debug)]
enum Fate {
    Hold,
    Drop,
    To(Place),
}

/// Why a record is a dead letter.
#[derive(Clone, Debug)]
pub struct Why<'a> {
    /// The destination that does not take it.
    pub destination: &'a str,
    /// What happened.
    pub cause: Cause,
    /// Status of the answer, where there was one.
    pub status: Option<u16>,
    /// The destination's own words, when it has a contract for such.
    pub reason: Option<&'a str>,
}

impl DeadLetters {
    /// They are refused for now, again and again, until somebody acts: nothing is lost.
    pub fn held() -> Self {
        Self::new(Fate::Hold)
    }

    /// They are given up: XDR is told not to ship them again. Only where the operator asked for it.
    pub fn dropped() -> Self {
        Self::new(Fate::Drop)
    }

    /// They go to another destination, whose confirmation acknowledges them.
    pub fn sent_to(place: Place) -> Self {
        Self::new(Fate::To(place))
    }

    fn new(fate: Fate) -> Self {
        Self {
            fate,
            stats: Arc::default(),
            held_log: SharedLimited::new(LOG_EVERY),
            sent_log: SharedLimited::new(LOG_EVERY),
        }
    }

    /// The same, with the numbers of the lane whose place is taken.
    pub fn counting_on(self, stats: Arc<LetterStats>) -> Self {
        Self { stats, ..self }
    }

    /// Counters.
    pub fn stats(&self) -> &Arc<LetterStats> {
        &self.stats
    }

    /// Whether the operator wants them given up.
    pub fn gives_up(&self) -> bool {
        matches!(self.fate, Fate::Drop)
    }

    /// Whether a [`Job`] has to keep its [`Original`].
    pub fn keeps_originals(&self) -> bool {
        matches!(self.fate, Fate::To(_))
    }

    /// Takes over a record that its destination refused for good, with everyone who waits for it.
    pub fn take(&self, job: Job, why: &Why<'_>) {
        self.bury(job, why, None);
    }

    /// The same for a record that the operator wants given up where there is no place for it.
    pub fn take_final(&self, job: Job, why: &Why<'_>) {
        match self.fate {
            Fate::Hold if !job.tickets.is_letter() => self.give_up(job, why, None),
            _ => self.take(job, why),
        }
    }

    /// Takes over a record that cannot be written for `destination`. True when it is held.
    pub fn take_unwritten(&self, job: Job, destination: &str, error: &EncodeError) -> bool {
        let why = Why { destination, cause: Cause::Malformed, status: None, reason: None };
        self.bury(job, &why, Some(error))
    }

    fn bury(&self, job: Job, why: &Why<'_>, unwritten: Option<&EncodeError>) -> bool {
        // No chains: whether or not its own destination gives records up, this one is somebody else's.
        let of_another = job.tickets.is_letter();
        match &self.fate {
            Fate::Drop if !of_another => self.give_up(job, why, unwritten),
            Fate::To(place) if !of_another => return self.send(place, job, why, unwritten),
            _ => {
                self.hold(job, why, unwritten);
                return true;
            }
        }
        false
    }

    fn hold(&self, job: Job, why: &Why<'_>, unwritten: Option<&EncodeError>) {
        self.stats.held.add(why.cause, 1);
        if let Some(suppressed) = self.held_log.allow(now()) {
            error!(
                destination = why.destination,
                namespace = %job.record.namespace().escape_ascii(),
                digest = %job.record.digest(),
                cause = %why.cause,
                status = why.status,
                attempts = job.attempts,
                reason = entry::reason(why.cause, unwritten),
                dead_letter = job.tickets.is_letter(),
                suppressed,
                "no retry can help a record; it is held: refused for now until the record, the configuration or the \
                 destination changes"
            );
        }
        job.tickets.refuse(why.cause);
    }

    fn give_up(&self, job: Job, why: &Why<'_>, unwritten: Option<&EncodeError>) {
        self.stats.dropped.add(why.cause, 1);
        // Every one gets its line: XDR does not ship it again, so this names what was given up.
        warn!(
            destination = why.destination,
            namespace = %job.record.namespace().escape_ascii(),
            digest = %job.record.digest(),
            cause = %why.cause,
            status = why.status,
            attempts = job.attempts,
            reason = entry::reason(why.cause, unwritten),
            "no retry can help a record; it is given up, as configured (dead-letter, http-permanent-status-codes)"
        );
        job.tickets.settle(Outcome::Rejected(why.cause));
    }

    /// True when it could not be sent and is held.
    fn send(&self, place: &Place, job: Job, why: &Why<'_>, unwritten: Option<&EncodeError>) -> bool {
        let (Some(original), Some((lane, policy))) = (&job.original, place.lane()) else {
            self.hold(job, why, unwritten);
            return true;
        };
        let letter = Letter { why, unwritten, attempts: job.attempts, record: &job.record, original };
        let now_unix_ms = world::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let piece = letter.to_json(now_unix_ms).into();
        if let Some(suppressed) = self.sent_log.allow(now()) {
            warn!(
                destination = why.destination,
                dead_letter = lane.name(),
                namespace = %job.record.namespace().escape_ascii(),
                digest = %job.record.digest(),
                cause = %why.cause,
                status = why.status,
                attempts = job.attempts,
                reason = entry::reason(why.cause, unwritten),
                suppressed,
                "no retry can help a record; it goes to the dead letters"
            );
        }
        self.stats.sent.add(why.cause, 1);
        let Job { record, tickets, entered, deadline, .. } = job;
        let letter = Job {
            record,
            piece,
            request: None,
            policy,
            order: None,
            tickets: tickets.of_letter(Arc::clone(&self.stats)),
            entered,
            deadline,
            attempts: 0,
            original: None,
        };
        // Without any patience it is taken in or refused at once. A future that were not ready would refuse it too.
        let now = tokio::time::Instant::now().into_std();
        let _ = lane.enqueue(letter, now, entered).now_or_never();
        false
    }
}

/// The runtime's clock, which tests can pause.
fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
